//! Whole volume, exact tiles and windows: the same network, the same labels.

use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Waker};

use amaes_core::infer::sliding_window::{SlidingWindow, Weighting};
use amaes_core::infer::tile::TilePlan;
use amaes_core::infer::{
    Host, InferError, InferOptions, Input, Method, Output, Pieces, Progress, Rows, class_map,
    score_map,
};
use amaes_core::label::Label;
use amaes_core::model::{MeshNetConfig, MeshNetLayer, Model, Spec, UNetConfig};
use amaes_core::nn::{Activation, Precision};
use burn::tensor::{Device, Distribution, Tensor};

fn meshnet(channels: usize, dilations: &[usize]) -> Spec {
    Spec::MeshNet(MeshNetConfig {
        in_channels: 2,
        out_channels: 4,
        layers: dilations
            .iter()
            .map(|&dilation| MeshNetLayer { channels, dilation })
            .collect(),
        activation: Activation::Elu,
        norm: false,
        bias: true,
    })
}

fn image(channels: usize, shape: [usize; 3], device: &Device) -> Vec<f32> {
    let [x, y, z] = shape;
    let noise = Tensor::<4>::random(
        [channels, x, y, z],
        Distribution::Uniform(-30.0, 30.0),
        device,
    );
    noise.into_data().iter::<f32>().collect()
}

fn run(model: &Model, spec: &Spec, input: Input<'_>, options: &InferOptions) -> Vec<Label> {
    run_on(&Device::flex(), model, spec, input, options)
}

fn run_on(
    device: &Device,
    model: &Model,
    spec: &Spec,
    input: Input<'_>,
    options: &InferOptions,
) -> Vec<Label> {
    class_map(model, spec, input, options, device, &mut |_| {
        ControlFlow::Continue(())
    })
    .expect("inference")
    .classes
}

fn model(spec: &Spec, device: &Device) -> Model {
    device.seed(7);
    spec.init(device).expect("a valid network")
}

fn differing(a: &[Label], b: &[Label]) -> usize {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).filter(|(a, b)| a != b).count()
}

/// Voxels whose two best classes may change places: where a cut lies decides which outputs minimal
/// filtering computes together, and so the last digit of their sums.
fn ties(labels: &[Label]) -> usize {
    labels.len() / 5000
}

#[test]
fn tiles_give_the_labels_of_the_whole_volume() {
    let device = Device::flex();
    let spec = meshnet(5, &[1, 2, 4, 3, 1]);
    let model = model(&spec, &device);
    let mut varied = false;
    for shape in [[30, 23, 26], [5, 40, 9], [1, 1, 50], [33, 3, 3]] {
        let data = image(2, shape, &device);
        let input = Input {
            data: &data,
            channels: 2,
            shape,
        };
        let whole = run(
            &model,
            &spec,
            input,
            &InferOptions {
                method: Method::Whole,
                ..Default::default()
            },
        );
        varied |= whole.iter().any(|&c| c != whole[0]);
        for cuts in [[1, 1], [2, 3], [3, 1], [1, 7]] {
            for planes in [1, 3, 64] {
                let cuts = [cuts[0].min(shape[1]), cuts[1].min(shape[2])];
                let plan = TilePlan {
                    cuts,
                    strips: 1,
                    planes,
                    bytes: 0,
                    overhead: 1.0,
                };
                let Model::MeshNet(net) = &model else {
                    panic!("a MeshNet")
                };
                let tiled = amaes_core::infer::tile::run(net, &plan, input, &device, &mut |_| {
                    ControlFlow::Continue(())
                })
                .expect("inference");
                assert!(
                    differing(&whole, &tiled) <= ties(&whole),
                    "{shape:?}, {cuts:?} cuts, {planes} planes"
                );
            }
        }
    }
    assert!(varied, "the labels must not be constant");
}

/// To a neighbour and from it.
type Link = (Sender<Vec<f32>>, Receiver<Vec<f32>>);

/// A worker that gives rows to its neighbours and waits for theirs.
struct Worker([Option<Link>; 2]);

impl Host for Worker {
    const AWAITS: bool = false;

    async fn progress(&mut self, _: Progress) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    async fn exchange(&mut self, rows: Rows) -> Result<Rows, InferError> {
        let lost = || InferError::Device("the neighbour is gone".into());
        for (side, rows) in self.0.iter().zip(rows) {
            assert_eq!(side.is_some(), rows.is_some());
            if let (Some((give, _)), Some(rows)) = (side, rows) {
                give.send(rows).map_err(|_| lost())?;
            }
        }
        let taken = |side: &Option<Link>| match side {
            Some((_, take)) => take.recv().map(Some).map_err(|_| lost()),
            None => Ok(None),
        };
        Ok([taken(&self.0[0])?, taken(&self.0[1])?])
    }
}

/// A worker without neighbours.
struct Alone;

impl Host for Alone {
    const AWAITS: bool = false;

    async fn progress(&mut self, _: Progress) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// What a run gives that waits for nothing but its neighbours.
fn now<T>(run: impl Future<Output = T>) -> T {
    match pin!(run).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("nothing to wait for"),
    }
}

/// The labels of pieces of which those that belong together have a thread each.
fn by_threads(pieces: &Pieces, (model, spec): (&Model, &Spec), input: Input<'_>) -> Vec<Label> {
    let mut assembly = pieces.assembly(spec);
    for first in (0..pieces.count()).step_by(pieces.together()) {
        let mut workers: Vec<_> = (0..pieces.together())
            .map(|_| Worker([None, None]))
            .collect();
        for i in 1..workers.len() {
            let ((up, from_below), (down, from_above)) = (channel(), channel());
            workers[i - 1].0[1] = Some((down, from_below));
            workers[i].0[0] = Some((up, from_above));
        }
        let outputs: Vec<Output> = std::thread::scope(|scope| {
            let runs = workers.into_iter().enumerate().map(|(i, mut worker)| {
                scope.spawn(move || {
                    let device = Device::flex();
                    // As another program would run it, of its part of the image alone.
                    let (data, shape) = pieces.input(first + i, input);
                    let part = Input {
                        data: &data,
                        shape,
                        ..input
                    };
                    let network = (model, spec);
                    now(pieces.run_part(first + i, part, network, &device, &mut worker))
                        .expect("inference")
                })
            });
            let runs: Vec<_> = runs.collect();
            let ended = runs.into_iter().map(|run| run.join().expect("no panic"));
            ended.collect()
        });
        for output in &outputs {
            assembly.add(output).expect("the piece's output");
        }
    }
    assembly.finish().expect("all pieces").classes
}

#[test]
fn strips_of_workers_give_the_labels_of_the_whole_volume() {
    let device = Device::flex();
    let spec = meshnet(5, &[1, 2, 4, 3, 1]);
    let model = model(&spec, &device);
    let mut most = 0;
    for shape in [[30, 23, 26], [5, 40, 9], [1, 9, 50], [33, 3, 3]] {
        let data = image(2, shape, &device);
        let input = Input {
            data: &data,
            channels: 2,
            shape,
        };
        let whole = run(&model, &spec, input, &InferOptions::default());
        for workers in [2, 3, 16] {
            // Without a limit, and so little that there are columns.
            for memory_limit in [None, Some(shape.iter().product::<usize>() as u64 * 40)] {
                let options = InferOptions {
                    workers,
                    memory_limit,
                    ..Default::default()
                };
                let pieces = match Pieces::plan(&model, &spec, shape, &options) {
                    Err(InferError::Memory { .. }) if memory_limit.is_some() => continue,
                    pieces => pieces.expect("a plan"),
                };
                // The widest layer reads four rows of a neighbour.
                assert!(pieces.together() <= workers.min((shape[1] / 4).max(1)));
                most = most.max(pieces.count() / pieces.together());
                if memory_limit.is_none() {
                    assert_eq!(pieces.together(), workers.min((shape[1] / 4).max(1)));
                }
                let strips = by_threads(&pieces, (&model, &spec), input);
                assert!(
                    differing(&whole, &strips) <= ties(&whole),
                    "{shape:?}, {workers} workers, {memory_limit:?} bytes"
                );
                let alone = now(pieces.run(0, input, (&model, &spec), &device, &mut Alone));
                match pieces.together() {
                    1 => drop(alone.expect("inference")),
                    // No neighbour gives what it asks for.
                    _ => assert!(matches!(alone, Err(InferError::Device(_)))),
                }
            }
        }
    }
    assert!(most > 1, "no volume was cut into columns");
}

#[test]
fn a_smaller_limit_gives_smaller_tiles_and_too_small_a_limit_an_error() {
    let Spec::MeshNet(config) = meshnet(21, &[1, 2, 4, 8, 16, 8, 4, 2, 1]) else {
        panic!()
    };
    let shape = [256; 3];
    let fit = |memory_limit| {
        let options = InferOptions {
            memory_limit: Some(memory_limit),
            ..Default::default()
        };
        TilePlan::fit(&config, shape, &options, true)
    };
    let (small, large) = (fit(200 << 20).expect("fits"), fit(4 << 30).expect("fits"));
    assert!(small.bytes <= 200 << 20 && large.bytes <= 4 << 30);
    assert!(small.overhead > large.overhead);
    assert_eq!(large.cuts, [1, 1]);
    assert!(matches!(
        fit(1 << 10),
        Err(InferError::Memory { limit: 1024, .. })
    ));
    // Eight workers take hardly more memory than one, and compute no more.
    let shared = InferOptions {
        workers: 8,
        ..Default::default()
    };
    let shared = TilePlan::fit(&config, shape, &shared, true).expect("fits");
    let alone = TilePlan::fit(&config, shape, &InferOptions::default(), true).expect("fits");
    assert_eq!((alone.strips, shared.strips), (1, 8));
    assert!(
        shared.overhead < 1.2 * alone.overhead,
        "{shared:?} {alone:?}"
    );
    // WebGPU's default largest binding.
    let options = InferOptions {
        max_tensor_bytes: 128 << 20,
        ..Default::default()
    };
    TilePlan::fit(&config, shape, &options, false).expect("fits the default limits of WebGPU");
}

#[test]
fn one_window_is_the_whole_volume_and_many_agree_inside() {
    let device = Device::flex();
    let spec = Spec::UNet(UNetConfig {
        filters: 4,
        ..UNetConfig::b(1, 3)
    });
    let model = model(&spec, &device);
    let shape = [30, 20, 17];
    let data = image(1, shape, &device);
    let input = Input {
        data: &data,
        channels: 1,
        shape,
    };
    let whole = run(
        &model,
        &spec,
        input,
        &InferOptions {
            method: Method::Whole,
            ..Default::default()
        },
    );
    let one = run(&model, &spec, input, &InferOptions::default());
    assert_eq!(differing(&whole, &one), 0);
    let window = SlidingWindow {
        patch: [16; 3],
        overlap: 0.0,
        ..Default::default()
    };
    let many = run(
        &model,
        &spec,
        input,
        &InferOptions {
            window,
            ..Default::default()
        },
    );
    assert!(
        differing(&whole, &many) > 0,
        "windows of a network with norm must differ"
    );
}

#[test]
fn what_comes_second_is_that_of_the_scores() {
    let device = Device::flex();
    let spec = Spec::UNet(UNetConfig {
        filters: 4,
        ..UNetConfig::b(1, 5)
    });
    let model = model(&spec, &device);
    // Smaller than a window along one axis.
    let shape = [30, 20, 11];
    let data = image(1, shape, &device);
    let input = Input {
        data: &data,
        channels: 1,
        shape,
    };
    let options = InferOptions {
        window: SlidingWindow {
            patch: [16; 3],
            ..Default::default()
        },
        second: true,
        ..Default::default()
    };
    let go_on = &mut |_| ControlFlow::Continue(());
    let map = class_map(&model, &spec, input, &options, &device, go_on).expect("inference");
    let scores = score_map(&model, &spec, input, &options, &device, go_on).expect("inference");
    assert_eq!(map.second.len(), input.voxels());
    for (i, (&first, second)) in map.classes.iter().zip(&map.second).enumerate() {
        let of = |class: usize| scores[class * input.voxels() + i];
        let mut order: Vec<usize> = (0..5).collect();
        order.sort_by(|&a, &b| of(b).total_cmp(&of(a)));
        let share = 1.0 / (1.0 + f64::from(of(order[0]) - of(order[1])).exp());
        assert!(
            (second.share() - share).abs() < 1e-4,
            "{i}: {share}, {second:?}"
        );
        // Sums of another order may take another of two that are as good as equal.
        let near = |a: usize, b: usize| of(a) - of(b) < 1e-4;
        assert!(
            usize::from(first) == order[0] || near(order[0], order[1]),
            "{i}"
        );
        let is = usize::from(second.label) == order[1];
        assert!(
            is || near(order[0], order[1]) || near(order[1], order[2]),
            "{i}"
        );
    }
    let options = InferOptions {
        second: false,
        ..options
    };
    let without = class_map(&model, &spec, input, &options, &device, go_on).expect("inference");
    assert_eq!((without.classes, without.second.len()), (map.classes, 0));
}

#[test]
fn windows_of_a_network_without_context_are_exact() {
    let device = Device::flex();
    let spec = meshnet(3, &[1]);
    let model = model(&spec, &device);
    let shape = [19, 18, 21];
    let data = image(2, shape, &device);
    let input = Input {
        data: &data,
        channels: 2,
        shape,
    };
    let whole = run(
        &model,
        &spec,
        input,
        &InferOptions {
            method: Method::Whole,
            ..Default::default()
        },
    );
    for (weighting, mirror) in [(Weighting::Gaussian, false), (Weighting::Uniform, false)] {
        let window = SlidingWindow {
            patch: [12; 3],
            overlap: 0.75,
            weighting,
            mirror,
        };
        let options = InferOptions {
            method: Method::Window,
            window,
            ..Default::default()
        };
        let found = run(&model, &spec, input, &options);
        // Only the borders of windows see zeros in place of neighbours.
        let share = differing(&whole, &found) as f64 / whole.len() as f64;
        let most = if weighting == Weighting::Gaussian {
            0.02
        } else {
            0.1
        };
        assert!(share < most, "{weighting:?}: {share}");
    }
}

#[test]
fn mirroring_makes_the_labels_symmetric() {
    let device = Device::flex();
    let spec = Spec::UNet(UNetConfig {
        filters: 4,
        ..UNetConfig::b(1, 3)
    });
    let model = model(&spec, &device);
    let shape = [16; 3];
    let data = image(1, shape, &device);
    let flipped: Vec<f32> = data.iter().rev().copied().collect();
    let window = SlidingWindow {
        mirror: true,
        ..Default::default()
    };
    let options = InferOptions {
        window,
        ..Default::default()
    };
    let a = run(
        &model,
        &spec,
        Input {
            data: &data,
            channels: 1,
            shape,
        },
        &options,
    );
    let mut b = run(
        &model,
        &spec,
        Input {
            data: &flipped,
            channels: 1,
            shape,
        },
        &options,
    );
    b.reverse();
    assert!(differing(&a, &b) <= 2, "{} voxels", differing(&a, &b));
}

#[test]
fn progress_can_cancel() {
    let device = Device::flex();
    let spec = meshnet(3, &[1, 1]);
    let model = model(&spec, &device);
    let data = vec![0.5; 2 * 64];
    let input = Input {
        data: &data,
        channels: 2,
        shape: [4; 3],
    };
    let result = class_map(
        &model,
        &spec,
        input,
        &InferOptions::default(),
        &device,
        &mut |_| ControlFlow::Break(()),
    );
    assert!(matches!(result, Err(InferError::Cancelled)));
}

#[test]
fn images_that_do_not_suit_the_network_are_refused() {
    let device = Device::flex();
    let spec = meshnet(3, &[1]);
    let model = model(&spec, &device);
    let data = vec![0.5; 64];
    let refuse = |channels, shape| {
        let input = Input {
            data: &data,
            channels,
            shape,
        };
        class_map(
            &model,
            &spec,
            input,
            &InferOptions::default(),
            &device,
            &mut |_| ControlFlow::Continue(()),
        )
    };
    assert!(matches!(
        refuse(1, [4; 3]),
        Err(InferError::Channels {
            expected: 2,
            found: 1
        })
    ));
    assert!(matches!(refuse(2, [4; 3]), Err(InferError::Values { .. })));
    assert!(matches!(
        refuse(2, [usize::MAX; 3]),
        Err(InferError::Values { .. })
    ));
}

#[test]
fn half_precision_gives_nearly_the_same_labels() {
    let mut options = InferOptions {
        window: SlidingWindow {
            patch: [32; 3],
            mirror: true,
            ..Default::default()
        },
        precision: Precision::Float16,
        ..Default::default()
    };
    let shape = [40, 33, 32];
    let values = image(2, shape, &Device::flex());
    let input = Input {
        data: &values,
        channels: 2,
        shape,
    };
    let unet = Spec::UNet(UNetConfig {
        filters: 4,
        ..UNetConfig::b(2, 4)
    });
    let refused = class_map(
        &model(&unet, &Device::flex()),
        &unet,
        input,
        &options,
        &Device::flex(),
        &mut |_| ControlFlow::Continue(()),
    );
    let refused = refused.expect_err("a processor").to_string();
    assert!(refused.contains("precision"), "{refused}");

    let device = amaes::device::DeviceKind::Wgpu.open().ok();
    let Some(device) = device.filter(|device| Precision::Float16.is_on(device)) else {
        eprintln!("skipped: no graphics adapter with half precision");
        return;
    };
    let methods = [
        (unet, Method::Window),
        (meshnet(5, &[1, 2, 1]), Method::Tiles),
        (meshnet(5, &[1, 2, 1]), Method::Whole),
    ];
    for (spec, method) in methods {
        let model = model(&spec, &device);
        options.method = method;
        let mut labels = |precision| {
            options.precision = precision;
            run_on(&device, &model, &spec, input, &options)
        };
        let single = labels(Precision::Float32);
        let half = labels(Precision::Float16);
        let differ = differing(&single, &half);
        assert!(single.iter().any(|label| *label != single[0]));
        assert!(
            differ * 50 < single.len(),
            "{method:?}: {differ} of {} differ",
            single.len()
        );
    }
}
