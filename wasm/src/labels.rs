//! Label maps from files: measured again after an edit, compared, turned into surfaces.

use amaes_core::infer::LabelReport;
use amaes_core::label::{Label, LabelTable};
use amaes_core::metric::dice_per_label;
use amaes_core::surface::{SurfaceError, surface, write_ply, write_stl};
use amaes_core::volume::{ReadOptions, Volume, VolumeDecoder, read_labels};
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// A label map, and the image that it lies on where that is given.
pub struct LabelMap {
    labels: Volume<Label>,
    image: Option<VolumeDecoder<f32>>,
}

/// How well two label maps agree about one label.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Overlap {
    /// The label.
    pub value: Label,
    /// Dice's coefficient, 0 to 1.
    pub dice: f64,
}

/// File formats of surfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SurfaceFormat {
    /// Binary STL.
    Stl,
    /// Binary PLY.
    Ply,
}

impl LabelMap {
    /// Reads a NIfTI or MGH file.
    ///
    /// # Errors
    ///
    /// When it is none, or holds other values than labels.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let (labels, _) = read_labels(bytes, &ReadOptions::default())?;
        Ok(Self {
            labels,
            image: None,
        })
    }

    /// Takes the next bytes of the image.
    ///
    /// # Errors
    ///
    /// When they are no volume's.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let image = self
            .image
            .get_or_insert_with(|| VolumeDecoder::new(&ReadOptions::default()));
        image.push(bytes)?;
        Ok(())
    }

    /// Measures the labels; with intensities where an image was pushed.
    ///
    /// # Errors
    ///
    /// When the image ended too early or has another shape.
    pub fn measure(&mut self, table: &LabelTable) -> Result<LabelReport> {
        let image = self.image.take().map(VolumeDecoder::finish).transpose()?;
        let image = image.map(|(image, _)| image);
        Ok(LabelReport::measure(&self.labels, image.as_ref(), table)?)
    }

    /// How well `other` agrees.
    ///
    /// # Errors
    ///
    /// When the two lie on different grids.
    pub fn compare(&self, other: &Self) -> Result<Vec<Overlap>> {
        let hint = "Compare results of the same image.";
        let differ = |a: [f64; 4], b: [f64; 4]| a.iter().zip(b).any(|(a, b)| (a - b).abs() > 1e-3);
        let [a, b] = [self, other].map(|map| map.labels.grid().affine.0);
        if a.iter().zip(b).any(|(a, b)| differ(*a, b)) {
            let message = "the label maps lie at different places";
            return Err(Error::new(ErrorKind::Image, message, hint));
        }
        let dice = dice_per_label(&self.labels, &other.labels)
            .map_err(|e| Error::new(ErrorKind::Image, e.to_string(), hint))?;
        let overlaps = dice
            .into_iter()
            .map(|(value, dice)| Overlap { value, dice });
        Ok(overlaps.collect())
    }

    /// A file of the surface about a label, in world mm (RAS+).
    ///
    /// # Errors
    ///
    /// When no voxel has the label, or memory does not suffice.
    pub fn surface(
        &self,
        label: Label,
        format: SurfaceFormat,
        smoothing: usize,
    ) -> Result<Vec<u8>> {
        let mesh = surface(&self.labels, label, smoothing)?;
        let mut file = Vec::new();
        let written = match format {
            SurfaceFormat::Stl => write_stl(&mut file, &mesh),
            SurfaceFormat::Ply => write_ply(&mut file, &mesh),
        };
        let failed = |e: std::io::Error| Error::new(ErrorKind::Memory, e.to_string(), "Try again.");
        written.map_err(failed)?;
        Ok(file)
    }
}

impl From<SurfaceError> for Error {
    fn from(error: SurfaceError) -> Self {
        let (kind, hint) = match &error {
            SurfaceError::OutOfMemory { .. } => (ErrorKind::Memory, "Close other tabs."),
            _ => (ErrorKind::Option, "Choose a label of the table."),
        };
        Self::new(kind, error.to_string(), hint)
    }
}
