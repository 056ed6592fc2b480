//! The weights a network begins with.

use burn::tensor::TensorData;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::{StateDict, WeightsError, parameters};
use crate::augment::Random;
use crate::model::Spec;

/// Draws the parameters of a network as PyTorch's default initialisation does: convolutions and
/// their biases uniform in `±1 / sqrt(fan_in)`, norms 1 and 0; and tables of relative positions as
/// MONAI does, normal with deviation 0.02. (MONAI cuts them at 100 deviations, which none reaches.)
///
/// One seed gives the same weights on every device; a parameter depends on the seed and its name
/// alone.
///
/// # Errors
///
/// [`WeightsError`] when the network's sizes are invalid.
pub fn initial(spec: &Spec, seed: u64) -> Result<StateDict, WeightsError> {
    let all = parameters(spec)?;
    let fan_in = |name: &str| {
        let weight = match name.rsplit_once('.') {
            Some((module, _)) => format!("{module}.weight"),
            None => "weight".to_owned(),
        };
        let (_, shape) = all.iter().find(|(n, _)| *n == weight)?;
        // A convolution's weight is `[out, in / groups, x, y, z]`, a transposed one's
        // `[in, out / groups, x, y, z]`: PyTorch takes the second axis in both cases.
        (shape.len() > 1).then(|| shape[1..].iter().product::<usize>())
    };
    let mut state = StateDict::new();
    for (name, shape) in &all {
        let count = shape.iter().product::<usize>();
        let values = match fan_in(name) {
            _ if name.ends_with(RELATIVE) => {
                let mut values = vec![0.0; count];
                Random::new(seed, hash(name)).normals(&mut values);
                values.iter_mut().for_each(|v| *v *= DEVIATION);
                values
            }
            Some(fan_in) => {
                let bound = 1.0 / (fan_in.max(1) as f32).sqrt();
                let mut rng = Pcg64::seed_from_u64(seed ^ hash(name));
                (0..count)
                    .map(|_| bound * (2.0 * rng.random::<f32>() - 1.0))
                    .collect()
            }
            None if name.ends_with("bias") => vec![0.0; count],
            None => vec![1.0; count],
        };
        state.insert(name, TensorData::new(values, shape.clone()))?;
    }
    Ok(state)
}

/// What the tables of an attention's relative positions are called, and their deviation.
const RELATIVE: &str = ".relative_position_bias_table";
const DEVIATION: f32 = 0.02;

/// FNV-1a, so that a parameter's values do not depend on the other parameters.
fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{MedNeXtConfig, SwinUNETRConfig, UNetConfig};

    #[test]
    fn ranges_are_those_of_pytorch() {
        let spec = Spec::UNet(UNetConfig {
            filters: 4,
            ..UNetConfig::b_light(1)
        });
        let state = initial(&spec, 1).expect("valid");
        let range = |name: &str| {
            let data = state.f32(name).expect("there");
            let values = data.try_into_vec::<f32>().expect("float32");
            values
                .iter()
                .fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)))
        };
        // 8 channels of 3^3: bound 1 / sqrt(216).
        let bound = 1.0 / 216_f32.sqrt();
        let (low, high) = range("encoder.encoder_conv1.conv2.conv.weight");
        assert!(low < -0.98 * bound && low >= -bound && high > 0.98 * bound && high <= bound);
        let (low, high) = range("encoder.encoder_conv1.conv2.conv.bias");
        assert!(low >= -bound && high <= bound && low < high);
        // A transposed convolution of 64 to 32 channels, 2^3: fan_in is 32 * 8.
        let (low, high) = range("rec_head.upsample1.weight");
        assert!(low < -0.98 / 16.0 && high > 0.98 / 16.0 && high <= 1.0 / 16.0);
        assert_eq!(range("encoder.in_conv.conv1.norm.weight"), (1.0, 1.0));
        assert_eq!(range("encoder.in_conv.conv1.norm.bias"), (0.0, 0.0));
    }

    #[test]
    fn relative_positions_are_drawn_as_monai_draws_them() {
        let spec = Spec::SwinUNETR(SwinUNETRConfig::new(12, 1, 2));
        let state = initial(&spec, 1).expect("valid");
        let values = |name: &str| {
            let data = state.f32(name).expect("there");
            data.try_into_vec::<f32>().expect("float32")
        };
        let table = values("swinViT.layers4.0.blocks.1.attn.relative_position_bias_table");
        let count = table.len() as f32;
        let mean = table.iter().sum::<f32>() / count;
        let square = table.iter().map(|v| v * v).sum::<f32>() / count;
        assert!(mean.abs() < 4e-4, "{mean}");
        assert!((square.sqrt() - 0.02).abs() < 4e-4, "{square}");
        // Linear layers of 12 channels: bound 1 / sqrt(12).
        let qkv = values("swinViT.layers1.0.blocks.0.attn.qkv.weight");
        let most = qkv.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        assert!(most > 0.28 && most <= 12f32.sqrt().recip());
        assert!(
            values("swinViT.layers1.0.blocks.0.norm1.weight")
                .iter()
                .all(|&v| v == 1.0)
        );
    }

    #[test]
    fn a_seed_is_a_network() {
        let spec = Spec::MedNeXt(MedNeXtConfig {
            filters: 2,
            ..MedNeXtConfig::s(1, 2)
        });
        let draw = |seed| {
            let state = initial(&spec, seed).expect("valid");
            state.f32("encoder.stem.weight").expect("there")
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
