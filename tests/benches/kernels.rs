//! Times every 3-D kernel on the CPU against PyTorch, with the same threads, run about.
//!
//! `cargo bench --workspace --bench kernels -- [--json FILE] [--rounds N] [--only TEXT]`. PyTorch
//! runs in the Python that `AMAES_PYTHON` names (`python3` otherwise); without it only our own
//! times are printed. Each time is the median of N runs (10), in milliseconds.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use amaes_core::kernel::{
    Conv3dOptions, conv_transpose3d, conv3d, depthwise_conv3d, instance_norm, max_pool2,
};
use amaes_core::nn::Activation;
use burn::Tensor;
use burn::tensor::{Device, Distribution};
use serde_json::{Value, json};

/// As in the `amaes` command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    fn prepare(&self, device: &Device) -> impl FnMut() -> f64 {
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
            let loss = output.sum();
            let start = Instant::now();
            let gradients = loss.backward();
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

fn milliseconds(start: Instant) -> f64 {
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
    for dilation in [2, 4, 8, 16] {
        add("conv3d", 21, 21, 128, 3, 1, dilation, &[Step::Forward]);
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

/// PyTorch in another process.
struct Torch {
    child: Child,
    ask: ChildStdin,
    answer: BufReader<ChildStdout>,
}

impl Torch {
    fn start(threads: usize) -> Option<Self> {
        let python = std::env::var("AMAES_PYTHON").unwrap_or_else(|_| "python3".into());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/bench_torch.py");
        let found = Command::new(&python)
            .args(["-c", "import torch"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if !found {
            eprintln!(
                "skipped: PyTorch's times ({python} does not import torch; set AMAES_PYTHON)"
            );
            return None;
        }
        let mut child = Command::new(python)
            .arg(script)
            .arg(threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let ask = child.stdin.take()?;
        let answer = BufReader::new(child.stdout.take()?);
        Some(Self { child, ask, answer })
    }

    fn time(&mut self, case: &Case) -> f64 {
        writeln!(self.ask, "{}", case.json()).expect("the Python process reads");
        let mut line = String::new();
        self.answer
            .read_line(&mut line)
            .expect("the Python process answers");
        line.trim().parse().unwrap_or(f64::NAN)
    }
}

impl Drop for Torch {
    fn drop(&mut self) {
        // It ends with its input; if not, it has nothing to save.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |flag: &str| {
        arguments
            .iter()
            .position(|a| a == flag)
            .and_then(|at| arguments.get(at + 1))
            .cloned()
    };
    let rounds: usize = value("--rounds").map_or(10, |n| n.parse().expect("--rounds: a number"));
    let only = value("--only").unwrap_or_default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let device = Device::flex();
    let mut torch = Torch::start(threads);
    let mut rows = Vec::new();
    println!("| case | ours, ms | PyTorch, ms | ratio |\n|---|---|---|---|");
    for case in cases()
        .into_iter()
        .filter(|case| case.name().contains(&only))
    {
        let mut ours = case.prepare(&device);
        ours();
        let (mut mine, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            mine.push(ours());
            if let Some(torch) = &mut torch {
                theirs.push(torch.time(&case));
            }
        }
        let ours = median(mine);
        let theirs = (!theirs.is_empty()).then(|| median(theirs));
        let ratio = theirs.map(|theirs| theirs / ours);
        let show = |value: Option<f64>| value.map_or("-".into(), |v| format!("{v:.2}"));
        println!(
            "| {} | {ours:.2} | {} | {} |",
            case.name(),
            show(theirs),
            show(ratio)
        );
        rows.push(json!({
            "name": case.name(), "ours_ms": ours, "pytorch_ms": theirs, "ratio": ratio,
        }));
    }
    if let Some(file) = value("--json") {
        let text = serde_json::to_string_pretty(&rows).expect("plain values");
        std::fs::write(&file, text).unwrap_or_else(|error| panic!("--json {file}: {error}"));
    }
}
