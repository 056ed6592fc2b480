//! A small experiment from nothing to its report: made, prepared, pretrained, finetuned, tested.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use amaes::device::DeviceKind;
use amaes::evaluate::Evaluation;
use amaes::experiment::{Event, Plan, Report, Runner, State, Summary, Unit};
use amaes::store::Store;

const MATRIX: &str = r#"
folder = "FOLDER"
seeds = [1]

[synth.healthy]
count = 6
sites = ["a", "b"]
images.spacing = [6.0, 6.0, 6.0]

[synth.stroke]
seed = 2
count = 12
sites = ["a", "b"]
images.spacing = [6.0, 6.0, 6.0]
images.contrasts = ["FLAIR"]
lesions.kinds = ["stroke"]

[corpus.small]
input = "@healthy"
spacing = 6.0

[pretrain]
data = { store = "@small", validation = 0.2, threads = 1 }
model.filters = 2
patch = { size = [32, 32, 32], batch = 2 }
training = { steps = 4, lr = 1e-3 }
output = { checkpoint_every = 2, validate_every = 0, picture_every = 0, tensorboard = false }

[finetune]
data = { path = "@stroke", channels = ["FLAIR"], labels.desc = "lesion", sites = ["a"] }
split = { test = 0.3, validation = 0.0 }
model.plan = "@small"
patch = { size = [32, 32, 32], batch = 2 }
training = { steps = 4, lr = 1e-3 }
loader.threads = 1
output = { checkpoint_every = 2, validate_every = 0, picture_every = 0, tensorboard = false }

[tasks.stroke]
[[tasks.stroke.tests]]
name = "other"
sites = ["b"]

[[grid]]
pretraining = ["none", "amaes"]
labelled = [4]

[[grid]]
kind = "ablation"
pretraining = ["amaes", "skips"]
labelled = [4]
"#;

/// Runs what is left, stopping where `stop_at` says so; what happened, too.
fn run(plan: &Plan, stop_at: &dyn Fn(&Event) -> bool) -> (Summary, Vec<Event>) {
    let device = DeviceKind::Flex.open().expect("the processor");
    let stop = AtomicBool::new(false);
    let mut events = Vec::new();
    let mut show = |_: &Plan, event: Event| {
        if stop_at(&event) {
            stop.store(true, Ordering::Relaxed);
        }
        events.push(event);
    };
    let cells: Vec<usize> = (0..plan.cells.len()).collect();
    let summary = Runner::new(plan, device, &stop, &mut show).run(&cells);
    (summary.expect("the folder can be written"), events)
}

fn evaluation(plan: &Plan, cell: usize, test: usize) -> Evaluation {
    Evaluation::read(&plan.test_folder(cell, test)).expect("an evaluation")
}

/// Every file below a folder with its contents, but for locks.
fn files(folder: &Path) -> BTreeSet<(PathBuf, Vec<u8>)> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => {
                let bytes = fs::read(&path).expect("read");
                found.insert((path, bytes));
            }
        }
    }
    found
}

#[test]
fn an_experiment_is_made_finished_and_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    let path = folder.path().join("matrix.toml");
    fs::write(&path, MATRIX.replace("FOLDER", &out.display().to_string())).expect("written");
    let plan = Plan::read(&path).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(
        (plan.data.len(), plan.pretrainings.len(), plan.cells.len()),
        (3, 2, 3)
    );

    // Stopped in its first pretraining, and gone on with by two processes at once.
    let pretrains = |e: &Event| {
        matches!(
            e,
            Event::Begun {
                unit: Unit::Pretraining(_),
                ..
            }
        )
    };
    let (summary, _) = run(&plan, &pretrains);
    assert!(summary.stopped && summary.failed == 0, "{summary:?}");
    let both = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let done = run(&plan, &|_| false);
                both.lock().expect("no panic").push(done);
            });
        }
    });
    let both = both.into_inner().expect("no panic");
    let total: usize = both.iter().map(|(s, _)| s.done).sum();
    let before: usize = both.iter().map(|(s, _)| s.present).max().expect("two");
    assert_eq!(total + before, 3, "{both:?}");
    assert!(both.iter().all(|(s, _)| s.failed == 0), "{both:?}");
    let began: Vec<Unit> = both
        .iter()
        .flat_map(|(_, events)| events)
        .filter_map(|e| match e {
            Event::Begun { unit, .. } => Some(*unit),
            _ => None,
        })
        .collect();
    let distinct: BTreeSet<Unit> = began.iter().copied().collect();
    assert_eq!(
        distinct.len(),
        began.len(),
        "nothing is done twice: {began:?}"
    );

    let store = Store::open(&plan.pretrainings[0].config.data.store).expect("a store");
    assert_eq!(store.entries().len(), 6);
    for cell in 0..3 {
        assert_eq!(plan.state(Unit::Cell(cell)), State::Done);
        let sizes: Vec<usize> = (0..2)
            .map(|t| evaluation(&plan, cell, t).cases.len())
            .collect();
        // Two of the six subjects of the first site, all six of the other.
        assert_eq!(sizes, [2, 6]);
    }

    // Nothing is left to do.
    let before = files(&out);
    let (summary, events) = run(&plan, &|_| false);
    assert_eq!((summary.present, summary.done, events.len()), (3, 0, 0));
    assert!(before == files(&out), "a second run changes nothing");

    // A cell that is deleted is done again, alone, to the same scores.
    let expected = evaluation(&plan, 1, 1).cases;
    fs::remove_dir_all(plan.finetuning_folder(1)).expect("removed");
    let (summary, events) = run(&plan, &|_| false);
    assert_eq!((summary.present, summary.done), (2, 1));
    let begun = events.iter().filter(|e| matches!(e, Event::Begun { .. }));
    assert_eq!(begun.count(), 1, "{events:?}");
    assert_eq!(evaluation(&plan, 1, 1).cases, expected);

    let report = Report::of(&plan).expect("a report");
    assert_eq!((report.progress.done, report.progress.cells), (3, 3));
    let table = report.comparison.as_ref().expect("a table");
    let rows: Vec<&str> = table
        .rows
        .iter()
        .map(|r| r.row.pretraining.as_str())
        .collect();
    assert_eq!(rows, ["none", "amaes"]);
    let entries = table.rows.iter().flat_map(|r| r.entries.iter().flatten());
    for entry in entries {
        assert!(entry.complete());
        assert!(
            (0.0..=1.0).contains(&entry.mean.expect("a score")),
            "{entry:?}"
        );
    }
    let ablation = report.ablation.as_ref().expect("a table");
    let rows: Vec<&str> = ablation
        .rows
        .iter()
        .map(|r| r.row.pretraining.as_str())
        .collect();
    assert_eq!(rows, ["amaes", "skips"]);
    let costs = ablation
        .rows
        .iter()
        .map(|r| r.cost.expect("a cost").parameters);
    let costs: Vec<Option<u64>> = costs.collect();
    assert!(costs[1] > costs[0], "skips have parameters: {costs:?}");
    assert!(report.compute.pretraining_h > 0.0 && report.compute.tests == 6);
    let written = report.write(&out.join("report")).expect("written");
    assert!(written.iter().all(|p| p.is_file()) && written.len() == 6);
}
