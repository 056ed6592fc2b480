//! Labelled datasets as they are on disk: BIDS, nnU-Net's raw folder of both versions, CSV.

use std::fs;
use std::path::Path;

use amaes::labelled::{Dataset, DatasetConfig, Layout, UNLABELLED};
use amaes::volumes::{self, Voxels};
use amaes_core::label::Label;
use amaes_core::volume::{Affine, Grid, Header, Volume};
use tempfile::TempDir;

const SHAPE: [usize; 3] = [4, 3, 2];

fn grid(shape: [usize; 3], shift: f64) -> Grid {
    let mut affine = Affine::IDENTITY;
    affine.0[0][3] = shift;
    Grid { shape, affine }
}

fn image(path: &Path) {
    let grid = grid(SHAPE, 0.0);
    let data = (0..24).map(|v| v as f32).collect();
    let volume = Volume::new(grid, data).expect("as many values as voxels");
    let header = Header::new(volume.grid());
    volumes::write(path, &header, Voxels::Real(&volume)).expect("written");
}

fn label_file(path: &Path, grid: &Grid, value: impl Fn(usize) -> Label) {
    let data = (0..grid.voxels()).map(value).collect();
    let volume = Volume::new(grid.clone(), data).expect("as many values as voxels");
    let header = Header::new(grid);
    volumes::write(path, &header, Voxels::Labels(&volume)).expect("written");
}

fn labels(path: &Path) {
    label_file(path, &grid(SHAPE, 0.0), |v| [0, 1, 2, 4][v % 4]);
}

fn text(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, text).expect("written");
}

fn bids() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |path: &str| folder.path().join(path);
    for subject in ["01", "02", "03"] {
        for suffix in ["T1w", "FLAIR", "ce-gad_T1w"] {
            image(&at(&format!(
                "sub-{subject}/anat/sub-{subject}_{suffix}.nii.gz"
            )));
        }
    }
    image(&at("sub-04/ses-a/anat/sub-04_ses-a_T1w.nii"));
    image(&at("sub-04/ses-a/anat/sub-04_ses-a_FLAIR.nii"));
    for subject in ["01", "02"] {
        for desc in ["lesion", "tissue"] {
            let name = format!("sub-{subject}_desc-{desc}_dseg.nii.gz");
            labels(&at(&format!(
                "derivatives/labels/sub-{subject}/anat/{name}"
            )));
        }
    }
    labels(&at(
        "derivatives/labels/sub-04/ses-a/anat/sub-04_ses-a_desc-lesion_dseg.nii.gz",
    ));
    text(
        &at("derivatives/labels/desc-lesion_dseg.tsv"),
        "index\tname\n1\tcore\n2\toedema\n4\tenhancing\n",
    );
    text(
        &at("participants.tsv"),
        "participant_id\tage\tsite\nsub-01\t40\tnorth\nsub-02\t50\tsouth\nsub-04\tn/a\tn/a\n",
    );
    folder
}

fn bids_config(folder: &TempDir) -> DatasetConfig {
    let mut config = DatasetConfig {
        path: folder.path().to_owned(),
        channels: vec!["T1w".into(), "FLAIR".into()],
        ..DatasetConfig::default()
    };
    config.labels.desc = Some("lesion".into());
    config
}

fn refused(config: &DatasetConfig, parts: &[&str]) {
    let error = Dataset::open(config).expect_err("refused").to_string();
    for part in parts {
        assert!(error.contains(part), "`{error}` does not say `{part}`");
    }
}

#[test]
fn bids_trees_give_subjects_and_sessions() {
    let folder = bids();
    let dataset = Dataset::open(&bids_config(&folder)).expect("a dataset");
    let ids: Vec<&str> = dataset.cases.iter().map(|c| c.id.as_str()).collect();
    assert_eq!(ids, ["sub-01", "sub-02", "sub-04_ses-a"]);
    assert_eq!(dataset.unlabelled, ["sub-03"]);
    assert_eq!(
        dataset.classes,
        ["background", "core", "oedema", "enhancing"]
    );
    let case = dataset.case("sub-02").expect("there");
    assert_eq!(case.site.as_deref(), Some("south"));
    // The plain T1w, not the one with contrast agent.
    assert!(case.channels[0].ends_with("sub-02_T1w.nii.gz"), "{case:?}");
    assert!(
        case.channels[1].ends_with("sub-02_FLAIR.nii.gz"),
        "{case:?}"
    );
    assert_eq!(
        dataset.case("sub-04_ses-a").expect("there").subject,
        "sub-04"
    );
    let (volume, _) = dataset.read_labels(case).expect("labels");
    assert_eq!(&volume.data()[..5], [0, 1, 2, 3, 0]);

    let mut config = bids_config(&folder);
    config.sites = vec!["north".into()];
    let north = Dataset::open(&config).expect("a dataset");
    assert_eq!(north.cases.len(), 1);
    config.channels = vec!["ce-gad_T1w".into()];
    let gad = Dataset::open(&config).expect("a dataset");
    assert!(gad.cases[0].channels[0].ends_with("sub-01_ce-gad_T1w.nii.gz"));
}

#[test]
fn bids_mistakes_are_named() {
    let folder = bids();
    let config = || bids_config(&folder);
    let with = |change: &dyn Fn(&mut DatasetConfig)| {
        let mut config = config();
        change(&mut config);
        config
    };
    refused(
        &with(&|c| c.channels.clear()),
        &["data.channels", "FLAIR, T1w"],
    );
    refused(
        &with(&|c| c.channels = vec!["bold".into()]),
        &["sub-01", "bold"],
    );
    refused(
        &with(&|c| c.labels.desc = None),
        &["data.labels", "desc-tissue"],
    );
    refused(
        &with(&|c| c.sites = vec!["west".into()]),
        &["data.sites", "west"],
    );
    refused(
        &with(&|c| c.labels.derivatives = "derivatives/none".into()),
        &["derivatives/none", "data.labels.derivatives"],
    );
    refused(
        &with(&|c| c.labels.desc = Some("none".into())),
        &["no labelled case"],
    );
    refused(
        &with(&|c| c.labels.desc = Some("tissue".into())),
        &["data.classes"],
    );
    let gone = "sub-02/anat/sub-02_FLAIR.nii.gz";
    fs::remove_file(folder.path().join(gone)).expect("removed");
    refused(&config(), &["sub-02", "FLAIR"]);
}

#[test]
fn label_files_must_suit_their_images() {
    let folder = bids();
    let path = folder
        .path()
        .join("derivatives/labels/sub-01/anat/sub-01_desc-lesion_dseg.nii.gz");
    let dataset = Dataset::open(&bids_config(&folder)).expect("a dataset");
    let refused = |parts: &[&str]| {
        let error = dataset.read_labels(&dataset.cases[0]).expect_err("refused");
        let error = error.to_string();
        assert!(error.contains("sub-01_desc-lesion_dseg.nii.gz"), "{error}");
        for part in parts {
            assert!(error.contains(part), "`{error}` does not say `{part}`");
        }
    };
    label_file(&path, &grid([4, 3, 3], 0.0), |_| 0);
    refused(&["grid", "sub-01_T1w.nii.gz", "[4, 3, 3]"]);
    label_file(&path, &grid(SHAPE, 0.5), |_| 0);
    refused(&["grid", "affine"]);
    label_file(&path, &grid(SHAPE, 1e-3), |_| 0);
    assert!(dataset.read_labels(&dataset.cases[0]).is_ok());
    label_file(&path, &grid(SHAPE, 0.0), |v| v as Label);
    refused(&["5", "4 classes", "map"]);
    let volume = Volume::new(grid(SHAPE, 0.0), vec![0.5_f32; 24]).expect("voxels");
    let header = Header::new(volume.grid());
    volumes::write(&path, &header, Voxels::Real(&volume)).expect("written");
    refused(&["0.5", "not a label"]);
    let whole = volume.map(|_| 1.0_f32);
    volumes::write(&path, &header, Voxels::Real(&whole)).expect("written");
    assert!(
        dataset.read_labels(&dataset.cases[0]).is_ok(),
        "1.0 is a label"
    );

    let mut config = bids_config(&folder);
    label_file(&path, &grid(SHAPE, 0.0), |v| [0, 7, 9][v % 3]);
    config.classes = vec!["rest".into(), "lesion".into()];
    config.map = [("7".to_owned(), 1)].into();
    config.ignore = Some(9);
    let dataset = Dataset::open(&config).expect("a dataset");
    let (volume, _) = dataset.read_labels(&dataset.cases[0]).expect("labels");
    assert_eq!(&volume.data()[..3], [0, 1, UNLABELLED]);
}

fn nnunet(json: &str) -> (TempDir, DatasetConfig) {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |path: &str| folder.path().join(path);
    for case in ["a_01", "a_02"] {
        image(&at(&format!("imagesTr/{case}_0000.nii.gz")));
        image(&at(&format!("imagesTr/{case}_0001.nii.gz")));
        labels(&at(&format!("labelsTr/{case}.nii.gz")));
    }
    text(&at("dataset.json"), json);
    let config = DatasetConfig {
        layout: Layout::Nnunet,
        path: folder.path().to_owned(),
        ..DatasetConfig::default()
    };
    (folder, config)
}

#[test]
fn both_versions_of_nnunet_are_read() {
    let (_first, first) = nnunet(
        r#"{"modality": {"0": "T1", "1": "FLAIR"},
            "labels": {"0": "background", "1": "core", "2": "oedema", "4": "enhancing"},
            "numTraining": 2, "training": [
                {"image": "./imagesTr/a_01.nii.gz", "label": "./labelsTr/a_01.nii.gz"},
                {"image": "./imagesTr/a_02.nii.gz", "label": "./labelsTr/a_02.nii.gz"}]}"#,
    );
    let (_second, second) = nnunet(
        r#"{"channel_names": {"0": "T1", "1": "FLAIR"}, "file_ending": ".nii.gz",
            "labels": {"background": 0, "core": 1, "oedema": 2, "enhancing": 4},
            "numTraining": 2}"#,
    );
    let (_third, third) = nnunet(
        r#"{"channel_names": {"0": "T1", "1": "FLAIR"}, "file_ending": ".nii.gz",
            "labels": {"background": 0, "core": 1, "oedema": 2, "enhancing": 4},
            "dataset": {
              "a_01": {"images": ["imagesTr/a_01_0000.nii.gz", "imagesTr/a_01_0001.nii.gz"],
                       "label": "labelsTr/a_01.nii.gz"},
              "a_02": {"images": ["imagesTr/a_02_0000.nii.gz", "imagesTr/a_02_0001.nii.gz"],
                       "label": "labelsTr/a_02.nii.gz"}}}"#,
    );
    for mut config in [first, second, third] {
        let dataset = Dataset::open(&config).expect("a dataset");
        let ids: Vec<&str> = dataset.cases.iter().map(|c| c.id.as_str()).collect();
        assert_eq!(ids, ["a_01", "a_02"]);
        assert_eq!(dataset.channels, ["T1", "FLAIR"]);
        assert_eq!(
            dataset.classes,
            ["background", "core", "oedema", "enhancing"]
        );
        let (volume, _) = dataset.read_labels(&dataset.cases[1]).expect("labels");
        assert_eq!(&volume.data()[..4], [0, 1, 2, 3]);
        config.channels = vec!["FLAIR".into()];
        let flair = Dataset::open(&config).expect("a dataset");
        assert_eq!(flair.cases[0].channels.len(), 1);
        assert!(flair.cases[0].channels[0].ends_with("imagesTr/a_01_0001.nii.gz"));
        config.channels = vec!["PET".into()];
        refused(
            &config,
            &["dataset.json", "data.channels", "PET", "T1, FLAIR"],
        );
    }
}

#[test]
fn ignored_voxels_and_regions_of_nnunet() {
    let (_folder, config) = nnunet(
        r#"{"channel_names": {"0": "T1", "1": "FLAIR"}, "file_ending": ".nii.gz",
            "labels": {"background": 0, "core": 1, "oedema": 2, "ignore": 4}}"#,
    );
    let dataset = Dataset::open(&config).expect("a dataset");
    assert_eq!(dataset.classes, ["background", "core", "oedema"]);
    let (volume, _) = dataset.read_labels(&dataset.cases[0]).expect("labels");
    assert_eq!(&volume.data()[..4], [0, 1, 2, UNLABELLED]);

    let (_folder, mut config) = nnunet(
        r#"{"channel_names": {"0": "T1", "1": "FLAIR"}, "file_ending": ".nii.gz",
            "labels": {"background": 0, "whole": [1, 2, 4], "core": [1, 4]}}"#,
    );
    refused(&config, &["dataset.json", "labels", "whole", "region"]);
    config.classes = vec!["rest".into(), "whole".into()];
    config.map = ["1", "2", "4"].map(|v| (v.to_owned(), 1)).into();
    assert!(Dataset::open(&config).is_ok());
}

#[test]
fn nnunet_mistakes_are_named() {
    let channels = r#""channel_names": {"0": "T1", "1": "FLAIR"}, "file_ending": ".nii.gz""#;
    let labels = r#""labels": {"background": 0, "core": 1}"#;
    for (json, parts) in [
        (format!("{{{labels}}}"), ["dataset.json", "modality"]),
        (format!("{{{channels}}}"), ["dataset.json", "labels"]),
        (
            format!(r#"{{"modality": {{"0": "T1"}}, {labels}}}"#),
            ["dataset.json", "file_ending"],
        ),
        (
            format!(r#"{{"modality": {{"1": "T1"}}, {labels}}}"#),
            ["dataset.json", "modality"],
        ),
        (
            format!(r#"{{"modality": {{"0": "T1"}}, {labels}, "training": [{{"image": 1}}]}}"#),
            ["training", "entry 0"],
        ),
        (
            format!(r#"{{"channel_names": {{"0": "T1"}}, "file_ending": ".png", {labels}}}"#),
            ["file_ending", ".png"],
        ),
        ("{".to_owned(), ["dataset.json", "EOF"]),
    ] {
        let (_folder, config) = nnunet(&json);
        refused(&config, &parts);
    }
    let (folder, config) = nnunet(&format!("{{{channels}, {labels}}}"));
    let gone = folder.path().join("imagesTr/a_02_0001.nii.gz");
    fs::remove_file(gone).expect("removed");
    refused(&config, &["a_02_0001.nii.gz", "no such file"]);
}

#[test]
fn csv_files_name_everything() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |path: &str| folder.path().join(path);
    for n in 1..=3 {
        image(&at(&format!("scans/{n} t1.nii")));
        labels(&at(&format!("masks/{n}.nii")));
    }
    text(
        &at("cases.csv"),
        "id,subject,site,t1,truth\n\
         x1,s1,north,scans/1 t1.nii,masks/1.nii\n\
         x2,s1,,\"scans/2 t1.nii\",masks/2.nii\n\
         x3,s2,south,scans/3 t1.nii,\n",
    );
    let mut config = DatasetConfig {
        layout: Layout::Csv,
        path: at("cases.csv"),
        channels: vec!["t1".into()],
        classes: ["none", "core", "oedema", "enhancing"]
            .map(str::to_owned)
            .into(),
        map: [("4".to_owned(), 3)].into(),
        ..DatasetConfig::default()
    };
    config.labels.column = "truth".into();
    let dataset = Dataset::open(&config).expect("a dataset");
    assert_eq!(dataset.cases.len(), 2);
    assert_eq!(dataset.unlabelled, ["x3"]);
    let case = dataset.case("x2").expect("there");
    assert_eq!((case.subject.as_str(), case.site.as_deref()), ("s1", None));
    let (volume, _) = dataset.read_labels(case).expect("labels");
    assert_eq!(&volume.data()[..4], [0, 1, 2, 3]);

    config.labels.column = "label".into();
    refused(&config, &["cases.csv", "label", "truth"]);
    config.labels.column = "truth".into();
    config.channels = vec!["t2".into()];
    refused(&config, &["cases.csv", "t2"]);
    config.channels = vec!["t1".into()];
    config.classes.clear();
    refused(&config, &["data.classes"]);
    text(
        &at("cases.csv"),
        "id,t1,truth\nx,scans/1 t1.nii,masks/1.nii\nx,,masks/2.nii\n",
    );
    config.classes = vec!["a".into(), "b".into()];
    config.map.clear();
    refused(&config, &["cases.csv", "t1", "line 3"]);
    text(
        &at("cases.csv"),
        "id,t1,truth\nx,scans/1 t1.nii,masks/1.nii\nx,scans/2 t1.nii,masks/2.nii\n",
    );
    refused(&config, &["cases.csv", "`x`"]);
}

#[test]
fn configurations_are_strict() {
    let parse = |text: &str| toml::from_str::<DatasetConfig>(text);
    let config = parse("layout = \"nnunet\"\npath = \"x\"\nmap = { 4 = 3 }").expect("parses");
    assert_eq!(config.map.get("4"), Some(&3));
    let error = parse("layout = \"bids\"\nlabel = \"x\"").expect_err("unknown");
    assert!(error.to_string().contains("label"), "{error}");
    refused(&DatasetConfig::default(), &["data.path"]);
}
