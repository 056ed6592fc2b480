//! `amaes evaluate` end to end: files against files, a model against a dataset, two models against
//! each other.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use amaes::evaluate::{Comparison, Evaluation, Metric};
use amaes::volumes::{self, Voxels};
use amaes_core::label::{Label, LabelTable};
use amaes_core::model::{MeshNetConfig, MeshNetLayer, Spec};
use amaes_core::nn::Activation;
use amaes_core::preprocess::{Normalization, Plan, Step};
use amaes_core::volume::{Affine, Grid, Header, Orientation, Volume};
use amaes_core::weights::{Hints, ModelFile, Precision, Provenance, collect};
use burn::tensor::{Device, TensorData};
use tempfile::TempDir;

const SHAPE: [usize; 3] = [24, 20, 12];

fn amaes(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_amaes"));
    let output = command.arg("evaluate").args(args).stdin(Stdio::null());
    output.output().expect("amaes starts")
}

fn ok(args: &[&str]) -> String {
    let output = amaes(args);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {error}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn fails(args: &[&str], names: &[&str]) {
    let output = amaes(args);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.starts_with("error: "), "{error}");
    for name in names {
        assert!(error.contains(name), "`{error}` does not say `{name}`");
    }
}

fn grid() -> Grid {
    // Left-handed, 1 x 1.5 x 3 mm.
    let affine = Affine([
        [-1.0, 0.0, 0.0, 12.0],
        [0.0, 1.5, 0.0, -15.0],
        [0.0, 0.0, 3.0, -18.0],
    ]);
    Grid {
        shape: SHAPE,
        affine,
    }
}

/// A box of label 1 with a smaller one of label 2 in it, `shift` voxels along x.
fn labels(shift: usize) -> Volume<Label> {
    let inside = |p: [usize; 3], low: [usize; 3], high: [usize; 3]| {
        (0..3).all(|a| (low[a]..high[a]).contains(&p[a]))
    };
    let value = |i: usize| {
        let p = [i % 24, i / 24 % 20, i / 480];
        match (
            inside(p, [4 + shift, 5, 3], [12 + shift, 13, 9]),
            inside(p, [6 + shift, 7, 5], [9 + shift, 10, 7]),
        ) {
            (_, true) => 2,
            (true, false) => 1,
            _ => 0,
        }
    };
    let data = (0..grid().voxels()).map(value).collect();
    Volume::new(grid(), data).expect("one value a voxel")
}

fn save(path: &Path, labels: &Volume<Label>) {
    let header = Header::new(labels.grid());
    volumes::write(path, &header, Voxels::Labels(labels)).expect("written");
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

    /// A BIDS tree of six subjects at two sites with references, and predictions that are `shift`
    /// voxels off for the first subject and less for the others.
    fn predictions(&self, name: &str, shift: usize) {
        for i in 0..6 {
            let subject = format!("sub-0{i}");
            let reference = format!("tree/derivatives/labels/{subject}/anat/{subject}_desc-lesion");
            save(&self.path(&format!("{reference}_dseg.nii.gz")), &labels(0));
            let moved = labels(shift.saturating_sub(i));
            save(
                &self.path(&format!("{name}/{subject}_desc-T1w_dseg.nii")),
                &moved,
            );
        }
        let sites = "participant_id\tsite\nsub-00\ta\nsub-01\ta\nsub-02\ta\nsub-03\tb\nsub-04\tb\n\
                     sub-05\tb\n";
        fs::write(self.path("tree/participants.tsv"), sites).expect("written");
    }

    fn read(&self, name: &str) -> Evaluation {
        Evaluation::read(&self.path(name)).expect("an evaluation")
    }
}

#[test]
fn folders_are_scored_described_and_compared() {
    let folder = Folder::new();
    folder.predictions("good", 2);
    folder.predictions("bad", 6);
    let references = folder.text("tree/derivatives/labels");
    let (good, bad) = (folder.text("good"), folder.text("bad"));
    let (a, b) = (folder.text("a"), folder.text("b"));
    let common = ["--reference", &references, "--regions", "whole=1,2"];
    let labels = ["--labels", "1=rim", "2", "--tolerance", "1.5"];
    let of = |prediction: &str, output: &str, more: &[&str]| {
        let files = ["--prediction", prediction, "--output", output];
        ok(&[&files[..], &common, &labels, more].concat())
    };
    of(&good, &a, &["--name", "good <b>"]);
    let table = of(&bad, &b, &["--against", &folder.text("a/evaluation.json")]);
    assert!(
        table.contains("rim (1)") && table.contains("Wilcoxon"),
        "{table}"
    );

    let found = folder.read("a");
    assert_eq!(found.cases.len(), 6);
    assert_eq!(found.keys(), ["1", "2", "whole", "mean"]);
    let case = &found.cases[0];
    assert_eq!(
        (case.id.as_str(), case.site.as_deref()),
        ("sub-00", Some("a"))
    );
    // Two of eight columns are off.
    assert_eq!(case.get("whole", Metric::Dice), Some(0.75));
    // Two voxels of 1 mm.
    assert_eq!(case.get("whole", Metric::HausdorffMm), Some(2.0));
    assert_eq!(case.labels["whole"].reference_mm3, 8.0 * 8.0 * 6.0 * 4.5);
    let whole = found.overall("whole", Metric::Dice).expect("described");
    let values = whole.values.expect("values");
    assert_eq!((values.n, whole.absent, whole.one_sided), (6, 0, 0));
    let expected = (0.75 + 0.875 + 4.0) / 6.0;
    assert!((values.mean - expected).abs() < 1e-12);
    let [low, high] = whole.interval.expect("an interval");
    assert!(low < values.mean && values.mean < high && low >= 0.75 && high <= 1.0);
    let sites: Vec<_> = found.summary.iter().map(|s| s.site.as_deref()).collect();
    assert!(sites.contains(&Some("a")) && sites.contains(&Some("b")));

    let text = |name: &str| fs::read_to_string(folder.path(name)).expect("a file");
    let comparison: Comparison = serde_json::from_str(&text("b/comparison.json")).expect("JSON");
    let row = comparison.row("whole", Metric::Dice).expect("a row");
    assert!(row.test.mean_difference < 0.0 && row.test.n == 6);
    // All six subjects are worse: 2 of 2^6 sign flips are as far.
    assert_eq!(row.test.wilcoxon_p, 0.03125);
    assert_eq!(row.wilcoxon_holm, 0.09375);

    let scores = text("a/scores.csv");
    assert!(
        scores.contains("sub-00,sub-00,a,whole,whole,dice,0.75\n"),
        "{scores}"
    );
    assert!(
        scores.contains("sub-05,sub-05,b,1,rim (1),hd95_mm,0\n"),
        "{scores}"
    );
    let summary = text("a/summary.csv");
    assert!(
        summary
            .lines()
            .any(|l| l.starts_with("mean,mean of labels,b,nsd,3,")),
        "{summary}"
    );

    // The page loads nothing, and names in it are text.
    let page = text("b/report.html");
    assert_eq!(page.matches("data:image/png;base64,").count(), 3);
    assert!(page.contains("bad against good &lt;b&gt;"), "{page}");
    for bad in ["<script", "http://", "https://", "@import", "url("] {
        assert!(!page.contains(bad), "{bad}");
    }
    assert_eq!(
        page.matches("src=").count(),
        page.matches("src=\"data:").count()
    );

    // Again, the same to the byte.
    let before = text("b/evaluation.json") + &page;
    of(&bad, &b, &["--against", &folder.text("a")]);
    assert_eq!(text("b/evaluation.json") + &text("b/report.html"), before);
}

#[test]
fn what_is_empty_is_counted_apart() {
    let folder = Folder::new();
    let nothing = Volume::new(grid(), vec![0; grid().voxels()]).expect("one value a voxel");
    let some = labels(0);
    for (name, prediction, reference) in [
        ("a", &some, &some),
        ("b", &nothing, &some),
        ("c", &some, &nothing),
        ("d", &nothing, &nothing),
    ] {
        save(&folder.path(&format!("p/{name}.nii")), prediction);
        save(&folder.path(&format!("r/{name}.nii")), reference);
    }
    let (p, r, out) = (folder.text("p"), folder.text("r"), folder.text("out"));
    ok(&[
        "--prediction",
        &p,
        "--reference",
        &r,
        "--output",
        &out,
        "--quiet",
    ]);
    let found = folder.read("out");
    let of = |metric| found.overall("1", metric).expect("described");
    let dice = of(Metric::Dice);
    assert_eq!(
        (dice.values.expect("values").mean, dice.absent),
        (1.0 / 3.0, 1)
    );
    let hd95 = of(Metric::Hd95Mm);
    assert_eq!(hd95.values.expect("values").n, 1);
    assert_eq!((hd95.absent, hd95.one_sided), (1, 2));
    let sensitivity = of(Metric::Sensitivity);
    assert_eq!(sensitivity.values.expect("values").mean, 0.5);
    assert_eq!(sensitivity.one_sided, 1);
    assert!(found.cases[3].labels["1"].is_absent());
    let page = fs::read_to_string(folder.path("out/report.html")).expect("a page");
    assert!(page.contains("1 with neither reference nor prediction, 2 with only one"));
}

#[test]
fn other_grids_are_refused_or_resampled() {
    let folder = Folder::new();
    let reference = labels(0);
    // The same labels in another orientation, which is another grid.
    let turned = reference.reoriented(Orientation::RAS).expect("a grid");
    let (p, r, out) = (
        folder.text("p.nii"),
        folder.text("r.nii"),
        folder.text("out"),
    );
    save(&folder.path("p.nii"), &turned);
    save(&folder.path("r.nii"), &reference);
    let args = ["--prediction", &p, "--reference", &r, "--output", &out];
    fails(&args, &["p.nii", "r.nii", "another grid"]);
    assert!(!folder.path("out").exists());
    ok(&[&args[..], &["--resample"]].concat());
    assert_eq!(
        folder.read("out").cases[0].get("2", Metric::Dice),
        Some(1.0)
    );

    fails(
        &[&args[..], &["--tolerance=-1"]].concat(),
        &["--tolerance", "-1"],
    );
    fails(
        &[&args[..], &["--regions", "1=2"]].concat(),
        &["--regions", "`1`"],
    );
    let nowhere = folder.text("nowhere.json");
    fails(
        &[&args[..], &["--against", &nowhere]].concat(),
        &["nowhere.json"],
    );
    let other = [
        "--prediction",
        &p,
        "--reference",
        &nowhere,
        "--output",
        &out,
    ];
    fails(&other, &["nowhere.json", "no such file"]);
}

/// A network that calls bright voxels 1.
fn model(path: &Path, source: &str) {
    let spec = Spec::MeshNet(MeshNetConfig {
        in_channels: 1,
        out_channels: 2,
        layers: vec![MeshNetLayer {
            channels: 1,
            dilation: 1,
        }],
        activation: Activation::Relu,
        norm: false,
        bias: true,
    });
    let network = spec.init(&Device::flex()).expect("a network");
    let mut state = collect(&network).expect("weights");
    let mut set = |key: &str, values: Vec<f32>| {
        let shape = state.shape(key).expect("a parameter").to_vec();
        state.replace(key, TensorData::new(values, shape));
    };
    let mut centre = vec![0.0; 27];
    centre[13] = 1.0;
    set("convs.0.weight", centre);
    set("convs.0.bias", vec![0.0]);
    set("convs.1.weight", vec![0.0, 1.0]);
    set("convs.1.bias", vec![0.5, 0.0]);
    let file = ModelFile {
        spec,
        plan: Plan {
            steps: vec![Step::Normalize(Normalization::MinMax)],
        },
        labels: LabelTable::generic(2),
        hints: Hints::default(),
        provenance: Provenance::new(source),
        state,
    };
    let mut bytes = Vec::new();
    file.write(&mut bytes, Precision::Full).expect("written");
    fs::write(path, bytes).expect("written");
}

#[test]
fn a_model_is_scored_on_a_part_of_a_dataset_and_goes_on() {
    let folder = Folder::new();
    let raw = folder.path("raw");
    for (i, shift) in [0, 1, 3].into_iter().enumerate() {
        let bright = labels(shift).map(|&l| if l > 0 { 200.0f32 } else { 10.0 });
        let image = raw.join(format!("imagesTr/case{i}_0000.nii.gz"));
        volumes::write(&image, &Header::new(bright.grid()), Voxels::Real(&bright))
            .expect("written");
        let wanted = labels(0).map(|&l| Label::from(l > 0));
        save(&raw.join(format!("labelsTr/case{i}.nii.gz")), &wanted);
    }
    let description = r#"{"channel_names": {"0": "T1"}, "labels": {"background": 0, "lesion": 1},
        "numTraining": 3, "file_ending": ".nii.gz"}"#;
    fs::write(raw.join("dataset.json"), description).expect("written");
    let data = format!(
        "[data]\nlayout = \"nnunet\"\npath = {:?}\n",
        raw.display().to_string()
    );
    fs::write(folder.path("task.toml"), data).expect("written");
    let split = r#"{"train": ["case1"], "validation": [], "test": ["case0", "case2"]}"#;
    fs::write(folder.path("split.json"), split).expect("written");
    model(&folder.path("m.amaes"), "a test");
    let (m, data) = (folder.text("m.amaes"), folder.text("task.toml"));
    let (split, out) = (folder.text("split.json"), folder.text("out"));
    let args = [
        "--model", &m, "--data", &data, "--split", &split, "--output", &out,
    ];
    let table = ok(&args);
    assert!(table.contains("lesion (1)"), "{table}");
    let found = folder.read("out");
    let ids: Vec<&str> = found.cases.iter().map(|c| c.id.as_str()).collect();
    assert_eq!(ids, ["case0", "case2"]);
    assert_eq!(found.cases[0].get("1", Metric::Dice), Some(1.0));
    assert_eq!(found.cases[1].get("1", Metric::Dice), Some(5.0 / 8.0));
    let page = fs::read_to_string(folder.path("out/report.html")).expect("a page");
    assert!(page.contains("<h1>m</h1>"), "{page}");

    // A prediction that is there is kept: this one says that nothing is found.
    let nothing = Volume::new(grid(), vec![0; grid().voxels()]).expect("one value a voxel");
    save(&folder.path("out/predictions/case2.nii.gz"), &nothing);
    ok(&args);
    assert_eq!(
        folder.read("out").cases[1].get("1", Metric::Dice),
        Some(0.0)
    );
    // Those of another model or of other settings are not mixed with them.
    fails(
        &[&args[..], &["--mirror"]].concat(),
        &["predictions", "other settings"],
    );
    model(&folder.path("n.amaes"), "another");
    let n = folder.text("n.amaes");
    let other = [
        "--model", &n, "--data", &data, "--split", &split, "--output", &out,
    ];
    fails(&other, &["predictions", "another model"]);
    let missing = folder.text("missing.json");
    let args = [
        "--model", &m, "--data", &data, "--split", &missing, "--output", &out,
    ];
    fails(&args, &["missing.json"]);
    fs::write(
        folder.path("missing.json"),
        r#"{"train":[],"validation":[],"test":["x"]}"#,
    )
    .expect("written");
    fails(&args, &["missing.json", "`x`"]);
}
