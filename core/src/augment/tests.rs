//! What samplers draw, and what pipelines promise for any image.

use proptest::prelude::*;

use super::*;

fn pipeline(config: AugmentConfig) -> Pipeline {
    Pipeline::new(config).expect("a valid configuration")
}

fn from_json(text: &str) -> Pipeline {
    pipeline(serde_json::from_str(text).expect("a configuration"))
}

/// A rough image with values in 0..1.
fn image(shape: [usize; 3]) -> Vec<f32> {
    let voxels: usize = shape.iter().product();
    (0..voxels)
        .map(|i| (i * 7919 % 997) as f32 / 996.0)
        .collect()
}

/// How often and how far something was drawn in many samples.
#[derive(Default)]
struct Seen(Vec<f64>);

impl Seen {
    /// Of `n` samples, a part `p` has values that cover the range evenly in the mean.
    fn check(&self, name: &str, n: usize, p: f64, [low, high]: [f64; 2]) {
        let count = self.0.len() as f64;
        let spread = (n as f64 * p * (1.0 - p)).sqrt();
        assert!(
            (count - n as f64 * p).abs() < 4.5 * spread + 0.5,
            "{name}: {count} of {n}, not {p}"
        );
        let (least, most) = self
            .0
            .iter()
            .fold((f64::MAX, f64::MIN), |(a, b), &v| (a.min(v), b.max(v)));
        assert!(least >= low && most <= high, "{name}: {least}..{most}");
        let width = (high - low) * 0.05;
        assert!(
            least <= low + width && most >= high - width,
            "{name}: {least}..{most}"
        );
        let mean = self.0.iter().sum::<f64>() / count;
        let middle = (low + high) / 2.0;
        let error = (high - low) / 12f64.sqrt() / count.sqrt();
        assert!((mean - middle).abs() < 4.5 * error, "{name}: mean {mean}");
    }
}

#[test]
fn samplers_have_the_probabilities_and_ranges_of_the_reference() {
    const N: usize = 20_000;
    let patch = [128, 128, 128];
    let all = pipeline(AugmentConfig::default());
    let mut elastic = [Seen::default(), Seen::default()];
    let mut angles = [Seen::default(), Seen::default(), Seen::default()];
    let (mut scale, mut additive, mut multiplicative) =
        (Seen::default(), Seen::default(), Seen::default());
    let (mut blur, mut alpha, mut every) = (Seen::default(), Seen::default(), Seen::default());
    let (mut planes, mut fewer, mut centre) = (Seen::default(), Seen::default(), Seen::default());
    let (mut below, mut above, mut inverted) = (Seen::default(), Seen::default(), 0);
    let mut axes = [0; 3];
    for seed in 0..N as u64 {
        let draws = all.draw(patch, 1, seed);
        assert_eq!(draws.mirror, None);
        if let Some(e) = draws.elastic {
            elastic[0].0.push(e.sigma);
            elastic[1].0.push(e.alpha);
        }
        for (seen, angle) in angles.iter_mut().zip(draws.rotation.unwrap_or_default()) {
            if angle != 0.0 {
                seen.0.push(angle.to_degrees());
            }
        }
        scale.0.extend(draws.scale);
        for change in draws.changes {
            assert_eq!((change.channel, change.effect), (Some(0), Effect::Reversed));
            match change.change {
                Change::AdditiveNoise(noise) => additive.0.push(noise.sigma),
                Change::MultiplicativeNoise(noise) => multiplicative.0.push(noise.sigma),
                Change::Blur(b) => blur.0.push(b.sigma),
                Change::MotionGhosting(g) => {
                    assert!(!g.with_mean);
                    alpha.0.push(g.alpha);
                    every.0.push(g.every as f64);
                    axes[g.axis] += 1;
                }
                Change::GibbsRinging(g) => planes.0.push(g.planes as f64),
                Change::LowResolution(low) => {
                    if low.shape[0] != 128 {
                        fewer.0.push(low.shape[0] as f64);
                    }
                }
                Change::BiasField(field) => centre.0.push(field.centre[2] as f64),
                Change::Gamma(g) => {
                    assert!(!g.reference);
                    inverted += usize::from(g.invert);
                    let seen = if g.gamma < 1.0 {
                        &mut below
                    } else {
                        &mut above
                    };
                    seen.0.push(g.gamma);
                }
            }
        }
    }
    elastic[0].check("elastic.sigma", N, 0.33, [20.0, 30.0]);
    elastic[1].check("elastic.alpha", N, 0.33, [200.0, 600.0]);
    for seen in &angles {
        seen.check("rotation", N, 0.2 * 0.66, [-30.0, 30.0]);
    }
    scale.check("scale", N, 0.2, [0.9, 1.1]);
    additive.check("additive noise", N, 0.2, [1e-4, 1e-3]);
    multiplicative.check("multiplicative noise", N, 0.2, [1e-4, 1e-3]);
    blur.check("blur", N, 0.2 * 0.5, [0.0, 1.0]);
    alpha.check("ghosting alpha", N, 0.2, [0.85, 0.95]);
    every.check("ghosting every", N, 0.2, [2.0, 10.0]);
    planes.check("ringing planes", N, 0.2, [96.0, 128.0]);
    centre.check("bias field", N, 0.33, [0.0, 127.0]);
    below.check("gamma below 1", N, 0.1, [0.5, 1.0]);
    above.check("gamma above 1", N, 0.1, [1.0, 2.0]);
    // A zoom within half a voxel of 1 leaves the axis as it is.
    fewer.check("low resolution", N, 0.2 * 0.5 * 0.33, [64.0, 127.0]);
    let powers = below.0.len() + above.0.len();
    assert!((120..280).contains(&inverted), "{inverted} of {powers}");
    assert!(axes.iter().all(|n| (1150..1520).contains(n)), "{axes:?}");
}

#[test]
fn leaving_one_out_leaves_the_others_as_they_are() {
    let patch = [16, 12, 10];
    let all = pipeline(AugmentConfig::default());
    let without = from_json(r#"{"leave_out": ["motion_ghosting", "scale"]}"#);
    for seed in 0..500 {
        let mut wanted = all.draw(patch, 2, seed);
        wanted.scale = None;
        wanted
            .changes
            .retain(|c| c.change.transform() != Transform::MotionGhosting);
        assert_eq!(without.draw(patch, 2, seed), wanted);
    }
}

#[test]
fn the_target_of_intensity_changes_is_the_image_itself() {
    let shape = [21, 17, 15];
    let data = image(shape);
    let leave_out = vec![Transform::Elastic, Transform::Rotation, Transform::Scale];
    let pipeline = pipeline(AugmentConfig {
        leave_out,
        ..AugmentConfig::default()
    });
    assert_eq!(pipeline.source_size(shape), shape);
    let mut changed = 0;
    for seed in 0..40 {
        let out = pipeline
            .apply(&data, shape, shape, seed)
            .expect("augmented");
        assert_eq!(out.target, data);
        changed += usize::from(out.input != data);
        let again = pipeline
            .apply(&data, shape, shape, seed)
            .expect("augmented");
        assert_eq!(out, again);
    }
    assert!((20..40).contains(&changed), "{changed} of 40 changed");
}

#[test]
fn the_target_keeps_what_the_configuration_says() {
    let (shape, patch) = ([30, 26, 28], [16, 16, 16]);
    let data = image(shape);
    let both =
        from_json(r#"{"preset": "none", "gamma": {"p": 1}, "kept": ["gamma"], "scale": {"p": 1}}"#);
    let out = both.apply(&data, shape, patch, 5).expect("augmented");
    assert_eq!(out.input, out.target);
    let reversed = from_json(
        r#"{"preset": "none", "gamma": {"p": 1}, "rotation": {"p": 1, "p_axis": 1},
            "bias_field": {"p": 1}, "kept": ["gamma"], "reversed": ["rotation"]}"#,
    );
    let out = reversed.apply(&data, shape, patch, 5).expect("augmented");
    // The target is the middle of the source under the same gamma, and nothing else.
    let mut wanted = pipeline(AugmentConfig::preset(Preset::None))
        .apply(&data, shape, patch, 5)
        .expect("augmented")
        .input;
    let draws = reversed.draw(patch, 1, 5);
    let is_gamma = |c: &&ChannelChange| c.change.transform() == Transform::Gamma;
    let gamma = draws.changes.iter().find(is_gamma).expect("drawn");
    gamma.change.apply(&mut wanted, patch);
    assert_eq!(out.target, wanted);
    assert_ne!(out.input, wanted);
}

#[test]
fn without_draws_a_sample_is_the_middle_of_its_source() {
    let (shape, patch) = ([9, 6, 3], [4, 4, 5]);
    let data = image(shape);
    let none = pipeline(AugmentConfig::preset(Preset::None));
    let out = none.apply(&data, shape, patch, 0).expect("augmented");
    assert_eq!(out.input, out.target);
    let least = data.iter().copied().fold(f32::INFINITY, f32::min);
    for (i, v) in out.input.iter().enumerate() {
        let [x, y, z] = [i % 4 + 2, i / 4 % 4 + 1, i / 16];
        let wanted = match z.checked_sub(1) {
            Some(z) if z < 3 => data[x + 9 * (y + 6 * z)],
            _ => least,
        };
        assert_eq!(*v, wanted, "voxel {i}");
    }
}

#[test]
fn quirks_move_by_half_a_voxel() {
    let (shape, patch) = ([9, 8, 8], [4, 4, 4]);
    let data: Vec<f32> = (0..576).map(|i| (i % 9) as f32).collect();
    let quirks = pipeline(AugmentConfig {
        reference_quirks: true,
        elastic: Some(Elastic {
            p: 0.0,
            ..Elastic::default()
        }),
        ..AugmentConfig::preset(Preset::None)
    });
    let out = quirks.apply(&data, shape, patch, 0).expect("augmented");
    for row in out.input.chunks_exact(4) {
        // A line remains one between its ends.
        for (x, v) in row.iter().enumerate() {
            assert!((v - (x as f32 + 2.5)).abs() < 0.05, "{row:?}");
        }
    }
}

#[test]
fn labels_go_where_the_image_goes() {
    let (shape, patch) = ([40, 36, 38], [24, 20, 22]);
    // A bright ball in each of two channels, and its label.
    let ball = |i: usize| {
        let d = [i % 40, i / 40 % 36, i / 1440];
        let far = |a: usize, c: f32| (d[a] as f32 - c).powi(2);
        far(0, 17.0) + far(1, 20.0) + far(2, 16.0) < 36.0
    };
    let labels: Vec<u8> = (0..40 * 36 * 38).map(|i| u8::from(ball(i)) * 3).collect();
    let mut data: Vec<f32> = labels.iter().map(|&l| f32::from(l)).collect();
    data.extend(labels.iter().map(|&l| 10.0 - f32::from(l)));
    let pipeline = from_json(
        r#"{"preset": "none", "elastic": {"p": 1}, "rotation": {"p": 1}, "scale": {"p": 1},
            "mirror": {"p_axis": [1, 0.5, 0]}}"#,
    );
    for seed in 0..12 {
        let out = pipeline
            .apply_labelled(&data, &labels, shape, patch, 0, seed)
            .expect("augmented");
        let (first, second) = out.image.split_at(out.labels.len());
        let mut agree = 0;
        for ((a, b), l) in first.iter().zip(second).zip(&out.labels) {
            let clear = (a - 1.5).abs() > 1.0 && (b - 8.5).abs() > 1.0;
            agree += usize::from(!clear || ((*a > 1.5) == (*l == 3) && (*b < 8.5) == (*l == 3)));
        }
        // At the corners of a ball of voxels the nearest label may be another than the value.
        let voxels = out.labels.len();
        assert!(
            agree * 500 >= voxels * 499,
            "seed {seed}: {agree} of {voxels}"
        );
        assert!(out.labels.contains(&3));
    }
}

#[test]
fn sources_are_large_enough() {
    let all = pipeline(AugmentConfig::default());
    assert_eq!(all.source_size([128; 3]), [181; 3]);
    assert_eq!(all.source_size([128, 96, 24]), [160, 160, 130]);
    assert_eq!(all.source_size([1, 1, 1]), [1, 1, 1]);
    let none = pipeline(AugmentConfig::preset(Preset::None));
    assert_eq!(none.source_size([128; 3]), [128; 3]);
    let scaled = from_json(r#"{"preset": "spatial", "leave_out": ["rotation", "elastic"]}"#);
    assert_eq!(scaled.source_size([101; 3]), [112; 3]);
}

#[test]
fn wrong_sizes_are_errors() {
    let none = pipeline(AugmentConfig::preset(Preset::None));
    let error = |n: usize, shape, patch| {
        let data = vec![0.0; n];
        none.apply(&data, shape, patch, 0).expect_err("refused")
    };
    assert!(matches!(
        error(7, [2, 2, 2], [2, 2, 2]),
        AugmentError::Length { found: 7, .. }
    ));
    for patch in [[0, 2, 2], [1 << 20, 1 << 20, 1], [usize::MAX, 2, 2]] {
        assert!(matches!(
            error(8, [2, 2, 2], patch),
            AugmentError::Shape { .. }
        ));
    }
    let labels = none.apply_labelled(&[0.0; 16], &[0u8; 7], [2, 2, 2], [1, 1, 1], 0, 0);
    assert!(matches!(
        labels,
        Err(AugmentError::Length { what: "labels", .. })
    ));
}

/// Every transform at once, some stronger than usual.
fn every_transform(quirks: bool) -> Pipeline {
    let text = format!(
        r#"{{"preset": "none", "reference_quirks": {quirks},
            "elastic": {{"p": 0.7, "sigma": [1, 30]}}, "rotation": {{"p": 0.7}},
            "scale": {{"p": 0.7}}, "mirror": {{}}, "additive_noise": {{"p": 0.7}},
            "blur": {{"p": 0.8, "p_channel": 0.8, "sigma": [0, 3]}},
            "multiplicative_noise": {{"p": 0.7}}, "motion_ghosting": {{"p": 0.7}},
            "gibbs_ringing": {{"p": 0.7, "kept": [0, 1]}},
            "low_resolution": {{"p": 0.9, "p_channel": 0.8, "p_axis": 0.7, "zoom": [0, 1]}},
            "bias_field": {{"p": 0.7}}, "gamma": {{"p": 0.7, "p_invert": 0.5}}}}"#
    );
    from_json(&text)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn samples_are_finite_and_keep_the_range(
        shape in [1usize..14, 1usize..14, 1usize..14],
        patch in [1usize..12, 1usize..12, 1usize..12],
        seed: u64,
        low in -3.0f32..1.0,
        width in 0.0f32..4.0,
        quirks: bool,
    ) {
        let data: Vec<f32> = image(shape).into_iter().map(|v| low + width * v).collect();
        let [low, high] = range::limits(&data);
        let out = every_transform(quirks)
            .apply(&data, shape, patch, seed)
            .expect("augmented");
        for data in [&out.input, &out.target] {
            prop_assert_eq!(data.len(), patch.iter().product::<usize>());
            prop_assert!(data.iter().all(|v| (low..=high).contains(v)));
        }
    }

    #[test]
    fn constant_images_stay_finite(value in -2.0f32..2.0, seed: u64, quirks: bool) {
        let out = every_transform(quirks)
            .apply(&[value; 60], [5, 4, 3], [4, 4, 4], seed)
            .expect("augmented");
        prop_assert!(out.target.iter().all(|v| *v == value));
        prop_assert!(out.input.iter().all(|v| v.is_finite()));
    }

    #[test]
    fn what_is_not_finite_does_no_harm(at in 0usize..60, seed: u64) {
        let mut data = image([5, 4, 3]);
        data[at] = if seed % 2 == 0 { f32::NAN } else { f32::INFINITY };
        let out = every_transform(false).apply(&data, [5, 4, 3], [4, 4, 4], seed);
        prop_assert!(out.is_ok());
    }
}
