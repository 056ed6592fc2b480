//! Label tables from colour maps as brainchop and NiiVue keep them, and for classes without names.

use serde::Deserialize;
use thiserror::Error;

use super::{Label, LabelEntry, LabelTable};

/// What can be wrong with a colour map.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LabelError {
    /// It is not the JSON expected.
    #[error("colour map: {0}")]
    Json(#[from] serde_json::Error),
    /// Its lists have different lengths.
    #[error("colour map: `{list}` has {found} entries where `R` has {expected}")]
    Length {
        /// The list.
        list: &'static str,
        /// Its length.
        found: usize,
        /// Length of `R`.
        expected: usize,
    },
    /// It has no entries, or more than labels can count.
    #[error("colour map: {0} entries")]
    Count(usize),
}

/// `{"R": [..], "G": [..], "B": [..], "labels": [..]}`.
#[derive(Deserialize)]
struct Colormap {
    #[serde(rename = "R")]
    red: Vec<u8>,
    #[serde(rename = "G")]
    green: Vec<u8>,
    #[serde(rename = "B")]
    blue: Vec<u8>,
    labels: Option<Vec<String>>,
}

impl LabelTable {
    /// Reads the JSON of a brainchop or NiiVue colour map: the lists `R`, `G`, `B` (0 to 255) and
    /// `labels` (names; `class i` where absent), one entry a class.
    ///
    /// # Errors
    /// If it is not such JSON, the lists differ in length, or there are none or over 65536.
    pub fn from_colormap(json: &[u8]) -> Result<Self, LabelError> {
        let map: Colormap = serde_json::from_slice(json)?;
        let expected = map.red.len();
        let labels = map.labels.as_ref().map_or(expected, Vec::len);
        for (list, found) in [
            ("G", map.green.len()),
            ("B", map.blue.len()),
            ("labels", labels),
        ] {
            if found != expected {
                return Err(LabelError::Length {
                    list,
                    found,
                    expected,
                });
            }
        }
        if expected == 0 || expected > usize::from(Label::MAX) + 1 {
            return Err(LabelError::Count(expected));
        }
        let mut names = map.labels.unwrap_or_default().into_iter();
        let colors = map.red.into_iter().zip(map.green).zip(map.blue);
        let entries = colors
            .zip(0..=Label::MAX)
            .map(|(((red, green), blue), value)| LabelEntry {
                value,
                name: names.next().unwrap_or_else(|| unnamed(value)),
                color: [red, green, blue],
            });
        Ok(Self(entries.collect()))
    }

    /// A table for `classes` classes without names: a black background, then colours whose hues
    /// lie the golden angle apart, so that neighbours differ. At most 65536 entries.
    #[must_use]
    pub fn generic(classes: usize) -> Self {
        let entry = |value: Label| match value {
            0 => LabelEntry {
                value,
                name: "background".to_owned(),
                color: [0, 0, 0],
            },
            _ => LabelEntry {
                value,
                name: unnamed(value),
                color: hue(value),
            },
        };
        Self((0..=Label::MAX).take(classes).map(entry).collect())
    }
}

fn unnamed(value: Label) -> String {
    format!("class {value}")
}

/// A bright colour, in integers so that it is the same on every machine.
fn hue(value: Label) -> [u8; 3] {
    // Sixths of a turn in 16 bits: the golden angle is 0.618034 of a turn.
    let turn = 6 * ((u32::from(value) * 40503) & 0xffff);
    let (sixth, part) = (turn >> 16, (turn & 0xffff) >> 8);
    // Every third turn of the wheel is darker.
    let (low, high) = [(60, 240), (40, 180), (110, 255)][usize::from(value) % 3];
    let rise = low + (high - low) * part / 255;
    let fall = high - (high - low) * part / 255;
    let [red, green, blue] = match sixth {
        0 => [high, rise, low],
        1 => [fall, high, low],
        2 => [low, high, rise],
        3 => [low, fall, high],
        4 => [rise, low, high],
        _ => [high, low, fall],
    };
    [red, green, blue].map(|channel| channel.min(255) as u8)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn colormaps_are_read() {
        let table = LabelTable::from_colormap(
            br#"{"R": [0, 255], "G": [0, 1], "B": [0, 2], "labels": ["background", "lesion"]}"#,
        )
        .expect("valid");
        assert_eq!(table.0[1].name, "lesion");
        assert_eq!(table.0[1].value, 1);
        assert_eq!(table.0[1].color, [255, 1, 2]);
        let table = LabelTable::from_colormap(br#"{"R": [1, 2], "G": [3, 4], "B": [5, 6]}"#)
            .expect("valid");
        assert_eq!(table.0[1].name, "class 1");
    }

    #[test]
    fn wrong_colormaps_are_refused() {
        let error = |json: &str| {
            LabelTable::from_colormap(json.as_bytes())
                .expect_err("invalid")
                .to_string()
        };
        assert_eq!(
            error(r#"{"R": [0, 0], "G": [0], "B": [0, 0]}"#),
            "colour map: `G` has 1 entries where `R` has 2"
        );
        assert_eq!(
            error(r#"{"R": [], "G": [], "B": []}"#),
            "colour map: 0 entries"
        );
        assert!(error(r#"{"R": [256], "G": [0], "B": [0]}"#).contains("256"));
        assert!(error("[]").contains("colour map"));
    }

    #[test]
    fn generic_colours_differ() {
        let table = LabelTable::generic(105);
        assert_eq!(table.0.len(), 105);
        assert_eq!(table.0[0].color, [0, 0, 0]);
        let colors: HashSet<_> = table.0.iter().map(|entry| entry.color).collect();
        assert_eq!(colors.len(), 105);
        let dark = table.0[1..]
            .iter()
            .any(|entry| entry.color.iter().all(|&c| c < 100));
        assert!(!dark);
    }
}
