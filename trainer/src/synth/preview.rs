//! A picture of the first subjects of a configuration.

use std::path::Path;

use super::config::SynthConfig;
use super::error::Result;
use super::subject::Recipe;
use crate::picture::{Grid, Slice};

/// Share of the voxels that may be brighter than white.
const BRIGHT: f64 = 0.004;

/// Draws the first `count` subjects, a row each: every contrast in the plane with most of the
/// lesion across z, y and x in turn, the lesion dark blue in a last picture.
///
/// # Errors
///
/// As [`super::generate`].
pub fn preview(config: &SynthConfig, count: u64, path: &Path) -> Result<()> {
    let recipe = Recipe::new(config)?;
    let mut columns: Vec<&str> = match config.images.one_of.is_empty() {
        true => config.images.contrasts.iter().map(|c| c.name()).collect(),
        false => vec!["one of the contrasts"],
    };
    let lesions = !config.kinds().is_empty();
    if lesions {
        columns.push("lesion");
    }
    let mut grid = Grid::new(columns);
    for index in 0..count.min(config.count) {
        let drawn = recipe.draw(index)?;
        let shape = drawn.scene.grid().shape;
        let axis = [2, 1, 0][(index % 3) as usize];
        let plane = fullest(drawn.scene.lesion(), shape, axis).unwrap_or(shape[axis] / 2);
        let mut slices = Vec::new();
        let mut last = Vec::new();
        for &contrast in &drawn.contrasts {
            let image = recipe.image(&drawn, contrast)?.data;
            last = scaled(image);
            slices.extend(Slice::of(&last, shape, axis, plane));
        }
        if lesions {
            for (v, &l) in last.iter_mut().zip(drawn.scene.lesion()) {
                if l > 0 {
                    *v = f32::NAN;
                }
            }
            slices.extend(Slice::of(&last, shape, axis, plane));
        }
        let (site, lesion) = (&recipe.sites[drawn.site].0, drawn.lesion);
        let lesion = lesion.map_or("none", |k| k.name());
        let caption = format!(
            "{}: site {site}, {:.0} years, lesion {lesion}",
            drawn.name, drawn.subject.age
        );
        grid.row(caption, slices, [0.0, 1.0]);
    }
    Ok(grid.write(path)?)
}

/// The image from 0 to 1, a few voxels brighter.
fn scaled(mut image: Vec<f32>) -> Vec<f32> {
    let mut sorted = image.clone();
    let at = ((1.0 - BRIGHT) * (sorted.len().saturating_sub(1)) as f64) as usize;
    let (_, &mut white, _) = sorted.select_nth_unstable_by(at, f32::total_cmp);
    let scale = 1.0 / white.max(1e-6);
    image.iter_mut().for_each(|v| *v *= scale);
    image
}

/// The plane with most voxels of a mask.
fn fullest(mask: &[u8], shape: [usize; 3], axis: usize) -> Option<usize> {
    let mut counts = vec![0usize; shape[axis]];
    let [nx, ny, _] = shape;
    for (i, &v) in mask.iter().enumerate() {
        if v > 0 {
            counts[[i % nx, i / nx % ny, i / (nx * ny)][axis]] += 1;
        }
    }
    let most = (0..counts.len()).max_by_key(|&i| counts[i])?;
    (counts[most] > 0).then_some(most)
}
