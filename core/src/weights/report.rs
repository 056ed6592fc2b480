//! What fits and what does not between a network's parameters and a state dict.

use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::StateDict;

/// The outcome of comparing or loading.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadReport {
    /// Parameters that are in the weights, in their shape.
    pub matched: Vec<String>,
    /// Parameters that are not in the weights.
    pub missing: Vec<String>,
    /// Tensors of the weights that are no parameters.
    pub unexpected: Vec<String>,
    /// Parameters that are in the weights in another shape.
    pub mismatched: Vec<Mismatched>,
}

/// A parameter whose shape differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mismatched {
    /// Its name.
    pub name: String,
    /// Shape in the network.
    pub expected: Vec<usize>,
    /// Shape in the weights.
    pub found: Vec<usize>,
}

impl LoadReport {
    /// Compares a network's parameters with the tensors of `state`.
    #[must_use]
    pub fn compare(expected: &[(String, Vec<usize>)], state: &StateDict) -> Self {
        let mut report = Self::default();
        for (name, shape) in expected {
            match state.shape(name) {
                None => report.missing.push(name.clone()),
                Some(found) if found == shape => report.matched.push(name.clone()),
                Some(found) => report.mismatched.push(Mismatched {
                    name: name.clone(),
                    expected: shape.clone(),
                    found: found.to_vec(),
                }),
            }
        }
        let names: HashSet<&str> = expected.iter().map(|(name, _)| name.as_str()).collect();
        let others = state.names().filter(|name| !names.contains(name));
        report.unexpected = others.map(str::to_owned).collect();
        report
    }

    /// Whether every parameter is there in its shape, and nothing else.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.mismatched.is_empty()
    }
}

/// Names shown of a long list.
const SHOWN: usize = 5;

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} parameters loaded", self.matched.len())?;
        for (what, names) in [("missing", &self.missing), ("not used", &self.unexpected)] {
            if !names.is_empty() {
                write!(f, "; {} {what}: {}", names.len(), few(names))?;
            }
        }
        if !self.mismatched.is_empty() {
            write!(f, "; {} of another shape:", self.mismatched.len())?;
            for Mismatched {
                name,
                expected,
                found,
            } in self.mismatched.iter().take(SHOWN)
            {
                write!(f, " {name} is {found:?}, not {expected:?}")?;
            }
            f.write_str(&rest(self.mismatched.len()))?;
        }
        Ok(())
    }
}

/// The first of a list of names, and how many more there are.
pub(super) fn few(names: &[String]) -> String {
    let shown = &names[..names.len().min(SHOWN)];
    shown.join(", ") + &rest(names.len())
}

fn rest(len: usize) -> String {
    match len.checked_sub(SHOWN) {
        Some(more @ 1..) => format!(" and {more} more"),
        _ => String::new(),
    }
}
