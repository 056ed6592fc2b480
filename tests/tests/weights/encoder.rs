//! Weights of an encoder alone.

use amaes_core::model::{
    MedNeXtConfig, ResEncUNetConfig, Spec, SwinUNETRConfig, SwinUNETRHead, UNetConfig, UNetHead,
};
use amaes_core::weights::{Part, StateDict, WeightsError, identify, identify_part};

use super::{filled, floats_data};

/// Networks that segment two classes, and other heads of theirs.
fn networks() -> Vec<(Spec, Spec)> {
    let unet = UNetConfig {
        filters: 2,
        ..UNetConfig::b_light(1)
    };
    let mednext = MedNeXtConfig {
        filters: 2,
        ..MedNeXtConfig::s(1, 2)
    };
    let resenc = ResEncUNetConfig::of(2, 1, 2);
    let swin = SwinUNETRConfig::new(12, 1, 2);
    vec![
        (
            Spec::UNet(UNetConfig {
                head: UNetHead::Segmentation,
                out_channels: 2,
                ..unet.clone()
            }),
            Spec::UNet(unet),
        ),
        (
            Spec::MedNeXt(MedNeXtConfig {
                decoder: UNetHead::Segmentation.into(),
                ..mednext.clone()
            }),
            Spec::MedNeXt(MedNeXtConfig {
                decoder: UNetHead::Light.into(),
                out_channels: 1,
                ..mednext
            }),
        ),
        (
            Spec::ResEncUNet(resenc.clone()),
            Spec::ResEncUNet(resenc.light()),
        ),
        (
            Spec::SwinUNETR(swin.clone()),
            Spec::SwinUNETR(SwinUNETRConfig {
                head: SwinUNETRHead::Views,
                out_channels: 1,
                ..swin
            }),
        ),
    ]
}

fn encoder(spec: &Spec) -> StateDict {
    let mut state = filled(spec);
    state.retain(|name| spec.in_encoder(name));
    state
}

#[test]
fn an_encoder_alone_is_known_where_one_is_asked_for() {
    for (spec, pretrained) in networks() {
        let name = spec.name();
        let error = identify(&mut encoder(&pretrained), None).expect_err(name);
        assert!(
            matches!(error, WeightsError::UnknownNetwork { .. }),
            "{name}: {error}"
        );
        let mut state = encoder(&pretrained);
        let count = state.len();
        let found = identify_part(&mut state, None, Part::Encoder).expect(name);
        assert_eq!(found.spec, spec);
        assert_eq!(state.len(), count, "{name}");
        assert!(found.ignored.is_empty(), "{name}: {:?}", found.ignored);
    }
}

/// A head that is there says what it is, also where it need not be.
#[test]
fn a_whole_network_is_found_as_before() {
    for (_, pretrained) in networks() {
        let mut state = filled(&pretrained);
        let count = state.len();
        let found = identify_part(&mut state, None, Part::Encoder).expect("known");
        assert_eq!((found.spec, state.len()), (pretrained, count));
    }
}

/// Heads of other pretrainings go by any name.
#[test]
fn what_is_no_part_of_the_network_is_left_out() {
    for (spec, pretrained) in networks() {
        let mut state = encoder(&pretrained);
        let count = state.len();
        state
            .insert("projector.0.weight", floats_data(&[3, 2]))
            .expect("a new name");
        let found = identify_part(&mut state, None, Part::Encoder).expect("known");
        assert_eq!(found.spec, spec);
        assert_eq!(found.ignored, ["projector.0.weight"]);
        assert_eq!(state.len(), count);
    }
}

#[test]
fn an_encoder_must_be_there_whole() {
    for (spec, pretrained) in networks() {
        let last = encoder(&pretrained)
            .names()
            .last()
            .expect("names")
            .to_owned();
        let mut short = encoder(&pretrained);
        short.remove(&last);
        let error = identify_part(&mut short, None, Part::Encoder).expect_err(spec.name());
        assert!(error.to_string().contains(&last), "{last}: {error}");
    }
}
