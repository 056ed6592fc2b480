//! What is scored, from the options of the command line.

use amaes::evaluate::statistics::BootstrapConfig;
use amaes::evaluate::{Region, ScoreConfig, Settings, Targets};
use amaes_core::label::Label;
use amaes_core::metric::LesionConfig;
use anyhow::{Result, bail};
use clap::Args;

#[derive(Debug, Args)]
#[command(next_help_heading = "Scores")]
pub(super) struct ScoreArgs {
    /// Distance in mm up to which surfaces agree
    #[arg(long, default_value_t = 1.0, value_name = "MM")]
    tolerance: f64,
    /// Labels to score, with names if you like: `1=core 2=oedema`; all that are found by default
    #[arg(long, num_args = 1.., value_name = "LABEL[=NAME]", value_parser = parse_label)]
    labels: Vec<(Label, Option<String>)>,
    /// Unions of labels to score: `whole=1,2,3 core=1,3`; `brats` stands for whole tumour, core and
    /// enhancing tumour of labels 1 to 3
    #[arg(long, num_args = 1.., value_name = "NAME=LABELS")]
    regions: Vec<String>,
    /// Lesions smaller than this are not counted
    #[arg(long, default_value_t = 0.0, value_name = "MM3")]
    min_lesion: f64,
    /// Share of a lesion that must be covered to be found, 0 to 1; one voxel whatever it is
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    lesion_overlap: f64,
    /// Resamples of the confidence intervals
    #[arg(long, default_value_t = 10_000)]
    resamples: usize,
    /// Probability that an interval is to cover
    #[arg(long, default_value_t = 0.95)]
    confidence: f64,
    /// Seed of intervals and tests
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl ScoreArgs {
    /// What is scored and how, for predictions that `name` made.
    ///
    /// # Errors
    ///
    /// Names the option.
    pub(super) fn settings(&self, name: String) -> Result<Settings> {
        if !(self.tolerance >= 0.0 && self.tolerance.is_finite()) {
            bail!("--tolerance: {} mm is no distance", self.tolerance);
        }
        if !(self.min_lesion >= 0.0 && self.min_lesion.is_finite()) {
            bail!("--min-lesion: {} mm^3 is no volume", self.min_lesion);
        }
        if !(0.0..=1.0).contains(&self.lesion_overlap) {
            bail!("--lesion-overlap: {} is no share", self.lesion_overlap);
        }
        if !(self.confidence > 0.0 && self.confidence < 1.0) {
            bail!("--confidence: {} is not between 0 and 1", self.confidence);
        }
        if !(1..=10_000_000).contains(&self.resamples) {
            bail!(
                "--resamples: {} is not between 1 and 10,000,000",
                self.resamples
            );
        }
        let named = self.labels.iter();
        let named = named.filter_map(|(label, name)| Some((*label, name.clone()?)));
        Ok(Settings {
            name,
            score: ScoreConfig {
                tolerance_mm: self.tolerance,
                lesions: LesionConfig {
                    min_mm3: self.min_lesion,
                    min_overlap: self.lesion_overlap,
                    ..LesionConfig::default()
                },
            },
            bootstrap: BootstrapConfig {
                resamples: self.resamples,
                confidence: self.confidence,
                seed: self.seed,
            },
            labels: named.collect(),
            regions: regions(&self.regions)?,
        })
    }

    /// What is scored.
    pub(super) fn targets(&self, settings: &Settings) -> Targets {
        Targets {
            labels: self.labels.iter().map(|(label, _)| *label).collect(),
            regions: settings.regions.clone(),
        }
    }
}

fn parse_label(text: &str) -> Result<(Label, Option<String>), String> {
    let (number, name) = match text.split_once('=') {
        Some((number, name)) => (number, Some(name.to_owned())),
        None => (text, None),
    };
    match number.trim().parse() {
        Ok(label) if label > 0 => Ok((label, name)),
        _ => Err(format!("`{number}` is no label: a number from 1")),
    }
}

/// Regions from `name=1,2,3` or a name that stands for several.
fn regions(texts: &[String]) -> Result<Vec<Region>> {
    let mut out: Vec<Region> = Vec::new();
    for text in texts {
        if text == "brats" {
            let known: [(&str, &[Label]); 3] = [
                ("whole tumour", &[1, 2, 3]),
                ("tumour core", &[1, 3]),
                ("enhancing tumour", &[3]),
            ];
            out.extend(known.map(|(name, labels)| Region {
                name: name.to_owned(),
                labels: labels.to_vec(),
            }));
            continue;
        }
        let Some((name, labels)) = text.split_once('=') else {
            bail!("--regions: `{text}` is no `NAME=LABELS`");
        };
        let name = name.trim();
        if name.is_empty() || name.parse::<f64>().is_ok() || name == amaes::evaluate::MEAN {
            bail!("--regions: `{name}` is no name for a region");
        }
        let labels = labels.split(',').map(|l| parse_label(l).map(|(l, _)| l));
        let labels: Result<Vec<Label>, String> = labels.collect();
        match labels {
            Ok(labels) => out.push(Region {
                name: name.to_owned(),
                labels,
            }),
            Err(error) => bail!("--regions: `{text}`: {error}"),
        }
    }
    for (i, region) in out.iter().enumerate() {
        if out[..i].iter().any(|r| r.name == region.name) {
            bail!("--regions: two are called `{}`", region.name);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_regions_are_read() {
        assert_eq!(parse_label("2=oedema"), Ok((2, Some("oedema".into()))));
        assert_eq!(parse_label("3"), Ok((3, None)));
        assert!(parse_label("0").is_err() && parse_label("x=1").is_err());
        let found = regions(&["brats".into(), "most=1,2".into()]).expect("regions");
        assert_eq!(found.len(), 4);
        assert_eq!(
            (found[1].name.as_str(), &found[1].labels[..]),
            ("tumour core", &[1, 3][..])
        );
        assert_eq!(found[3].labels, [1, 2]);
        for bad in ["1=2", "mean=1,2", "x", "a=1,y"] {
            assert!(regions(&[bad.to_owned()]).is_err(), "{bad}");
        }
        assert!(regions(&["a=1".into(), "a=2".into()]).is_err());
    }
}
