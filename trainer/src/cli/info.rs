//! `amaes info`: what the header of a volume says.

use std::path::{Path, PathBuf};

use amaes::volumes;
use amaes_core::volume::{Header, ReadOptions, Volume};
use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::{ReadArgs, print, print_json, text};

#[derive(Debug, Args)]
pub(super) struct Info {
    /// Volumes; `-` is standard input
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Read the voxels too: range, mean, and how many are not finite
    #[arg(long)]
    statistics: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    read: ReadArgs,
}

#[derive(Serialize)]
struct Description {
    file: PathBuf,
    format: String,
    byte_order: &'static str,
    dimensions: Vec<u64>,
    spacing_mm: [f64; 3],
    orientation: Option<String>,
    datatype: String,
    slope: f64,
    intercept: f64,
    affine: [[f64; 4]; 3],
    affine_source: String,
    description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    statistics: Option<Statistics>,
}

#[derive(Serialize)]
struct Statistics {
    minimum: Option<f32>,
    maximum: Option<f32>,
    mean: Option<f64>,
    nan: usize,
    infinite: usize,
}

impl Info {
    pub(super) fn run(&self) -> Result<()> {
        let described = self
            .files
            .iter()
            .map(|f| self.describe(f))
            .collect::<Result<Vec<_>>>()?;
        if self.json {
            return print_json(&described);
        }
        let texts: Vec<String> = described.iter().map(Description::text).collect();
        print(&texts.join("\n"))
    }

    fn describe(&self, file: &Path) -> Result<Description> {
        if self.statistics {
            let (volume, header) = volumes::read(file, &self.read.options())?;
            return Ok(Description::new(
                file,
                &header,
                Some(Statistics::of(&volume)),
            ));
        }
        // Without voxels, the header of any number of volumes can be shown.
        let volume = Some(self.read.volume.unwrap_or(0));
        let options = ReadOptions {
            volume,
            ..ReadOptions::default()
        };
        let reader = volumes::open(file, &options)?;
        Ok(Description::new(file, reader.header(), None))
    }
}

impl Statistics {
    fn of(volume: &Volume<f32>) -> Self {
        let finite = || volume.data().iter().copied().filter(|v| v.is_finite());
        let n = finite().count();
        let sum: f64 = finite().map(f64::from).sum();
        let found = volume.non_finite();
        Self {
            minimum: finite().reduce(f32::min),
            maximum: finite().reduce(f32::max),
            mean: (n > 0).then(|| sum / n as f64),
            nan: found.nan,
            infinite: found.infinite,
        }
    }
}

impl Description {
    fn new(file: &Path, header: &Header, statistics: Option<Statistics>) -> Self {
        let grid = header.grid();
        Self {
            file: file.to_owned(),
            format: format!("{:?}", header.format()),
            byte_order: if header.is_big_endian() {
                "big-endian"
            } else {
                "little-endian"
            },
            dimensions: header.dims().to_vec(),
            spacing_mm: grid.spacing(),
            orientation: grid.orientation().ok().map(|o| o.to_string()),
            datatype: header.datatype().to_string(),
            slope: header.scaling().slope,
            intercept: header.scaling().intercept,
            affine: grid.affine.0,
            affine_source: format!("{:?}", header.affine_source()),
            description: header.description(),
            statistics,
        }
    }

    fn text(&self) -> String {
        let dimensions: Vec<String> = self.dimensions.iter().map(u64::to_string).collect();
        let singular = || "none: the affine is singular".to_owned();
        let mut rows = vec![
            ("file", self.file.display().to_string()),
            ("format", format!("{}, {}", self.format, self.byte_order)),
            ("dimensions", dimensions.join(" x ")),
            ("spacing", format!("{} mm", text::by(self.spacing_mm))),
            (
                "orientation",
                self.orientation.clone().unwrap_or_else(singular),
            ),
            ("voxels", self.datatype.clone()),
        ];
        if (self.slope, self.intercept) != (1.0, 0.0) {
            rows.push(("scaling", format!("x {} + {}", self.slope, self.intercept)));
        }
        rows.push(("affine from", self.affine_source.clone()));
        for (i, row) in self.affine.iter().enumerate() {
            let numbers = row.map(|v| format!("{v:>10.4}")).join(" ");
            rows.push((if i == 0 { "affine" } else { "" }, numbers));
        }
        if !self.description.is_empty() {
            rows.push(("description", self.description.clone()));
        }
        if let Some(s) = &self.statistics {
            let number = |v: Option<f64>| v.map_or("none".into(), text::short);
            rows.push(("minimum", number(s.minimum.map(f64::from))));
            rows.push(("maximum", number(s.maximum.map(f64::from))));
            rows.push(("mean", number(s.mean)));
            if s.nan + s.infinite > 0 {
                rows.push((
                    "not finite",
                    format!("{} NaN, {} infinite", s.nan, s.infinite),
                ));
            }
        }
        rows.iter()
            .map(|(name, value)| format!("{name:<12} {value}\n"))
            .collect()
    }
}
