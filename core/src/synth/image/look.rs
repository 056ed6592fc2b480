//! The greys of classes in an image.

use std::collections::BTreeMap;

use super::super::error::SynthError;
use super::super::scene::Class;
use super::super::signal::Sequence;
use super::super::site::Site;
use super::super::tissue::Tissue;
use crate::augment::Random;
use crate::label::Label;

/// Greys of every class.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) mean: Vec<f32>,
    /// Spread from place to place.
    pub(super) texture: Vec<f32>,
    /// Spread from voxel to voxel.
    pub(super) grain: Vec<f32>,
    /// Whether there is any of that.
    pub(super) fine: bool,
    /// What noise and gain are relative to.
    pub(super) reference: f32,
}

impl Look {
    /// What a sequence makes of the tissues.
    pub(super) fn of(
        classes: &[Class],
        sequence: &Sequence,
        site: &Site,
        agent: bool,
    ) -> Result<Self, SynthError> {
        let signal = |tissue: Tissue| {
            let s = sequence.signal(tissue, site.tesla, agent);
            (s * if tissue == Tissue::Fat { site.fat } else { 1.0 }) as f32
        };
        let tissues: Vec<Tissue> = classes
            .iter()
            .map(|c| c.tissue.ok_or(SynthError::Tissue { label: c.label }))
            .collect::<Result<_, _>>()?;
        let mean: Vec<f32> = tissues.iter().map(|&t| signal(t)).collect();
        let texture = tissues.iter().zip(&mean);
        let texture = texture
            .map(|(t, mean)| t.magnetic(site.tesla).texture as f32 * mean)
            .collect();
        Ok(Self {
            grain: vec![0.0; mean.len()],
            fine: false,
            reference: signal(Tissue::White).max(1e-6),
            mean,
            texture,
        })
    }

    /// A random grey and spread for every kind of class, alike on both sides (Billot 2023,
    /// SynthSeg). Air is dark.
    pub(super) fn random(classes: &[Class], random: &mut Random) -> Self {
        let mut drawn: BTreeMap<(Label, Option<Tissue>), [f32; 3]> = BTreeMap::new();
        let mut out = Self {
            mean: Vec::new(),
            texture: Vec::new(),
            grain: Vec::new(),
            fine: true,
            reference: 0.88,
        };
        for class in classes {
            let key = match class.label {
                // A lesion's tissue has no label.
                0 => (0, class.tissue),
                label => (left(label), None),
            };
            let [mean, texture, grain] = *drawn.entry(key).or_insert_with(|| {
                let mut greys = [
                    random.between([0.08, 0.88]),
                    random.between([0.0, 0.06]),
                    random.between([0.0, 0.08]),
                ];
                if matches!(class.tissue, Some(Tissue::Air))
                    || class.label == 0 && class.tissue.is_none()
                {
                    greys = [0.0, 0.0, random.between([0.0, 0.02])];
                }
                greys.map(|v| v as f32)
            });
            out.mean.push(mean);
            out.texture.push(texture);
            out.grain.push(grain);
        }
        out
    }
}

/// The label of the same structure on the left, in FreeSurfer's numbers.
fn left(label: Label) -> Label {
    match label {
        41..=43 => label - 39,
        44 | 46..=52 => label - 39,
        53..=56 => label - 36,
        58 | 60 | 62 | 63 => label - 32,
        2000..=2999 | 4000..=4999 | 12_000..=12_999 => label - 1000,
        5002 => 5001,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twins_look_alike() {
        for (right, wanted) in [
            (41, 2),
            (42, 3),
            (43, 4),
            (44, 5),
            (46, 7),
            (47, 8),
            (49, 10),
            (52, 13),
            (53, 17),
            (54, 18),
            (58, 26),
            (60, 28),
            (62, 30),
            (63, 31),
            (2035, 1035),
            (16, 16),
        ] {
            assert_eq!(left(right), wanted);
        }
    }
}
