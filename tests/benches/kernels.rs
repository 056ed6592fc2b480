//! Times every 3-D kernel and whole networks on the CPU against PyTorch, with the same threads, run
//! about.
//!
//! `cargo bench --workspace --bench kernels -- [--json FILE] [--rounds N] [--only TEXT]`. PyTorch
//! runs in the Python that `AMAES_PYTHON` names (`python3` otherwise); without it only our own
//! times are printed. Each time is the median of N runs (10; 3 of a network), in milliseconds. Before
//! each, a kernel is run for 20 ms more: in a network threads, memory and clock are warm too.

mod networks;
mod torch;

use std::time::{Duration, Instant};

use amaes::allocator::{Allocator, keep_briefly};
use amaes_core::kernel::{
    Conv3dOptions, conv_transpose3d, conv3d, depthwise_conv3d, instance_norm, keep_memory,
    max_pool2,
};
use amaes_core::nn::Activation;
use burn::Tensor;
use burn::tensor::{Device, Distribution};
use serde_json::{Value, json};

use self::torch::Torch;

/// As in the command.
#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// What is timed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Forward,
    /// Gradient with respect to the input.
    Data,
    /// Gradient with respect to the weights.
    Weight,
    /// All gradients.
    Backward,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Data => "data",
            Self::Weight => "weight",
            Self::Backward => "backward",
        }
    }
}

#[derive(Clone, Copy)]
struct Case {
    operation: &'static str,
    inputs: usize,
    outputs: usize,
    size: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    step: Step,
}

impl Case {
    fn name(&self) -> String {
        let Self {
            operation,
            inputs,
            outputs,
            size,
            kernel,
            stride,
            dilation,
            step,
        } = self;
        let mut name = format!("{operation} {inputs}->{outputs} @{size}^3");
        if *kernel > 0 {
            name += &format!(" k{kernel}");
        }
        if *stride > 1 {
            name += &format!(" s{stride}");
        }
        if *dilation > 1 {
            name += &format!(" d{dilation}");
        }
        format!("{name} {}", step.name())
    }

    fn json(&self) -> Value {
        json!({
            "operation": self.operation,
            "inputs": self.inputs,
            "outputs": self.outputs,
            "size": self.size,
            "kernel": self.kernel,
            "stride": self.stride,
            "dilation": self.dilation,
            "pass": self.step.name(),
        })
    }

    fn forward(&self, x: Tensor<5>, weights: &Weights) -> Tensor<5> {
        let Self {
            kernel,
            stride,
            dilation,
            ..
        } = *self;
        let padding = kernel / 2 * dilation;
        let kernel = weights.kernel.clone();
        match self.operation {
            "conv3d" => conv3d(
                x,
                kernel,
                None,
                &Conv3dOptions::new(stride, padding, dilation),
            ),
            "depthwise_conv3d" => depthwise_conv3d(x, kernel, None, stride, padding),
            "conv_transpose3d" => conv_transpose3d(x, kernel, None),
            "max_pool2" => max_pool2(x),
            norm => {
                let activation = match norm {
                    "norm_leaky_relu" => Activation::LeakyRelu { slope: 0.01 },
                    "norm_elu" => Activation::Elu,
                    _ => Activation::Gelu,
                };
                let (scale, shift) = (weights.scale.clone(), weights.shift.clone());
                instance_norm(x, Some(scale), Some(shift), 1e-5, Some(activation))
            }
        }
    }

    /// A function that runs the case once and returns its milliseconds.
    fn prepare(&self, device: &Device) -> impl FnMut() -> f64 + use<> {
        let case = *self;
        let (k, size) = (self.kernel.max(1), self.size);
        let [a, b] = match self.operation {
            "conv3d" => [self.outputs, self.inputs],
            "conv_transpose3d" => [self.inputs, self.outputs],
            _ => [self.outputs, 1],
        };
        let uniform = Distribution::Uniform(0.0, 1.0);
        let x = Tensor::<5>::random([1, self.inputs, size, size, size], uniform, device);
        let weights = Weights {
            kernel: Tensor::random([a, b, k, k, k], uniform, device),
            scale: Tensor::random([self.inputs], uniform, device),
            shift: Tensor::random([self.inputs], uniform, device),
        };
        move || {
            let (mut x, mut weights) = (x.clone(), weights.clone());
            if matches!(case.step, Step::Data | Step::Backward) {
                x = x.autodiff().require_grad();
            }
            if case.step == Step::Weight {
                weights.kernel = weights.kernel.autodiff().require_grad();
            }
            if case.step == Step::Backward {
                weights.scale = weights.scale.autodiff().require_grad();
                weights.shift = weights.shift.autodiff().require_grad();
            }
            let start = Instant::now();
            let output = case.forward(x, &weights);
            if case.step == Step::Forward {
                return milliseconds(start);
            }
            // As of the sum: it starts from ones, without a product with the sum's own gradient.
            let start = Instant::now();
            let gradients = output.backward();
            let time = milliseconds(start);
            drop(gradients);
            time
        }
    }
}

#[derive(Clone)]
struct Weights {
    kernel: Tensor<5>,
    scale: Tensor<1>,
    shift: Tensor<1>,
}

pub(crate) fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |operation, inputs, outputs, size, kernel, stride, dilation, steps: &[Step]| {
        for &step in steps {
            cases.push(Case {
                operation,
                inputs,
                outputs,
                size,
                kernel,
                stride,
                dilation,
                step,
            });
        }
    };
    let all = [Step::Forward, Step::Data, Step::Weight];
    let both = [Step::Forward, Step::Backward];
    for (channels, size) in [(32, 64), (64, 48), (128, 24), (256, 12)] {
        add("conv3d", channels, channels, size, 3, 1, 1, &all);
    }
    for channels in [21, 5] {
        for dilation in [2, 4, 8, 16] {
            add(
                "conv3d",
                channels,
                channels,
                128,
                3,
                1,
                dilation,
                &[Step::Forward],
            );
        }
    }
    add("conv3d", 1, 32, 64, 3, 1, 1, &all);
    add("conv3d", 64, 64, 48, 1, 1, 1, &all);
    add("conv3d", 64, 64, 48, 3, 2, 1, &all);
    add("conv_transpose3d", 64, 32, 24, 2, 2, 1, &all);
    for (channels, size) in [(32, 64), (64, 48), (128, 24), (256, 12)] {
        add("depthwise_conv3d", channels, channels, size, 3, 1, 1, &all);
    }
    add("depthwise_conv3d", 32, 32, 48, 5, 1, 1, &[Step::Forward]);
    add("depthwise_conv3d", 64, 64, 48, 3, 2, 1, &all);
    for operation in ["norm_leaky_relu", "norm_elu", "norm_gelu"] {
        for (channels, size) in [(32, 64), (128, 24)] {
            add(operation, channels, channels, size, 0, 1, 1, &both);
        }
    }
    add("max_pool2", 32, 32, 64, 0, 1, 1, &both);
    cases
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    let middle = times.len() / 2;
    if times.len() % 2 == 1 {
        times[middle]
    } else {
        (times[middle - 1] + times[middle]) / 2.0
    }
}

/// Makes a function that runs a case once and returns its milliseconds.
type Prepare = Box<dyn Fn(&Device) -> Box<dyn FnMut() -> f64>>;

/// A row of the table.
struct Row {
    name: String,
    /// What PyTorch is asked.
    json: Value,
    rounds: usize,
    /// Milliseconds of runs that are not timed before each that is.
    warm: f64,
    prepare: Prepare,
}

fn rows() -> Vec<Row> {
    let kernels = cases().into_iter().map(|case| Row {
        name: case.name(),
        json: case.json(),
        rounds: 10,
        warm: 20.0,
        prepare: Box::new(move |device| Box::new(case.prepare(device))),
    });
    let networks = networks::cases().into_iter().map(|case| Row {
        name: case.name(),
        json: case.json(),
        rounds: 3,
        warm: 0.0,
        prepare: Box::new(move |device| case.prepare(device)),
    });
    kernels.chain(networks).collect()
}

/// Between two runs: threads that wait for work by spinning would take a core from the other side.
const PAUSE: Duration = Duration::from_millis(30);

fn main() {
    keep_briefly();
    // As inference and training do.
    let _kept = keep_memory(None);
    let arguments: Vec<String> = std::env::args().collect();
    let value = |flag: &str| {
        arguments
            .iter()
            .position(|a| a == flag)
            .and_then(|at| arguments.get(at + 1))
            .cloned()
    };
    let device = Device::flex();
    if let Some(name) = value(networks::PEAK) {
        networks::print_peak(&name, &device);
        return;
    }
    let rounds: Option<usize> = value("--rounds").map(|n| n.parse().expect("--rounds: a number"));
    let only = value("--only").unwrap_or_default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut torch = Torch::start(threads);
    let mut table = Vec::new();
    println!("| case | ours, ms | PyTorch, ms | ratio |\n|---|---|---|---|");
    for row in rows().into_iter().filter(|row| row.name.contains(&only)) {
        let mut ours = (row.prepare)(&device);
        ours();
        let (mut mine, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..rounds.unwrap_or(row.rounds) {
            std::thread::sleep(PAUSE);
            let start = Instant::now();
            while milliseconds(start) < row.warm {
                ours();
            }
            mine.push(ours());
            if let Some(torch) = &mut torch {
                std::thread::sleep(PAUSE);
                theirs.push(torch.ask(&row.json));
            }
        }
        let theirs = (!theirs.is_empty()).then(|| median(theirs));
        table.push(report(&row.name, "ms", median(mine), theirs));
    }
    drop(torch);
    for case in networks::memory_cases() {
        if !case.name().contains(&only) {
            continue;
        }
        let theirs = Torch::start(threads).map(|mut torch| torch.ask(&case.peak_json()));
        let name = format!("{}, peak MiB", case.name());
        table.push(report(&name, "mib", networks::measure_peak(&case), theirs));
    }
    if let Some(file) = value("--json") {
        let text = serde_json::to_string_pretty(&table).expect("plain values");
        std::fs::write(&file, text).unwrap_or_else(|error| panic!("--json {file}: {error}"));
    }
}

/// Prints a line of the table, and gives it as JSON.
fn report(name: &str, unit: &str, ours: f64, theirs: Option<f64>) -> Value {
    let ratio = theirs.map(|theirs| theirs / ours);
    let show = |value: Option<f64>| value.map_or("-".into(), |v| format!("{v:.2}"));
    println!(
        "| {name} | {ours:.2} | {} | {} |",
        show(theirs),
        show(ratio)
    );
    json!({
        "name": name,
        format!("ours_{unit}"): ours,
        format!("pytorch_{unit}"): theirs,
        "ratio": ratio,
    })
}
