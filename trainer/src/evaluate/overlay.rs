//! Pictures of a prediction beside its reference: outlines on a slice of the image.

use std::collections::BTreeSet;

use amaes_core::label::Label;
use amaes_core::volume::{Orientation, Volume};

use super::{CaseScores, Evaluation, MEAN, Metric};
use crate::picture::Picture;

/// Pixels of a panel's longer edge.
const EDGE: f64 = 360.0;
/// Pixels between panels.
const GAP: usize = 8;
/// Voxels around a structure that is shown larger.
const MARGIN: usize = 8;
/// A structure that takes more of the slice's width and height is not shown larger.
const LARGE: f64 = 0.7;
/// Shares of the voxels that are drawn black and white.
const WINDOW: [f64; 2] = [0.005, 0.995];

/// Outlines of the reference alone, of the prediction alone, and of both.
pub(super) const REFERENCE: [u8; 3] = [56, 189, 248];
pub(super) const PREDICTION: [u8; 3] = [249, 115, 22];
pub(super) const BOTH: [u8; 3] = [163, 230, 53];
const PAPER: [u8; 3] = [18, 20, 24];

/// Which case of all a picture shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// The highest Dice.
    Best,
    /// The middle one.
    Median,
    /// The lowest.
    Worst,
}

impl Rank {
    /// Its name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Best => "Best",
            Self::Median => "Median",
            Self::Worst => "Worst",
        }
    }

    /// The best, median and worst case of an evaluation by Dice: the mean of the labels, of the
    /// only label, or of the only region. Fewer where there are fewer cases.
    pub fn choose(found: &Evaluation) -> Vec<(Self, &CaseScores, f64)> {
        let key = match found.settings.labels.len() {
            0 => found.settings.regions.first().map(|r| r.name.clone()),
            _ => Some(MEAN.to_owned()),
        };
        let Some(key) = key else { return Vec::new() };
        let mut cases: Vec<(&CaseScores, f64)> = (found.cases.iter())
            .filter_map(|c| Some((c, c.get(&key, Metric::Dice)?)))
            .collect();
        cases.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.id.cmp(&b.0.id)));
        let last = cases.len().saturating_sub(1);
        let mut places = vec![(Self::Best, 0)];
        places.push((Self::Median, last / 2));
        places.push((Self::Worst, last));
        places.dedup_by_key(|(_, place)| *place);
        let chosen = places.into_iter();
        chosen
            .filter_map(|(rank, place)| cases.get(place).map(|&(case, dice)| (rank, case, dice)))
            .collect()
    }
}

/// A picture of a case.
#[derive(Clone, Debug)]
pub struct Overlay {
    /// Which case it is.
    pub rank: Rank,
    /// The case's name.
    pub id: String,
    /// Its Dice coefficient.
    pub dice: f64,
    /// What is drawn.
    pub picture: Picture,
}

/// Draws the axial slice with most of reference and prediction: the image, the image with
/// outlines, and the outlines larger where they take a small part. The patient's right is on the
/// left. `shown` are the labels that are drawn, all where it is empty. An image on another grid is
/// left out. `None` for volumes without voxels or place.
pub fn overlay(
    image: Option<&Volume<f32>>,
    prediction: &Volume<Label>,
    reference: &Volume<Label>,
    shown: &BTreeSet<Label>,
) -> Option<Picture> {
    let target: Orientation = "LAS".parse().ok()?;
    let change = reference.grid().orientation().ok()?.to(target);
    let image = image.filter(|i| i.grid().shape == reference.grid().shape);
    let keep = |l: &Label| {
        if shown.is_empty() || shown.contains(l) {
            *l
        } else {
            0
        }
    };
    let reference = change.apply(reference).map(keep);
    let prediction = change.apply(prediction).map(keep);
    let image = image.map(|i| change.apply(i));
    let [nx, ny, nz] = reference.grid().shape;
    let plane = nx * ny;
    if plane * nz == 0 {
        return None;
    }
    let labelled = |z: usize| {
        let part = z * plane..(z + 1) * plane;
        let of = |v: &Volume<Label>| v.data()[part.clone()].iter().filter(|&&l| l != 0).count();
        of(&reference) + of(&prediction)
    };
    // The middle of slices that have equally many: of none, the middle of the volume.
    let most = (0..nz).map(labelled).max()?;
    let best: Vec<usize> = (0..nz).filter(|&z| labelled(z) == most).collect();
    let part = best[best.len() / 2] * plane..(best[best.len() / 2] + 1) * plane;
    let slice = Slice {
        shape: [nx, ny],
        spacing: reference.grid().spacing(),
        grey: image.map(|i| grey(&i.data()[part.clone()])),
        reference: &reference.data()[part.clone()],
        prediction: &prediction.data()[part],
    };
    let whole = [[0, nx], [0, ny]];
    let mut panels = Vec::new();
    if slice.grey.is_some() {
        panels.push(slice.panel(whole, false));
    }
    panels.push(slice.panel(whole, true));
    if let Some(near) = slice.near() {
        panels.push(slice.panel(near, true));
    }
    Some(beside(&panels))
}

/// Values from black to white between quantiles of the finite ones.
fn grey(values: &[f32]) -> Vec<u8> {
    let mut sorted: Vec<f32> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_unstable_by(f32::total_cmp);
    let last = sorted.len().saturating_sub(1) as f64;
    let at = |q: f64| {
        sorted
            .get((q * last).round() as usize)
            .copied()
            .unwrap_or(0.0)
    };
    let [low, high] = WINDOW.map(at);
    let gain = 255.0 / (high - low).max(f32::MIN_POSITIVE);
    let shade = |v: &f32| ((v - low) * gain).clamp(0.0, 255.0) as u8;
    values.iter().map(shade).collect()
}

struct Slice<'a> {
    shape: [usize; 2],
    spacing: [f64; 3],
    grey: Option<Vec<u8>>,
    reference: &'a [Label],
    prediction: &'a [Label],
}

impl Slice<'_> {
    /// The part around all labels, where it is small.
    fn near(&self) -> Option<[[usize; 2]; 2]> {
        let [nx, ny] = self.shape;
        let labelled = |i: usize| self.reference[i] != 0 || self.prediction[i] != 0;
        let column = |x: usize| (0..ny).any(|y| labelled(x + nx * y));
        let row = |y: usize| (0..nx).any(|x| labelled(x + nx * y));
        let span = |n: usize, any: &dyn Fn(usize) -> bool| {
            let first = (0..n).find(|&i| any(i))?;
            let last = (0..n).rfind(|&i| any(i))?;
            Some([first.saturating_sub(MARGIN), (last + 1 + MARGIN).min(n)])
        };
        let part = [span(nx, &column)?, span(ny, &row)?];
        let share = |a: usize| (part[a][1] - part[a][0]) as f64 / self.shape[a] as f64;
        (share(0).max(share(1)) < LARGE).then_some(part)
    }

    /// A part of the slice at the voxels' proportions, the front of the head at the top.
    fn panel(&self, part: [[usize; 2]; 2], outlined: bool) -> Picture {
        let count = [0, 1].map(|a| part[a][1] - part[a][0]);
        let mm = [0, 1].map(|a| count[a] as f64 * self.spacing[a]);
        let scale = EDGE / mm[0].max(mm[1]);
        let size = mm.map(|mm| ((mm * scale).round() as usize).max(1));
        let at = |x: usize, y: usize| {
            let of = |i: usize, a: usize| part[a][0] + (i * count[a] / size[a]).min(count[a] - 1);
            of(x, 0) + self.shape[0] * of(size[1] - 1 - y, 1)
        };
        // A pixel is on an outline where the pixel to the right, below or both has another label.
        let edge = |labels: &[Label], x: usize, y: usize| {
            let here = labels[at(x, y)];
            let (right, below) = ((x + 1).min(size[0] - 1), (y + 1).min(size[1] - 1));
            let around = [[right, y], [x, below], [right, below]];
            around.into_iter().any(|[x, y]| labels[at(x, y)] != here)
        };
        Picture::drawn(size, |x, y| {
            let base = match &self.grey {
                Some(grey) => [grey[at(x, y)]; 3],
                None => PAPER,
            };
            if !outlined {
                return base;
            }
            match (edge(self.reference, x, y), edge(self.prediction, x, y)) {
                (true, true) => BOTH,
                (true, false) => REFERENCE,
                (false, true) => PREDICTION,
                (false, false) => base,
            }
        })
    }
}

/// Pictures in a row.
fn beside(panels: &[Picture]) -> Picture {
    let height = panels.iter().map(|p| p.size()[1]).max().unwrap_or(0);
    let width: usize = panels.iter().map(|p| p.size()[0] + GAP).sum();
    let mut starts = Vec::new();
    let mut start = 0;
    for panel in panels {
        starts.push(start);
        start += panel.size()[0] + GAP;
    }
    Picture::drawn([width.saturating_sub(GAP), height], |x, y| {
        let panel = starts.partition_point(|&s| s <= x).saturating_sub(1);
        let found = panels
            .get(panel)
            .and_then(|p| p.pixel(x - starts[panel], y));
        found.unwrap_or(PAPER)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use amaes_core::volume::{Affine, Grid};

    #[test]
    fn outlines_lie_where_labels_change() {
        let shape = [40, 30, 3];
        let grid = Grid {
            shape,
            affine: Affine([[-1., 0., 0., 0.], [0., 2., 0., 0.], [0., 0., 5., 0.]]),
        };
        let fill = |from: usize, to: usize| {
            let inside = |i: usize| {
                let (x, y, z) = (i % 40, i / 40 % 30, i / 1200);
                Label::from((from..to).contains(&x) && (10..14).contains(&y) && z == 2)
            };
            let data = (0..3600).map(inside).collect();
            Volume::new(grid.clone(), data).expect("one value a voxel")
        };
        let image = Volume::new(grid.clone(), vec![1.0; 3600]).expect("one value a voxel");
        let same = fill(10, 16);
        let all = BTreeSet::new();
        let colours = |picture: &Picture| {
            let [w, h] = picture.size();
            let pixels = (0..w * h).filter_map(|i| picture.pixel(i % w, i / w));
            pixels.collect::<BTreeSet<_>>()
        };
        let picture = overlay(Some(&image), &same, &same, &all).expect("drawn");
        let found = colours(&picture);
        assert!(
            found.contains(&BOTH) && !found.contains(&REFERENCE),
            "{found:?}"
        );
        let picture = overlay(None, &fill(12, 20), &same, &all).expect("drawn");
        let found = colours(&picture);
        assert!(
            [BOTH, REFERENCE, PREDICTION]
                .iter()
                .all(|c| found.contains(c))
        );
        // Without an image two panels: 40 x 60 mm, and 26 x 40 mm of it.
        assert_eq!(picture.size(), [240 + 8 + 234, 360]);
        let none: BTreeSet<Label> = BTreeSet::from([9]);
        let found = colours(&overlay(None, &same, &same, &none).expect("drawn"));
        assert_eq!(found, BTreeSet::from([PAPER]));
    }
}
