//! The browser's side without a browser: files in pieces through a session give what the command
//! gives.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use amaes::segment::{SegmentOptions, Segmenter};
use amaes_core::infer::{Host, InferError, Output, Progress, Rows};
use amaes_core::label::LabelTable;
use amaes_core::model::{MeshNetConfig, MeshNetLayer, Spec, UNetConfig};
use amaes_core::nn::Activation;
use amaes_core::preprocess::{Normalization, Plan, Step};
use amaes_core::volume::{
    Affine, Grid, Header, ReadOptions, Volume, WriteOptions, read_labels, write_labels,
    write_volume,
};
use amaes_core::weights::{Hints, ModelFile, Precision, Provenance, collect};
use amaes_wasm::error::{Error, ErrorKind};
use amaes_wasm::labels::{LabelMap, SurfaceFormat};
use amaes_wasm::model::{Files, Network};
use amaes_wasm::session::{Helper, Options, Session};
use burn::tensor::{Device, Distribution, Tensor};

const SHAPE: [usize; 3] = [24, 20, 22];

fn model_file(device: &Device) -> Vec<u8> {
    written(&mesh_net(), device)
}

fn mesh_net() -> Spec {
    let layers = [1, 2, 1].map(|dilation| MeshNetLayer {
        channels: 4,
        dilation,
    });
    Spec::MeshNet(MeshNetConfig {
        in_channels: 1,
        out_channels: 3,
        layers: layers.to_vec(),
        activation: Activation::Elu,
        norm: false,
        bias: true,
    })
}

fn written(spec: &Spec, device: &Device) -> Vec<u8> {
    device.seed(3);
    let state = collect(&spec.init(device).expect("a network")).expect("its weights");
    let file = ModelFile {
        spec: spec.clone(),
        plan: Plan {
            steps: vec![Step::Normalize(Normalization::Quantile {
                low: 0.5,
                high: 0.51,
                clip: false,
                epsilon: 0.0,
            })],
        },
        labels: LabelTable::generic(3),
        hints: Hints::default(),
        provenance: Provenance::new("test"),
        state,
    };
    let mut bytes = Vec::new();
    file.write(&mut bytes, Precision::Full).expect("memory");
    bytes
}

fn image(device: &Device) -> Vec<u8> {
    let [x, y, z] = SHAPE;
    let noise = Tensor::<3>::random([x, y, z], Distribution::Uniform(-5.0, 50.0), device);
    let grid = Grid {
        shape: SHAPE,
        affine: Affine([[2., 0., 0., -9.], [0., 0., 1., 4.], [0., -1., 0., 7.]]),
    };
    let header = Header::new(&grid);
    let data = noise.into_data().iter::<f32>().collect();
    let volume = Volume::new(grid, data).expect("as many values");
    let mut bytes = Vec::new();
    write_volume(&mut bytes, &header, &volume, &WriteOptions::GZIP).expect("memory");
    bytes
}

/// Rows on their way from one piece to another.
type Link = Rc<RefCell<VecDeque<Vec<f32>>>>;

/// Counts calls; stops after some of them.
struct Counting<'a> {
    calls: &'a RefCell<usize>,
    most: usize,
    /// To and from the pieces before and after this one.
    neighbours: [Option<(Link, Link)>; 2],
}

impl Host for Counting<'_> {
    const AWAITS: bool = true;

    async fn progress(&mut self, _: Progress) -> ControlFlow<()> {
        *self.calls.borrow_mut() += 1;
        match *self.calls.borrow() < self.most {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    }

    async fn exchange(&mut self, rows: Rows) -> Result<Rows, InferError> {
        let mut theirs = [None, None];
        for (side, rows) in self.neighbours.iter().zip(rows) {
            if let Some((to, _)) = side {
                to.borrow_mut().push_back(rows.expect("a neighbour's"));
            }
        }
        for (side, theirs) in self.neighbours.iter().zip(&mut theirs) {
            if let Some((_, from)) = side {
                let come = |_: &mut Context<'_>| match from.borrow_mut().pop_front() {
                    Some(rows) => Poll::Ready(rows),
                    None => Poll::Pending,
                };
                *theirs = Some(poll_fn(come).await);
            }
        }
        Ok(theirs)
    }
}

/// Runs all pieces: of those that belong together, and of others two, the first here and the rest
/// by `helper`, where there is one.
fn shared(
    session: &mut Session,
    most: usize,
    workers: usize,
    helper: Option<&Helper>,
) -> Result<usize, Error> {
    let calls = RefCell::new(0);
    let count = session.plan(workers)?;
    let together = session.together()?;
    let at_once = if helper.is_some() { together.max(2) } else { 1 };
    for first in (0..count).step_by(at_once) {
        let mut before = None;
        let mut runs = Vec::new();
        for piece in first..(first + at_once).min(count) {
            let last = piece + 1 == first + together || together == 1;
            let after = (!last).then(|| (Link::default(), Link::default()));
            let mut host = Counting {
                calls: &calls,
                most,
                neighbours: [before.take(), after.clone()],
            };
            before = after.map(|(to, from)| (from, to));
            let session = &*session;
            let run: Pin<Box<dyn Future<Output = Result<Output, Error>> + '_>> =
                Box::pin(async move {
                    match helper.filter(|_| piece > first) {
                        Some(helper) => {
                            let (values, shape) = session.piece_input(piece)?;
                            helper.run(piece, &values, shape, &mut host).await
                        }
                        None => session.run_piece(piece, &mut host).await,
                    }
                });
            runs.push((run, None));
        }
        for _ in 0..10_000 {
            for (run, output) in runs.iter_mut().filter(|(_, output)| output.is_none()) {
                let polled = run.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                if let Poll::Ready(given) = polled {
                    *output = Some(given?);
                }
            }
            if runs.iter().all(|(_, output)| output.is_some()) {
                break;
            }
        }
        for (_, output) in runs {
            session.add(&output.expect("no piece waits for ever"))?;
        }
    }
    session.assemble()?;
    Ok(calls.into_inner())
}

fn run(session: &mut Session, most: usize) -> Result<usize, Error> {
    shared(session, most, 1, None)
}

fn open(bytes: Vec<u8>, device: &Device) -> Result<Rc<Network>, Error> {
    let files: Files = [("test.amaes".to_owned(), bytes)].into();
    Network::open(files, device).map(Rc::new)
}

fn kind<T>(result: Result<T, Error>) -> ErrorKind {
    match result {
        Ok(_) => panic!("no error"),
        Err(error) => {
            assert!(!error.hint.is_empty() && !error.message.is_empty());
            error.kind
        }
    }
}

#[test]
fn a_session_gives_what_the_command_gives() {
    let device = Device::flex();
    let (model, image) = (model_file(&device), image(&device));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("image.nii.gz");
    std::fs::write(&path, &image).expect("written");
    let file = ModelFile::read(model.clone()).expect("a model");
    let segmenter = Segmenter::new(&file, &path, &device, SegmentOptions::default());
    let mut go_on = |_| ControlFlow::Continue(());
    let theirs = segmenter
        .and_then(|s| s.segment(std::slice::from_ref(&path), &mut go_on))
        .expect("a segmentation");

    let network = open(model, &device).expect("a model");
    for size in [1000, 1 << 20] {
        let mut session = Session::new(Rc::clone(&network), device.clone(), Options::default());
        for piece in image.chunks(size) {
            session.push(piece).expect("good bytes");
        }
        session.end_channel().expect("a good image");
        assert!(run(&mut session, usize::MAX).expect("labels") > 0);
        for piece in image.chunks(size) {
            session.push(piece).expect("good bytes");
        }
        assert_eq!(session.measure().expect("a report"), theirs.report);
        let file = session.native_file().expect("a file");
        let (labels, header) = read_labels(&file[..], &ReadOptions::default()).expect("labels");
        assert_eq!(labels.data(), theirs.labels.data());
        assert!(labels.data().iter().any(|&l| l != labels.data()[0]));
        assert_eq!(header.affine(), theirs.header.affine());
        assert_eq!(session.prepared_file().expect("a file"), file);
    }
}

#[test]
fn pieces_may_run_elsewhere() {
    let device = Device::flex();
    let image = image(&device);
    let unet = Spec::UNet(UNetConfig {
        filters: 4,
        ..UNetConfig::b(1, 3)
    });
    for spec in [mesh_net(), unet] {
        let network = open(written(&spec, &device), &device).expect("a model");
        let file = |workers: usize| {
            let options = Options {
                patch: Some([16; 3]),
                ..Options::default()
            };
            let mut session = Session::new(Rc::clone(&network), device.clone(), options.clone());
            session.push(&image).expect("good bytes");
            session.end_channel().expect("a good image");
            let network = Rc::clone(&network);
            let helper = Helper::new(network, device.clone(), &options, SHAPE, workers);
            let helper = helper.expect("a plan");
            if workers > 1 {
                // Begun, and given up: a helper was lost.
                session.plan(workers).expect("a plan");
            }
            let helper = (workers > 1).then_some(&helper);
            shared(&mut session, usize::MAX, workers, helper).expect("labels");
            session.native_file().expect("a file")
        };
        let alone = file(1);
        assert_eq!(alone, file(2), "{}", spec.name());
        assert_eq!(alone, file(5), "{}", spec.name());
    }
}

#[test]
fn label_maps_are_measured_compared_and_meshed() {
    let grid = Grid {
        shape: [6, 5, 4],
        affine: Affine([[2., 0., 0., -9.], [0., 0., 1., 4.], [0., -1., 0., 7.]]),
    };
    let file = |grid: &Grid, labels: Vec<u16>| {
        let volume = Volume::new(grid.clone(), labels).expect("as many values");
        let mut bytes = Vec::new();
        let options = WriteOptions::GZIP;
        write_labels(&mut bytes, &Header::new(grid), &volume, &options).expect("memory");
        bytes
    };
    let first: Vec<u16> = (0..120).map(|i| u16::from(i % 6 < 2) * 3).collect();
    let second: Vec<u16> = (0..120).map(|i| u16::from(i % 6 < 3) * 3).collect();
    let mut a = LabelMap::read(&file(&grid, first)).expect("labels");
    let b = LabelMap::read(&file(&grid, second)).expect("labels");
    let overlap = a.compare(&b).expect("one grid");
    assert_eq!((overlap.len(), overlap[0].value), (1, 3));
    assert_eq!(overlap[0].dice, 2.0 * 40.0 / (40.0 + 60.0));

    let report = a.measure(&LabelTable::generic(4)).expect("a report");
    assert_eq!(report.labels[2].voxels, 40);
    assert_eq!(report.labels[2].volume_ml, 0.08);
    let stl = a.surface(3, SurfaceFormat::Stl, 0).expect("a surface");
    let count = u32::from_le_bytes([stl[80], stl[81], stl[82], stl[83]]);
    assert_eq!(stl.len(), 84 + 50 * count as usize);
    let ply = a.surface(3, SurfaceFormat::Ply, 5).expect("a surface");
    assert!(ply.starts_with(b"ply\nformat binary_little_endian 1.0\n"));
    assert_eq!(kind(a.surface(1, SurfaceFormat::Ply, 0)), ErrorKind::Option);

    let mut moved = grid.clone();
    moved.affine.0[0][3] += 1.0;
    let moved = LabelMap::read(&file(&moved, vec![3; 120])).expect("labels");
    assert_eq!(kind(a.compare(&moved)), ErrorKind::Image);
    assert_eq!(kind(LabelMap::read(b"no volume")), ErrorKind::Volume);
    a.push(&image(&Device::flex())).expect("good bytes");
    assert_eq!(kind(a.measure(&LabelTable::generic(4))), ErrorKind::Image);
}

#[test]
fn errors_say_what_they_are_about() {
    let device = Device::flex();
    let (model, image) = (model_file(&device), image(&device));
    let network = open(model.clone(), &device).expect("a model");
    let session = || Session::new(Rc::clone(&network), device.clone(), Options::default());

    assert_eq!(kind(session().push(&[b'x'; 400])), ErrorKind::Volume);
    let mut short = session();
    short.push(b"no volume").expect("it may go on");
    assert_eq!(kind(short.end_channel()), ErrorKind::Volume);
    assert_eq!(kind(session().end_channel()), ErrorKind::Volume);
    assert_eq!(kind(run(&mut session(), 9)), ErrorKind::Order);
    assert_eq!(kind(session().native_file()), ErrorKind::Order);
    assert_eq!(kind(session().measure()), ErrorKind::Order);
    let mut cut = session();
    cut.push(&image[..image.len() / 2]).expect("good so far");
    assert_eq!(kind(cut.end_channel()), ErrorKind::Volume);

    let ready = |channels: usize| {
        let mut session = session();
        for _ in 0..channels {
            session.push(&image).expect("good bytes");
            session.end_channel().expect("a good image");
        }
        session
    };
    assert_eq!(kind(run(&mut ready(1), 1)), ErrorKind::Cancelled);
    assert_eq!(kind(run(&mut ready(2), 9)), ErrorKind::Image);
    let options = Options {
        memory_limit: Some(1),
        ..Options::default()
    };
    let mut small = Session::new(Rc::clone(&network), device.clone(), options);
    small.push(&image).expect("good bytes");
    small.end_channel().expect("a good image");
    assert_eq!(kind(run(&mut small, 9)), ErrorKind::Memory);

    assert_eq!(kind(Options::parse("{\"patches\": 3}")), ErrorKind::Option);
    let parsed = Options::parse("{\"maxBufferBytes\": 7, \"cleaning\": {\"keep\": \"largest\"}}");
    assert_eq!(parsed.expect("options").max_buffer_bytes, Some(7));
    let mut damaged = model;
    let at = damaged.len() - 3;
    damaged[at] ^= 1;
    assert_eq!(kind(open(damaged, &device)), ErrorKind::Model);
    assert_eq!(kind(open(b"weights".to_vec(), &device)), ErrorKind::Model);
    assert_eq!(kind(Network::open(Files::new(), &device)), ErrorKind::Model);
}

#[test]
fn models_of_several_files_are_found() {
    let device = Device::flex();
    let header = br#"{"convs.0.weight":{"dtype":"F32","shape":[1,1,3,3,3],"data_offsets":[0,108]},"convs.0.bias":{"dtype":"F32","shape":[1],"data_offsets":[108,112]},"convs.1.weight":{"dtype":"F32","shape":[2,1,1,1,1],"data_offsets":[112,120]},"convs.1.bias":{"dtype":"F32","shape":[2],"data_offsets":[120,128]}}"#;
    let mut weights = (header.len() as u64).to_le_bytes().to_vec();
    weights.extend(header);
    weights.extend((0..32).flat_map(|v| (v as f32).to_le_bytes()));
    let spec = br#"{"in_channels":1,"out_channels":2,"layers":[{"channels":1,"dilation":4}],"activation":"elu","norm":false,"bias":true}"#;
    let colours = br#"{"R":[0,9],"G":[0,8],"B":[0,7],"labels":["nothing","thing"]}"#;
    let files = |names: &[(&str, &[u8])]| -> Files {
        let owned = |(n, b): &(&str, &[u8])| ((*n).to_owned(), b.to_vec());
        names.iter().map(owned).collect()
    };
    let all = [
        ("w.safetensors", &weights[..]),
        ("spec.json", &spec[..]),
        ("colormap.json", &colours[..]),
    ];
    let network = Network::open(files(&all), &device).expect("a model");
    let info = network.info().expect("JSON");
    assert_eq!(info["spec"]["layers"][0]["dilation"], 4, "{info}");
    assert_eq!(info["labels"][1]["name"], "thing");
    assert_eq!(info["parameters"], 32);
    let two = [all[0], ("other.pth", &weights[..]), all[1]];
    assert_eq!(kind(Network::open(files(&two), &device)), ErrorKind::Model);
}
