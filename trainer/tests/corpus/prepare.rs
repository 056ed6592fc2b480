//! Preparing corpora: the same store whatever happens on the way.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use amaes::store::{Access, StoreOptions, Writer};
use amaes_core::preprocess::{Plan, Step};
use amaes_core::volume::Volume;
use serde_json::Value;

use super::common::{
    Folder, SHAPE, amaes, bids, command, ended, failed, grid, gzip, image, nifti, rows, shared,
    tar_of, values, write_tree, zip_of,
};

/// Everything in a store but its locks.
fn contents(store: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut out = BTreeMap::new();
    let mut folders = vec![store.to_owned()];
    while let Some(folder) = folders.pop() {
        for item in fs::read_dir(&folder).expect("a folder") {
            let path = item.expect("an item").path();
            let name = path
                .strip_prefix(store)
                .expect("within")
                .display()
                .to_string();
            if path.is_dir() {
                folders.push(path);
            } else if !name.starts_with(".amaes-lock") {
                out.insert(name, fs::read(path).expect("read"));
            }
        }
    }
    out
}

pub(super) fn same(a: &Path, b: &Path) {
    let (a, b) = (contents(a), contents(b));
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    for (name, bytes) in &a {
        assert!(b[name] == *bytes, "{name} differs");
    }
}

fn index(store: &Path) -> Vec<Value> {
    let text = fs::read_to_string(store.join("index.jsonl")).expect("an index");
    text.lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect()
}

fn scan(folder: &Folder, input: &str, catalogue: &str) -> String {
    let (input, catalogue) = (folder.text(input), folder.text(catalogue));
    let args = [
        "corpus",
        "scan",
        &input,
        "--catalogue",
        &catalogue,
        "--source",
        "demo",
        "-q",
    ];
    let code = amaes(&args).status.code();
    assert!(matches!(code, Some(0 | 3)), "{code:?}");
    catalogue
}

fn prepare(catalogue: &str, store: &str, more: &[&str], code: i32) -> Value {
    let mut args = vec!["corpus", "prepare", catalogue, "--out", store, "--json"];
    args.extend(more);
    serde_json::from_str(&ended(&amaes(&args), code)).expect("JSON")
}

/// A folder of `n` images of different sizes.
fn images(folder: &Folder, n: u32) {
    for i in 0..n {
        let shape = [
            SHAPE[0] + i as usize % 5,
            SHAPE[1] + i as usize % 3,
            SHAPE[2] + 4,
        ];
        let bytes = nifti(&grid(shape), values(shape, i), i % 2 == 0);
        let end = if i % 2 == 0 { ".gz" } else { "" };
        folder.write(&format!("ds/{i:03}_T1w.nii{end}"), bytes);
    }
}

#[test]
fn a_store_holds_what_the_plan_makes() {
    let folder = Folder::new();
    write_tree(&folder, "ds", &bids());
    let catalogue = scan(&folder, "ds", "c.sqlite");
    let store = folder.text("store");
    let done = prepare(&catalogue, &store, &[], 0);
    assert_eq!(
        (&done["total"], &done["written"], &done["sealed"]),
        (&2.into(), &2.into(), &2.into())
    );
    let index = index(Path::new(&store));
    let names: Vec<_> = index
        .iter()
        .map(|e| (e["sequence"].as_str(), e["subject"].as_str()))
        .collect();
    assert_eq!(
        names,
        [(Some("FLAIR"), Some("01")), (Some("T1w"), Some("01"))]
    );
    let volume = Volume::new(grid(SHAPE), values(SHAPE, 1)).expect("fits");
    let expected = Plan::reference().apply(volume).expect("prepared").volume;
    let entry = &index[1];
    assert_eq!(entry["source"], "demo");
    assert_eq!(entry["shape"], serde_json::json!(expected.grid().shape));
    let mean =
        expected.data().iter().map(|v| f64::from(*v)).sum::<f64>() / expected.data().len() as f64;
    assert!(
        (entry["mean"].as_f64().expect("a mean") - mean).abs() < 1e-6,
        "{entry}"
    );
    // The way back and the source are written down.
    let id = entry["id"].as_str().expect("a name");
    let text = fs::read_to_string(Path::new(&store).join("volumes").join(id).join("zarr.json"));
    let group: Value = serde_json::from_str(&text.expect("a group")).expect("JSON");
    let amaes = &group["attributes"]["amaes"];
    let sha = rows(
        Path::new(&catalogue),
        &format!("SELECT sha256 FROM volumes WHERE name = '{id}'"),
    );
    assert_eq!(amaes["sha256"], sha[0].as_str());
    assert_eq!(amaes["original"]["shape"], serde_json::json!(SHAPE));
    assert!(amaes["trace"]["steps"].is_array(), "{amaes}");
}

#[test]
fn threads_ranks_and_archives_give_one_store() {
    let folder = Folder::new();
    images(&folder, 14);
    let catalogue = scan(&folder, "ds", "c.sqlite");
    let one = folder.path("one");
    prepare(&catalogue, &folder.text("one"), &["--threads", "1"], 0);
    assert_eq!(index(&one).len(), 14);
    prepare(
        &catalogue,
        &folder.text("four"),
        &["--threads", "4", "--memory", "1MiB"],
        0,
    );
    same(&one, &folder.path("four"));
    // Three ranks at once.
    let ranks: Vec<_> = ["0", "1", "2"]
        .map(|rank| {
            let store = folder.text("ranks");
            let args = [
                "corpus", "prepare", &catalogue, "--out", &store, "--world", "3", "--rank", rank,
                "--json",
            ];
            command(&args)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("starts")
        })
        .into_iter()
        .map(|child| child.wait_with_output().expect("ends"))
        .map(|output| serde_json::from_str::<Value>(&ended(&output, 0)).expect("JSON"))
        .collect();
    let written: u64 = ranks.iter().filter_map(|r| r["written"].as_u64()).sum();
    assert_eq!(written, 14);
    assert!(ranks.iter().any(|r| r["sealed"] == 14), "{ranks:?}");
    same(&one, &folder.path("ranks"));
    // One after the other: the last one seals.
    for (rank, more) in [("1", &[][..]), ("0", &[]), ("2", &["--resume"])] {
        let args = [&["--world", "3", "--rank", rank], more].concat();
        prepare(&catalogue, &folder.text("turns"), &args, 0);
    }
    same(&one, &folder.path("turns"));

    let files: Vec<(String, Vec<u8>)> = fs::read_dir(folder.path("ds"))
        .expect("listed")
        .map(|f| f.expect("a file").path())
        .map(|p| {
            (
                p.file_name()
                    .expect("a name")
                    .to_string_lossy()
                    .into_owned(),
                fs::read(&p).expect("read"),
            )
        })
        .collect();
    let files: BTreeMap<&str, Vec<u8>> =
        files.iter().map(|(n, b)| (n.as_str(), b.clone())).collect();
    for (name, bytes) in [
        ("a.tar", tar_of(&files)),
        ("b.tar.gz", gzip(&tar_of(&files))),
        ("c.zip", zip_of(&files)),
    ] {
        folder.write(name, bytes);
        let catalogue = scan(&folder, name, &format!("{name}.sqlite"));
        let store = format!("{name}.store");
        let done = prepare(&catalogue, &folder.text(&store), &[], 0);
        assert_eq!(done["written"], 14, "{name}");
        same(&one, &folder.path(&store));
        let done = prepare(&catalogue, &folder.text(&store), &["--resume"], 0);
        assert_eq!(
            (&done["written"], &done["present"]),
            (&0.into(), &14.into())
        );
    }
}

#[test]
fn killed_at_any_moment_it_goes_on_to_the_same_store() {
    let folder = Folder::new();
    images(&folder, 60);
    let catalogue = scan(&folder, "ds", "c.sqlite");
    let clock = Instant::now();
    prepare(&catalogue, &folder.text("whole"), &["--threads", "2"], 0);
    let whole = clock.elapsed();
    let store = folder.text("killed");
    let mut left = Vec::new();
    for part in 1..=5 {
        let args = [
            "corpus",
            "prepare",
            &catalogue,
            "--out",
            &store,
            "--resume",
            "--threads",
            "2",
            "-q",
        ];
        let mut child = command(&args)
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        std::thread::sleep(whole * part / 7);
        child.kill().expect("killed");
        child.wait().expect("gone");
        left.push(fs::read_dir(Path::new(&store).join("volumes")).map_or(0, Iterator::count));
    }
    eprintln!("volumes after each kill: {left:?}");
    assert!(left.is_sorted());
    prepare(&catalogue, &store, &["--resume"], 0);
    same(&folder.path("whole"), Path::new(&store));
}

#[test]
#[cfg(unix)]
fn a_full_disk_ends_it_and_it_goes_on_later() {
    let folder = Folder::new();
    // One that fits a file of 16 KiB, and one that does not.
    folder.image("ds/a_T1w.nii.gz", 1);
    let shape = [60, 60, 60];
    folder.write(
        "ds/b_T1w.nii.gz",
        nifti(&grid(shape), values(shape, 2), true),
    );
    let catalogue = scan(&folder, "ds", "c.sqlite");
    let store = folder.text("full");
    let exe = env!("CARGO_BIN_EXE_amaes");
    // A file limit stands for a full disk: the write fails in the same place.
    let script = format!(
        "trap '' XFSZ; ulimit -f 32; exec '{exe}' corpus prepare '{catalogue}' --out '{store}' --threads 1 -q"
    );
    let output = Command::new("sh")
        .arg("-c")
        .arg(script)
        .output()
        .expect("a shell");
    failed(&output, &["full/.tmp-0-b_T1w"]);
    assert!(!Path::new(&store).join("index.jsonl").exists());
    let left: Vec<_> = fs::read_dir(&store)
        .expect("listed")
        .filter_map(|f| f.ok()?.file_name().into_string().ok())
        .filter(|n| n.starts_with(".tmp"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    prepare(&catalogue, &store, &["--resume"], 0);
    prepare(&catalogue, &folder.text("whole"), &[], 0);
    same(&folder.path("whole"), Path::new(&store));
}

#[test]
fn bad_volumes_are_quarantined_and_the_rest_goes_on() {
    let folder = Folder::new();
    images(&folder, 4);
    folder.image("ds/changed_T1w.nii.gz", 50);
    folder.image("ds/gone_T1w.nii.gz", 51);
    folder.image("ds/cut_T1w.nii", 52);
    let catalogue = scan(&folder, "ds", "c.sqlite");
    folder.image("ds/changed_T1w.nii.gz", 99);
    fs::remove_file(folder.path("ds/gone_T1w.nii.gz")).expect("removed");
    folder.write("ds/cut_T1w.nii", &image(52, false)[..9000]);
    let store = folder.text("store");
    let args = ["corpus", "prepare", &catalogue, "--out", &store];
    let output = amaes(&args);
    let text = ended(&output, 3);
    assert!(
        text.contains("4 volumes written") && text.contains("3 quarantined"),
        "{text}"
    );
    let lines = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        lines.contains("changed_T1w.nii.gz: its bytes are not those that were scanned"),
        "{lines}"
    );
    let found: Vec<(String, String)> = fs::read_to_string(folder.path("store/quarantine.jsonl"))
        .expect("a list")
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).expect("JSON"))
        .map(|v| {
            (
                v["path"].as_str().expect("text").into(),
                v["reason"].as_str().expect("text").into(),
            )
        })
        .collect();
    let paths: Vec<_> = found.iter().map(|f| f.0.as_str()).collect();
    assert_eq!(
        paths,
        ["changed_T1w.nii.gz", "cut_T1w.nii", "gone_T1w.nii.gz"]
    );
    assert!(found[1].1.contains("ends after"), "{found:?}");
    let sql = "SELECT count(*), count(quarantined) FROM volumes";
    assert_eq!(rows(Path::new(&catalogue), sql), ["7|3"]);
    // Mended, it is taken in, and nothing is said of it any more.
    folder.image("ds/gone_T1w.nii.gz", 51);
    let done = prepare(&catalogue, &store, &["--resume"], 3);
    assert_eq!(
        (&done["written"], &done["quarantined"], &done["sealed"]),
        (&1.into(), &2.into(), &5.into())
    );
    assert_eq!(rows(Path::new(&catalogue), sql), ["7|2"]);
}

#[test]
fn other_writers_and_other_options_are_refused() {
    let folder = Folder::new();
    images(&folder, 2);
    let catalogue = scan(&folder, "ds", "c.sqlite");
    let store = folder.text("store");
    let run = |more: &[&str]| {
        amaes(&[&["corpus", "prepare", &catalogue, "--out", &store], more].concat())
    };
    let held = Writer::create(
        &folder.path("store"),
        StoreOptions::default(),
        Access::Alone,
    )
    .expect("made");
    failed(&run(&["--resume"]), &["store", "another writer"]);
    drop(held);
    failed(&run(&[]), &["--resume"]);
    failed(
        &run(&["--resume", "--dtype", "float16"]),
        &["dtype", "uint16", "float16"],
    );
    failed(&run(&["--rank", "2", "--world", "2"]), &["--rank 2"]);
    folder.write("plan.json", r#"{"steps": [{"step": "polish"}]}"#);
    failed(
        &run(&["--plan", &folder.text("plan.json")]),
        &["plan.json", "polish"],
    );
    ended(&run(&["--resume"]), 0);
    failed(
        &amaes(&[
            "corpus",
            "prepare",
            &folder.text("nowhere"),
            "--out",
            &store,
        ]),
        &["nowhere", "no such file"],
    );
}

#[test]
fn a_folder_is_scanned_first_and_a_plan_is_used() {
    let folder = Folder::new();
    images(&folder, 3);
    let plan = Plan {
        steps: vec![Step::CropForeground { margin: 1 }],
    };
    folder.write("plan.json", serde_json::to_vec(&plan).expect("JSON"));
    let store = folder.text("store");
    let plan = folder.text("plan.json");
    let done = prepare(
        &folder.text("ds"),
        &store,
        &["--plan", &plan, "--codec", "gzip:1", "--dtype", "float16"],
        0,
    );
    assert_eq!(done["sealed"], 3);
    assert!(folder.path("store.catalogue.sqlite").is_file());
    let root: Value =
        serde_json::from_slice(&fs::read(folder.path("store/zarr.json")).expect("read"))
            .expect("JSON");
    assert_eq!(root["attributes"]["amaes"]["dtype"], "float16");
    assert_eq!(index(&folder.path("store"))[0]["spacing"][2], 2.0);
}

#[test]
fn real_volumes_become_a_store() {
    let Some(mri) = shared("mri") else { return };
    let folder = Folder::new();
    // The smaller half, of every kind.
    for name in [
        "MNI152_T1_2mm",
        "T1_head_ext2",
        "CT_AVM",
        "dwi",
        "fmri",
        "MR_Gd",
    ] {
        let file = format!("{name}.nii.gz");
        folder.write(
            &format!("ds/{file}"),
            fs::read(mri.join(&file)).expect("read"),
        );
    }
    let clock = Instant::now();
    let done = prepare(&folder.text("ds"), &folder.text("store"), &[], 0);
    assert!(clock.elapsed() < Duration::from_secs(120));
    assert_eq!(
        (&done["sealed"], &done["quarantined"]),
        (&3.into(), &0.into())
    );
    for entry in index(&folder.path("store")) {
        assert_eq!(entry["spacing"].as_array().map(Vec::len), Some(3));
        for s in entry["spacing"].as_array().expect("three") {
            assert!((s.as_f64().expect("mm") - 1.0).abs() < 1e-6, "{entry}");
        }
        assert_eq!(
            (entry["min"].as_f64(), entry["max"].as_f64()),
            (Some(0.0), Some(1.0))
        );
    }
}
