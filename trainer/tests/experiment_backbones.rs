//! A small experiment over kinds of backbones and of pretraining, to its table with time and
//! memory.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use amaes::device::DeviceKind;
use amaes::experiment::{Plan, Report, Runner};

const MATRIX: &str = r#"
folder = "FOLDER"
seeds = [1]

[synth.healthy]
count = 4
sites = ["a"]
images = { spacing = [6.0, 6.0, 6.0], contrasts = ["FLAIR"] }

[synth.stroke]
seed = 2
count = 4
sites = ["a"]
images = { spacing = [6.0, 6.0, 6.0], contrasts = ["FLAIR"] }
lesions.kinds = ["stroke"]

[corpus.small]
input = "@healthy"
spacing = 6.0

[pretrain]
data = { store = "@small", validation = 0.0, threads = 1 }
patch = { size = [64, 32, 32], batch = 2 }
training = { steps = 2, lr = 1e-3 }
output = { validate_every = 0, picture_every = 0, tensorboard = false }

[segment]
overlap = 0.0

[finetune]
data = { path = "@stroke", channels = ["FLAIR"], labels.desc = "lesion" }
split = { test = 0.5, validation = 0.0 }
model.plan = "@small"
patch = { size = [64, 32, 32], batch = 1 }
training = { steps = 1, lr = 1e-3 }
loader.threads = 1
output = { validate_every = 0, picture_every = 0, tensorboard = false }

[tasks.stroke]

[[grid]]
backbones = [{ backbone = "unet-b", filters = 2 }, { backbone = "mednext-s", filters = 2 }]
pretraining = ["none", "amaes"]

[[grid]]
backbones = [{ backbone = "swinunetr", filters = 3 }]
pretraining = ["none", "amaes", "swinunetr"]

[[grid]]
kind = "ablation"
backbones = [{ backbone = "unet-b", filters = 2 }, { backbone = "mednext-s", filters = 2 }]
pretraining = ["none", "amaes"]

[[grid]]
kind = "ablation"
backbones = [{ backbone = "swinunetr", filters = 3 }]
pretraining = ["none", "amaes", "swinunetr"]
"#;

fn plan(folder: &Path, matrix: &str) -> Result<Plan, String> {
    let path = folder.join("matrix.toml");
    let out = folder.join("out").display().to_string();
    fs::write(&path, matrix.replace("FOLDER", &out)).expect("written");
    Plan::read(&path).map_err(|e| e.to_string())
}

#[test]
fn backbones_and_pretrainings_end_in_a_table_with_time_and_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = plan(folder.path(), MATRIX).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((plan.pretrainings.len(), plan.cells.len()), (4, 7));

    let device = DeviceKind::Flex.open().expect("the processor");
    let stop = AtomicBool::new(false);
    let cells: Vec<usize> = (0..plan.cells.len()).collect();
    let mut told = Vec::new();
    let summary = Runner::new(&plan, device, &stop, &mut |_, event| told.push(event))
        .run(&cells)
        .expect("the folder can be written");
    assert_eq!((summary.done, summary.failed), (7, 0), "{told:?}");

    let report = Report::of(&plan).expect("a report");
    let table = report.comparison.as_ref().expect("a table");
    let ablation = report.ablation.as_ref().expect("a table");
    let expected = [
        ("unet-b-f2", "none"),
        ("unet-b-f2", "AMAES"),
        ("mednext-s-f2", "none"),
        ("mednext-s-f2", "AMAES"),
        ("swinunetr-f3", "none"),
        ("swinunetr-f3", "AMAES"),
        ("swinunetr-f3", "SwinUNETR pretraining"),
    ];
    let rows: Vec<(&str, &str)> = table
        .rows
        .iter()
        .map(|r| (r.row.backbone.as_str(), r.title.as_str()))
        .collect();
    assert_eq!(rows, expected);
    for row in &table.rows {
        let entries = row.entries.iter().map(|e| e.as_ref().expect("a number"));
        assert!(entries.clone().count() == 1 && entries.into_iter().all(|e| e.complete()));
    }
    let rows: Vec<(&str, &str)> = ablation
        .rows
        .iter()
        .map(|r| (r.row.backbone.as_str(), r.title.as_str()))
        .collect();
    assert_eq!(rows, expected);
    for row in &ablation.rows {
        assert_eq!(row.cost.is_some(), row.title != "none");
        for cost in row.cost.iter().chain([&row.finetuning]) {
            assert!(cost.step_s.is_some_and(|s| s > 0.0), "{row:?}");
            assert!(cost.hours.is_some_and(|h| h > 0.0), "{row:?}");
            assert!(cost.memory_mib.is_some_and(|m| m > 0.0), "{row:?}");
        }
    }
    let parameters = |n: usize| ablation.rows[n].cost.and_then(|c| c.parameters);
    assert_ne!(parameters(5), parameters(6), "another decoder, and heads");
    let markdown = report.markdown();
    assert!(markdown.contains("SwinUNETR pretraining") && !markdown.contains("missing"));
}

#[test]
fn a_backbone_without_the_heads_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let matrix = MATRIX.replacen("[\"none\", \"amaes\"]", "[\"none\", \"swinunetr\"]", 1);
    let error = plan(folder.path(), &matrix).expect_err("a U-Net has no such heads");
    let names = ["unet-b-f2.swinunetr", "pretext.kind", "swinunetr-v2"];
    assert!(names.iter().all(|n| error.contains(n)), "{error}");
}
