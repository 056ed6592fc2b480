//! The sizes of the published networks.

use amaes_core::model::{MedNeXtConfig, Spec, UNetConfig};
use amaes_core::weights::{parameters, parameters_of};
use burn::tensor::Device;

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

#[test]
fn every_size_runs_and_has_gradients() {
    use burn::tensor::Tensor;
    let device = Device::flex().autodiff();
    let small = |c: MedNeXtConfig| MedNeXtConfig { filters: 2, ..c };
    for spec in [
        Spec::UNet(UNetConfig {
            filters: 2,
            ..UNetConfig::b(2, 3)
        }),
        Spec::MedNeXt(small(MedNeXtConfig::s(2, 3))),
        Spec::MedNeXt(small(MedNeXtConfig::b(2, 3)).with_kernel(5).native()),
    ] {
        let model = spec.init(&device).expect("a valid network");
        let x = Tensor::<5>::ones([1, 2, 16, 32, 48], &device).require_grad();
        let out = model.forward(x.clone());
        assert_eq!(out.dims(), [1, 3, 16, 32, 48]);
        let gradient = x.grad(&out.square().mean().backward()).expect("a gradient");
        assert!(gradient.into_data().iter::<f32>().all(f32::is_finite));
    }
}
