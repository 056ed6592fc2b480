//! The command line end to end, on images and weights that the tests make.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use amaes_core::label::LabelTable;
use amaes_core::model::{MeshNetConfig, MeshNetLayer, Spec};
use amaes_core::nn::Activation;
use amaes_core::preprocess::{Normalization, Plan, Step};
use amaes_core::volume::{
    Affine, Grid, Header, Orientation, ReadOptions, Volume, WriteOptions, read_labels, read_raw,
    read_volume, write_volume,
};
use amaes_core::weights::{Hints, ModelFile, Precision, Provenance, collect};
use burn::tensor::Device;
use tempfile::TempDir;

const SHAPE: [usize; 3] = [20, 17, 13];
/// Oblique, anisotropic, left-handed.
const AFFINE: Affine = Affine([
    [-1.5, 0.1, 0.0, 30.0],
    [0.1, 1.2, -0.2, -20.0],
    [0.0, 0.2, 2.0, 7.0],
]);

fn amaes(args: &[&str]) -> Output {
    command(args).output().expect("amaes starts")
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_amaes"));
    command.args(args).stdin(Stdio::null());
    command
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "so that a call can stand in place"
)]
fn ok(output: Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {error}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The one line of an error, which must name what it is about.
#[expect(
    clippy::needless_pass_by_value,
    reason = "so that a call can stand in place"
)]
fn fails(output: Output, names: &[&str]) {
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.starts_with("error: "), "{error}");
    assert!(!error.contains("panicked"), "{error}");
    for name in names {
        assert!(error.contains(name), "`{error}` does not say `{name}`");
    }
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(&path, bytes).expect("written");
        path.display().to_string()
    }

    fn image(&self, name: &str) -> String {
        self.write(name, &image_bytes(name.ends_with(".gz")))
    }

    /// A network that calls bright voxels 7 and dark ones background.
    fn model(&self, name: &str) -> String {
        let spec = Spec::MeshNet(MeshNetConfig {
            in_channels: 1,
            out_channels: 2,
            layers: vec![MeshNetLayer {
                channels: 1,
                dilation: 2,
            }],
            activation: Activation::Relu,
            norm: false,
            bias: true,
        });
        let device = Device::flex();
        let mut state = collect(&spec.init(&device).expect("a network")).expect("weights");
        let mut set = |key: &str, values: Vec<f32>| {
            let shape = state.shape(key).expect("a parameter").to_vec();
            state.replace(key, burn::tensor::TensorData::new(values, shape));
        };
        let mut centre = vec![0.0; 27];
        centre[13] = 1.0;
        set("convs.0.weight", centre);
        set("convs.0.bias", vec![0.0]);
        set("convs.1.weight", vec![0.0, 1.0]);
        set("convs.1.bias", vec![0.5, 0.0]);
        let mut labels = LabelTable::generic(2);
        labels.0[1].value = 7;
        labels.0[1].name = "bright".into();
        let file = ModelFile {
            spec,
            plan: Plan {
                steps: vec![
                    Step::Reorient {
                        to: Orientation::RAS,
                    },
                    Step::Normalize(Normalization::MinMax),
                ],
            },
            labels,
            hints: Hints::default(),
            provenance: Provenance::new("a test"),
            state,
        };
        let mut bytes = Vec::new();
        file.write(&mut bytes, Precision::Full).expect("written");
        self.write(name, &bytes)
    }
}

/// A bright ellipsoid on a dark ground.
fn image() -> Volume<f32> {
    let [nx, ny, nz] = SHAPE;
    let mut data = Vec::new();
    for k in 0..nz {
        for j in 0..ny {
            for i in 0..nx {
                let d = [(i, nx), (j, ny), (k, nz)]
                    .map(|(i, n)| ((i as f32 + 0.3) / n as f32 - 0.5).powi(2));
                data.push(if d.iter().sum::<f32>() < 0.1 {
                    900.0 + i as f32
                } else {
                    j as f32
                });
            }
        }
    }
    Volume::new(
        Grid {
            shape: SHAPE,
            affine: AFFINE,
        },
        data,
    )
    .expect("a volume")
}

fn image_bytes(gzip: bool) -> Vec<u8> {
    let image = image();
    let mut bytes = Vec::new();
    let options = if gzip {
        WriteOptions::GZIP
    } else {
        WriteOptions::PLAIN
    };
    write_volume(&mut bytes, &Header::new(image.grid()), &image, &options).expect("written");
    bytes
}

fn check_labels(path: &Path) {
    let bytes = fs::read(path).expect("a result");
    let (labels, header) = read_labels(&bytes[..], &ReadOptions::default()).expect("labels");
    let source = image_bytes(false);
    let (image, source) = read_volume(&source[..], &ReadOptions::default()).expect("the image");
    assert_eq!(header.affine(), source.affine());
    for (label, value) in labels.data().iter().zip(image.data()) {
        assert_eq!(*label, if *value > 500.0 { 7 } else { 0 });
    }
}

#[test]
fn one_image_is_segmented_in_register() {
    let folder = Folder::new();
    let (model, input) = (folder.model("m.amaes"), folder.image("brain.nii.gz"));
    let output = folder.text("out/seg.nii.gz");
    let args = [
        "segment",
        "-m",
        &model,
        "-i",
        &input,
        "-o",
        &output,
        "--statistics",
        "csv",
        "--statistics",
        "json",
    ];
    let text = ok(amaes(&args));
    assert!(text.contains("bright"), "{text}");
    check_labels(&folder.path("out/seg.nii.gz"));
    let csv = fs::read_to_string(folder.path("out/seg.csv")).expect("a table");
    assert!(
        csv.lines().nth(1).expect("a row").starts_with("7,bright,"),
        "{csv}"
    );
    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.path("out/seg.json")).expect("JSON"))
            .expect("JSON");
    let volume = json["labels"][0]["volume_ml"].as_f64().expect("a volume");
    let voxels = json["labels"][0]["voxels"].as_f64().expect("a count");
    assert!((volume - voxels * AFFINE.determinant().abs() / 1000.0).abs() < 1e-3 * volume);
}

#[test]
fn folders_and_bids_trees_are_segmented_and_resumed() {
    let folder = Folder::new();
    let model = folder.model("m.amaes");
    folder.image("bids/sub-01/anat/sub-01_T1w.nii.gz");
    folder.image("bids/sub-02/anat/sub-02_T1w.nii.gz");
    folder.write("bids/dataset_description.json", b"{}");
    let (input, output) = (folder.text("bids"), folder.text("derived"));
    let args = [
        "segment", "-m", &model, "-i", &input, "-o", &output, "--json",
    ];
    let report: serde_json::Value = serde_json::from_str(&ok(amaes(&args))).expect("JSON");
    assert_eq!(report["cases"].as_array().map(Vec::len), Some(2));
    let first = "derived/sub-01/anat/sub-01_desc-T1w_dseg.nii.gz";
    check_labels(&folder.path(first));
    assert!(folder.path("derived/dataset_description.json").is_file());

    fs::remove_file(folder.path(first)).expect("removed");
    let again = [&args[..], &["--skip-existing"]].concat();
    let report: serde_json::Value = serde_json::from_str(&ok(amaes(&again))).expect("JSON");
    assert_eq!(report["cases"][0]["status"], "done");
    assert_eq!(report["cases"][1]["status"], "skipped");
}

#[test]
fn a_broken_image_among_several_does_not_stop_the_others() {
    let folder = Folder::new();
    let model = folder.model("m.amaes");
    folder.write("in/a.nii", b"not a volume");
    folder.image("in/b.nii");
    let (input, output) = (folder.text("in"), folder.text("out"));
    let result = amaes(&["segment", "-m", &model, "-i", &input, "-o", &output]);
    assert_eq!(result.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&result.stderr).contains("a.nii"));
    check_labels(&folder.path("out/b_seg.nii.gz"));
    assert!(!folder.path("out/a_seg.nii.gz").exists());
}

#[test]
fn standard_input_and_output_carry_volumes() {
    let folder = Folder::new();
    let model = folder.model("m.amaes");
    let mut child = command(&["segment", "-m", &model, "-i", "-", "-o", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("amaes starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(&image_bytes(true)).expect("written");
    drop(stdin);
    let output = child.wait_with_output().expect("ends");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    fs::write(folder.path("piped.nii.gz"), &output.stdout).expect("written");
    check_labels(&folder.path("piped.nii.gz"));
}

#[test]
fn a_memory_limit_gives_the_same_labels_or_an_error() {
    let folder = Folder::new();
    let (model, input) = (folder.model("m.amaes"), folder.image("brain.nii"));
    let output = folder.text("seg.nii");
    ok(amaes(&[
        "segment",
        "-m",
        &model,
        "-i",
        &input,
        "-o",
        &output,
        "--memory-limit",
        "50MiB",
    ]));
    check_labels(&folder.path("seg.nii"));
    let bad = amaes(&[
        "segment",
        "-m",
        &model,
        "-i",
        &input,
        "-o",
        &output,
        "--memory-limit",
        "lots",
    ]);
    assert_eq!(bad.status.code(), Some(2));
}

#[test]
fn import_makes_a_model_that_segments_and_is_inspected() {
    let folder = Folder::new();
    let (model, input) = (folder.model("m.amaes"), folder.image("brain.nii"));
    let half = folder.text("half.amaes");
    ok(amaes(&[
        "import",
        &model,
        "-o",
        &half,
        "--half",
        "--licence",
        "MIT",
    ]));
    let output = folder.text("seg.nii");
    ok(amaes(&[
        "segment", "-m", &half, "-i", &input, "-o", &output,
    ]));
    check_labels(&folder.path("seg.nii"));
    let refused = amaes(&[
        "segment",
        "-m",
        &half,
        "-i",
        &input,
        "-o",
        &output,
        "--precision",
        "float16",
    ]);
    assert!(!refused.status.success());
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(
        error.contains("--precision float16") && error.contains("`flex`"),
        "{error}"
    );
    let text = ok(amaes(&["inspect", &half, "--keys"]));
    for part in ["MeshNet", "MIT", "bright", "convs.0.weight"] {
        assert!(text.contains(part), "{text}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&ok(amaes(&["inspect", &half, "--json"]))).expect("JSON");
    assert_eq!(json["spec"]["network"], "meshnet");
}

#[test]
fn channels_are_repeated_on_request() {
    let folder = Folder::new();
    let model = folder.model("m.amaes");
    let two = folder.text("two.amaes");
    ok(amaes(&["import", &model, "-o", &two, "--channels", "2"]));
    folder.image("a.nii");
    folder.image("b.nii");
    let both = format!("{},{}", folder.text("a.nii"), folder.text("b.nii"));
    let output = folder.text("seg.nii");
    ok(amaes(&["segment", "-m", &two, "-i", &both, "-o", &output]));
    check_labels(&folder.path("seg.nii"));
    let one = folder.text("a.nii");
    fails(
        amaes(&["segment", "-m", &two, "-i", &one, "-o", &output]),
        &["a.nii", "2 channel"],
    );
}

#[test]
fn volumes_are_converted_conformed_and_described() {
    let folder = Folder::new();
    let input = folder.image("brain.nii.gz");
    let ras = folder.text("ras.nii");
    ok(amaes(&["convert", &input, &ras, "--orientation", "RAS"]));
    let info: serde_json::Value =
        serde_json::from_str(&ok(amaes(&["info", &ras, "--statistics", "--json"]))).expect("JSON");
    assert_eq!(info[0]["orientation"], "RAS");
    assert_eq!(info[0]["datatype"], "float32");
    let back = folder.text("back.nii");
    ok(amaes(&["convert", &ras, &back, "--orientation", "LAS"]));
    let read = |p: &str| {
        let bytes = fs::read(p).expect("a file");
        read_raw(&bytes[..], &ReadOptions::default())
            .expect("a volume")
            .0
    };
    let plain = folder.image("plain.nii");
    assert_eq!(read(&back), read(&plain));

    let conformed = folder.text("conformed.nii.gz");
    ok(amaes(&["conform", &input, &conformed]));
    let text = ok(amaes(&["info", &conformed]));
    for part in ["256 x 256 x 256", "LIA", "uint8", "1 x 1 x 1 mm"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn errors_name_the_file_and_what_is_wrong() {
    let folder = Folder::new();
    let (model, input) = (folder.model("m.amaes"), folder.image("brain.nii.gz"));
    let output = folder.text("seg.nii.gz");
    let segment =
        |model: &str, input: &str| amaes(&["segment", "-m", model, "-i", input, "-o", &output]);

    let whole = image_bytes(true);
    let cut = folder.write("cut.nii.gz", &whole[..whole.len() / 2]);
    fails(segment(&model, &cut), &["cut.nii.gz"]);
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0xff;
    let flipped = folder.write("flipped.nii.gz", &flipped);
    fails(segment(&model, &flipped), &["flipped.nii.gz"]);
    let text = folder.write("text.nii", b"hello");
    fails(segment(&model, &text), &["text.nii"]);
    fails(
        segment(&model, &folder.text("nowhere.nii")),
        &["nowhere.nii", "no such file"],
    );

    // The number of dimensions, then extents of 2^15 each.
    let mut bomb = image_bytes(false);
    for i in 0..3 {
        bomb[42 + 2 * i..44 + 2 * i].copy_from_slice(&0x7fff_i16.to_le_bytes());
    }
    let bomb = folder.write("bomb.nii", &bomb);
    fails(segment(&model, &bomb), &["bomb.nii", "voxels"]);
    let mut four = image_bytes(false);
    four[40..42].copy_from_slice(&4_i16.to_le_bytes());
    four[48..50].copy_from_slice(&3_i16.to_le_bytes());
    let four = folder.write("four.nii", &four);
    fails(segment(&model, &four), &["four.nii"]);
    let mut colour = image_bytes(false);
    colour[70..72].copy_from_slice(&128_i16.to_le_bytes());
    let colour = folder.write("colour.nii", &colour);
    fails(segment(&model, &colour), &["colour.nii", "datatype"]);
    let mut nan = image_bytes(false);
    nan[400..404].copy_from_slice(&f32::NAN.to_le_bytes());
    let nan = folder.write("nan.nii", &nan);
    fails(segment(&model, &nan), &["nan.nii"]);
    let mut singular = image_bytes(false);
    singular[280..328].fill(0);
    let singular = folder.write("singular.nii", &singular);
    fails(segment(&model, &singular), &["singular.nii", "affine"]);

    let bytes = fs::read(&model).expect("the model");
    let cut = folder.write("cut.amaes", &bytes[..bytes.len() - 3]);
    fails(segment(&cut, &input), &["cut.amaes"]);
    let mut flipped = bytes.clone();
    *flipped.last_mut().expect("bytes") ^= 1;
    let flipped = folder.write("flipped.amaes", &flipped);
    fails(segment(&flipped, &input), &["flipped.amaes"]);
    let other = folder.write("other.amaes", b"PK\x03\x04 no archive");
    fails(segment(&other, &input), &["other.amaes"]);
    assert!(!folder.path("seg.nii.gz").exists());
}

#[test]
fn what_cannot_be_written_is_named_and_the_old_result_stays() {
    let folder = Folder::new();
    let (model, input) = (folder.model("m.amaes"), folder.image("brain.nii.gz"));
    // A file where a folder must be.
    folder.write("file", b"");
    let output = folder.text("file/seg.nii.gz");
    fails(
        amaes(&["segment", "-m", &model, "-i", &input, "-o", &output]),
        &["file"],
    );
    fails(
        amaes(&["segment", "-m", &model, "-i", &input, "-o", &input]),
        &["brain.nii.gz"],
    );
    // A device that is always full.
    if Path::new("/dev/full").exists() {
        let full = fs::File::options()
            .write(true)
            .open("/dev/full")
            .expect("opened");
        let result = command(&["segment", "-m", &model, "-i", &input, "-o", "-"])
            .stdout(full)
            .output()
            .expect("amaes starts");
        fails(result, &["standard output"]);
    }
}

#[test]
fn completions_are_printed() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(ok(amaes(&["completions", shell])).contains("segment"));
    }
}
