//! Which classes there are, and which of them a value in a label file stands for.

use std::collections::BTreeMap;
use std::path::Path;

use amaes_core::label::Label;

use super::config::DatasetConfig;
use super::error::{LabelledError, Result};
use super::{Found, UNLABELLED};

/// Names of the classes, and the values that are not their own class.
pub(super) struct Classes {
    pub(super) names: Vec<String>,
    pub(super) values: BTreeMap<Label, Label>,
    pub(super) ignore: Option<Label>,
}

impl Classes {
    /// Names and values as the configuration has them, completed by what the dataset says.
    pub(super) fn new(config: &DatasetConfig, found: &Found) -> Result<Self> {
        let mut values = BTreeMap::new();
        for (value, &class) in &config.map {
            let value: Label = value.trim().parse().map_err(|_| {
                let message = format!("`{value}` is no value of a label file: 0 to {}", Label::MAX);
                LabelledError::config("data.map", message)
            })?;
            values.insert(value, class);
        }
        let ignore = config.ignore.or(found.ignore);
        let mut names = config.classes.clone();
        if names.is_empty() {
            names = described(&mut values, ignore, &found.names, &found.described_by)?;
        }
        if names.len() < 2 || names.len() > usize::from(UNLABELLED) {
            let message = match names.len() {
                0 => "the dataset does not name its classes: name them, background first".into(),
                n => format!("{n} classes; at least a background and one more"),
            };
            return Err(LabelledError::config("data.classes", message));
        }
        for (n, name) in names.iter().enumerate() {
            if name.trim().is_empty() || names[..n].contains(name) {
                let message = format!("`{name}`: every class has a name of its own");
                return Err(LabelledError::config("data.classes", message));
            }
        }
        let beyond = |(_, class): &(&Label, &Label)| usize::from(**class) >= names.len();
        if let Some((value, class)) = values.iter().find(beyond) {
            let message = format!("{value} = {class}, but there are {} classes", names.len());
            return Err(LabelledError::config("data.map", message));
        }
        Ok(Self {
            names,
            values,
            ignore,
        })
    }
}

/// Classes of the values that a dataset names. Without a map they are numbered in the order of the
/// values; with one, the class of a value is the map's and has the name of its first value.
fn described(
    values: &mut BTreeMap<Label, Label>,
    ignore: Option<Label>,
    names: &BTreeMap<Label, String>,
    path: &Path,
) -> Result<Vec<String>> {
    let mut names: BTreeMap<Label, String> = names.clone();
    names.retain(|value, _| ignore != Some(*value));
    if !names.is_empty() {
        names.entry(0).or_insert_with(|| "background".into());
    }
    if values.is_empty() {
        values.extend(names.keys().copied().zip(0..));
        values.retain(|value, class| value != class);
        return Ok(names.into_values().collect());
    }
    let mut classes: BTreeMap<Label, String> = BTreeMap::new();
    for (value, name) in names {
        let class = values.get(&value).copied().unwrap_or(value);
        classes.entry(class).or_insert(name);
    }
    match classes.keys().copied().eq(0..classes.len() as Label) {
        true => Ok(classes.into_values().collect()),
        false => Err(LabelledError::config(
            "data.map",
            format!(
                "with the values that {} names it gives the classes {:?}; they are numbered from \
                 0 without gaps",
                path.display(),
                classes.keys().collect::<Vec<_>>()
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(
        names: &[(Label, &str)],
        config: &DatasetConfig,
        ignore: Option<Label>,
    ) -> Result<Classes> {
        let found = Found {
            cases: Vec::new(),
            channels: Vec::new(),
            unlabelled: Vec::new(),
            names: names.iter().map(|&(v, n)| (v, n.to_owned())).collect(),
            ignore,
            described_by: "dataset.json".into(),
        };
        Classes::new(config, &found)
    }

    fn mapped(map: &[(&str, Label)], classes: &[&str]) -> DatasetConfig {
        DatasetConfig {
            map: map.iter().map(|&(v, c)| (v.to_owned(), c)).collect(),
            classes: classes.iter().map(|&c| c.to_owned()).collect(),
            ..DatasetConfig::default()
        }
    }

    const BRATS: [(Label, &str); 4] = [(0, "none"), (1, "core"), (2, "oedema"), (4, "enhancing")];

    #[test]
    fn gaps_are_closed_and_maps_are_followed() {
        let all = classes(&BRATS, &mapped(&[], &[]), None).expect("named");
        assert_eq!(all.names, ["none", "core", "oedema", "enhancing"]);
        assert_eq!(all.values, BTreeMap::from([(4, 3)]));

        let whole = mapped(&[("1", 1), ("2", 1), ("4", 1)], &[]);
        let whole = classes(&BRATS, &whole, None).expect("named");
        assert_eq!(whole.names, ["none", "core"]);
        assert_eq!(whole.values, BTreeMap::from([(1, 1), (2, 1), (4, 1)]));

        let named = mapped(&[("4", 1)], &["rest", "tumour"]);
        let named = classes(&[], &named, None).expect("named");
        assert_eq!(named.names, ["rest", "tumour"]);

        let ignored = classes(&[(1, "lesion"), (2, "ignore")], &mapped(&[], &[]), Some(2));
        let ignored = ignored.expect("named");
        assert_eq!(ignored.names, ["background", "lesion"]);
        assert_eq!(ignored.ignore, Some(2));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (names, config, part) in [
            (&BRATS[..], mapped(&[("4", 9)], &[]), "data.map"),
            (&[][..], mapped(&[], &[]), "data.classes"),
            (&[][..], mapped(&[("x", 1)], &["a", "b"]), "`x`"),
            (&[][..], mapped(&[("3", 2)], &["a", "b"]), "3 = 2"),
            (&[][..], mapped(&[], &["a", "a"]), "`a`"),
        ] {
            let error = classes(names, &config, None).err().expect(part).to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
