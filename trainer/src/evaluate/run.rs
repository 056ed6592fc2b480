//! Scores of many cases, one in memory at a time.

use amaes_core::label::Label;
use amaes_core::volume::{ReadOptions, Volume};

use super::{CaseFiles, CaseScores, Evaluation, Overlay, Rank, Settings, Targets, overlay, score};
use crate::error::{Error, WithPath};
use crate::volumes;

/// Scores cases. `read` gives prediction and reference of a case, on one grid; `each` is called
/// before it, with the case's number.
///
/// # Errors
///
/// What `read` returns; [`Error::Metric`] names the prediction.
pub fn evaluate<E: From<Error>>(
    cases: &[CaseFiles],
    targets: &Targets,
    settings: Settings,
    read: impl Fn(&CaseFiles) -> Result<[Volume<Label>; 2], E>,
    each: &mut dyn FnMut(usize, &CaseFiles),
) -> Result<Evaluation, E> {
    let mut out = Vec::new();
    for (i, case) in cases.iter().enumerate() {
        each(i, case);
        let [prediction, reference] = read(case)?;
        let labels =
            score(&prediction, &reference, targets, &settings.score).with_path(&case.prediction)?;
        out.push(CaseScores {
            id: case.id.clone(),
            subject: case.subject.clone(),
            site: case.site.clone(),
            labels,
        });
    }
    Ok(Evaluation::new(settings, out))
}

/// Pictures of the best, median and worst case, drawn on their images where there are any.
///
/// # Errors
///
/// What `read` returns, and [`Error`] with the image that cannot be read.
pub fn overlays<E: From<Error>>(
    found: &Evaluation,
    cases: &[CaseFiles],
    targets: &Targets,
    read: impl Fn(&CaseFiles) -> Result<[Volume<Label>; 2], E>,
) -> Result<Vec<Overlay>, E> {
    let mut shown = targets.labels.clone();
    shown.extend(targets.regions.iter().flat_map(|r| &r.labels));
    // Without a choice of labels all are scored.
    if targets.labels.is_empty() {
        shown.clear();
    }
    let mut out = Vec::new();
    for (rank, scores, dice) in Rank::choose(found) {
        let Some(case) = cases.iter().find(|c| c.id == scores.id) else {
            continue;
        };
        let [prediction, reference] = read(case)?;
        let image = match &case.image {
            Some(path) => Some(volumes::read(path, &ReadOptions::default())?.0),
            None => None,
        };
        let picture = overlay(image.as_ref(), &prediction, &reference, &shown);
        out.extend(picture.map(|picture| Overlay {
            rank,
            id: scores.id.clone(),
            dice,
            picture,
        }));
    }
    Ok(out)
}
