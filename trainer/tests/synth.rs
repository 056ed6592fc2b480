//! Synthetic trees: the same whatever the threads, completed after a kill, refused where they
//! make no sense.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use amaes::synth::{SynthConfig, SynthError, generate};
use amaes::volumes;
use amaes_core::volume::ReadOptions;

fn config(set: &[&str]) -> SynthConfig {
    let mut all = vec!["images.spacing=[4.0,4.0,4.0]", "count=3"];
    all.extend(set);
    let all: Vec<String> = all.into_iter().map(str::to_owned).collect();
    SynthConfig::read(None, &all).expect("a configuration")
}

fn make(config: &SynthConfig, out: &Path, threads: usize) -> amaes::synth::Progress {
    generate(config, out, threads, &AtomicBool::new(false), &|_| {}).expect("made")
}

/// Every file of a tree with its bytes.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).expect("within").to_owned();
                found.insert(name, fs::read(&path).expect("a file"));
            }
        }
    }
    found
}

#[test]
fn trees_do_not_depend_on_threads_and_are_completed() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config(&[
        "images.contrasts=[\"T1w\",\"T1ce\",\"FLAIR\",\"dwi\",\"random\"]",
        "lesions.kinds=[\"tumour\",\"stroke\",\"wmh\"]",
        "sites=[\"a\",\"d\"]",
    ]);
    let (one, three) = (folder.path().join("one"), folder.path().join("three"));
    let done = make(&config, &one, 1);
    assert_eq!((done.made, done.present, done.is_complete()), (3, 0, true));
    make(&config, &three, 3);
    let whole = files(&one);
    assert!(whole == files(&three), "threads change a tree");
    for name in [
        "dataset_description.json",
        "participants.tsv",
        "sub-0002/anat/sub-0002_T1w.nii.gz",
        "sub-0002/anat/sub-0002_ce-gadolinium_T1w.json",
        "sub-0002/dwi/sub-0002_dwi.bval",
        "derivatives/labels/desc-lesion_dseg.tsv",
        "derivatives/labels/sub-0003/anat/sub-0003_desc-tissue_dseg.nii.gz",
        "derivatives/labels/sub-0003/anat/sub-0003_desc-lesion_dseg.nii.gz",
    ] {
        assert!(whole.contains_key(Path::new(name)), "{name}");
    }
    // A subject that is gone and one that was not finished are made again, the third is kept.
    fs::remove_dir_all(three.join("sub-0002")).expect("removed");
    fs::remove_file(three.join("derivatives/labels/sub-0001/sub-0001_subject.json"))
        .expect("removed");
    fs::remove_file(three.join("participants.tsv")).expect("removed");
    let done = make(&config, &three, 2);
    assert_eq!((done.made, done.present), (2, 1));
    assert!(whole == files(&three), "a completed tree differs");
    // More subjects of the same configuration leave the first as they are.
    let more = SynthConfig {
        count: 4,
        ..config.clone()
    };
    assert_eq!(make(&more, &three, 2).made, 1);
    let other = SynthConfig { seed: 9, ..config };
    let refused = generate(&other, &three, 1, &AtomicBool::new(false), &|_| {});
    assert!(
        matches!(refused, Err(SynthError::Tree { .. })),
        "{refused:?}"
    );
    assert_eq!(
        fs::read(one.join("sub-0001/anat/sub-0001_T1w.nii.gz")).expect("read"),
        whole[Path::new("sub-0001/anat/sub-0001_T1w.nii.gz")]
    );
}

#[test]
fn a_stopped_run_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let (config, stop, seen) = (config(&[]), AtomicBool::new(false), AtomicU64::new(0));
    let out = folder.path().join("tree");
    let done = generate(&config, &out, 1, &stop, &|p| {
        seen.store(p.made, Ordering::Relaxed);
        stop.store(true, Ordering::Relaxed);
    });
    let done = done.expect("stopped");
    assert_eq!(
        (done.made, done.is_complete(), seen.into_inner()),
        (1, false, 1)
    );
    let done = make(&config, &out, 1);
    assert_eq!((done.made, done.present), (2, 1));
    let table = fs::read_to_string(out.join("participants.tsv")).expect("a table");
    assert_eq!(table.lines().count(), 4, "{table}");
}

#[test]
fn images_labels_and_sidecars_fit_each_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path();
    let config = config(&[
        "sites=[\"c\"]",
        "lesions.kinds=[\"wmh\"]",
        "lesions.none=0.5",
        "seed=3",
        "count=6",
    ]);
    make(&config, out, 2);
    let table = fs::read_to_string(out.join("participants.tsv")).expect("a table");
    let mut kinds = BTreeMap::new();
    for line in table.lines().skip(1) {
        let cells: Vec<&str> = line.split('\t').collect();
        *kinds.entry(cells[4].to_owned()).or_insert(0) += 1;
        let name = cells[0];
        let anat = out.join("derivatives/labels").join(name).join("anat");
        let read = |path: PathBuf| {
            volumes::read_label_map(&path, &ReadOptions::default())
                .expect("labels")
                .0
        };
        let tissue = read(anat.join(format!("{name}_desc-tissue_dseg.nii.gz")));
        let lesion = read(anat.join(format!("{name}_desc-lesion_dseg.nii.gz")));
        let image = out.join(name).join(format!("anat/{name}_T1w.nii.gz"));
        let (image, _) = volumes::read(&image, &ReadOptions::default()).expect("an image");
        assert_eq!(
            (image.grid(), tissue.grid()),
            (lesion.grid(), lesion.grid())
        );
        assert_eq!(image.grid().shape, [44, 52, 44]);
        let marked = lesion.data().iter().filter(|&&l| l > 0).count();
        let volume: f64 = cells[6].parse().expect("a volume");
        assert!((marked as f64 * 0.064 - volume).abs() < 1e-3, "{line}");
        assert_eq!(marked > 0, cells[4] == "wmh", "{line}");
        let sidecar = fs::read(out.join(name).join(format!("anat/{name}_T1w.json"))).expect("read");
        let sidecar: serde_json::Value = serde_json::from_slice(&sidecar).expect("JSON");
        assert_eq!(sidecar["MagneticFieldStrength"], 1.5);
        assert_eq!(sidecar["Manufacturer"], "GE");
        assert_eq!(sidecar["RepetitionTime"], 0.022);
    }
    assert_eq!(kinds.values().sum::<i32>(), 6);
    assert_eq!(kinds.len(), 2, "{kinds:?}");
}

#[test]
fn one_image_a_subject_of_label_maps_and_phantoms() {
    let folder = tempfile::tempdir().expect("a folder");
    let phantoms = config(&["images.contrasts=[\"T1w\"]"]);
    let first = folder.path().join("phantoms");
    make(&phantoms, &first, 2);
    // The labels of phantoms are FreeSurfer's, so that they are label maps too.
    let map = first.join("derivatives/labels/sub-0001/anat/sub-0001_desc-tissue_dseg.nii.gz");
    let mixed = config(&[
        "images.one_of={random=1.0,T2w=1.0,FLAIR=0.0}",
        &format!("labels.path={:?}", map.display().to_string()),
        "labels.phantoms=0.5",
        "count=16",
    ]);
    let out = folder.path().join("mixed");
    make(&mixed, &out, 2);
    let table = fs::read_to_string(out.join("participants.tsv")).expect("a table");
    let of_maps = table.lines().filter(|line| line.contains("dseg")).count();
    assert!((3..=13).contains(&of_maps), "{table}");
    let mut contrasts = BTreeMap::new();
    for n in 1..=16 {
        let anat = out.join(format!("sub-{n:04}/anat"));
        assert_eq!(fs::read_dir(&anat).expect("a folder").count(), 2, "{n}");
        assert!(
            anat.join(format!("sub-{n:04}_acq-any_T1w.nii.gz"))
                .is_file()
        );
        let sidecar = fs::read(anat.join(format!("sub-{n:04}_acq-any_T1w.json"))).expect("read");
        let sidecar: serde_json::Value = serde_json::from_slice(&sidecar).expect("JSON");
        let contrast = sidecar["SeriesDescription"].as_str().expect("a name");
        *contrasts.entry(contrast.to_owned()).or_insert(0) += 1;
    }
    assert_eq!(contrasts.keys().collect::<Vec<_>>(), ["T2w", "random"]);
    assert!(contrasts.values().all(|&n| n >= 3), "{contrasts:?}");
    // Nothing is missing.
    assert_eq!(make(&mixed, &out, 1).present, 16);
}

#[test]
fn bad_configurations_name_the_field() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = format!("labels.path={:?}", folder.path().join("no.nii.gz"));
    for (set, named) in [
        ("count=0", "count"),
        ("cuont=3", "cuont"),
        ("sites=[\"z\"]", "`z` is neither one of a, b"),
        ("images.contrasts=[\"T3w\"]", "T3w"),
        ("images.contrasts=[\"T1w\",\"T1w\"]", "twice"),
        ("images.spacing=[0.0,1.0,1.0]", "images"),
        ("images.shape=[0,10,10]", "images"),
        ("lesions.kinds=[\"cyst\"]", "cyst"),
        ("lesions.none=1.5", "lesions.none"),
        ("images.one_of={T1w=-1.0}", "images.one_of"),
        ("images.one_of={T1w=0.0}", "images.one_of"),
        ("images.one_of={T3w=1.0}", "T3w"),
        ("labels.phantoms=2.0", "labels.phantoms"),
        ("labels.tissues={x=\"white\"}", "`x` is no label"),
        ("labels.tissues={1=\"wood\"}", "wood"),
        ("site.a.noise=9.0", "noise is 9"),
        ("site.a.base=\"q\"", "`q` is no preset"),
        ("site.a.colour=1", "colour"),
    ] {
        let error = SynthConfig::read(None, &[set.to_owned()]).expect_err(set);
        assert!(error.to_string().contains(named), "{set}: {error}");
    }
    let config = SynthConfig::read(None, &[missing]).expect("a configuration");
    let out = folder.path().join("out");
    let error = generate(&config, &out, 1, &AtomicBool::new(false), &|_| {});
    let error = error.expect_err("no label map").to_string();
    assert!(error.contains("no.nii.gz") && !out.exists(), "{error}");
    fs::create_dir(&out).expect("made");
    fs::write(out.join("thesis.txt"), "mine").expect("written");
    let config = SynthConfig::read(None, &[]).expect("a configuration");
    let error = generate(&config, &out, 1, &AtomicBool::new(false), &|_| {});
    assert!(
        error
            .expect_err("taken")
            .to_string()
            .contains("other files")
    );
    assert!(fs::read_dir(&out).expect("listed").count() == 1);
}

#[test]
fn sites_of_ones_own_change_a_preset() {
    let set = |text: &str| SynthConfig::read(None, &["sites=[\"mine\"]".into(), text.into()]);
    let config =
        set("site.mine={base=\"c\",tesla=7.0,contrasts={T1w={pixel=0.7}}}").expect("a site");
    let (name, site) = config.sites().expect("sites").remove(0);
    assert_eq!(
        (name.as_str(), site.tesla, site.model.as_str()),
        ("mine", 7.0, "Signa HDxt")
    );
    let t1 = site.contrasts[&amaes_core::synth::Contrast::T1w];
    assert_eq!((t1.pixel, t1.thickness), (0.7, 1.2));
    let text = config.to_toml().expect("TOML");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("synth.toml");
    fs::write(&path, text).expect("written");
    assert_eq!(
        SynthConfig::read(Some(&path), &[]).expect("reads back"),
        config
    );
}

#[test]
fn label_maps_that_others_made_are_imaged() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/labels/t1_crop.model18cls.nii.gz");
    if !path.is_file() {
        eprintln!(
            "label_maps_that_others_made_are_imaged: skipped, no {}",
            path.display()
        );
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let set = [
        format!("labels.path={:?}", path.display().to_string()),
        "images.contrasts=[\"random\"]".into(),
        "images.spacing=[2.0,2.0,2.0]".into(),
        "count=2".into(),
    ];
    let config = SynthConfig::read(None, &set).expect("a configuration");
    make(&config, folder.path(), 2);
    let labels = folder
        .path()
        .join("derivatives/labels/sub-0002/anat/sub-0002_desc-tissue_dseg.nii.gz");
    let (labels, _) = volumes::read_label_map(&labels, &ReadOptions::default()).expect("labels");
    let (source, _) = volumes::read_label_map(&path, &ReadOptions::default()).expect("labels");
    let count = |volume: &amaes_core::volume::Volume<u16>, label| {
        let voxels = volume.data().iter().filter(|&&l| l == label).count();
        voxels as f64 * volume.grid().voxel_volume()
    };
    // Deformed, but of about the same size.
    for label in [1, 2, 3] {
        let ratio = count(&labels, label) / count(&source, label);
        assert!((0.6..1.6).contains(&ratio), "{label}: {ratio}");
    }
    // Greys are told apart: classes differ more than voxels within them.
    let image = folder
        .path()
        .join("sub-0002/anat/sub-0002_acq-random_T1w.nii.gz");
    let (image, _) = volumes::read(&image, &ReadOptions::default()).expect("an image");
    assert_eq!(image.grid(), labels.grid());
    // Without `random`, labels that FreeSurfer does not know have to be explained.
    let set = [
        set[0].clone(),
        "images.spacing=[4.0,4.0,4.0]".into(),
        "count=1".into(),
    ];
    let config = SynthConfig::read(None, &set).expect("a configuration");
    let out = folder.path().join("t1");
    let error = generate(&config, &out, 1, &AtomicBool::new(false), &|_| {});
    let error = error.expect_err("no tissue").to_string();
    assert!(
        error.contains("[labels.tissues]") && error.contains("model18cls"),
        "{error}"
    );
}
