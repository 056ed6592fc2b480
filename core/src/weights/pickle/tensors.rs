//! The named tensors of a pickled checkpoint.

use super::value::{Node, Pickle, Strided, Value};
use crate::weights::{Format, WeightsError};

/// Where checkpoints keep their weights when not at the top, in the order of preference.
const NESTED: [&str; 6] = [
    "state_dict",
    "network_weights",
    "model_state_dict",
    "model_state",
    "model",
    "net",
];

/// Visits of one walk: shared objects may be reached many times over.
const MAX_VISITS: usize = 1_000_000;
/// Longest name of a tensor.
const MAX_NAME: usize = 1024;
/// Most tensors of a checkpoint.
const MAX_TENSORS: usize = 100_000;
/// Deepest nesting of dicts; Python's own pickler stops near it.
const MAX_DEPTH: usize = 100;

/// The tensors of the state dict in the pickle: of a known entry of the root if one holds
/// tensors, else of the whole root. Names of nested dicts are joined by dots; lists count from 0.
pub(in crate::weights) fn named_tensors(
    pickle: &Pickle,
    format: Format,
) -> Result<Vec<(String, &Strided)>, WeightsError> {
    if let Some(Node::Dict(pairs)) = pickle.node(&pickle.root) {
        for wanted in NESTED {
            let entry = pairs.iter().rev().find(|(key, value)| {
                matches!(key, Value::Text(key) if &**key == wanted)
                    && matches!(pickle.node(value), Some(Node::Dict(_)))
            });
            if let Some((_, value)) = entry {
                let tensors = walk(pickle, value, format)?;
                if !tensors.is_empty() {
                    return Ok(tensors);
                }
            }
        }
    }
    walk(pickle, &pickle.root, format)
}

fn walk<'a>(
    pickle: &'a Pickle,
    root: &'a Value,
    format: Format,
) -> Result<Vec<(String, &'a Strided)>, WeightsError> {
    let mut walk = Walk {
        pickle,
        format,
        visits: 0,
        path: String::new(),
        tensors: Vec::new(),
    };
    walk.visit(root, 0)?;
    Ok(walk.tensors)
}

struct Walk<'a> {
    pickle: &'a Pickle,
    format: Format,
    visits: usize,
    path: String,
    tensors: Vec<(String, &'a Strided)>,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, value: &Value, depth: usize) -> Result<(), WeightsError> {
        let Some(node) = self.pickle.node(value) else {
            return Ok(());
        };
        self.visits += 1;
        if self.visits > MAX_VISITS || depth > MAX_DEPTH || self.tensors.len() > MAX_TENSORS {
            return Err(WeightsError::malformed(
                self.format,
                "entries beyond number or depth",
            ));
        }
        match node {
            Node::Tensor(tensor) => self.tensors.push((self.path.clone(), tensor)),
            Node::Dict(pairs) => {
                for (key, value) in pairs {
                    match key {
                        Value::Text(key) => self.enter(key, value, depth)?,
                        Value::Int(key) => self.enter(&key.to_string(), value, depth)?,
                        _ => {}
                    }
                }
            }
            Node::List(items) | Node::Tuple(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.enter(&index.to_string(), item, depth)?;
                }
            }
            Node::Unsupported(reason) => {
                return Err(WeightsError::malformed(
                    self.format,
                    format!("tensor `{}`: {reason}", self.path),
                ));
            }
            Node::Storage(_) => {}
        }
        Ok(())
    }

    fn enter(&mut self, key: &str, value: &Value, depth: usize) -> Result<(), WeightsError> {
        // Values without tensors need no path.
        if self.pickle.node(value).is_none() {
            return Ok(());
        }
        let len = self.path.len();
        if len > 0 {
            self.path.push('.');
        }
        self.path.push_str(key);
        if self.path.len() > MAX_NAME {
            return Err(WeightsError::malformed(
                self.format,
                "a name longer than any tensor's",
            ));
        }
        self.visit(value, depth + 1)?;
        self.path.truncate(len);
        Ok(())
    }
}
