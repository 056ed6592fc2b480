//! Volumes read here and by nibabel: real ones, nibabel's own test files, all 48 orientations and
//! odd headers. `reference/volumes.py` wrote what is expected.
//!
//! Real volumes are taken from `../shared/mri` (or the folder `AMAES_MRI`), nibabel's test files
//! from the folder `AMAES_NIBABEL_DATA` (`nibabel/tests/data` of its wheel). What is absent is
//! skipped by name.

use std::fs::File;
use std::path::{Path, PathBuf};

use amaes_core::volume::{
    Affine, NonFinite, Orientation, ReadOptions, Volume, VolumeError, VolumeReader, WriteOptions,
    read_header, read_labels, read_volume, write_labels,
};
use serde_json::Value;

type Check = Result<(), Box<dyn std::error::Error>>;

fn reference() -> Result<Value, serde_json::Error> {
    serde_json::from_str(include_str!("../reference/volumes.json"))
}

/// The file, or nothing and a line that says so.
fn find(folder: Option<PathBuf>, name: &str) -> Option<PathBuf> {
    let path = folder.map(|f| f.join(name)).filter(|p| p.is_file());
    if path.is_none() {
        eprintln!("skipped: {name}");
    }
    path
}

fn mri() -> Option<PathBuf> {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/mri");
    Some(std::env::var_os("AMAES_MRI").map_or(shared, PathBuf::from))
}

fn nibabel_data() -> Option<PathBuf> {
    std::env::var_os("AMAES_NIBABEL_DATA").map(PathBuf::from)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A number, or one of `nan`, `inf`, `-inf`.
fn number(value: &Value) -> f64 {
    match value {
        Value::String(s) => s.parse().unwrap_or(f64::NAN),
        v => v.as_f64().expect("a number"),
    }
}

fn affine(value: &Value) -> Affine {
    let mut out = [[0.0; 4]; 3];
    for (row, values) in out.iter_mut().zip(list(value)) {
        for (v, expected) in row.iter_mut().zip(list(values)) {
            *v = number(expected);
        }
    }
    Affine(out)
}

fn close(a: f64, b: f64) -> bool {
    (a.is_nan() && b.is_nan()) || a == b || (a - b).abs() <= 1e-6 * a.abs().max(b.abs()).max(1e-3)
}

fn assert_affine(found: &Affine, expected: &Affine, what: &str) {
    let same = found
        .0
        .iter()
        .flatten()
        .zip(expected.0.iter().flatten())
        .all(|(a, b)| close(*a, *b));
    assert!(same, "{what}: {found:?} instead of {expected:?}");
}

fn crc(values: &[f32]) -> u64 {
    let mut crc = flate2::Crc::new();
    for block in values.chunks(4096) {
        let bytes: Vec<u8> = block.iter().flat_map(|v| v.to_le_bytes()).collect();
        crc.update(&bytes);
    }
    crc.sum().into()
}

fn dims(value: &Value) -> Vec<u64> {
    list(value).iter().filter_map(Value::as_u64).collect()
}

/// Everything that is known of one file.
fn check(path: &Path, expected: &Value) -> Check {
    let name = text(&expected["name"]);
    let header = read_header(File::open(path)?)?;
    assert_eq!(header.dims(), dims(&expected["dims"]), "{name}");
    assert_eq!(
        header.datatype().to_string(),
        text(&expected["datatype"]),
        "{name}"
    );
    assert_affine(&header.affine(), &affine(&expected["affine"]), name);
    assert_eq!(
        header.grid().orientation()?.to_string(),
        text(&expected["orientation"]),
        "{name}"
    );
    let volumes = list(&expected["volumes"]);
    if volumes.len() > 1 {
        let e = read_volume(File::open(path)?, &ReadOptions::default());
        assert!(matches!(e, Err(VolumeError::NotThreeD { .. })), "{name}");
    }
    for volume in volumes {
        let options = ReadOptions {
            volume: (volumes.len() > 1)
                .then(|| volume["index"].as_u64())
                .flatten(),
            ..ReadOptions::default()
        };
        let (v, _) = read_volume(File::open(path)?, &options)?;
        for sample in list(&volume["samples"]) {
            let index = sample[0].as_u64().expect("an index") as usize;
            let (a, b) = (f64::from(v.data()[index]), number(&sample[1]));
            assert!(close(a, b), "{name} voxel {index}: {a} instead of {b}");
        }
        check_statistics(&v, volume, name);
        assert_eq!(Some(crc(v.data())), volume["crc"].as_u64(), "{name}");
        check_slabs(path, &options, &v)?;
    }
    Ok(())
}

fn check_statistics(v: &Volume<f32>, expected: &Value, name: &str) {
    let n = v.data().len() as f64;
    let values = || v.data().iter().map(|x| f64::from(*x));
    let sum: f64 = values().sum();
    let mean = sum / n;
    let std = (values().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n).sqrt();
    let (min, max) = (
        values().fold(f64::MAX, f64::min),
        values().fold(f64::MIN, f64::max),
    );
    let found = [
        ("sum", sum),
        ("mean", mean),
        ("std", std),
        ("min", min),
        ("max", max),
    ];
    // nibabel's own statistics are NaN where a voxel is.
    if v.non_finite() == NonFinite::default() {
        for (key, value) in found {
            assert!(
                close(value, number(&expected[key])),
                "{name} {key}: {value}"
            );
        }
    }
}

/// Slab by slab gives the same as whole.
fn check_slabs(path: &Path, options: &ReadOptions, whole: &Volume<f32>) -> Check {
    let mut reader = VolumeReader::new(File::open(path)?, options)?;
    let mut slab = vec![0f32; 7 * reader.plane_len()];
    let mut at = 0;
    loop {
        let n = reader.read_slab(&mut slab)? * reader.plane_len();
        if n == 0 {
            break;
        }
        // By their bits, for NaN voxels.
        let same = slab[..n]
            .iter()
            .zip(&whole.data()[at..])
            .all(|(a, b)| a.to_bits() == b.to_bits());
        assert!(same, "{}", path.display());
        at += n;
    }
    assert_eq!(at, whole.data().len());
    Ok(())
}

#[test]
fn real_volumes_agree_with_nibabel() -> Check {
    for expected in list(&reference()?["mri"]) {
        if let Some(path) = find(mri(), text(&expected["name"])) {
            check(&path, expected)?;
        }
    }
    Ok(())
}

#[test]
fn nibabels_own_files_agree_with_nibabel() -> Check {
    for expected in list(&reference()?["nibabel_data"]) {
        if let Some(path) = find(nibabel_data(), text(&expected["name"])) {
            check(&path, expected)?;
        }
    }
    Ok(())
}

#[test]
fn all_48_orientations_agree_with_nibabel() -> Check {
    for file in list(&reference()?["reoriented"]) {
        let name = text(&file["name"]);
        let Some(path) = find(nibabel_data(), name) else {
            continue;
        };
        let (v, _) = read_volume(File::open(path)?, &ReadOptions::default())?;
        let own = v.grid().orientation()?;
        for target in Orientation::all() {
            let expected = &file["orientations"][target.to_string()];
            let turned = v.reoriented(target)?;
            let what = format!("{name} to {target}");
            assert_affine(&turned.grid().affine, &affine(&expected["affine"]), &what);
            assert_eq!(Some(crc(turned.data())), expected["crc"].as_u64(), "{what}");
            assert_eq!(turned.reoriented(own)?.data(), v.data(), "{what} and back");
        }
    }
    Ok(())
}

#[test]
fn nearest_axes_of_any_affine_agree_with_nibabel() -> Check {
    let reference = reference()?;
    let cases = list(&reference["orientations"]);
    assert!(cases.len() > 40);
    for case in cases {
        let affine = affine(&case["affine"]);
        let found = Orientation::of(&affine)?.to_string();
        assert_eq!(found, text(&case["orientation"]), "{affine:?}");
    }
    Ok(())
}

fn unhex(text: &str) -> Result<Vec<u8>, std::num::ParseIntError> {
    (0..text.len() / 2)
        .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16))
        .collect()
}

#[test]
fn odd_headers_are_read_or_refused_as_by_nibabel() -> Check {
    let mut refused = 0;
    for group in list(&reference()?["odd_headers"]) {
        let base = unhex(text(&group["base"]))?;
        for case in list(&group["cases"]) {
            let mut bytes = base.clone();
            for patch in list(&case["patches"]) {
                let at = patch[0].as_u64().expect("an offset") as usize;
                let new = unhex(text(&patch[1]))?;
                bytes[at..at + new.len()].copy_from_slice(&new);
            }
            let what = case["patches"].to_string();
            let found = read_volume(&bytes[..], &ReadOptions::default());
            if case.get("refused").is_some() {
                assert!(found.is_err(), "{what} was read");
                refused += 1;
                continue;
            }
            let (v, header) = found.map_err(|e| format!("{what}: {e}"))?;
            assert_affine(&header.affine(), &affine(&case["affine"]), &what);
            assert_eq!(header.dims(), dims(&case["dims"]), "{what}");
            for (a, b) in v.data().iter().zip(list(&case["values"])) {
                assert!(close((*a).into(), number(b)), "{what}: {a} {b}");
            }
            assert_eq!(Some(crc(v.data())), case["crc"].as_u64(), "{what}");
        }
    }
    assert!(refused > 8);
    Ok(())
}

#[test]
fn labels_on_real_volumes_keep_the_header() -> Check {
    for expected in list(&reference()?["mri"]) {
        let Some(path) = find(mri(), text(&expected["name"])) else {
            continue;
        };
        let header = read_header(File::open(path)?)?;
        let n = header.grid().voxels();
        let labels = Volume::new(header.grid(), (0..n).map(|i| (i % 19) as u16).collect())?;
        let mut out = Vec::new();
        let options = WriteOptions {
            gzip: Some(1),
            ..WriteOptions::PLAIN
        };
        write_labels(&mut out, &header, &labels, &options)?;
        let (back, h) = read_labels(&out[..], &ReadOptions::default())?;
        assert_eq!(back.grid(), labels.grid());
        assert!(back.data() == labels.data());
        // pixdim, units, codes, quaternion, offsets and rows.
        for range in [76..108, 123..124, 252..328] {
            assert_eq!(h.as_bytes()[range.clone()], header.as_bytes()[range]);
        }
    }
    Ok(())
}
