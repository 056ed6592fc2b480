//! The sizes of the published networks.

use amaes::train::gradients::{FlatGradients, GradientSum};
use amaes::train::network::Network;
use amaes_core::model::{
    MedNeXtConfig, MeshNetConfig, MeshNetLayer, Model, ResEncUNetConfig, Spec, StridedConfig,
    SwinUNETRConfig, UNetConfig, UNetHead,
};
use amaes_core::nn::{Activation, Precision};
use amaes_core::weights::{LoadOptions, initial, load_into, parameters, parameters_of};
use amaes_tests::draw;
use burn::tensor::{Device, Tensor, TensorData};

fn count(spec: &Spec, prefix: &str) -> usize {
    let all = parameters(spec).expect("a valid network");
    all.iter()
        .filter(|(n, _)| n.starts_with(prefix))
        .map(|(_, s)| s.iter().product::<usize>())
        .sum()
}

#[test]
fn parameter_counts_are_those_published() {
    let unet = |c: UNetConfig| count(&Spec::UNet(c), "");
    assert_eq!(unet(UNetConfig::b(1, 1)), 22_581_217);
    assert_eq!(unet(UNetConfig::xl(1, 1)), 90_304_449);
    assert_eq!(unet(UNetConfig::b_light(1)), 17_879_617);
    assert_eq!(unet(UNetConfig::xl_light(1)), 71_500_929);
    assert_eq!(
        count(&Spec::UNet(UNetConfig::b(1, 1)), "encoder."),
        14_134_944
    );

    let mednext = |c: MedNeXtConfig, prefix| count(&Spec::MedNeXt(c), prefix);
    assert_eq!(mednext(MedNeXtConfig::m(1, 1), "encoder."), 12_491_712);
    assert_eq!(mednext(MedNeXtConfig::l(1, 1), "encoder."), 46_752_320);
    assert_eq!(mednext(MedNeXtConfig::m(1, 1).light(), ""), 16_236_385);
    assert_eq!(mednext(MedNeXtConfig::m(1, 1).native(), ""), 17_548_929);
    // The published tables give these in millions.
    let millions = |n: usize| (n as f64 / 1e4).round() / 1e2;
    assert_eq!(millions(mednext(MedNeXtConfig::m(1, 1), "")), 20.94);
    assert_eq!(millions(mednext(MedNeXtConfig::l(1, 1), "")), 55.20);
    assert_eq!(
        millions(mednext(MedNeXtConfig::l(1, 1).native(), "")),
        61.78
    );
    let tenths = |n: usize| (n as f64 / 1e5).round() / 10.0;
    assert_eq!(tenths(mednext(MedNeXtConfig::s(1, 1).native(), "")), 5.6);
    assert_eq!(tenths(mednext(MedNeXtConfig::b(1, 1).native(), "")), 10.5);
}

#[test]
fn modules_have_the_parameters_of_their_specs() {
    let device = Device::flex();
    let m = || MedNeXtConfig {
        filters: 4,
        ..MedNeXtConfig::m(2, 3)
    };
    for spec in [
        Spec::UNet(UNetConfig {
            filters: 4,
            ..UNetConfig::b(2, 3)
        }),
        Spec::MedNeXt(m().with_kernel(5)),
        Spec::MedNeXt(m().with_kernel(5).native()),
        Spec::MedNeXt(m().light()),
    ] {
        let mut of_module = parameters_of(&spec.init(&device).expect("a valid network"));
        let mut of_spec = parameters(&spec).expect("a valid network");
        of_module.sort();
        of_spec.sort();
        assert_eq!(of_module, of_spec);
    }
}

/// A residual encoder of four stages.
fn resenc(channels: usize, classes: usize) -> ResEncUNetConfig {
    ResEncUNetConfig {
        features: vec![2, 4, 4, 6],
        blocks: vec![1, 2, 1, 1],
        ..ResEncUNetConfig::b(channels, classes)
    }
}

#[test]
fn every_size_runs_and_has_gradients() {
    let device = Device::flex().autodiff();
    let small = |c: MedNeXtConfig| MedNeXtConfig { filters: 2, ..c };
    for spec in [
        Spec::UNet(UNetConfig {
            filters: 2,
            ..UNetConfig::b(2, 3)
        }),
        Spec::MedNeXt(small(MedNeXtConfig::s(2, 3))),
        Spec::MedNeXt(small(MedNeXtConfig::b(2, 3)).with_kernel(5).native()),
        Spec::ResEncUNet(resenc(2, 3)),
        Spec::ResEncUNet(resenc(2, 3).light()),
        Spec::Strided(StridedConfig::of(2, 2, 3)),
    ] {
        let model = spec.init(&device).expect("a valid network");
        let x = Tensor::<5>::ones([1, 2, 16, 32, 48], &device).require_grad();
        let out = model.forward(x.clone());
        assert_eq!(out.dims(), [1, 3, 16, 32, 48]);
        let gradient = x.grad(&out.square().mean().backward()).expect("a gradient");
        assert!(gradient.into_data().iter::<f32>().all(f32::is_finite));
    }
}

/// The output and the gradients of its mean square.
fn gradients(
    model: &Model,
    x: &Tensor<5>,
    checkpoint: bool,
    precision: Precision,
) -> (Vec<f32>, FlatGradients) {
    let network = Network::new(model, checkpoint).with_precision(precision);
    let output = network.forward(x.clone());
    // Half precision loses small gradients.
    let scale = match precision {
        Precision::Float32 => 1.0,
        Precision::Float16 => 65_536.0,
    };
    let loss = output.clone().square().mean() * scale;
    let mut sum = GradientSum::default();
    network.backward(loss, |gradients| sum.add(model, gradients));
    let output = output.into_data().iter::<f32>().collect();
    (output, sum.flat(model).scaled(1.0 / scale))
}

#[test]
fn checkpointing_changes_no_gradient() {
    let device = Device::flex();
    let unet = |head| {
        Spec::UNet(UNetConfig {
            filters: 4,
            head,
            ..UNetConfig::b(1, 2)
        })
    };
    let mednext = || MedNeXtConfig {
        filters: 4,
        ..MedNeXtConfig::s(1, 2)
    };
    let meshnet = |norm| {
        Spec::MeshNet(MeshNetConfig {
            in_channels: 1,
            out_channels: 2,
            layers: [1, 2, 1]
                .map(|dilation| MeshNetLayer {
                    channels: 5,
                    dilation,
                })
                .to_vec(),
            activation: Activation::Elu,
            norm,
            bias: true,
        })
    };
    for spec in [
        unet(UNetHead::Segmentation),
        unet(UNetHead::Light),
        unet(UNetHead::Standard),
        unet(UNetHead::LightSkips),
        Spec::MedNeXt(mednext()),
        Spec::MedNeXt(mednext().light()),
        Spec::MedNeXt(mednext().native()),
        meshnet(true),
        meshnet(false),
        Spec::ResEncUNet(resenc(1, 2)),
        Spec::ResEncUNet(resenc(1, 2).light()),
        Spec::Strided(StridedConfig::of(3, 1, 2)),
        Spec::SwinUNETR(SwinUNETRConfig::new(12, 1, 2)),
        Spec::SwinUNETR(SwinUNETRConfig::new(12, 1, 2).light()),
    ] {
        let model = spec
            .init(&device.clone().autodiff())
            .expect("a valid network");
        // Not from the device's generator, which tests that run beside this one draw from: a draw is
        // needed in which rounding decides of no voxel which slope of LeakyReLU it has.
        let weights = initial(&spec, 2).expect("a valid network");
        let (model, _) = load_into(model, &weights, &LoadOptions::default()).expect("its weights");
        assert!(model.has_segments(), "{spec:?}");
        let [d, h, w] = match spec.edge_multiple() {
            32 => [64, 32, 32],
            _ => [32, 48, 32],
        };
        let values: Vec<f32> = draw(2, 2 * d * h * w)
            .map(|v| (0.5 * v + 0.5) as f32)
            .collect();
        let x = Tensor::<5>::from_data(TensorData::new(values, [2, 1, d, h, w]), &device);
        let (output, kept) = gradients(&model, &x, false, Precision::Float32);
        let (again, checkpointed) = gradients(&model, &x, true, Precision::Float32);
        let largest = output.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
        let differences = output.iter().zip(&again).map(|(a, b)| (a - b).abs());
        let error = differences.fold(0.0, f32::max);
        assert!(
            error <= 1e-4 * largest,
            "{spec:?}: the output is off by {error} of {largest}"
        );

        let length = |t: &Tensor<1>| t.clone().square().sum().sqrt().into_scalar::<f32>();
        let longest = kept.0.iter().map(&length).fold(0.0, f32::max);
        for (n, (a, b)) in kept.0.iter().zip(&checkpointed.0).enumerate() {
            let error = length(&(a.clone() - b.clone()));
            // Biases before a norm have gradients of rounding alone.
            let allowed = 1e-4 * length(a) + 1e-4 * longest;
            assert!(
                error <= allowed,
                "{spec:?}: parameter {n} is off by {error}"
            );
        }
    }
}

#[test]
fn networks_of_convolutions_learn_in_half_precision() {
    let device = amaes::device::DeviceKind::Wgpu.open().ok();
    let Some(device) = device.filter(|device| Precision::Float16.is_on(device)) else {
        eprintln!("skipped: no graphics adapter with half precision");
        return;
    };
    let mednext = MedNeXtConfig {
        filters: 4,
        ..MedNeXtConfig::s(1, 2)
    };
    for spec in [
        Spec::UNet(UNetConfig {
            filters: 4,
            ..UNetConfig::b(1, 2)
        }),
        Spec::MedNeXt(mednext.native()),
        Spec::ResEncUNet(resenc(1, 2)),
        Spec::Strided(StridedConfig::of(3, 1, 2)),
    ] {
        let model = spec
            .init(&device.clone().autodiff())
            .expect("a valid network");
        let weights = initial(&spec, 2).expect("a valid network");
        let (model, _) = load_into(model, &weights, &LoadOptions::default()).expect("its weights");
        let values: Vec<f32> = draw(2, 32 * 32 * 32).map(|v| v as f32).collect();
        let x = Tensor::<5>::from_data(TensorData::new(values, [1, 1, 32, 32, 32]), &device);
        let (single, expected) = gradients(&model, &x, false, Precision::Float32);
        let largest = single.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
        for checkpoint in [false, true] {
            let (output, found) = gradients(&model, &x, checkpoint, Precision::Float16);
            let differences = output.iter().zip(&single).map(|(a, b)| (a - b).abs());
            let error = differences.fold(0.0, f32::max);
            assert!(error < 0.03 * largest, "{spec:?}: {error} of {largest}");
            let pairs = found.0.iter().zip(&expected.0);
            let apart = pairs.map(|(a, b)| a.clone() - b.clone()).collect();
            let error = FlatGradients(apart).norm() / expected.norm();
            assert!(error < 0.05, "{spec:?}: gradients are off by {error}");
        }
    }
}
