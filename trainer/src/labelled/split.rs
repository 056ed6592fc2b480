//! Cases to train on, to validate on and to test on, divided by subject.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Dataset;
use super::error::{LabelledError, Result};
use crate::corpus::test_part;
use crate::digits::{name_hash, spread};

/// How cases are divided: the section `split`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SplitConfig {
    /// What is drawn depends on it and the subjects' names alone.
    pub seed: u64,
    /// How the test part is drawn.
    pub scheme: Scheme,
    /// Share of the subjects that is tested on.
    pub test: f64,
    /// Share of the others that is validated on, where there are no folds.
    pub validation: f64,
    /// Subjects to train on at most, drawn from the rest. Of one seed, few are among many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train: Option<usize>,
    /// The seed of that draw, where it is not `seed`: other subjects to train on, the same ones to
    /// validate and test on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_seed: Option<u64>,
    /// Parts that the subjects that are not tested on are cut into.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folds: Option<usize>,
    /// Which of the parts is validated on, from 0.
    pub fold: usize,
    /// Sites whose cases are all tested on.
    pub test_sites: Vec<String>,
}

/// How the test part is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// By a hash of seed and name: a subject that is added moves no other one.
    #[default]
    Hash,
    /// scikit-learn's `train_test_split(sorted(subjects), test_size=test, random_state=seed)`, as
    /// the reference divides its datasets.
    ScikitLearn,
}

impl Default for SplitConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            scheme: Scheme::Hash,
            test: 0.0,
            validation: 0.2,
            train: None,
            train_seed: None,
            folds: None,
            fold: 0,
            test_sites: Vec::new(),
        }
    }
}

/// Names of the cases of each part, in the order of the dataset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// To train on.
    pub train: Vec<String>,
    /// To validate on.
    pub validation: Vec<String>,
    /// To test on.
    pub test: Vec<String>,
    /// To train on as well: the cases of other datasets, by the name of each dataset.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub also: BTreeMap<String, Vec<String>>,
}

/// Divides the cases of a dataset. All cases of a subject are in one part, or in none where
/// `train` leaves them out.
///
/// # Errors
///
/// [`LabelledError::Config`] names the field: a share or a number makes no sense for so many
/// subjects, a site is not there, nothing is left to train on.
pub fn split(dataset: &Dataset, config: &SplitConfig) -> Result<Split> {
    for (field, share) in [
        ("split.test", config.test),
        ("split.validation", config.validation),
    ] {
        if !(0.0..1.0).contains(&share) {
            let message = format!("{share} is no share: 0 or more, below 1");
            return Err(LabelledError::config(field, message));
        }
    }
    let tested_sites = held_out_sites(dataset, config)?;
    let mut subjects: BTreeMap<&str, bool> = BTreeMap::new();
    for case in &dataset.cases {
        let tested = case
            .site
            .as_deref()
            .is_some_and(|s| tested_sites.contains(s));
        *subjects.entry(&case.subject).or_default() |= tested;
    }
    let (mut test, mut rest): (BTreeSet<&str>, Vec<&str>) = Default::default();
    for (subject, tested) in subjects {
        match tested {
            true => {
                test.insert(subject);
            }
            false => rest.push(subject),
        }
    }
    test.extend(take_test(&mut rest, config)?);
    let validation = take_validation(&mut rest, config)?;
    if rest.is_empty() {
        return Err(LabelledError::config(
            "split",
            "no subject is left to train on",
        ));
    }
    if let Some(count) = config.train {
        if count == 0 || count > rest.len() {
            let message = format!("{count}: there are {} subjects to draw from", rest.len());
            return Err(LabelledError::config("split.train", message));
        }
        shuffle(&mut rest, config.train_seed.unwrap_or(config.seed), "train");
        rest.truncate(count);
    }
    let train: BTreeSet<&str> = rest.into_iter().collect();
    let of = |subjects: &BTreeSet<&str>| {
        let cases = dataset.cases.iter();
        let cases = cases.filter(|c| subjects.contains(c.subject.as_str()));
        cases.map(|c| c.id.clone()).collect()
    };
    Ok(Split {
        train: of(&train),
        validation: of(&validation),
        test: of(&test),
        also: BTreeMap::new(),
    })
}

fn held_out_sites<'a>(dataset: &Dataset, config: &'a SplitConfig) -> Result<BTreeSet<&'a str>> {
    let is_there = |site: &&String| dataset.cases.iter().any(|c| c.site.as_ref() == Some(site));
    match config.test_sites.iter().find(|site| !is_there(site)) {
        Some(site) => Err(LabelledError::config(
            "split.test_sites",
            format!("no case is of `{site}`"),
        )),
        None => Ok(config.test_sites.iter().map(String::as_str).collect()),
    }
}

/// Takes the test part out of `rest`, which is sorted and stays so.
fn take_test<'a>(rest: &mut Vec<&'a str>, config: &SplitConfig) -> Result<Vec<&'a str>> {
    if config.test == 0.0 {
        return Ok(Vec::new());
    }
    match config.scheme {
        Scheme::Hash => Ok(take_share(rest, config.test, config.seed, "test")),
        Scheme::ScikitLearn => {
            let seed = u32::try_from(config.seed).map_err(|_| {
                LabelledError::config("split.seed", "scikit-learn's seeds have 32 bits")
            })?;
            let all = std::mem::take(rest);
            let tested = test_part(seed, all.len() as u32, config.test);
            let (test, others): (Vec<_>, Vec<_>) = (0..)
                .zip(all)
                .partition(|(n, _)| tested.binary_search(n).is_ok());
            *rest = others.into_iter().map(|(_, subject)| subject).collect();
            Ok(test.into_iter().map(|(_, subject)| subject).collect())
        }
    }
}

/// Takes the validation part out of `rest`: a share, or a fold.
fn take_validation<'a>(rest: &mut Vec<&'a str>, config: &SplitConfig) -> Result<BTreeSet<&'a str>> {
    let Some(folds) = config.folds else {
        let share = config.validation;
        return Ok(take_share(rest, share, config.seed, "validation")
            .into_iter()
            .collect());
    };
    if folds < 2 || folds > rest.len() {
        let message = format!("{folds}: at least 2, and {} subjects at most", rest.len());
        return Err(LabelledError::config("split.folds", message));
    }
    if config.fold >= folds {
        let message = format!("{}: there are {folds} folds, from 0", config.fold);
        return Err(LabelledError::config("split.fold", message));
    }
    let mut drawn = rest.clone();
    shuffle(&mut drawn, config.seed, "validation");
    let fold = drawn.into_iter().skip(config.fold).step_by(folds);
    let fold: BTreeSet<&str> = fold.collect();
    rest.retain(|s| !fold.contains(s));
    Ok(fold)
}

/// Takes a share of `rest`, at least one where it is more than 0; the others keep their order.
fn take_share<'a>(rest: &mut Vec<&'a str>, share: f64, seed: u64, part: &str) -> Vec<&'a str> {
    if share == 0.0 {
        return Vec::new();
    }
    let count = ((rest.len() as f64 * share).round() as usize).max(1);
    let mut drawn = rest.clone();
    shuffle(&mut drawn, seed, part);
    drawn.truncate(count);
    rest.retain(|s| !drawn.contains(s));
    drawn
}

/// Orders subjects by a hash of the seed, of what is drawn and of their names.
fn shuffle(subjects: &mut [&str], seed: u64, part: &str) {
    let salt = spread(name_hash(part) ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    subjects.sort_by_key(|s| (spread(name_hash(s) ^ salt), *s));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labelled::LabelledCase;

    /// Two cases of every third subject; sites a, b, c in turn.
    fn dataset(subjects: usize) -> Dataset {
        let mut cases = Vec::new();
        for n in 0..subjects {
            for session in 0..1 + usize::from(n % 3 == 0) {
                cases.push(LabelledCase {
                    id: format!("sub-{n:03}_ses-{session}"),
                    subject: format!("sub-{n:03}"),
                    site: Some(["a", "b", "c"][n % 3].into()),
                    channels: Vec::new(),
                    labels: "none".into(),
                });
            }
        }
        Dataset {
            cases,
            channels: Vec::new(),
            classes: Vec::new(),
            unlabelled: Vec::new(),
            values: BTreeMap::new(),
            ignore: None,
        }
    }

    fn subjects(cases: &[String]) -> BTreeSet<&str> {
        cases.iter().map(|c| &c[..7]).collect()
    }

    #[test]
    fn subjects_are_in_one_part() {
        let dataset = dataset(40);
        let config = SplitConfig {
            test: 0.25,
            validation: 0.2,
            ..SplitConfig::default()
        };
        let all = split(&dataset, &config).expect("divided");
        let parts = [&all.train, &all.validation, &all.test].map(|p| subjects(p));
        assert_eq!(parts.each_ref().map(BTreeSet::len), [24, 6, 10]);
        assert!(parts[0].is_disjoint(&parts[1]) && parts[0].is_disjoint(&parts[2]));
        assert!(parts[1].is_disjoint(&parts[2]));
        let count = all.train.len() + all.validation.len() + all.test.len();
        assert_eq!(count, dataset.cases.len());
        assert_ne!(
            all,
            split(&dataset, &SplitConfig { seed: 2, ..config }).expect("divided")
        );
    }

    #[test]
    fn few_are_among_many() {
        let dataset = dataset(60);
        let draw = |train, train_seed| {
            let config = SplitConfig {
                test: 0.2,
                train: Some(train),
                train_seed,
                ..SplitConfig::default()
            };
            split(&dataset, &config).expect("divided")
        };
        let (five, ten, other) = (draw(5, None), draw(10, None), draw(10, Some(9)));
        assert!(subjects(&five.train).is_subset(&subjects(&ten.train)));
        assert_eq!(subjects(&five.train).len(), 5);
        assert_eq!((&five.validation, &five.test), (&ten.validation, &ten.test));
        assert_eq!(other.test, ten.test);
        assert_ne!(other.train, ten.train);
    }

    #[test]
    fn every_subject_is_in_one_fold() {
        let dataset = dataset(11);
        let mut seen = Vec::new();
        for fold in 0..4 {
            let config = SplitConfig {
                folds: Some(4),
                fold,
                ..SplitConfig::default()
            };
            let parts = split(&dataset, &config).expect("divided");
            assert_eq!(
                parts.train.len() + parts.validation.len(),
                dataset.cases.len()
            );
            seen.extend(parts.validation);
        }
        seen.sort();
        let all: Vec<String> = dataset.cases.iter().map(|c| c.id.clone()).collect();
        assert_eq!(seen, all);
    }

    #[test]
    fn sites_are_held_out_whole() {
        let dataset = dataset(30);
        let config = SplitConfig {
            test_sites: vec!["b".into()],
            ..SplitConfig::default()
        };
        let parts = split(&dataset, &config).expect("divided");
        let of_b = |id: &String| dataset.case(id).and_then(|c| c.site.as_deref()) == Some("b");
        assert!(parts.test.iter().all(of_b) && parts.test.len() == 10);
        assert!(!parts.train.iter().chain(&parts.validation).any(of_b));
    }

    #[test]
    fn published_splits_are_drawn() {
        // sklearn.model_selection.train_test_split(sorted(subjects), test_size=0.25,
        // random_state=4215532) of 20 subjects.
        let config = SplitConfig {
            seed: 4_215_532,
            scheme: Scheme::ScikitLearn,
            test: 0.25,
            ..SplitConfig::default()
        };
        let dataset = dataset(20);
        let parts = split(&dataset, &config).expect("divided");
        let expected = ["sub-003", "sub-006", "sub-012", "sub-013", "sub-014"];
        assert_eq!(subjects(&parts.test), BTreeSet::from(expected));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let config = SplitConfig::default;
        for (config, field) in [
            (
                SplitConfig {
                    test: 1.0,
                    ..config()
                },
                "split.test",
            ),
            (
                SplitConfig {
                    validation: -0.1,
                    ..config()
                },
                "split.validation",
            ),
            (
                SplitConfig {
                    train: Some(9),
                    ..config()
                },
                "split.train",
            ),
            (
                SplitConfig {
                    folds: Some(9),
                    ..config()
                },
                "split.folds",
            ),
            (
                SplitConfig {
                    folds: Some(2),
                    fold: 2,
                    ..config()
                },
                "split.fold",
            ),
            (
                SplitConfig {
                    test_sites: vec!["x".into()],
                    ..config()
                },
                "`x`",
            ),
        ] {
            let error = split(&dataset(6), &config).expect_err(field).to_string();
            assert!(error.contains(field), "{error}");
        }
    }
}
