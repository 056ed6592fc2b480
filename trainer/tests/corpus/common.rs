//! Corpora that the tests make.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use amaes_core::volume::{Affine, Grid, Header, Volume, WriteOptions, write_volume};
use flate2::Compression;
use flate2::write::GzEncoder;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use tempfile::TempDir;

/// Runs the command.
pub(crate) fn amaes(args: &[&str]) -> Output {
    command(args).output().expect("amaes starts")
}

/// The command, ready to run.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_amaes"));
    command.args(args).stdin(Stdio::null());
    command
}

/// Standard output of a run that ended with `code`.
pub(crate) fn ended(output: &Output, code: i32) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The error of a run that failed, which must hold `parts`.
pub(crate) fn failed(output: &Output, parts: &[&str]) {
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.starts_with("error: ") && !error.contains("panicked"),
        "{error}"
    );
    for part in parts {
        assert!(error.contains(part), "`{error}` does not say `{part}`");
    }
}

/// A folder that goes with the test.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, bytes).expect("written");
    }

    /// A brain-like image of its own, by `seed`.
    pub(crate) fn image(&self, name: &str, seed: u32) {
        self.write(name, image(seed, name.ends_with(".gz")));
    }
}

pub(crate) const SHAPE: [usize; 3] = [18, 17, 16];

/// A grid of voxels of 1 x 1.2 x 2 mm, `LPS`.
pub(crate) fn grid(shape: [usize; 3]) -> Grid {
    let affine = Affine([
        [-1.0, 0.0, 0.0, 10.0],
        [0.0, -1.2, 0.0, 8.0],
        [0.0, 0.0, 2.0, -16.0],
    ]);
    Grid { shape, affine }
}

/// Values of a bright ball with texture on a dark ground.
pub(crate) fn values(shape: [usize; 3], seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12345);
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32
    };
    let mut out = Vec::new();
    for i in 0..shape.iter().product::<usize>() {
        let at = [
            i % shape[0],
            i / shape[0] % shape[1],
            i / shape[0] / shape[1],
        ];
        let square: f32 = (0..3)
            .map(|a| ((at[a] as f32 + 0.5) / shape[a] as f32 - 0.5).powi(2))
            .sum();
        let v = random();
        out.push(if square < 0.16 {
            (100.0 + 900.0 * v).round()
        } else {
            0.0
        });
    }
    out
}

/// NIfTI of given values.
pub(crate) fn nifti(grid: &Grid, data: Vec<f32>, gzip: bool) -> Vec<u8> {
    let volume = Volume::new(grid.clone(), data).expect("fits");
    let options = if gzip {
        WriteOptions::GZIP
    } else {
        WriteOptions::PLAIN
    };
    let mut bytes = Vec::new();
    write_volume(&mut bytes, &Header::new(grid), &volume, &options).expect("memory");
    bytes
}

/// NIfTI of a brain-like image.
pub(crate) fn image(seed: u32, gzip: bool) -> Vec<u8> {
    nifti(&grid(SHAPE), values(SHAPE, seed), gzip)
}

/// NIfTI-1 with a fourth dimension.
pub(crate) fn series(seeds: &[u32]) -> Vec<u8> {
    let mut bytes = nifti(&grid(SHAPE), values(SHAPE, seeds[0]), false);
    for seed in &seeds[1..] {
        for v in values(SHAPE, *seed) {
            bytes.extend(v.to_le_bytes());
        }
    }
    bytes[40..42].copy_from_slice(&4i16.to_le_bytes());
    bytes[48..50].copy_from_slice(&(seeds.len() as i16).to_le_bytes());
    bytes
}

/// The rows of a query as text.
pub(crate) fn rows(catalogue: &Path, sql: &str) -> Vec<String> {
    let db = Connection::open(catalogue).expect("a catalogue");
    let mut query = db.prepare(sql).expect("a query");
    let n = query.column_count();
    let rows = query
        .query_map([], |r| {
            let cell = |i| match r.get_ref(i) {
                Ok(ValueRef::Null) => "-".to_owned(),
                Ok(ValueRef::Integer(v)) => v.to_string(),
                Ok(ValueRef::Real(v)) => v.to_string(),
                Ok(ValueRef::Text(v)) => String::from_utf8_lossy(v).into_owned(),
                other => format!("{other:?}"),
            };
            Ok((0..n).map(cell).collect::<Vec<_>>().join("|"))
        })
        .expect("rows");
    rows.collect::<Result<_, _>>().expect("rows")
}

/// Everything that a catalogue says of its volumes, in one order, without its own numbers and
/// without the time of files.
pub(crate) fn dump(catalogue: &Path) -> Vec<String> {
    let db = Connection::open(catalogue).expect("a catalogue");
    let query = db.prepare("SELECT * FROM volumes").expect("a query");
    let columns: Vec<_> = query
        .column_names()
        .filter(|c| !matches!(*c, "id" | "file"))
        .map(|c| format!("v.{c}"))
        .collect();
    rows(
        catalogue,
        &format!(
            "SELECT f.path, f.bytes, f.complete, {} FROM volumes v JOIN files f ON f.id = v.file
             ORDER BY v.source, f.path, v.member, v.frame",
            columns.join(", ")
        ),
    )
}

/// Volumes beside the workspace, or `None`, which the test says.
pub(crate) fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared")
        .join(name);
    if !path.exists() {
        eprintln!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}

/// A BIDS tree, by path.
pub(crate) fn bids() -> BTreeMap<&'static str, Vec<u8>> {
    let text = |t: &str| t.as_bytes().to_vec();
    let mut negative = values(SHAPE, 5);
    negative[0] = -1.0;
    let mut hu = values(SHAPE, 6);
    hu.iter_mut().for_each(|v| *v -= 1000.0);
    let thin = [18, 17, 14];
    BTreeMap::from([
        ("dataset_description.json", text(r#"{"Name": "x"}"#)),
        (
            "participants.tsv",
            text("participant_id\tage\tsex\tsite\nsub-01\t34.5\tF\tOslo\nsub-02\tn/a\tm\tRome\n"),
        ),
        (
            "sub-01/sub-01_sessions.tsv",
            text("session_id\tage\nses-0\t33\nses-a\t35.25\n"),
        ),
        (
            "T1w.json",
            text(
                r#"{"Manufacturer": "Siemens", "ManufacturersModelName": "Prisma", "MagneticFieldStrength": 3}"#,
            ),
        ),
        ("sub-01/ses-a/anat/sub-01_ses-a_T1w.nii.gz", image(1, true)),
        (
            "sub-01/ses-a/anat/sub-01_ses-a_FLAIR.json",
            text(r#"{"MagneticFieldStrength": 1.494, "PatientAge": "035Y"}"#),
        ),
        (
            "sub-01/ses-a/anat/sub-01_ses-a_FLAIR.nii.gz",
            image(2, true),
        ),
        (
            "sub-01/ses-a/func/sub-01_ses-a_task-rest_bold.nii",
            series(&[1, 2, 3]),
        ),
        ("sub-01/ses-a/dwi/sub-01_ses-a_dwi.nii.gz", image(3, true)),
        // The voxels of the first, in another file.
        ("sub-02/anat/sub-02_T1w.nii", image(1, false)),
        (
            "sub-02/anat/sub-02_T2w.nii.gz",
            nifti(&grid(SHAPE), negative, true),
        ),
        (
            "sub-02/anat/sub-02_PDw.nii.gz",
            nifti(&grid(thin), values(thin, 4), true),
        ),
        (
            "sub-02/anat/sub-02_label-lesion_mask.nii.gz",
            image(7, true),
        ),
        (
            "sub-02/anat/sub-02_acq-c_T1w.nii.gz",
            nifti(&grid(SHAPE), vec![7.0; 18 * 17 * 16], true),
        ),
        ("sub-03/ct/scan.nii.gz", nifti(&grid(SHAPE), hu, true)),
        ("derivatives/x/sub-01_T1w.nii.gz", image(8, true)),
        (".hidden/sub-01_T1w.nii.gz", image(9, true)),
        ("notes.txt", text("nothing")),
    ])
}

pub(crate) fn write_tree(folder: &Folder, name: &str, files: &BTreeMap<&str, Vec<u8>>) {
    for (path, bytes) in files {
        folder.write(&format!("{name}/{path}"), bytes);
    }
}

pub(crate) fn tar_of(files: &BTreeMap<&str, Vec<u8>>) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    // Backwards: sidecars after their images.
    for (path, bytes) in files.iter().rev() {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive
            .append_data(&mut header, path, &bytes[..])
            .expect("memory");
    }
    archive.into_inner().expect("memory")
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(bytes).expect("memory");
    out.finish().expect("memory")
}

pub(crate) fn zip_of(files: &BTreeMap<&str, Vec<u8>>) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (path, bytes) in files {
        archive
            .start_file(*path, zip::write::SimpleFileOptions::default())
            .expect("memory");
        archive.write_all(bytes).expect("memory");
    }
    archive.finish().expect("memory").into_inner()
}
