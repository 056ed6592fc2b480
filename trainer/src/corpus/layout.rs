//! Patterns of paths: globs whose parts may have names, such as `**/{subject}/{sequence}/*.nii`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A pattern that is not understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("layout `{text}`: {problem}")]
pub struct LayoutError {
    /// The pattern.
    pub text: String,
    /// What is wrong.
    pub problem: &'static str,
}

/// A pattern of relative paths with `/` between folders.
///
/// `*` stands for any text within a folder's or file's name, `?` for one letter, `{name}` for one
/// letter or more that the name then stands for, `**` for any number of folders. Letter case
/// counts for nothing. A name that appears twice must stand for the same text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Layout {
    text: String,
    parts: Vec<Part>,
}

/// What the names of a layout stand for in one path.
pub(super) type Captures = BTreeMap<String, String>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// `**`.
    Folders,
    /// One folder or file.
    Name(Vec<Piece>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// In lower case.
    Text(String),
    Any,
    One,
    Named(String),
}

/// Most steps that one path may take: a pattern of many stars must not run for ever.
const MAX_STEPS: u32 = 100_000;

impl Layout {
    /// Parses a pattern.
    ///
    /// # Errors
    ///
    /// [`LayoutError`] for an empty pattern, an absolute one and braces that do not close.
    pub fn parse(text: &str) -> Result<Self, LayoutError> {
        let refuse = |problem| {
            Err(LayoutError {
                text: text.to_owned(),
                problem,
            })
        };
        if text.is_empty() || text.starts_with('/') {
            return refuse("it must be a relative path");
        }
        let mut parts = Vec::new();
        for name in text.split('/') {
            if name == "**" {
                parts.push(Part::Folders);
                continue;
            }
            let mut pieces = Vec::new();
            let mut literal = String::new();
            let mut letters = name.chars();
            while let Some(c) = letters.next() {
                if !matches!(c, '*' | '?' | '{' | '}') {
                    literal.extend(c.to_lowercase());
                    continue;
                }
                if !literal.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut literal)));
                }
                pieces.push(match c {
                    '*' => Piece::Any,
                    '?' => Piece::One,
                    '{' => {
                        let mut key = String::new();
                        loop {
                            match letters.next() {
                                Some('}') => break,
                                Some(k) if k.is_ascii_alphanumeric() || k == '_' => key.push(k),
                                _ => return refuse("a name in braces is letters, closed by `}`"),
                            }
                        }
                        if key.is_empty() {
                            return refuse("braces hold a name");
                        }
                        Piece::Named(key)
                    }
                    _ => return refuse("`}` without `{`"),
                });
            }
            if !literal.is_empty() {
                pieces.push(Piece::Text(literal));
            }
            if pieces.is_empty() {
                return refuse("a folder without name");
            }
            parts.push(Part::Name(pieces));
        }
        Ok(Self {
            text: text.to_owned(),
            parts,
        })
    }

    /// Whether a name is in the pattern.
    pub(super) fn names(&self, name: &str) -> bool {
        let named = |p: &Piece| matches!(p, Piece::Named(n) if n == name);
        let part = |p: &Part| matches!(p, Part::Name(pieces) if pieces.iter().any(named));
        self.parts.iter().any(part)
    }

    /// What the names stand for where `path` is of this layout.
    pub(super) fn matches(&self, path: &str) -> Option<Captures> {
        let names: Vec<Vec<char>> = path.split('/').map(|n| n.chars().collect()).collect();
        let mut state = Match {
            found: Vec::new(),
            steps: 0,
        };
        state.parts(&self.parts, &names).then(|| {
            let text = |(key, value): (String, Vec<char>)| (key, value.into_iter().collect());
            state.found.into_iter().map(text).collect()
        })
    }
}

struct Match {
    found: Vec<(String, Vec<char>)>,
    steps: u32,
}

impl Match {
    fn step(&mut self) -> bool {
        self.steps += 1;
        self.steps <= MAX_STEPS
    }

    fn parts(&mut self, parts: &[Part], names: &[Vec<char>]) -> bool {
        if !self.step() {
            return false;
        }
        match (parts.split_first(), names.split_first()) {
            (None, None) => true,
            (Some((Part::Folders, rest)), _) => {
                (0..=names.len()).any(|n| self.parts(rest, &names[n..]))
            }
            (Some((Part::Name(pieces), rest)), Some((name, more))) => {
                let mark = self.found.len();
                self.pieces(pieces, name, rest, more) || {
                    self.found.truncate(mark);
                    false
                }
            }
            _ => false,
        }
    }

    /// Matches the rest of one name, then everything after it, so that a choice within a name can
    /// be taken back.
    fn pieces(
        &mut self,
        pieces: &[Piece],
        name: &[char],
        rest: &[Part],
        more: &[Vec<char>],
    ) -> bool {
        if !self.step() {
            return false;
        }
        let Some((piece, next)) = pieces.split_first() else {
            return name.is_empty() && self.parts(rest, more);
        };
        match piece {
            Piece::Text(text) => {
                let mut at = 0;
                for c in text.chars() {
                    // A letter whose lower case is two letters is compared by the first.
                    match name.get(at).and_then(|n| n.to_lowercase().next()) {
                        Some(n) if n == c => at += 1,
                        _ => return false,
                    }
                }
                self.pieces(next, &name[at..], rest, more)
            }
            Piece::One => !name.is_empty() && self.pieces(next, &name[1..], rest, more),
            Piece::Any => (0..=name.len()).any(|n| self.pieces(next, &name[n..], rest, more)),
            Piece::Named(key) => {
                if let Some((_, known)) = self.found.iter().find(|(k, _)| k == key) {
                    let known = known.clone();
                    return name.starts_with(&known)
                        && self.pieces(next, &name[known.len()..], rest, more);
                }
                // The longest first: `{subject}` alone is the whole name.
                (1..=name.len()).rev().any(|n| {
                    let mark = self.found.len();
                    self.found.push((key.clone(), name[..n].to_vec()));
                    self.pieces(next, &name[n..], rest, more) || {
                        self.found.truncate(mark);
                        false
                    }
                })
            }
        }
    }
}

impl TryFrom<String> for Layout {
    type Error = LayoutError;

    fn try_from(text: String) -> Result<Self, LayoutError> {
        Self::parse(&text)
    }
}

impl From<Layout> for String {
    fn from(layout: Layout) -> Self {
        layout.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(layout: &str, path: &str) -> Option<String> {
        let found = Layout::parse(layout).expect(layout).matches(path)?;
        let pairs: Vec<_> = found.iter().map(|(k, v)| format!("{k}={v}")).collect();
        Some(pairs.join(" "))
    }

    #[test]
    fn names_stand_for_parts_of_paths() {
        // Only the folders just above the file can be the named ones.
        let loni = "**/{subject}/{sequence}/{session}/{image}/*.nii";
        assert_eq!(
            captured(loni, "a/b/002_S_0295/MP-RAGE/2006-04-18/I13722/x.nii").as_deref(),
            Some("image=I13722 sequence=MP-RAGE session=2006-04-18 subject=002_S_0295")
        );
        let brats = "**/{subject}/{subject}_{sequence}.nii.gz";
        assert_eq!(
            captured(brats, "x/BraTS2021_00002/BraTS2021_00002_t1ce.nii.gz").as_deref(),
            Some("sequence=t1ce subject=BraTS2021_00002")
        );
        assert_eq!(
            captured(brats, "x/BraTS2021_00002/BraTS2021_00003_t1.nii.gz"),
            None
        );
        assert_eq!(
            captured(
                "DATA/{subject}_MR_{session}/{sequence}/*.nii.gz",
                "data/OAS30001_MR_d0129/anat1/s.nii.gz"
            )
            .as_deref(),
            Some("sequence=anat1 session=d0129 subject=OAS30001")
        );
        assert_eq!(
            captured("**/pre/FLAIR.nii.gz", "Utrecht/0/pre/flair.nii.gz").as_deref(),
            Some("")
        );
        assert_eq!(captured("*.nii", "a/b.nii"), None);
        assert_eq!(captured("**/*.nii", "b.nii").as_deref(), Some(""));
        assert_eq!(captured("a/**/b", "a/b").as_deref(), Some(""));
        assert_eq!(captured("a?c/*", "abc/d").as_deref(), Some(""));
    }

    #[test]
    fn hostile_patterns_end() {
        let stars = format!("{}b", "*a".repeat(40));
        assert_eq!(captured(&stars, &"a".repeat(200)), None);
        let folders = format!("{}/x", ["**"; 30].join("/"));
        assert_eq!(captured(&folders, &["y"; 60].join("/")), None);
    }

    #[test]
    fn bad_patterns_are_named() {
        for (text, part) in [
            ("", "relative"),
            ("/a", "relative"),
            ("a//b", "without name"),
            ("{a", "closed"),
            ("{}", "hold a name"),
            ("a}", "without"),
            ("{a b}", "closed"),
        ] {
            let e = Layout::parse(text).expect_err(text).to_string();
            assert!(e.contains(part), "{e}");
        }
    }
}
