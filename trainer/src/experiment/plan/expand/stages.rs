//! Variants that go on from the networks of others.

use super::{Expansion, variant_of};
use crate::experiment::error::Result;
use crate::experiment::plan::Start;
use crate::experiment::variant::Variant;

impl Expansion {
    /// Brings cells that share a pretraining together; what a cell goes on from stays before it.
    pub(super) fn sort(&mut self) {
        let plan = &mut self.plan;
        let key = |cell: usize| match plan.cells[plan.first_stage(cell)].start {
            Start::Scratch | Start::Cell(_) => 0,
            Start::Weights(_) => 1,
            Start::Pretrained(n) => 2 + n,
        };
        let keys: Vec<usize> = (0..plan.cells.len()).map(key).collect();
        let cells = std::mem::take(&mut plan.cells);
        let mut cells: Vec<_> = cells.into_iter().enumerate().collect();
        cells.sort_by_key(|(old, _)| keys[*old]);
        let mut place = vec![0; cells.len()];
        for (new, (old, _)) in cells.iter().enumerate() {
            place[*old] = new;
        }
        for (_, mut cell) in cells {
            if let Start::Cell(before) = &mut cell.start {
                *before = place[*before];
            }
            plan.cells.push(cell);
        }
    }

    /// Whether a variant, or the one that it goes on from, pretrains.
    pub(super) fn pretrains(&self, name: &str, variant: &Variant) -> Result<bool> {
        let mut passed = vec![name.to_owned()];
        let mut variant = variant.clone();
        while let Some(after) = variant.after.take() {
            let field = format!("variants.{}.after", passed[passed.len() - 1]);
            if variant.scratch || variant.weights.is_some() || !variant.pretrain.is_empty() {
                let message = "takes the place of scratch, weights and pretrain";
                return self.bad(&field, message);
            }
            if passed.contains(&after) {
                return self.bad(&field, format!("`{after}` comes after itself"));
            }
            variant = match variant_of(&self.plan.matrix, &after) {
                Some(before) => before,
                None => return self.bad(&field, format!("there is no variant `{after}`")),
            };
            passed.push(after);
        }
        Ok(!variant.scratch && variant.weights.is_none())
    }
}
