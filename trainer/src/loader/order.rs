//! Which volume each sample of each epoch is of.
//!
//! Volumes of one source and one weight form a group. A group has a fixed number of places in
//! every epoch, its share of the epoch by weight. Its draws, counted over all epochs, go round
//! through its volumes, in a new order each time, so that no volume is drawn twice before every
//! other was drawn once. A permutation of the epoch's places mixes the groups.

use std::collections::{BTreeMap, HashSet};

use crate::store::Store;

use super::LoaderConfig;
use super::error::LoaderError;
use super::permute::{Permutation, Random, mix};

/// Longest edge of a patch.
const MAX_PATCH: usize = 1024;

/// Volumes that are equally likely.
#[derive(Debug)]
struct Group {
    /// Entries of the store.
    entries: Vec<u32>,
    /// Places in an epoch.
    places: u64,
    /// Places of the groups before it.
    before: u64,
}

/// The order of samples.
#[derive(Debug)]
pub(crate) struct Order {
    groups: Vec<Group>,
    epoch: u64,
    seed: u64,
    batch: u64,
    rank: u64,
    world: u64,
    fingerprint: u32,
}

impl Order {
    pub(crate) fn new(store: &Store, config: &LoaderConfig) -> Result<Self, LoaderError> {
        check(config)?;
        let groups = groups(store, config)?;
        let volumes: usize = groups.iter().map(|(_, g)| g.len()).sum();
        let epoch = config.epoch.unwrap_or(volumes as u64);
        let batch = (config.batch * config.world) as u64;
        if epoch < batch || epoch >= 1 << 48 {
            let problem = format!("{epoch} samples do not fill a batch of {batch} over all ranks");
            return Err(LoaderError::config("epoch", problem));
        }
        let places = share(&groups, epoch)?;
        let mut before = 0;
        let groups = groups
            .into_iter()
            .zip(places)
            .map(|((_, entries), places)| {
                before += places;
                Group {
                    entries,
                    places,
                    before: before - places,
                }
            })
            .collect();
        Ok(Self {
            groups,
            epoch,
            seed: config.seed,
            batch: config.batch as u64,
            rank: config.rank as u64,
            world: config.world as u64,
            fingerprint: fingerprint(store, config, epoch, batch),
        })
    }

    /// Batches of an epoch; what does not fill one is left out.
    pub(crate) fn steps(&self) -> u64 {
        self.epoch / (self.batch * self.world)
    }

    pub(crate) fn fingerprint(&self) -> u32 {
        self.fingerprint
    }

    /// Epoch and sample of this rank's `ticket`th sample, counted from the beginning of all.
    pub(crate) fn sample(&self, ticket: u64) -> (u64, u64) {
        let (batch, k) = (ticket / self.batch, ticket % self.batch);
        let (epoch, step) = (batch / self.steps(), batch % self.steps());
        (epoch, (step * self.world + self.rank) * self.batch + k)
    }

    /// The seed of a sample; `attempt` counts what was skipped.
    pub(crate) fn seed(&self, epoch: u64, sample: u64, attempt: u64) -> u64 {
        mix(mix(mix(self.seed, epoch), sample), attempt)
    }

    /// The entry that a sample is of.
    pub(crate) fn entry(&self, epoch: u64, sample: u64) -> usize {
        let order = Permutation::new(self.epoch, mix(self.seed ^ 0x5eed, epoch));
        let place = order.apply(sample);
        let number = self.groups.partition_point(|g| g.before <= place) - 1;
        let group = &self.groups[number];
        let draw = epoch * group.places + (place - group.before);
        let n = group.entries.len() as u64;
        let round = Permutation::new(n, mix(mix(self.seed ^ 0xd2a3, number as u64), draw / n));
        group.entries[round.apply(draw % n) as usize] as usize
    }

    /// An entry in place of a damaged one.
    pub(crate) fn another(&self, seed: u64) -> usize {
        let place = seed % self.epoch;
        let number = self.groups.partition_point(|g| g.before <= place) - 1;
        let entries = &self.groups[number].entries;
        entries[(mix(seed, 1) % entries.len() as u64) as usize] as usize
    }
}

fn check(config: &LoaderConfig) -> Result<(), LoaderError> {
    let refuse = |field, problem: String| Err(LoaderError::config(field, problem));
    if config.patch.iter().any(|&n| n == 0 || n > MAX_PATCH) {
        let problem = format!("{:?} is not within 1 to {MAX_PATCH}", config.patch);
        return refuse("patch", problem);
    }
    for (field, n) in [
        ("batch", config.batch),
        ("world", config.world),
        ("queue", config.queue + 1),
        ("threads", config.threads + 1),
    ] {
        if n == 0 || n > 1 << 16 {
            return refuse(field, format!("{n} is not within 1 to 65536"));
        }
    }
    if config.rank >= config.world {
        return refuse("rank", format!("{} of {}", config.rank, config.world));
    }
    if !(0.0..=1.0).contains(&config.foreground) {
        return refuse(
            "foreground",
            format!("{} is not within 0 to 1", config.foreground),
        );
    }
    for (source, w) in &config.weights {
        if !(w.is_finite() && *w >= 0.0) {
            return refuse("weights", format!("`{source}` has {w}, not 0 or more"));
        }
    }
    Ok(())
}

/// Entries by source and weight, with the weight of each entry.
fn groups(store: &Store, config: &LoaderConfig) -> Result<Vec<(f64, Vec<u32>)>, LoaderError> {
    let mut groups: BTreeMap<(&str, u64), (f64, Vec<u32>)> = BTreeMap::new();
    let held_out: HashSet<usize> = config.held_out.iter().copied().collect();
    let mut known = false;
    for (i, entry) in store.entries().iter().enumerate() {
        let of_source = config.weights.get(&entry.source);
        known |= of_source.is_some();
        let weight = of_source.unwrap_or(&1.0) * entry.weight.unwrap_or(1.0);
        if weight > 0.0 && !held_out.contains(&i) {
            let key = (entry.source.as_str(), weight.to_bits());
            groups
                .entry(key)
                .or_insert((weight, Vec::new()))
                .1
                .push(i as u32);
        }
    }
    if !known && let Some(source) = config.weights.keys().next() {
        let problem = format!("the store has no volume of `{source}`");
        return Err(LoaderError::config("weights", problem));
    }
    if groups.is_empty() {
        let problem = "the store has no volume with a weight above 0";
        return Err(LoaderError::config("weights", problem));
    }
    Ok(groups.into_values().collect())
}

/// Places of each group in an epoch: by weight, to the largest remainders, at least one.
fn share(groups: &[(f64, Vec<u32>)], epoch: u64) -> Result<Vec<u64>, LoaderError> {
    if groups.len() as u64 > epoch {
        let problem = format!(
            "{epoch} samples for {} groups of sources and weights",
            groups.len()
        );
        return Err(LoaderError::config("epoch", problem));
    }
    let weight = |g: &(f64, Vec<u32>)| g.0 * g.1.len() as f64;
    let total: f64 = groups.iter().map(weight).sum();
    let exact: Vec<f64> = groups
        .iter()
        .map(|g| weight(g) / total * epoch as f64)
        .collect();
    let mut places: Vec<u64> = exact.iter().map(|&e| (e as u64).max(1)).collect();
    let mut by_need: Vec<usize> = (0..groups.len()).collect();
    let need = |places: &[u64], i: usize| exact[i] - places[i] as f64;
    loop {
        let sum: u64 = places.iter().sum();
        if sum == epoch {
            return Ok(places);
        }
        by_need.sort_by(|&a, &b| {
            need(&places, b)
                .total_cmp(&need(&places, a))
                .then(a.cmp(&b))
        });
        if sum < epoch {
            places[by_need[0]] += 1;
        } else if let Some(&most) = by_need.iter().rev().find(|&&i| places[i] > 1) {
            places[most] -= 1;
        }
    }
}

/// What the order depends on, as a number.
fn fingerprint(store: &Store, config: &LoaderConfig, epoch: u64, batch: u64) -> u32 {
    let mut text = format!(
        "{:08x} {epoch} {batch} {} {:?} {}",
        store.version(),
        config.seed,
        config.patch,
        config.foreground
    );
    for entry in &config.held_out {
        text += &format!(" -{entry}");
    }
    for (source, weight) in &config.weights {
        text += &format!(" {source}={weight}");
    }
    crc32c::crc32c(text.as_bytes()).max(1)
}

/// First voxel of a sample's patch.
pub(crate) fn place(
    store: &Store,
    entry: usize,
    patch: [usize; 3],
    foreground: f64,
    seed: u64,
) -> [i64; 3] {
    let mut random = Random::new(seed);
    let entry = &store.entries()[entry];
    let biased = foreground > 0.0 && random.unit() < foreground;
    let marked = if biased { entry.blocks.count() } else { 0 };
    let block = match marked {
        0 => None,
        n => entry
            .blocks
            .nth(random.below(n as u64) as usize, entry.shape),
    };
    let mut start = [0; 3];
    for a in 0..3 {
        let (n, p) = (entry.shape[a], patch[a]);
        start[a] = if p >= n {
            // As the reference pads: half of it, rounded down, before.
            -(((p - n) / 2) as i64)
        } else if let Some(first) = block {
            let size = entry.blocks.block.min(n - first[a]) as u64;
            let centre = first[a] as i64 + random.below(size) as i64;
            (centre - (p / 2) as i64).clamp(0, (n - p) as i64)
        } else {
            random.below((n - p) as u64 + 1) as i64
        };
    }
    start
}
