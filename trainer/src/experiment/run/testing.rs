//! Segments and scores the test sets of a cell.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Instant;

use amaes_core::infer::InferOptions;
use amaes_core::infer::sliding_window::SlidingWindow;
use amaes_core::label::Label;
use amaes_core::volume::{ReadOptions, Volume};

use super::{Event, Runner};
use crate::error::{Error, WithPath};
use crate::evaluate::{self, CaseFiles, MEAN, Metric, Settings, Targets, predict};
use crate::experiment::error::{ExperimentError, Result};
use crate::experiment::matrix::SegmentConfig;
use crate::experiment::plan::{Cell, Test};
use crate::experiment::report::TestSpent;
use crate::experiment::state::{Unit, set_done};
use crate::labelled::{Dataset, LabelledCase, Split, UNLABELLED};
use crate::model::{self, Beside, Opened};
use crate::segment::{SegmentOptions, Segmenter};
use crate::train::export::MODEL;
use crate::train::finetune::SPLIT;
use crate::volumes;

impl Runner<'_> {
    /// Segments and scores a test set; whether it came to its end. What is segmented already is
    /// left alone.
    pub(super) fn test(&mut self, index: usize, test: usize) -> Result<bool> {
        let begun = Instant::now();
        let plan = self.plan;
        let (cell, folder) = (&plan.cells[index], plan.test_folder(index, test));
        let run = plan.finetuning_folder(index);
        let split: Split = model::json(&run.join(SPLIT))?;
        let (dataset, cases) = cases(cell, &cell.tests[test], &split)?;
        let path = run.join(MODEL);
        let opened = model::open(&path, &Beside::default())?;
        let options = options(&plan.matrix.segment, &opened);
        let segmenter = Segmenter::new(&opened.file, &path, &self.device, options)?;

        let wanted = &cell.tests[test].labels;
        let labels = (1..).zip(&dataset.classes[1..]);
        let labels = labels.filter(|(n, _)| wanted.is_empty() || wanted.contains(n));
        let labels: BTreeMap<Label, String> = labels.map(|(n, c)| (n, c.clone())).collect();
        if let Some(none) = wanted.iter().find(|n| !labels.contains_key(n)) {
            let message = format!("there is no label {none} to score");
            return Err(bad(cell, &cell.tests[test], message));
        }
        let targets = Targets {
            labels: labels.keys().copied().collect(),
            regions: Vec::new(),
        };
        let settings = Settings {
            name: cell.name.clone(),
            score: plan.matrix.evaluate,
            labels,
            ..Settings::default()
        };
        let chosen: Vec<&LabelledCase> = cases.iter().collect();
        let stop = self.stop;
        let mut step = |_, _| match stop.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let how = serde_json::to_string(&plan.matrix.segment).with_path(&path)?;
        let files = match predict(&segmenter, &path, &how, &chosen, &folder, &mut step) {
            Ok(files) => files,
            // It ended because it was told to.
            Err(_) if self.stopped() => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let read = |files: &CaseFiles| -> Result<[Volume<Label>; 2]> {
            let case = cases.iter().find(|c| c.id == files.id);
            let case = case.ok_or_else(|| Error::unsuitable(&files.prediction, "no such case"))?;
            let options = ReadOptions::default();
            let (mut prediction, _) = volumes::read_label_map(&files.prediction, &options)?;
            let (mut reference, _) = dataset.read_labels(case)?;
            leave_out_unlabelled(&mut prediction, &mut reference);
            Ok([prediction, reference])
        };
        let evaluation = evaluate::evaluate(&files, &targets, settings, read, &mut |_, _| {})?;
        let overlays = evaluate::overlays(&evaluation, &files, &targets, read)?;
        evaluate::write(&folder, &evaluation, None, &overlays)?;
        let spent = TestSpent {
            cases: files.len(),
            seconds: begun.elapsed().as_secs_f64(),
        };
        set_done(&folder, &spent)?;
        let dice = evaluation.cases.iter();
        let dice = dice.filter_map(|c| c.get(MEAN, Metric::Dice));
        let event = Event::Tested {
            unit: Unit::Cell(index),
            test: cell.tests[test].name.clone(),
            dice: crate::experiment::report::mean(dice),
        };
        (self.show)(plan, event);
        Ok(true)
    }
}

fn bad(cell: &Cell, test: &Test, message: String) -> ExperimentError {
    ExperimentError::Test {
        test: test.name.clone(),
        task: cell.axes.task.clone(),
        message,
    }
}

/// The cases of a test set, none of which was trained or validated on.
fn cases(cell: &Cell, test: &Test, split: &Split) -> Result<(Dataset, Vec<LabelledCase>)> {
    let own = Dataset::open(&cell.finetune.data)?;
    let bad = |message: String| bad(cell, test, message);
    let Some(data) = &test.data else {
        let cases: Vec<_> = split.test.iter().filter_map(|id| own.case(id)).collect();
        let cases: Vec<_> = cases.into_iter().cloned().collect();
        return match cases.is_empty() {
            true => Err(bad("`split.test` leaves no case to test on".into())),
            false => Ok((own, cases)),
        };
    };
    let seen = split.train.iter().chain(&split.validation);
    let seen = seen.filter_map(|id| own.case(id));
    let seen: BTreeSet<PathBuf> = seen.map(|c| canonical(&c.labels)).collect();
    let dataset = Dataset::open(data)?;
    if dataset.classes != own.classes {
        let message = format!(
            "its classes are {:?}, not {:?}",
            dataset.classes, own.classes
        );
        return Err(bad(message));
    }
    let mut cases = dataset.cases.iter();
    if let Some(case) = cases.find(|c| seen.contains(&canonical(&c.labels))) {
        let message = format!(
            "the network was trained or chosen on its case `{}`",
            case.id
        );
        return Err(bad(message));
    }
    let cases = dataset.cases.clone();
    Ok((dataset, cases))
}

fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Voxels without label count for nothing.
fn leave_out_unlabelled(prediction: &mut Volume<Label>, reference: &mut Volume<Label>) {
    let voxels = prediction.data_mut().iter_mut().zip(reference.data_mut());
    for (found, wanted) in voxels.filter(|(_, wanted)| **wanted == UNLABELLED) {
        (*found, *wanted) = (0, 0);
    }
}

fn options(config: &SegmentConfig, opened: &Opened) -> SegmentOptions {
    let hinted = Segmenter::window(&opened.file);
    SegmentOptions {
        infer: InferOptions {
            window: SlidingWindow {
                patch: config.patch.unwrap_or(hinted.patch),
                overlap: config.overlap.unwrap_or(hinted.overlap),
                mirror: config.mirror,
                ..hinted
            },
            ..InferOptions::default()
        },
        ..SegmentOptions::default()
    }
}
