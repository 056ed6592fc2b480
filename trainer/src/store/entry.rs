//! A line of the index: what a reader must know of a volume.

use serde::{Deserialize, Serialize};

use super::error::{Result, StoreError};
use super::layout::{Layout, check_id};

/// Stored numbers to values: `value = code * scale + offset`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantisation {
    /// Size of a step.
    pub scale: f32,
    /// Value of code 0.
    pub offset: f32,
}

/// Which blocks of a volume hold a voxel above the minimum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foreground {
    /// Edge of a block in voxels.
    pub block: usize,
    /// A bit a block, x fastest, lowest bit first, four bits a digit of hexadecimal.
    pub bits: String,
}

/// Edge of the blocks that are written.
const BLOCK: usize = 32;

impl Foreground {
    /// Marks the blocks of a volume (x fastest) that hold a voxel above `min`.
    pub(crate) fn of(data: &[f32], shape: [usize; 3], min: f32) -> Self {
        let blocks = shape.map(|n| n.div_ceil(BLOCK));
        let mut marked = vec![false; blocks.iter().product()];
        for (row, values) in data.chunks_exact(shape[0]).enumerate() {
            let (y, z) = (row % shape[1], row / shape[1]);
            let first = (z / BLOCK * blocks[1] + y / BLOCK) * blocks[0];
            for (block, values) in values.chunks(BLOCK).enumerate() {
                if !marked[first + block] && values.iter().any(|&v| v > min) {
                    marked[first + block] = true;
                }
            }
        }
        let bits = marked.chunks(4).map(|four| {
            let digit = four.iter().rev().fold(0, |d, &b| d << 1 | u32::from(b));
            char::from_digit(digit, 16).unwrap_or('0')
        });
        Self {
            block: BLOCK,
            bits: bits.collect(),
        }
    }

    /// Blocks along each axis.
    fn blocks(&self, shape: [usize; 3]) -> [usize; 3] {
        shape.map(|n| n.div_ceil(self.block.max(1)))
    }

    /// Number of marked blocks.
    pub fn count(&self) -> usize {
        let ones = |c: char| c.to_digit(16).unwrap_or(0).count_ones() as usize;
        self.bits.chars().map(ones).sum()
    }

    /// First voxel of the `n`th marked block of a volume of this shape.
    pub fn nth(&self, n: usize, shape: [usize; 3]) -> Option<[usize; 3]> {
        let mut left = n;
        for (i, c) in self.bits.chars().enumerate() {
            let digit = c.to_digit(16)?;
            let ones = digit.count_ones() as usize;
            if left >= ones {
                left -= ones;
                continue;
            }
            let bit = (0..4).filter(|b| digit >> b & 1 == 1).nth(left)?;
            let [bx, by, _] = self.blocks(shape);
            let index = i * 4 + bit;
            let block = [index % bx, index / bx % by, index / (bx * by)];
            return Some(block.map(|b| b * self.block));
        }
        None
    }

    fn validate(&self, shape: [usize; 3]) -> std::result::Result<(), String> {
        if self.block == 0 {
            return Err("block is 0".into());
        }
        let blocks: usize = self.blocks(shape).iter().product();
        if self.bits.len() != blocks.div_ceil(4) {
            return Err(format!(
                "{} digits for {blocks} blocks, expected {}",
                self.bits.len(),
                blocks.div_ceil(4)
            ));
        }
        if !self.bits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err("not hexadecimal".into());
        }
        match self.bits.chars().last().and_then(|c| c.to_digit(16)) {
            Some(last) if last >> (blocks - (blocks - 1) / 4 * 4) != 0 => {
                Err("bits beyond the last block".into())
            }
            _ => Ok(()),
        }
    }
}

/// A volume of a store. Lengths are in voxels, x first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Name, and that of its folder under `volumes`.
    pub id: String,
    /// Voxels along each axis.
    pub shape: [usize; 3],
    /// Edges of a voxel in mm.
    pub spacing: [f64; 3],
    /// Data set that the volume is of.
    pub source: String,
    /// Such as `T1w`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<String>,
    /// Person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Visit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Where it was acquired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// How often it is drawn beside the others of its source; 1 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
    /// Smallest value, before it was stored.
    pub min: f32,
    /// Largest value.
    pub max: f32,
    /// Mean.
    pub mean: f64,
    /// Standard deviation (population).
    pub sd: f64,
    /// Part of the voxels that are above the minimum.
    pub foreground: f64,
    /// Blocks that hold foreground.
    pub blocks: Foreground,
    /// Edges of a chunk.
    pub chunk: [usize; 3],
    /// Edges of a shard.
    pub shard: [usize; 3],
    /// Bytes of each shard's file, x fastest; 0 where there is none, all voxels the minimum.
    pub shard_bytes: Vec<u64>,
    /// Codes to values, for `uint16`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantisation: Option<Quantisation>,
}

impl Entry {
    /// How the volume is cut.
    pub fn layout(&self) -> Layout {
        Layout {
            shape: self.shape,
            chunk: self.chunk,
            shard: self.shard,
        }
    }

    /// Reads a line of the index and checks every number in it. `location` names file and line.
    ///
    /// # Errors
    ///
    /// [`StoreError::Metadata`] names the field.
    pub fn parse(line: &[u8], location: &str) -> Result<Self> {
        let entry: Self = serde_json::from_slice(line)
            .map_err(|e| StoreError::metadata(location, "JSON", e.to_string()))?;
        entry.validate(location)?;
        Ok(entry)
    }

    pub(crate) fn validate(&self, location: &str) -> Result<()> {
        let refuse = |field: &str, problem: String| {
            Err(StoreError::metadata(
                location,
                format!("volume `{}`, field `{field}`", self.id),
                problem,
            ))
        };
        if let Err(StoreError::Id { problem, .. }) = check_id(&self.id) {
            return refuse("id", problem.into());
        }
        if let Err((field, problem)) = self.layout().validate() {
            return refuse(field, problem);
        }
        let shards: usize = self.layout().shards().iter().product();
        if self.shard_bytes.len() != shards {
            let problem = format!("{} numbers for {shards} shards", self.shard_bytes.len());
            return refuse("shard_bytes", problem);
        }
        if let Err(problem) = self.blocks.validate(self.shape) {
            return refuse("blocks", problem);
        }
        if !self.spacing.iter().all(|s| s.is_finite() && *s > 0.0) {
            return refuse("spacing", format!("{:?} is not above 0 mm", self.spacing));
        }
        if !(self.min.is_finite() && self.max.is_finite() && self.min <= self.max) {
            let problem = format!("{} to {} is no range", self.min, self.max);
            return refuse("min and max", problem);
        }
        if let Some(w) = self.weight
            && !(w.is_finite() && w >= 0.0)
        {
            return refuse("weight", format!("{w} is not 0 or more"));
        }
        if let Some(q) = self.quantisation
            && !(q.scale.is_finite() && q.scale > 0.0 && q.offset.is_finite())
        {
            return refuse("quantisation", format!("{q:?} is no scale"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_blocks_are_found_again() {
        let shape = [70, 33, 40];
        let mut data = vec![0.0; 70 * 33 * 40];
        for [x, y, z] in [[0, 0, 0], [69, 32, 39], [40, 10, 35]] {
            data[x + 70 * (y + 33 * z)] = 1.0;
        }
        let blocks = Foreground::of(&data, shape, 0.0);
        blocks.validate(shape).expect("valid");
        assert_eq!(blocks.count(), 3);
        let found: Vec<_> = (0..4).map(|n| blocks.nth(n, shape)).collect();
        let expected = [Some([0, 0, 0]), Some([32, 0, 32]), Some([64, 32, 32]), None];
        assert_eq!(found, expected);
    }
}
