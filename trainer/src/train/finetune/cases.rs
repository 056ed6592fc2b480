//! Images and labels as the network takes them, held in memory as far as there is room.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use amaes_core::augment::Random;
use amaes_core::preprocess::{Plan, Trace};
use amaes_core::volume::{Grid, ReadOptions};

use crate::error::WithPath;
use crate::labelled::{Dataset, LabelledCase, UNLABELLED};
use crate::train::error::{Result, TrainError};
use crate::volumes;

/// Classes that a prepared case can tell apart.
pub(super) const MOST_CLASSES: usize = 255;
/// What a prepared case has where a voxel has no label.
pub(super) const NO_LABEL: u8 = u8::MAX;

/// A case after the plan's last step. Values are in file order, the first axis fastest, channels
/// one after the other.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) grid: Grid,
    pub(super) channels: usize,
    pub(super) image: Vec<f32>,
    pub(super) labels: Vec<u8>,
    /// The smallest value of each channel.
    pub(super) minima: Vec<f32>,
    /// Every class but the background that is there, with its voxels in each plane across z.
    planes: Vec<(u8, Vec<u32>)>,
}

impl Prepared {
    fn new(dataset: &Dataset, case: &LabelledCase, plan: &Plan) -> Result<Self> {
        let mut first: Option<Trace> = None;
        let (mut image, mut minima) = (Vec::new(), Vec::new());
        for path in &case.channels {
            let (volume, _) = volumes::read(path, &ReadOptions::default())?;
            let prepared = match &first {
                None => plan.apply(volume),
                Some(trace) => plan.apply_like(volume, trace),
            };
            let prepared = prepared.with_path(path)?;
            let values = prepared.volume.data();
            minima.push(values.iter().copied().fold(f32::INFINITY, f32::min));
            image.extend_from_slice(values);
            first.get_or_insert(prepared.trace);
        }
        let trace = first.ok_or_else(|| TrainError::config("data.channels", "none is given"))?;
        let (labels, _) = dataset.read_labels(case)?;
        let labels = trace.prepare_labels(&labels).with_path(&case.labels)?;
        let labels = labels.data().iter().map(|&label| match label {
            UNLABELLED => NO_LABEL,
            label => label as u8,
        });
        let labels: Vec<u8> = labels.collect();
        Ok(Self {
            planes: planes(&labels, trace.prepared.shape),
            grid: trace.prepared,
            channels: case.channels.len(),
            image,
            labels,
            minima,
        })
    }

    fn bytes(&self) -> u64 {
        (4 * self.image.len() + self.labels.len()) as u64
    }

    /// A voxel that is not background: of each class with equal probability, then any of its
    /// voxels. `None` where there is none.
    pub(super) fn foreground(&self, random: &mut Random) -> Option<[usize; 3]> {
        let last = self.planes.len().checked_sub(1)?;
        let (class, counts) = &self.planes[random.whole(0, last)];
        let total: usize = counts.iter().map(|&n| n as usize).sum();
        let mut left = random.whole(0, total.checked_sub(1)?);
        let [nx, ny, _] = self.grid.shape;
        for (z, &count) in counts.iter().enumerate() {
            if left >= count as usize {
                left -= count as usize;
                continue;
            }
            let plane = &self.labels[z * nx * ny..(z + 1) * nx * ny];
            let mut of_class = plane
                .iter()
                .enumerate()
                .filter(|(_, label)| *label == class);
            let (at, _) = of_class.nth(left)?;
            return Some([at % nx, at / nx, z]);
        }
        None
    }

    /// The plane across z with the most voxels that are not background, or the middle one.
    pub(super) fn fullest_plane(&self) -> usize {
        let depth = self.grid.shape[2];
        let count = |z: usize| self.planes.iter().map(|(_, counts)| counts[z]).sum::<u32>();
        let best = (0..depth).max_by_key(|&z| (count(z), usize::MAX - z));
        best.filter(|&z| count(z) > 0).unwrap_or(depth / 2)
    }
}

fn planes(labels: &[u8], [nx, ny, nz]: [usize; 3]) -> Vec<(u8, Vec<u32>)> {
    let mut counts = vec![[0u32; 256]; nz];
    for (plane, counts) in labels.chunks_exact(nx * ny).zip(&mut counts) {
        for &label in plane {
            counts[usize::from(label)] += 1;
        }
    }
    let of = |class: u8| counts.iter().map(|c| c[usize::from(class)]).collect();
    let there = |class: &u8| counts.iter().any(|c| c[usize::from(*class)] > 0);
    let classes = (1..NO_LABEL).filter(there);
    classes.map(|class| (class, of(class))).collect()
}

/// Prepared cases of a dataset, made when they are asked for. What does not fit is forgotten, the
/// least recently used first, and made again: the same, whatever was forgotten.
#[derive(Debug)]
pub(super) struct Cases {
    pub(super) dataset: Dataset,
    plan: Plan,
    /// Bytes.
    memory: u64,
    held: Mutex<Held>,
    /// Held while a case is made, so that two threads do not make the same.
    making: Vec<Mutex<()>>,
}

#[derive(Debug, Default)]
struct Held {
    cases: HashMap<usize, (u64, Arc<Prepared>)>,
    bytes: u64,
    /// Counts uses.
    clock: u64,
}

impl Cases {
    /// Cases of a dataset that are prepared by `plan`, of which `memory` bytes are held.
    pub(super) fn new(dataset: Dataset, plan: Plan, memory: u64) -> Self {
        Self {
            making: dataset.cases.iter().map(|_| Mutex::default()).collect(),
            dataset,
            plan,
            memory,
            held: Mutex::default(),
        }
    }

    /// A case, by its place in the dataset.
    pub(super) fn get(&self, index: usize) -> Result<Arc<Prepared>> {
        if let Some(case) = self.held().take(index) {
            return Ok(case);
        }
        let _making = self.making[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Another thread may have made it meanwhile.
        if let Some(case) = self.held().take(index) {
            return Ok(case);
        }
        let labelled = &self.dataset.cases[index];
        let case = Arc::new(Prepared::new(&self.dataset, labelled, &self.plan)?);
        if case.bytes() > self.memory {
            let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
            let message = format!(
                "case `{}` takes {:.1} MiB, more than {:.1}",
                labelled.id,
                mib(case.bytes()),
                mib(self.memory)
            );
            return Err(TrainError::config("loader.memory_mib", message));
        }
        self.held().put(index, case.clone(), self.memory);
        Ok(case)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn take(&mut self, index: usize) -> Option<Arc<Prepared>> {
        self.clock += 1;
        let (used, case) = self.cases.get_mut(&index)?;
        *used = self.clock;
        Some(case.clone())
    }

    fn put(&mut self, index: usize, case: Arc<Prepared>, most: u64) {
        self.clock += 1;
        self.bytes += case.bytes();
        self.cases.insert(index, (self.clock, case));
        while self.bytes > most {
            let oldest = self.cases.iter().min_by_key(|(_, (used, _))| *used);
            let Some((&oldest, _)) = oldest else { return };
            if let Some((_, gone)) = self.cases.remove(&oldest) {
                self.bytes -= gone.bytes();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use amaes_core::volume::Affine;

    use super::*;

    fn prepared(labels: Vec<u8>, shape: [usize; 3]) -> Prepared {
        Prepared {
            planes: planes(&labels, shape),
            grid: Grid {
                shape,
                affine: Affine::IDENTITY,
            },
            channels: 1,
            image: vec![0.0; labels.len()],
            labels,
            minima: vec![0.0],
        }
    }

    #[test]
    fn foreground_is_drawn_by_class_then_by_voxel() {
        // One voxel of class 2 and seven of class 1, some without label.
        let mut labels = vec![0; 60];
        labels[7..14].fill(1);
        labels[41] = 2;
        labels[50..].fill(NO_LABEL);
        let case = prepared(labels, [5, 4, 3]);
        let mut counts = HashMap::new();
        for k in 0..7000 {
            let at = case.foreground(&mut Random::new(1, k)).expect("foreground");
            *counts.entry(at).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 8);
        let lesion = counts[&[1, 0, 2]];
        assert!((3300..3700).contains(&lesion), "{lesion}");
        assert!(counts.values().all(|&n| n > 400), "{counts:?}");
        assert_eq!(case.fullest_plane(), 0);
        let empty = prepared(vec![0; 60], [5, 4, 3]);
        assert_eq!(empty.foreground(&mut Random::new(1, 1)), None);
        assert_eq!(empty.fullest_plane(), 1);
    }

    #[test]
    fn the_least_recently_used_is_forgotten() {
        let mut held = Held::default();
        let case = || Arc::new(prepared(vec![0; 20], [5, 4, 1]));
        for index in 0..3 {
            held.put(index, case(), 250);
        }
        assert!(held.take(0).is_none() && held.bytes == 200);
        assert!(held.take(1).is_some());
        held.put(3, case(), 250);
        assert!(held.take(1).is_some() && held.take(2).is_none());
    }
}
