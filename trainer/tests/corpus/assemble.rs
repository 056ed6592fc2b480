//! Assembling a corpus from local copies that are named as the real ones are.

use std::path::Path;

use serde_json::Value;

use super::common::{
    Folder, SHAPE, amaes, ended, failed, grid, gzip, image, nifti, rows, series, values,
};

/// A little of each source of brains45k, 27 subjects in all.
fn copies(folder: &Folder) -> Vec<String> {
    let mut seed = 0;
    let mut next = || {
        seed += 1;
        seed
    };
    let mut put = |path: &str| folder.write(path, image(next(), path.ends_with(".gz")));
    for (subject, series) in [
        ("3102", "MPRAGE_GRAPPA"),
        ("3102", "AX_T2"),
        ("3102", "2D_GRE-MT"),
        ("3103", "T2_SPACE"),
        ("3103", "DTI_gated"),
    ] {
        put(&format!(
            "PPMI/DATA/{subject}/{series}/2011-01-20_13_39_11.0/I218/PPMI_{subject}.nii"
        ));
    }
    put("PPMI/DATA/3104/SAG_T1/2011-01-20_13_39_11.0/I219/nifti/x.nii");
    for series in ["MP-RAGE", "Axial_PD_T2_FSE", "B1-calibration_Head"] {
        put(&format!(
            "ADNI/002_S_0295/{series}/2006-04-18_08_20_30.0/I13722/ADNI_002_S_0295.nii"
        ));
    }
    for scan in ["anat1", "anat2", "func1", "fmap1", "swi1"] {
        put(&format!(
            "OASIS3/DATA/OAS30001_MR_d0129/{scan}/sub-OAS30001_x.nii.gz"
        ));
    }
    put("OASIS3/DATA/OAS30001_AV45_PETd0129/pet1/x.nii.gz");
    for kind in [
        "dwi/sub-strokecase0001_ses-0001_dwi",
        "dwi/sub-strokecase0001_ses-0001_adc",
        "anat/sub-strokecase0001_ses-0001_FLAIR",
    ] {
        put(&format!(
            "ISLES/ISLES-2022/images/sub-strokecase0001/ses-0001/{kind}.nii.gz"
        ));
    }
    put(
        "ISLES/ISLES-2022/labels_derivatives/sub-strokecase0001/ses-0001/sub-strokecase0001_ses-0001_msk.nii.gz",
    );
    for (place, site) in [
        ("Train", "Utrecht"),
        ("Test", "Utrecht"),
        ("Train_GE3T", "Amsterdam"),
    ] {
        for name in ["FLAIR", "T1", "3DT1"] {
            put(&format!("WMH/{site}/{place}/7/pre/{name}.nii.gz"));
        }
        put(&format!("WMH/{site}/{place}/7/wmh.nii.gz"));
    }
    for subject in 0..20 {
        for kind in ["flair", "t1", "t1ce", "t2", "seg"] {
            put(&format!(
                "BraTS/BraTS2021_{subject:05}/BraTS2021_{subject:05}_{kind}.nii.gz"
            ));
        }
    }
    for (part, name) in [
        ("training", "Preprocessed_Data/T1_preprocessed"),
        ("training", "Masks/Consensus"),
        ("Testing", "Preprocessed_Data/T1_preprocessed"),
    ] {
        put(&format!("MSSEG/{part}/Center_01/Patient_01/{name}.nii.gz"));
    }
    folder.write(
        "MSD/imagesTs/BRATS_485.nii.gz",
        gzip(&series(&[901, 902, 903, 904])),
    );
    folder.write(
        "MSD/imagesTr/BRATS_001.nii.gz",
        gzip(&series(&[911, 912, 913, 914])),
    );
    folder.write("MSD/labelsTr/BRATS_001.nii.gz", image(920, true));
    // Not used by the reference: a minimum below 0, in a cohort and in a challenge.
    let mut negative = values(SHAPE, 950);
    negative[0] = -1.0;
    folder.write(
        "ADNI/002_S_0413/MP-RAGE/2006-04-18_08_20_30.0/I9/x.nii",
        nifti(&grid(SHAPE), negative.clone(), false),
    );
    negative[1] = 5.0;
    folder.write(
        "ISLES/ISLES-2022/images/sub-strokecase0002/ses-0001/dwi/sub-strokecase0002_ses-0001_adc.nii.gz",
        nifti(&grid(SHAPE), negative, true),
    );
    [
        ("PPMI", "PPMI"),
        ("ADNI", "ADNI"),
        ("OASIS3", "OASIS3"),
        ("ISLES22", "ISLES"),
        ("MSD", "MSD"),
        ("WMH", "WMH"),
        ("BraTS21", "BraTS"),
        ("MSSEG1", "MSSEG"),
    ]
    .map(|(name, at)| format!("{name}={}", folder.text(at)))
    .to_vec()
}

fn assemble(roots: &[String], more: &[&str], code: i32) -> Value {
    let mut args = vec!["corpus", "assemble", "brains45k", "--json", "--root"];
    args.extend(roots.iter().map(String::as_str));
    args.extend(more);
    serde_json::from_str(&ended(&amaes(&args), code)).expect("JSON")
}

fn source<'a>(report: &'a Value, name: &str) -> &'a Value {
    let sources = report["sources"].as_array().expect("sources");
    sources.iter().find(|s| s["name"] == name).expect("there")
}

#[test]
fn local_copies_are_checked_and_chosen_from() {
    let folder = Folder::new();
    let roots = copies(&folder);
    let counted = assemble(&roots, &[], 3);
    let catalogue = folder.text("c.sqlite");
    let report = assemble(&roots, &["--catalogue", &catalogue, "--threads", "2"], 3);
    for (name, files, held_out, used) in [
        ("PPMI", 3, 0, 3),
        ("ADNI", 4, 0, 3),
        ("OASIS3", 3, 0, 3),
        ("OASIS4", 0, 0, 0),
        ("ISLES22", 4, 0, 4),
        ("MSD", 1, 1, 4),
        ("WMH", 4, 3, 4),
        ("BraTS21", 60, 25, 60),
        ("MSSEG1", 1, 1, 1),
    ] {
        for report in [&counted, &report] {
            let found = source(report, name);
            assert_eq!(
                (&found["files"], &found["held_out"]),
                (&files.into(), &held_out.into()),
                "{name}"
            );
        }
        assert_eq!(source(&report, name)["used"], used, "{name}");
    }
    assert_eq!(source(&counted, "MSD")["used"], 4);
    assert_eq!(report["used"], 82);
    assert_eq!(
        source(&report, "PPMI")["dropped"],
        serde_json::json!({"2d": 1, "none of the words to keep": 1, "space": 1})
    );
    // The subjects that scikit-learn draws from 20.
    let sql = "SELECT DISTINCT subject FROM volumes WHERE source = 'BraTS21' ORDER BY subject";
    let found = rows(Path::new(&catalogue), sql);
    let expected: Vec<String> = (0..20)
        .filter(|i| ![3, 6, 12, 13, 14].contains(i))
        .map(|i| format!("BraTS2021_{i:05}"))
        .collect();
    assert_eq!(found, expected);
    let problems = source(&report, "BraTS21")["problems"].to_string();
    assert!(
        problems.contains("20 subjects in place of 1251"),
        "{problems}"
    );
    // One file of four volumes.
    let sql =
        "SELECT frame, sequence, subject, reasons FROM volumes WHERE source = 'MSD' ORDER BY frame";
    assert_eq!(
        rows(Path::new(&catalogue), sql),
        [
            "0|FLAIR|BRATS_485|",
            "1|T1w|BRATS_485|",
            "2|T1c|BRATS_485|",
            "3|T2w|BRATS_485|"
        ]
    );
    // What is allowed here and not there.
    let sql =
        "SELECT source, kept, verdict FROM volumes WHERE reasons LIKE '%negative%' ORDER BY source";
    assert_eq!(
        rows(Path::new(&catalogue), sql),
        [
            "ADNI|0|negative_minimum",
            "ISLES22|1|allowed: negative_minimum, diffusion"
        ]
    );
    // Prepared: what is kept, and each volume of the file of four.
    let store = folder.text("store");
    let done = ended(
        &amaes(&["corpus", "prepare", &catalogue, "--out", &store, "--json"]),
        0,
    );
    let done: Value = serde_json::from_str(&done).expect("JSON");
    assert_eq!(
        (&done["written"], &done["quarantined"]),
        (&82.into(), &0.into())
    );
}

#[test]
fn what_is_missing_is_explained() {
    let output = amaes(&["corpus", "assemble", "brains45k"]);
    let text = ended(&output, 3);
    for part in [
        "ADNI",
        "https://adni.loni.usc.edu",
        "--root PPMI=DIR",
        "266 images",
        "44756",
        "CC BY 4.0",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let folder = Folder::new();
    folder.image("x/a.nii", 1);
    let root = format!("ADNIX={}", folder.text("x"));
    failed(
        &amaes(&["corpus", "assemble", "brains45k", "--root", &root]),
        &["ADNIX", "PPMI"],
    );
    let root = format!("ADNI={}", folder.text("nowhere"));
    failed(
        &amaes(&["corpus", "assemble", "brains45k", "--root", &root]),
        &["nowhere"],
    );
    failed(
        &amaes(&["corpus", "assemble", "nothing.toml"]),
        &["nothing.toml"],
    );
    // A folder in which nothing is where it should be.
    let root = format!("ADNI={}", folder.text("x"));
    let text = ended(
        &amaes(&["corpus", "assemble", "brains45k", "--root", &root]),
        3,
    );
    assert!(
        text.contains("ADNI: no file is where the description says"),
        "{text}"
    );
}

#[test]
fn a_corpus_of_ones_own_follows_its_description() {
    let folder = Folder::new();
    for i in 0..4 {
        folder.image(&format!("pacs/p{i}/2020/AX FLAIR/img.nii.gz"), i);
        folder.image(&format!("pacs/p{i}/2020/Localizer/img.nii.gz"), 10 + i);
    }
    let text = |drop: &str| {
        format!(
            r#"
format = 1
name = "own"
title = "Our hospital"
[[source]]
name = "pacs"
title = "Neuroradiology"
licence = "none: not to leave the house"
access = "https://intranet.example/pacs"
how = "Ask the archive."
expect = {{ volumes = 4, subjects = 4 }}
layout = ["{{subject}}/{{session}}/{{sequence}}/*.nii.gz"]
drop = ["{drop}"]
hold_out = ["p3/**"]
weight = 2.5
"#
        )
    };
    folder.write("own.toml", text("localizer"));
    let (manifest, catalogue) = (folder.text("own.toml"), folder.text("c.sqlite"));
    let root = format!("pacs={}", folder.text("pacs"));
    let run = |code| {
        let args = [
            "corpus",
            "assemble",
            &manifest,
            "--root",
            &root,
            "--catalogue",
            &catalogue,
        ];
        ended(&amaes(&args), code)
    };
    let report = run(3);
    assert!(
        report.contains("3 volumes, fewer than the 4 of a whole copy"),
        "{report}"
    );
    let sql = "SELECT subject, session, sequence, weight FROM volumes WHERE kept ORDER BY subject";
    assert_eq!(
        rows(Path::new(&catalogue), sql),
        [
            "p0|2020|FLAIR|2.5",
            "p1|2020|FLAIR|2.5",
            "p2|2020|FLAIR|2.5"
        ]
    );
    // Other rules: what was read is let go, what was left is read.
    folder.write("own.toml", text("flair").replace("p3/**", "p2/**"));
    run(3);
    let sql = "SELECT subject, sequence FROM volumes WHERE kept ORDER BY subject";
    assert_eq!(
        rows(Path::new(&catalogue), sql),
        ["p0|unknown", "p1|unknown", "p3|unknown"]
    );
}
