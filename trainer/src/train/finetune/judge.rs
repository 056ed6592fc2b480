//! How well a network segments the cases that it does not learn from.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use amaes_core::augment::Random;
use amaes_core::infer::sliding_window::SlidingWindow;
use amaes_core::infer::{InferOptions, Input, class_map};
use amaes_core::label::Label;
use amaes_core::metric::dice_per_label;
use amaes_core::model::Model;
use amaes_core::volume::Volume;

use super::Finetuning;
use super::cases::{NO_LABEL, Prepared};
use crate::digits::name_hash;
use crate::error::{Error, WithPath};
use crate::picture::{Grid, Slice};
use crate::train::corpus::to_c_order;
use crate::train::error::Result;
use crate::train::log::Validation;
use crate::train::network::Network;
use crate::train::step::Learner;
use crate::train::task::Task;

/// Rows of a picture at most.
const ROWS: usize = 4;

/// The loss of a patch of each case, and the Dice coefficients of whole cases: windows that
/// overlap by half, on the grid of the prepared image. `None` without cases.
pub(super) fn validate(
    task: &Finetuning,
    learner: &Learner,
    step: u64,
) -> Result<Option<Validation>> {
    if task.validation.is_empty() {
        return Ok(None);
    }
    let model = learner.averaged()?;
    let sampler = task.judging()?;
    let mut losses = [0.0; 3];
    let mut sums: BTreeMap<Label, (f64, usize)> = BTreeMap::new();
    for &index in &task.validation {
        let case = task.cases.get(index)?;
        // The same patch in every validation.
        let id = &task.cases.dataset.cases[index].id;
        let mut random = Random::new(task.config.run.seed, name_hash(id));
        let sample = sampler.of(&case, &mut random)?;
        let found = task.loss(&Network::new(&model, false), &[sample], learner.device());
        for (sum, loss) in losses.iter_mut().zip(found) {
            *sum += f64::from(loss.inner().into_scalar::<f32>());
        }
        let predicted = segment(task, learner, &model, index, &case)?;
        let reference = volume(&case, &case.labels);
        // Voxels without label are background in both.
        let (predicted, reference) = (labelled(predicted, &case), labelled(reference, &case));
        let found = dice_per_label(&predicted, &reference).map_err(|e| {
            Error::unsuitable(&task.cases.dataset.cases[index].labels, e.to_string())
        })?;
        for (label, dice) in found {
            let (sum, count) = sums.entry(label).or_default();
            *sum += dice;
            *count += 1;
        }
    }
    let count = task.validation.len() as f64;
    let [loss, dice_loss, cross_entropy] = losses.map(|sum| sum / count);
    let names = &task.cases.dataset.classes;
    let classes: BTreeMap<String, f64> = sums
        .into_iter()
        .map(|(label, (sum, count))| (names[usize::from(label)].clone(), sum / count as f64))
        .collect();
    let mean = classes.values().sum::<f64>() / classes.len() as f64;
    Ok(Some(Validation {
        step,
        loss,
        dice_loss: Some(dice_loss),
        cross_entropy: Some(cross_entropy),
        dice: (!classes.is_empty()).then_some(mean),
        classes,
        ..Validation::default()
    }))
}

/// Writes a picture of some cases: image, reference and segmentation in the plane with the most
/// foreground, a row a case; whether there are any.
pub(super) fn picture(task: &Finetuning, learner: &Learner, path: &Path) -> Result<bool> {
    if task.validation.is_empty() {
        return Ok(false);
    }
    let model = learner.averaged()?;
    let mut grid = Grid::new(["image", "reference", "segmentation"]);
    for &index in task.validation.iter().take(ROWS) {
        let case = task.cases.get(index)?;
        let predicted = segment(task, learner, &model, index, &case)?;
        let shape = case.grid.shape;
        let plane = case.fullest_plane();
        let image = &case.image[..case.labels.len()];
        let reference = volume(&case, &case.labels);
        let of = |labels: Option<&Volume<Label>>| {
            let slice = Slice::of(image, shape, 2, plane)?;
            match labels {
                Some(labels) => slice.with_labels(labels.data(), shape, 2, plane),
                None => Some(slice),
            }
        };
        let cells = [None, Some(&reference), Some(&predicted)].map(of);
        let range = image
            .iter()
            .fold([f32::MAX, f32::MIN], |[l, h], &v| [l.min(v), h.max(v)]);
        let id = &task.cases.dataset.cases[index].id;
        grid.row(id.as_str(), cells.into_iter().flatten(), range);
    }
    grid.write(path)?;
    Ok(true)
}

/// The classes that the network finds in a case.
fn segment(
    task: &Finetuning,
    learner: &Learner,
    model: &Model,
    index: usize,
    case: &Prepared,
) -> Result<Volume<Label>> {
    let shape = case.grid.shape;
    let channels = case.image.chunks_exact(case.labels.len());
    let data: Vec<f32> = channels
        .flat_map(|channel| to_c_order(channel.to_vec(), shape))
        .collect();
    let input = Input {
        data: &data,
        channels: case.channels,
        shape,
    };
    let options = InferOptions {
        window: SlidingWindow {
            patch: task.config.patch.size,
            ..SlidingWindow::default()
        },
        ..InferOptions::default()
    };
    let mut on = |_| ControlFlow::Continue(());
    let path = &task.cases.dataset.cases[index].channels[0];
    let map = class_map(
        model,
        &task.spec,
        input,
        &options,
        learner.device(),
        &mut on,
    )
    .with_path(path)?;
    Ok(Volume::from_c_order(case.grid.clone(), &map.classes).with_path(path)?)
}

fn volume(case: &Prepared, labels: &[u8]) -> Volume<Label> {
    let labels = labels.iter().map(|&label| Label::from(label)).collect();
    match Volume::new(case.grid.clone(), labels) {
        Ok(volume) => volume,
        Err(error) => unreachable!("a label for every voxel: {error}"),
    }
}

/// Background where a case has no label.
fn labelled(mut labels: Volume<Label>, case: &Prepared) -> Volume<Label> {
    for (label, &known) in labels.data_mut().iter_mut().zip(&case.labels) {
        if known == NO_LABEL {
            *label = 0;
        }
    }
    labels
}
