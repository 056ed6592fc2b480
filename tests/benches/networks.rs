//! Whole networks, with random weights.

use std::process::Command;
use std::time::Instant;

use amaes_core::loss::{DiceCeConfig, dice_cross_entropy};
use amaes_core::model::{
    MedNeXtConfig, MeshNetConfig, MeshNetLayer, Model, ResEncUNetConfig, Spec, SwinUNETRConfig,
    UNetConfig,
};
use amaes_core::nn::Activation;
use burn::Tensor;
use burn::tensor::{Device, Distribution, Gradients, Int};
use serde_json::{Value, json};

use crate::milliseconds;

/// Argument with which this program runs a case once and prints the most memory it held.
pub(crate) const PEAK: &str = "--peak-of";

/// What is timed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// Logits, without gradients.
    Forward,
    /// Classes, without gradients.
    Classes,
    /// Output, mean squared error, all gradients.
    Step,
    /// Logits of two patches, Dice and cross-entropy, all gradients.
    Finetune,
    /// Dice and cross-entropy of two patches' logits of four classes, and their gradient.
    Loss,
}

impl Pass {
    fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Classes => "classes",
            Self::Step => "step",
            Self::Finetune => "finetune",
            Self::Loss => "loss",
        }
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Case {
    network: &'static str,
    size: usize,
    pass: Pass,
}

fn listed(cases: &[(&'static str, usize, Pass)]) -> Vec<Case> {
    let case = |&(network, size, pass)| Case {
        network,
        size,
        pass,
    };
    cases.iter().map(case).collect()
}

pub(crate) fn cases() -> Vec<Case> {
    listed(&[
        ("unet_b", 96, Pass::Forward),
        ("unet_b", 128, Pass::Forward),
        ("unet_b_light", 96, Pass::Step),
        ("unet_b", 96, Pass::Finetune),
        ("logits", 128, Pass::Loss),
        ("mednext_m", 64, Pass::Forward),
        ("mednext_m", 64, Pass::Step),
        ("resenc_b", 96, Pass::Forward),
        ("resenc_b", 96, Pass::Step),
        ("meshnet_18", 256, Pass::Classes),
        ("swin_unetr_24", 96, Pass::Forward),
        ("swin_unetr_24", 96, Pass::Step),
        ("swin_unetr_48", 96, Pass::Step),
    ])
}

/// Cases whose memory is measured.
pub(crate) fn memory_cases() -> Vec<Case> {
    listed(&[
        ("unet_b_light", 128, Pass::Step),
        ("logits", 128, Pass::Loss),
        ("resenc_b", 96, Pass::Step),
        ("swin_unetr_24", 96, Pass::Step),
        ("swin_unetr_48", 96, Pass::Step),
    ])
}

impl Case {
    pub(crate) fn name(&self) -> String {
        format!("{} @{}^3 {}", self.network, self.size, self.pass.name())
    }

    pub(crate) fn json(&self) -> Value {
        json!({"network": self.network, "size": self.size, "pass": self.pass.name()})
    }

    pub(crate) fn peak_json(&self) -> Value {
        let mut json = self.json();
        json["peak"] = true.into();
        json
    }

    fn spec(&self) -> Spec {
        match self.network {
            "unet_b" => Spec::UNet(UNetConfig::b(1, 2)),
            "unet_b_light" => Spec::UNet(UNetConfig::b_light(1)),
            "mednext_m" => Spec::MedNeXt(MedNeXtConfig::m(1, 2)),
            "resenc_b" => Spec::ResEncUNet(ResEncUNetConfig::b(1, 2)),
            "swin_unetr_24" => Spec::SwinUNETR(SwinUNETRConfig::new(24, 1, 2)),
            "swin_unetr_48" => Spec::SwinUNETR(SwinUNETRConfig::new(48, 1, 2)),
            "meshnet_18" => Spec::MeshNet(MeshNetConfig {
                in_channels: 1,
                out_channels: 18,
                layers: [1, 2, 4, 8, 16, 8, 4, 2, 1]
                    .map(|dilation| MeshNetLayer {
                        channels: 21,
                        dilation,
                    })
                    .to_vec(),
                activation: Activation::Elu,
                norm: false,
                bias: true,
            }),
            other => panic!("no network {other}"),
        }
    }

    /// A function that runs the case once and returns its milliseconds.
    pub(crate) fn prepare(&self, device: &Device) -> Box<dyn FnMut() -> f64> {
        let Self { size, pass, .. } = *self;
        if matches!(pass, Pass::Finetune | Pass::Loss) {
            return self.prepare_labelled(device);
        }
        let spec = self.spec();
        let device = match pass {
            Pass::Step => device.clone().autodiff(),
            _ => device.clone(),
        };
        let model = spec.init(&device).expect("a valid network");
        let random = |channels| {
            let uniform = Distribution::Uniform(0.0, 1.0);
            Tensor::<5>::random([1, channels, size, size, size], uniform, &device)
        };
        let x = random(1);
        let target = (pass == Pass::Step).then(|| random(spec.out_channels()));
        Box::new(move || {
            let x = x.clone();
            match (pass, target.clone()) {
                (Pass::Step, Some(target)) => timed(|| step(&model, x, target)),
                (Pass::Classes, _) => timed(|| model.classify(x)),
                _ => timed(|| model.forward(x)),
            }
        })
    }

    /// The cases with labels: two patches.
    fn prepare_labelled(&self, device: &Device) -> Box<dyn FnMut() -> f64> {
        let size = self.size;
        let uniform = |channels, high| {
            let shape = [2, channels, size, size, size];
            Tensor::<5>::random(shape, Distribution::Uniform(0.0, high), device)
        };
        let loss = |logits, labels: &Tensor<5, Int>| {
            let found = dice_cross_entropy(logits, labels.clone(), &DiceCeConfig::default());
            found.loss.backward()
        };
        if self.pass == Pass::Loss {
            let labels = uniform(1, 4.0).int();
            let logits = uniform(4, 1.0).autodiff().require_grad();
            return Box::new(move || timed(|| loss(logits.clone(), &labels)));
        }
        let model = self.spec().init(&device.clone().autodiff());
        let model = model.expect("a valid network");
        let (x, labels) = (uniform(1, 1.0), uniform(1, 2.0).int());
        Box::new(move || timed(|| loss(model.forward(x.clone()), &labels)))
    }
}

fn step(model: &Model, x: Tensor<5>, target: Tensor<5>) -> Gradients {
    (model.forward(x) - target).square().mean().backward()
}

/// Milliseconds of `body`, without the time to drop what it returns.
fn timed<T>(body: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    let result = body();
    let time = milliseconds(start);
    drop(result);
    time
}

/// Most MiB that a process of its own holds while it runs `case` once.
pub(crate) fn measure_peak(case: &Case) -> f64 {
    let program = std::env::current_exe().expect("the path of this program");
    let output = Command::new(program)
        .args([PEAK, &case.name()])
        .output()
        .expect("this program runs");
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().unwrap_or(f64::NAN)
}

/// Runs the case of this name once and prints the most MiB that this process has held.
pub(crate) fn print_peak(name: &str, device: &Device) {
    let mut all = cases().into_iter().chain(memory_cases());
    let case = all.find(|case| case.name() == name).expect("a case");
    case.prepare(device)();
    println!("{}", amaes::train::memory::peak_mib().unwrap_or(f64::NAN));
}
