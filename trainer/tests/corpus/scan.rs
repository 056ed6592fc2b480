//! Scanning corpora: what is found, what is refused, and that nothing depends on chance.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::common::{
    Folder, SHAPE, amaes, bids, command, dump, ended, failed, gzip, image, rows, shared, tar_of,
    values, write_tree, zip_of,
};
use amaes::corpus::Catalogue;

fn scan(
    folder: &Folder,
    input: &str,
    catalogue: &str,
    more: &[&str],
    code: i32,
) -> serde_json::Value {
    let (input, catalogue) = (folder.text(input), folder.text(catalogue));
    let mut args = vec![
        "corpus",
        "scan",
        &input,
        "--catalogue",
        &catalogue,
        "--json",
    ];
    args.extend(more);
    serde_json::from_str(&ended(&amaes(&args), code)).expect("JSON")
}

#[test]
fn a_bids_tree_is_described() {
    let folder = Folder::new();
    write_tree(&folder, "ds", &bids());
    let done = scan(&folder, "ds", "c.sqlite", &["--source", "demo"], 0);
    assert_eq!(
        (&done["volumes"], &done["broken"], &done["duplicates"]),
        (&10.into(), &0.into(), &1.into())
    );
    let found = rows(
        &folder.path("c.sqlite"),
        "SELECT replace(f.path, rtrim(f.path, replace(f.path, '/', '')), ''), v.subject, v.session,
           v.sequence, v.manufacturer, v.scanner, v.field_strength, v.site, v.age, v.sex, v.reasons
         FROM volumes v JOIN files f ON f.id = v.file ORDER BY f.path",
    );
    assert_eq!(
        found,
        [
            "sub-01_ses-a_FLAIR.nii.gz|01|a|FLAIR|-|-|1.494|Oslo|35|F|",
            "sub-01_ses-a_T1w.nii.gz|01|a|T1w|Siemens|Prisma|3|Oslo|35.25|F|",
            "sub-01_ses-a_dwi.nii.gz|01|a|dwi|-|-|-|Oslo|35.25|F|diffusion",
            "sub-01_ses-a_task-rest_bold.nii|01|a|bold|-|-|-|Oslo|35.25|F|not_3d,functional",
            "sub-02_PDw.nii.gz|02|-|PDw|-|-|-|Rome|-|M|small_edge",
            "sub-02_T1w.nii|02|-|T1w|Siemens|Prisma|3|Rome|-|M|duplicate",
            "sub-02_T2w.nii.gz|02|-|T2w|-|-|-|Rome|-|M|negative_minimum",
            "sub-02_acq-c_T1w.nii.gz|02|-|T1w|Siemens|Prisma|3|Rome|-|M|constant",
            "sub-02_label-lesion_mask.nii.gz|02|-|labels|-|-|-|Rome|-|M|labels",
            "scan.nii.gz|03|-|CT|-|-|-|-|-|-|negative_minimum,ct",
        ]
    );
    // Geometry and statistics, by hand.
    let data = values(SHAPE, 1);
    let bright: Vec<f64> = data
        .iter()
        .filter(|v| **v > 0.0)
        .map(|v| f64::from(*v))
        .collect();
    let found = rows(
        &folder.path("c.sqlite"),
        "SELECT shape_x, shape_y, shape_z, spacing_x, round(spacing_y, 6), spacing_z, orientation,
           datatype, min, max, round(foreground_mean, 6), round(foreground_share, 9), source, sha256
         FROM volumes WHERE name LIKE 'sub-01_ses-a_T1w%'",
    );
    let mean = bright.iter().sum::<f64>() / bright.len() as f64;
    let top = bright.iter().copied().fold(0.0, f64::max);
    let share = bright.len() as f64 / data.len() as f64;
    let sha = {
        use sha2::Digest;
        let digest = sha2::Sha256::digest(image(1, true));
        digest
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect::<String>()
    };
    let round = |v: f64, n: i32| (v * 10f64.powi(n)).round() / 10f64.powi(n);
    let expected = format!(
        "18|17|16|1|1.2|2|LPS|float32|0|{top}|{}|{}|demo|{sha}",
        round(mean, 6),
        round(share, 9)
    );
    assert_eq!(found, [expected]);
}

#[test]
fn a_second_scan_reads_what_has_changed() {
    let folder = Folder::new();
    write_tree(&folder, "ds", &bids());
    scan(&folder, "ds", "c.sqlite", &[], 0);
    let first = dump(&folder.path("c.sqlite"));
    let done = scan(&folder, "ds", "c.sqlite", &[], 0);
    assert_eq!(
        (&done["volumes"], &done["unchanged"]),
        (&0.into(), &10.into())
    );
    assert_eq!(dump(&folder.path("c.sqlite")), first);

    // One gone, one changed, one new: the duplicate is the only one of its kind now.
    fs::remove_file(folder.path("ds/sub-01/ses-a/anat/sub-01_ses-a_T1w.nii.gz")).expect("removed");
    folder.image("ds/sub-01/ses-a/anat/sub-01_ses-a_FLAIR.nii.gz", 77);
    folder.image("ds/sub-09/anat/sub-09_T1w.nii.gz", 78);
    let done = scan(&folder, "ds", "c.sqlite", &[], 0);
    let numbers = ["volumes", "unchanged", "gone", "duplicates"].map(|k| done[k].as_u64());
    assert_eq!(numbers, [Some(2), Some(8), Some(1), Some(0)]);
    scan(&folder, "ds", "fresh.sqlite", &[], 0);
    assert_eq!(
        dump(&folder.path("c.sqlite")),
        dump(&folder.path("fresh.sqlite"))
    );

    // A sidecar that changes is seen when it is asked for.
    folder.write("ds/T1w.json", r#"{"MagneticFieldStrength": 7}"#);
    scan(&folder, "ds", "c.sqlite", &["--again"], 0);
    let sql = "SELECT DISTINCT field_strength FROM volumes WHERE sequence = 'T1w'";
    assert_eq!(rows(&folder.path("c.sqlite"), sql), ["7"]);
}

#[test]
fn any_number_of_threads_finds_the_same() {
    let folder = Folder::new();
    let mut files = bids();
    let names: Vec<String> = (0..60)
        .map(|i| format!("sub-{i:03}/anat/sub-{i:03}_T2w.nii.gz"))
        .collect();
    for (i, name) in names.iter().enumerate() {
        files.insert(name, image(i as u32 % 50, true));
    }
    write_tree(&folder, "ds", &files);
    let mut all = Vec::new();
    for threads in ["1", "2", "7"] {
        let name = format!("{threads}.sqlite");
        scan(&folder, "ds", &name, &["--threads", threads], 0);
        all.push(dump(&folder.path(&name)));
    }
    assert_eq!(all[0].len(), 70);
    assert!(all[0] == all[1] && all[0] == all[2]);
}

/// What is known of volumes, whatever holds them.
const CONTENT: &str =
    "SELECT iif(v.member = '', f.path, v.member) AS place, v.name, v.subject, v.session,
  v.sequence, v.manufacturer, v.field_strength, v.site, v.age, v.sex, v.sha256, v.voxels, v.bytes,
  v.reasons, v.foreground_box FROM volumes v JOIN files f ON f.id = v.file
  WHERE place NOT LIKE 'derivatives%' ORDER BY place";

#[test]
fn archives_give_what_their_trees_give() {
    let folder = Folder::new();
    let mut files = bids();
    // Longer than the header of a tar member has room for.
    let long = format!("sub-{}/anat/sub-{0}_T2w.nii.gz", "9".repeat(90));
    files.insert(&long, image(40, true));
    write_tree(&folder, "ds", &files);
    scan(&folder, "ds", "tree.sqlite", &[], 0);
    let expected = rows(&folder.path("tree.sqlite"), CONTENT);
    assert_eq!(expected.len(), 11);
    for (name, bytes) in [
        ("a/x.tar", tar_of(&files)),
        ("b/x.tar.gz", gzip(&tar_of(&files))),
        ("c/x.zip", zip_of(&files)),
    ] {
        folder.write(name, bytes);
        // As one of a folder's files, and by itself.
        let parent = &name[..1];
        for (input, n) in [(parent, "folder"), (name, "alone")] {
            let catalogue = format!("{parent}-{n}.sqlite");
            scan(&folder, input, &catalogue, &["--threads", "2"], 0);
            assert_eq!(
                rows(&folder.path(&catalogue), CONTENT),
                expected,
                "{name} {n}"
            );
            let done = scan(&folder, input, &catalogue, &[], 0);
            assert_eq!(done["unchanged"], 1, "{name}");
            assert_eq!(done["volumes"], 0, "{name}");
        }
    }
}

#[test]
fn names_and_sizes_in_archives_are_not_trusted() {
    let folder = Folder::new();
    let bytes = image(1, false);
    let mut archive = Vec::new();
    for name in ["/etc/evil.nii", "../../evil.nii", "ok/good.nii"] {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        archive.extend_from_slice(header.as_bytes());
        archive.extend_from_slice(&bytes);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    // The last one claims more than there is.
    let mut header = tar::Header::new_gnu();
    header.set_path("short.nii").expect("a name");
    header.set_size(1 << 33);
    header.set_cksum();
    archive.extend_from_slice(header.as_bytes());
    archive.extend_from_slice(&bytes[..4000]);
    for name in ["a/x.tar", "b/x.tar.gz"] {
        let packed = if name.ends_with("gz") {
            gzip(&archive)
        } else {
            archive.clone()
        };
        folder.write(name, packed);
        let catalogue = format!("{}.sqlite", &name[..1]);
        let done = scan(&folder, &name[..1], &catalogue, &[], 3);
        assert!(done["broken"].as_u64() >= Some(3), "{done}");
        let found = rows(
            &folder.path(&catalogue),
            "SELECT member, reasons, error FROM volumes WHERE member <> '' ORDER BY member",
        );
        let expected = [
            "../../evil.nii|broken|cannot read: its name leads out of the archive",
            "/etc/evil.nii|broken|cannot read: its name is an absolute path",
            "ok/good.nii||-",
        ];
        assert_eq!(found[..3], expected, "{name}");
        assert!(
            found[3].starts_with("short.nii|broken|the file ends after"),
            "{}",
            found[3]
        );
    }
    // A zip bomb: a header that promises a little, and a gigabyte behind it.
    let mut bomb = zip::ZipWriter::new(Cursor::new(Vec::new()));
    bomb.start_file("x.nii", zip::write::SimpleFileOptions::default())
        .expect("memory");
    let mut huge = bytes[..352].to_vec();
    huge[42..48].fill(0x7f);
    bomb.write_all(&huge).expect("memory");
    let zeros = vec![0; 1 << 20];
    for _ in 0..64 {
        bomb.write_all(&zeros).expect("memory");
    }
    folder.write("c/x.zip", bomb.finish().expect("memory").into_inner());
    folder.write("c/cut.zip", &zip_of(&bids())[..5000]);
    scan(&folder, "c", "c.sqlite", &[], 3);
    let found = rows(
        &folder.path("c.sqlite"),
        "SELECT reasons, error FROM volumes ORDER BY member",
    );
    assert!(found[0].starts_with("broken|"), "{found:?}");
    assert!(found[1].contains("the limit is"), "{found:?}");
}

#[test]
fn broken_files_are_a_line_each() {
    let folder = Folder::new();
    let good = image(1, true);
    folder.image("ds/good.nii.gz", 1);
    folder.write("ds/cut.nii.gz", &good[..good.len() / 2]);
    folder.write("ds/empty.nii", b"");
    folder.write("ds/text.nii", "no volume at all, but text");
    let mut flipped = good.clone();
    let middle = good.len() / 2;
    flipped[middle] ^= 0x55;
    folder.write("ds/flipped.nii.gz", flipped);
    let mut singular = image(2, false);
    singular[280..296].fill(0);
    folder.write("ds/singular.nii", singular);
    let catalogue = folder.text("c.sqlite");
    let output = amaes(&[
        "corpus",
        "scan",
        &folder.text("ds"),
        "--catalogue",
        &catalogue,
    ]);
    let text = ended(&output, 3);
    assert!(
        text.contains("6 volumes read") && text.contains("1 of them used"),
        "{text}"
    );
    let mut lines: Vec<String> = String::from_utf8_lossy(&output.stderr)
        .lines()
        .map(|l| l.rsplit_once("ds: ").map_or(l, |p| p.1).to_owned())
        .collect();
    lines.sort();
    assert_eq!(lines.len(), 5, "{lines:?}");
    assert!(lines[0].starts_with("cut.nii.gz: the "), "{lines:?}");
    assert!(lines[1].starts_with("empty.nii: not a NIfTI"), "{lines:?}");
    assert!(lines[2].starts_with("flipped.nii.gz: the "), "{lines:?}");
    assert!(
        lines[3].starts_with("singular.nii: the affine is singular"),
        "{lines:?}"
    );
    assert!(lines[4].starts_with("text.nii: not a NIfTI"), "{lines:?}");
}

#[test]
fn wrong_catalogues_and_second_writers_are_refused() {
    let folder = Folder::new();
    folder.image("ds/a.nii", 1);
    folder.write("text.sqlite", "this is a text that SQLite does not know");
    let scan = |catalogue: &str| {
        let (ds, catalogue) = (folder.text("ds"), folder.text(catalogue));
        amaes(&["corpus", "scan", &ds, "--catalogue", &catalogue])
    };
    failed(&scan("text.sqlite"), &["text.sqlite", "not a database"]);
    rusqlite::Connection::open(folder.path("other.sqlite"))
        .and_then(|db| db.execute_batch("CREATE TABLE t (x)"))
        .expect("another database");
    failed(&scan("other.sqlite"), &["other.sqlite", "not a catalogue"]);
    let held = Catalogue::create(&folder.path("held.sqlite")).expect("made");
    failed(&scan("held.sqlite"), &["held.sqlite", "another process"]);
    drop(held);
    ended(&scan("held.sqlite"), 0);
    failed(
        &amaes(&[
            "corpus",
            "scan",
            &folder.text("nowhere"),
            "--catalogue",
            &folder.text("n.sqlite"),
        ]),
        &["nowhere", "no such file"],
    );
    failed(
        &amaes(&["corpus", "stats", &folder.text("nowhere.sqlite")]),
        &["nowhere.sqlite"],
    );
}

#[test]
fn a_killed_scan_goes_on() {
    let folder = Folder::new();
    let bytes: Vec<Vec<u8>> = (0..40).map(|i| image(i, false)).collect();
    for i in 0..1500 {
        folder.write(&format!("ds/{:02}/{i:04}_T1w.nii", i / 40), &bytes[i % 40]);
    }
    let members: BTreeMap<String, Vec<u8>> = (0..300)
        .map(|i| (format!("m/{i:03}_T2w.nii"), bytes[i % 40].clone()))
        .collect();
    let members = members
        .iter()
        .map(|(n, b)| (n.as_str(), b.clone()))
        .collect();
    folder.write("ds/x.tar", tar_of(&members));
    scan(&folder, "ds", "whole.sqlite", &[], 0);
    let (ds, catalogue) = (folder.text("ds"), folder.text("killed.sqlite"));
    let mut kept = 0;
    for delay in [30, 120, 250] {
        let args = [
            "corpus",
            "scan",
            &ds,
            "--catalogue",
            &catalogue,
            "--threads",
            "1",
            "-q",
        ];
        let mut child = command(&args)
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        std::thread::sleep(Duration::from_millis(delay));
        child.kill().expect("killed");
        child.wait().expect("gone");
        if Path::new(&catalogue).exists()
            && let Ok(catalogue) = Catalogue::open(Path::new(&catalogue))
        {
            let now = catalogue.selected().expect("counted").volumes;
            assert!(now >= kept, "{now} after {kept}");
            kept = now;
        }
    }
    let done = scan(&folder, "ds", "killed.sqlite", &[], 0);
    assert_eq!(done["volumes"].as_u64(), Some(1800 - kept));
    assert_eq!(
        dump(&folder.path("killed.sqlite")),
        dump(&folder.path("whole.sqlite"))
    );
}

#[test]
fn layouts_name_subjects_and_sequences() {
    let folder = Folder::new();
    folder.image("ds/0012/AX FLAIR/2020-01-02/1.nii", 1);
    folder.image("ds/0012/loc/1.nii", 2);
    let layout = "{subject}/{sequence}/{session}/*.nii";
    scan(&folder, "ds", "c.sqlite", &["--layout", layout], 0);
    let sql = "SELECT subject, sequence, session FROM volumes";
    assert_eq!(
        rows(&folder.path("c.sqlite"), sql),
        ["0012|FLAIR|2020-01-02"]
    );
    let (ds, c) = (folder.text("ds"), folder.text("d.sqlite"));
    failed(
        &amaes(&["corpus", "scan", &ds, "--catalogue", &c, "--layout", "{a"]),
        &["layout `{a`"],
    );
}

#[test]
fn real_volumes_are_sorted() {
    let Some(mri) = shared("mri") else { return };
    let folder = Folder::new();
    let catalogue = folder.text("c.sqlite");
    let args = [
        "corpus",
        "scan",
        &mri.display().to_string(),
        "--catalogue",
        &catalogue,
        "-q",
    ];
    let started = Instant::now();
    ended(&amaes(&args), 0);
    eprintln!("scanned in {:.1} s", started.elapsed().as_secs_f64());
    let excluded = rows(
        Path::new(&catalogue),
        "SELECT f.path, v.reasons FROM volumes v JOIN files f ON f.id = v.file
         WHERE v.reasons <> '' ORDER BY f.path",
    );
    assert_eq!(
        excluded,
        [
            "CT_AVM.nii.gz|ct",
            "dwi.nii.gz|diffusion",
            "fmri.nii.gz|functional"
        ]
    );
    // Numbers by nibabel and NumPy.
    let found = rows(
        Path::new(&catalogue),
        "SELECT shape_x, shape_y, shape_z, orientation, datatype, min, max, sequence
         FROM volumes v JOIN files f ON f.id = v.file
         WHERE f.path = 'ds004884_sub-M2051_T1w.nii.gz'",
    );
    assert_eq!(found, ["160|256|256|RAS|int16|0|662|T1w"]);
}

#[test]
fn a_page_and_tables_show_the_composition() {
    let folder = Folder::new();
    write_tree(&folder, "ds", &bids());
    scan(&folder, "ds", "c.sqlite", &["--source", "a<b"], 0);
    let (catalogue, page) = (folder.text("c.sqlite"), folder.text("out/report.html"));
    let json = ended(
        &amaes(&["corpus", "stats", &catalogue, "--json", "--html", &page]),
        0,
    );
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(
        (&json["volumes"], &json["used"], &json["subjects"]),
        (&10.into(), &2.into(), &3.into())
    );
    let strengths = json["field_strengths"].as_array().expect("a list");
    let names: Vec<_> = strengths
        .iter()
        .map(|c| (c["name"].as_str(), c["volumes"].as_u64()))
        .collect();
    assert_eq!(
        names,
        [
            (Some("unknown"), Some(6)),
            (Some("3 T"), Some(3)),
            (Some("1.5 T"), Some(1))
        ]
    );
    let sequences = json["sequences"].as_array().expect("a list");
    assert_eq!(
        sequences[0],
        serde_json::json!({"name": "T1w", "volumes": 3, "used": 1})
    );
    assert_eq!(sequences.len(), 8);
    let ages = json["ages"].as_array().expect("a list");
    let sum: u64 = ages.iter().filter_map(|b| b["volumes"].as_u64()).sum();
    assert_eq!(sum, 4);
    let page = fs::read_to_string(page).expect("a page");
    assert!(page.contains("a&lt;b") && !page.contains("a<b"));
    assert!(
        page.matches("<svg").count() >= 8,
        "{}",
        page.matches("<svg").count()
    );
    assert!(
        !page
            .replace("http://www.w3.org/2000/svg", "")
            .contains("http")
    );
    let text = ended(&amaes(&["corpus", "stats", &catalogue]), 0);
    assert!(
        text.contains("negative") || text.contains("below 0"),
        "{text}"
    );
}
