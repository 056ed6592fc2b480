//! Size, place and intensity of each label.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use crate::label::{Label, LabelTable};
use crate::volume::Volume;

use super::LabelError;

/// The smallest box that holds all voxels of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundingBox {
    /// First voxel along each axis.
    pub start: [usize; 3],
    /// One past the last voxel along each axis.
    pub end: [usize; 3],
}

/// Measurements of one label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabelStatistics {
    /// Value in the label map.
    pub value: Label,
    /// Name from the table, or `label N` where it has none.
    pub name: String,
    /// Number of voxels.
    pub voxels: usize,
    /// Volume in millilitres.
    pub volume_ml: f64,
    /// Mean intensity over the finite voxels of the image, if there is an image.
    pub mean: Option<f64>,
    /// Population standard deviation of the intensity, likewise.
    pub std: Option<f64>,
    /// Mean position of the voxel centres in world mm (RAS+); `None` for an absent label.
    pub centroid_mm: Option<[f64; 3]>,
    /// Voxels that the label reaches; `None` for an absent label.
    pub bounding_box: Option<BoundingBox>,
}

/// Measurements of all labels of a map but the background 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LabelReport {
    /// First the labels of the table in its order, absent ones too, so that reports of different
    /// images line up; then labels that the table does not know, ascending.
    pub labels: Vec<LabelStatistics>,
}

/// Sums over the voxels of one label.
#[derive(Clone)]
struct Sums {
    voxels: usize,
    position: [f64; 3],
    start: [usize; 3],
    end: [usize; 3],
    finite: usize,
    mean: f64,
    square: f64,
}

impl Sums {
    const NONE: Self = Self {
        voxels: 0,
        position: [0.0; 3],
        start: [usize::MAX; 3],
        end: [0; 3],
        finite: 0,
        mean: 0.0,
        square: 0.0,
    };

    /// Adds voxels `x..x + n` of row `(y, z)`.
    fn add(&mut self, n: usize, [x, y, z]: [usize; 3]) {
        self.voxels += n;
        let middle = x as f64 + (n as f64 - 1.0) / 2.0;
        let spans = [
            (middle, x, x + n),
            (y as f64, y, y + 1),
            (z as f64, z, z + 1),
        ];
        for (a, (centre, first, end)) in spans.into_iter().enumerate() {
            self.position[a] += n as f64 * centre;
            self.start[a] = self.start[a].min(first);
            self.end[a] = self.end[a].max(end);
        }
    }

    /// Adds intensities (Welford's update, so that a large mean costs no digits).
    fn measure(&mut self, values: &[f32]) {
        for v in values
            .iter()
            .filter(|v| v.is_finite())
            .map(|&v| f64::from(v))
        {
            self.finite += 1;
            let delta = v - self.mean;
            self.mean += delta / self.finite as f64;
            self.square += delta * (v - self.mean);
        }
    }
}

impl LabelReport {
    /// Measures `labels`; intensities where the image that they belong to is given.
    ///
    /// # Errors
    ///
    /// [`LabelError::Shape`] when image and labels differ in shape.
    pub fn measure(
        labels: &Volume<Label>,
        image: Option<&Volume<f32>>,
        table: &LabelTable,
    ) -> Result<Self, LabelError> {
        let shape = labels.grid().shape;
        if let Some(image) = image.filter(|i| i.grid().shape != shape) {
            return Err(LabelError::Shape {
                labels: shape,
                image: image.grid().shape,
            });
        }
        let mut sums = vec![Sums::NONE; usize::from(Label::MAX) + 1];
        let mut at = 0;
        // `max` only keeps an empty volume from an empty chunk.
        for (row, line) in labels.data().chunks_exact(shape[0].max(1)).enumerate() {
            let mut x = 0;
            while x < line.len() {
                let n = line[x..].iter().take_while(|&&v| v == line[x]).count();
                if line[x] != 0 {
                    let sums = &mut sums[usize::from(line[x])];
                    sums.add(n, [x, row % shape[1], row / shape[1]]);
                    if let Some(image) = image {
                        sums.measure(&image.data()[at + x..at + x + n]);
                    }
                }
                x += n;
            }
            at += line.len();
        }
        let voxel_ml = labels.grid().voxel_volume() / 1000.0;
        let finish = |value: Label, name: String| {
            let s = &sums[usize::from(value)];
            let n = s.voxels as f64;
            let found = s.voxels > 0;
            LabelStatistics {
                value,
                name,
                voxels: s.voxels,
                volume_ml: n * voxel_ml,
                mean: (s.finite > 0).then_some(s.mean),
                std: (s.finite > 0).then(|| (s.square / s.finite as f64).sqrt()),
                centroid_mm: found.then(|| labels.grid().affine.apply(s.position.map(|p| p / n))),
                bounding_box: found.then_some(BoundingBox {
                    start: s.start,
                    end: s.end,
                }),
            }
        };
        let named = table.0.iter().filter(|e| e.value != 0);
        let unnamed = (1..=Label::MAX)
            .filter(|&v| sums[usize::from(v)].voxels > 0 && !table.0.iter().any(|e| e.value == v));
        Ok(Self {
            labels: named
                .map(|e| finish(e.value, e.name.clone()))
                .chain(unnamed.map(|v| finish(v, format!("label {v}"))))
                .collect(),
        })
    }

    /// Writes a table with one line a label, comma-separated, empty where a value is absent.
    /// `end` is one past the last voxel.
    ///
    /// # Errors
    ///
    /// Those of `writer`.
    pub fn write_csv(&self, mut writer: impl Write) -> io::Result<()> {
        writeln!(
            writer,
            "value,name,voxels,volume_ml,mean,std,centroid_x_mm,centroid_y_mm,centroid_z_mm,\
             start_i,start_j,start_k,end_i,end_j,end_k"
        )?;
        for l in &self.labels {
            write!(
                writer,
                "{},{},{},{}",
                l.value,
                quoted(&l.name),
                l.voxels,
                l.volume_ml
            )?;
            let centroid = l.centroid_mm.map_or([None; 3], |c| c.map(Some));
            for v in [l.mean, l.std].into_iter().chain(centroid) {
                write!(writer, ",{}", v.map_or(String::new(), |v| v.to_string()))?;
            }
            let corners = l.bounding_box.map(|b| [b.start, b.end].concat());
            for i in 0..6 {
                let v = corners.as_ref().map(|c| c[i].to_string());
                write!(writer, ",{}", v.unwrap_or_default())?;
            }
            writeln!(writer)?;
        }
        writer.flush()
    }
}

/// A CSV field, in quotes where it needs them (RFC 4180).
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label::LabelEntry;
    use crate::volume::{Affine, Grid};

    fn table() -> LabelTable {
        let entry = |value, name: &str| LabelEntry {
            value,
            name: name.into(),
            color: [0; 3],
        };
        LabelTable(vec![
            entry(0, "background"),
            entry(2, "grey, \"cortical\""),
            entry(1, "white"),
            entry(5, "absent"),
        ])
    }

    fn sample() -> (Volume<Label>, Volume<f32>) {
        let grid = Grid {
            shape: [3, 2, 2],
            affine: Affine([[-2., 0., 0., 10.], [0., 0., 1., -5.], [0., 1.5, 0., 3.]]),
        };
        let labels = vec![0, 1, 1, 2, 0, 0, 0, 1, 0, 2, 9, 9];
        let nan = f32::NAN;
        let image = vec![9., 4., 6., 1., 0., 0., 0., 8., 0., nan, -1., 3.];
        let labels = Volume::new(grid.clone(), labels).expect("12 voxels");
        (labels, Volume::new(grid, image).expect("12 voxels"))
    }

    #[test]
    fn measures_by_hand() -> Result<(), LabelError> {
        let (labels, image) = sample();
        let report = LabelReport::measure(&labels, Some(&image), &table())?;
        let values: Vec<_> = report.labels.iter().map(|l| (l.value, l.voxels)).collect();
        assert_eq!(values, [(2, 2), (1, 3), (5, 0), (9, 2)]);
        let white = &report.labels[1];
        // Voxels (1, 0, 0), (2, 0, 0) and (1, 0, 1) of 3 mm^3.
        assert!((white.volume_ml - 0.009).abs() < 1e-15);
        assert_eq!(white.mean, Some(6.0));
        assert!((white.std.expect("has one") - (8.0f64 / 3.0).sqrt()).abs() < 1e-12);
        let expected = [10.0 - 2.0 * 4.0 / 3.0, -5.0 + 1.0 / 3.0, 3.0];
        let centroid = white.centroid_mm.expect("has one");
        assert!(
            centroid
                .iter()
                .zip(expected)
                .all(|(a, b)| (a - b).abs() < 1e-12)
        );
        let expected = BoundingBox {
            start: [1, 0, 0],
            end: [3, 1, 2],
        };
        assert_eq!(white.bounding_box, Some(expected));
        // NaN counts as a voxel but not in the intensities.
        let grey = &report.labels[0];
        assert_eq!((grey.mean, grey.std), (Some(1.0), Some(0.0)));
        let absent = &report.labels[2];
        assert_eq!((absent.mean, absent.centroid_mm), (None, None));
        assert_eq!(absent.bounding_box, None);
        assert_eq!(report.labels[3].name, "label 9");
        let plain = LabelReport::measure(&labels, None, &table())?;
        assert!(plain.labels.iter().all(|l| l.mean.is_none()));
        Ok(())
    }

    #[test]
    fn csv_and_json() -> Result<(), LabelError> {
        let (labels, image) = sample();
        let report = LabelReport::measure(&labels, Some(&image), &table())?;
        let mut csv = Vec::new();
        report.write_csv(&mut csv).expect("writes to memory");
        let csv = String::from_utf8(csv).expect("text");
        let lines: Vec<_> = csv.lines().collect();
        assert_eq!(
            lines[1],
            "2,\"grey, \"\"cortical\"\"\",2,0.006,1,0,10,-4.5,4.5,0,1,0,1,2,2"
        );
        assert_eq!(lines[3], "5,absent,0,0,,,,,,,,,,,");
        assert!(lines.iter().skip(2).all(|l| l.matches(',').count() == 14));
        assert_eq!(lines[0].matches(',').count(), 14);
        let json = serde_json::to_string(&report).expect("serialises");
        let back: LabelReport = serde_json::from_str(&json).expect("parses");
        assert_eq!(back, report);
        Ok(())
    }

    #[test]
    fn shapes_must_agree() {
        let (labels, _) = sample();
        let grid = Grid {
            shape: [2, 1, 1],
            affine: Affine::IDENTITY,
        };
        let image = Volume::new(grid, vec![0.0; 2]).expect("two voxels");
        let e = LabelReport::measure(&labels, Some(&image), &table()).expect_err("shapes");
        assert!(e.to_string().contains("[3, 2, 2]"), "{e}");
    }
}
