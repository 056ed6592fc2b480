//! Times the 3-D kernels on a graphics card against burn's own operations, in one run.
//!
//! `cargo bench --workspace --bench gpu -- [--json FILE] [--rounds N] [--only TEXT] [--no-burn]
//! [--tiles NUMBERS]`, the last to try other tile sizes than the table's: the seven numbers of
//! `GpuTiles`, with commas.
//! Each of our times is the median of N runs (5), burn's of one, after a run that compiles the
//! shaders; in milliseconds, from the call until the device has finished.

use std::time::Instant;

use amaes_core::kernel::{
    Conv3dOptions, GpuTiles, adapter_name, conv_transpose3d, conv3d, depthwise_conv3d,
    instance_norm, max_pool2, set_gpu_tiles,
};
use amaes_core::nn::Activation;
use amaes_tests::median;
use burn::Tensor;
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use burn::tensor::{Device, DeviceKind, Distribution, module};
use serde_json::json;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Conv {
        kernel: usize,
        stride: usize,
        dilation: usize,
    },
    Transpose,
    Depthwise {
        kernel: usize,
        stride: usize,
    },
    Norm,
    Pool,
}

/// What is timed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Forward,
    Data,
    Weight,
}

/// Who computes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Ours,
    Burn,
}

#[derive(Clone, Copy)]
struct Case {
    operation: Operation,
    inputs: usize,
    outputs: usize,
    size: usize,
    step: Step,
}

impl Case {
    fn name(&self) -> String {
        let operation = match self.operation {
            Operation::Conv {
                kernel,
                stride,
                dilation,
            } => {
                let mut name = format!("conv k{kernel}");
                if stride > 1 {
                    name += &format!(" s{stride}");
                }
                if dilation > 1 {
                    name += &format!(" d{dilation}");
                }
                name
            }
            Operation::Transpose => "transposed conv k2 s2".into(),
            Operation::Depthwise { kernel, stride } => format!("depthwise k{kernel} s{stride}"),
            Operation::Norm => "norm + LeakyReLU".into(),
            Operation::Pool => "max-pool 2".into(),
        };
        let step = match self.step {
            Step::Forward => "forward",
            Step::Data => "data gradient",
            Step::Weight => "weight gradient",
        };
        format!(
            "{operation} {}->{} @{}^3 {step}",
            self.inputs, self.outputs, self.size
        )
    }

    /// Multiplications and additions, where they are what counts.
    fn flop(&self) -> Option<f64> {
        let volume = |side: usize| side.pow(3) as f64;
        let (i, o, v) = (self.inputs as f64, self.outputs as f64, volume(self.size));
        Some(match self.operation {
            Operation::Conv { kernel, stride, .. } => {
                2.0 * i * o * volume(kernel) * volume(self.size.div_ceil(stride))
            }
            Operation::Transpose => 16.0 * i * o * v,
            Operation::Depthwise { kernel, stride } => {
                2.0 * i * volume(kernel) * volume(self.size.div_ceil(stride))
            }
            Operation::Norm | Operation::Pool => return None,
        })
    }

    /// Whether burn has the operation, other than composed of many.
    fn in_burn(&self) -> bool {
        matches!(
            self.operation,
            Operation::Conv { .. } | Operation::Transpose
        )
    }

    fn apply(&self, side: Side, x: Tensor<5>, weight: Tensor<5>) -> Tensor<5> {
        match (self.operation, side) {
            (
                Operation::Conv {
                    kernel,
                    stride,
                    dilation,
                },
                Side::Ours,
            ) => {
                let options = Conv3dOptions::new(stride, dilation * (kernel / 2), dilation);
                conv3d(x, weight, None, &options)
            }
            (
                Operation::Conv {
                    kernel,
                    stride,
                    dilation,
                },
                Side::Burn,
            ) => {
                let options =
                    ConvOptions::new([stride; 3], [dilation * (kernel / 2); 3], [dilation; 3], 1);
                module::conv3d(x, weight, None, options)
            }
            (Operation::Transpose, Side::Ours) => conv_transpose3d(x, weight, None),
            (Operation::Transpose, Side::Burn) => {
                let options = ConvTransposeOptions::new([2; 3], [0; 3], [0; 3], [1; 3], 1);
                module::conv_transpose3d(x, weight, None, options)
            }
            (Operation::Depthwise { kernel, stride }, _) => {
                depthwise_conv3d(x, weight, None, stride, kernel / 2)
            }
            (Operation::Norm, _) => {
                let slope = Activation::LeakyRelu { slope: 0.01 };
                instance_norm(x, None, None, 1e-5, Some(slope))
            }
            (Operation::Pool, _) => max_pool2(x),
        }
    }

    /// Milliseconds of one run.
    fn time(&self, side: Side, device: &Device) -> f64 {
        let uniform = Distribution::Uniform(-1.0, 1.0);
        let size = self.size;
        let mut x = Tensor::<5>::random([1, self.inputs, size, size, size], uniform, device);
        let shape = match self.operation {
            Operation::Conv { kernel: k, .. } => [self.outputs, self.inputs, k, k, k],
            Operation::Transpose => [self.inputs, self.outputs, 2, 2, 2],
            Operation::Depthwise { kernel: k, .. } => [self.outputs, 1, k, k, k],
            Operation::Norm | Operation::Pool => [1; 5],
        };
        let mut weight = Tensor::<5>::random(shape, uniform, device);
        match self.step {
            Step::Forward => (),
            Step::Data => x = x.autodiff().require_grad(),
            Step::Weight => weight = weight.autodiff().require_grad(),
        }
        let wait = || device.sync().expect("the device works");
        wait();
        let start = Instant::now();
        let output = self.apply(side, x, weight);
        if self.step == Step::Forward {
            wait();
            return start.elapsed().as_secs_f64() * 1e3;
        }
        wait();
        let start = Instant::now();
        // From ones: the gradient of a sum would cost a product of the output's size.
        let gradients = output.backward();
        wait();
        let time = start.elapsed().as_secs_f64() * 1e3;
        drop(gradients);
        time
    }

    /// One tiny run compiles burn's shaders: they do not depend on the size.
    fn warm_up(&self, device: &Device) {
        Self { size: 4, ..*self }.time(Side::Burn, device);
    }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |operation, inputs, outputs, size, steps: &[Step]| {
        for &step in steps {
            cases.push(Case {
                operation,
                inputs,
                outputs,
                size,
                step,
            });
        }
    };
    let all = [Step::Forward, Step::Data, Step::Weight];
    let both = [Step::Forward, Step::Data];
    let conv = |kernel, stride, dilation| Operation::Conv {
        kernel,
        stride,
        dilation,
    };
    add(conv(3, 1, 1), 32, 32, 32, &all);
    add(conv(3, 1, 1), 64, 64, 16, &all);
    add(conv(3, 1, 1), 64, 64, 32, &all);
    add(Operation::Transpose, 64, 64, 16, &all);
    add(conv(3, 2, 1), 32, 64, 32, &all);
    add(conv(1, 1, 1), 64, 64, 32, &all);
    add(conv(3, 1, 4), 21, 21, 32, &[Step::Forward]);
    add(
        Operation::Depthwise {
            kernel: 3,
            stride: 1,
        },
        64,
        64,
        32,
        &all,
    );
    add(
        Operation::Depthwise {
            kernel: 5,
            stride: 1,
        },
        32,
        32,
        32,
        &all,
    );
    add(Operation::Norm, 32, 32, 64, &both);
    add(Operation::Pool, 32, 32, 64, &both);
    cases
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |flag: &str| {
        arguments
            .iter()
            .position(|a| a == flag)
            .and_then(|at| arguments.get(at + 1))
            .cloned()
    };
    let rounds: usize = value("--rounds").map_or(5, |n| n.parse().expect("--rounds: a number"));
    let only = value("--only").unwrap_or_default();
    let with_burn = !arguments.iter().any(|a| a == "--no-burn");
    if let Some(text) = value("--tiles") {
        let numbers: Vec<usize> = text
            .split(',')
            .map(|n| n.parse().expect("--tiles: numbers"))
            .collect();
        let &[
            quads,
            depth,
            rows,
            pointwise_quads,
            gradient_quads,
            workgroup,
            busy,
        ] = &numbers[..]
        else {
            panic!("--tiles: seven numbers");
        };
        set_gpu_tiles(Some(GpuTiles {
            quads,
            voxels: [depth, rows],
            pointwise_quads,
            gradient_quads,
            workgroup: workgroup as u32,
            busy,
        }));
    }
    let device = Device::wgpu(DeviceKind::DefaultDevice);
    let adapter = adapter_name(&device).expect("a graphics adapter");
    println!("Adapter: {adapter}\n");
    println!("| case | ours, ms | burn, ms | ratio | GFLOP/s |\n|---|---|---|---|---|");
    let mut rows = Vec::new();
    for case in cases().iter().filter(|case| case.name().contains(&only)) {
        case.time(Side::Ours, &device);
        let ours = median(
            (0..rounds)
                .map(|_| case.time(Side::Ours, &device))
                .collect(),
        );
        let burn = (with_burn && case.in_burn()).then(|| {
            case.warm_up(&device);
            case.time(Side::Burn, &device)
        });
        let ratio = burn.map(|burn| burn / ours);
        let speed = case.flop().map(|flop| flop / ours / 1e6);
        let show = |value: Option<f64>| value.map_or("-".into(), |v| format!("{v:.1}"));
        println!(
            "| {} | {ours:.2} | {} | {} | {} |",
            case.name(),
            show(burn),
            show(ratio),
            show(speed)
        );
        rows.push(json!({
            "name": case.name(), "adapter": adapter, "ours_ms": ours, "burn_ms": burn,
            "ratio": ratio, "gflops": speed,
        }));
    }
    if let Some(file) = value("--json") {
        let text = serde_json::to_string_pretty(&rows).expect("plain values");
        std::fs::write(&file, text).unwrap_or_else(|error| panic!("--json {file}: {error}"));
    }
}
