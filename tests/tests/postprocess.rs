//! Components, hole filling, statistics and Dice against SciPy.
//!
//! The numbers are made by `tests/reference/postprocess.py`.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use amaes_core::infer::{
    Components, Connectivity, Grouping, LabelReport, MinimumSize, fill_holes, keep_largest,
    keep_largest_per_label, remove_small,
};
use amaes_core::label::{Label, LabelTable};
use amaes_core::metric::dice;
use amaes_core::volume::{Affine, Grid, ReadOptions, Volume, read_labels, read_volume};
use serde_json::Value;

const SHAPE: [usize; 3] = [41, 37, 33];

/// A file under `../shared` (for `mri/`, under the folder `AMAES_MRI` if that is set), or `None`
/// and a line in the output where it is absent.
fn shared(path: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let file = match (std::env::var_os("AMAES_MRI"), path.strip_prefix("mri/")) {
        (Some(mri), Some(name)) => Path::new(&mri).join(name),
        _ => folder.join(path),
    };
    if file.is_file() {
        return Some(file);
    }
    eprintln!("skipped: {path}");
    None
}

fn labels(path: &Path) -> Volume<Label> {
    let file = BufReader::new(File::open(path).expect("readable"));
    let (volume, _) = read_labels(file, &ReadOptions::default()).expect("a label volume");
    volume
}

fn reference() -> Value {
    serde_json::from_str(include_str!("../reference/postprocess.json")).expect("JSON")
}

fn number(v: &Value) -> usize {
    v.as_u64().expect("a whole number") as usize
}

fn reals(v: &Value) -> Vec<f64> {
    let list = v.as_array().expect("a list");
    list.iter().map(|n| n.as_f64().expect("a number")).collect()
}

fn entries(v: &Value) -> impl Iterator<Item = (Label, &Value)> {
    let map = v.as_object().expect("a map");
    map.iter().map(|(k, v)| (k.parse().expect("a label"), v))
}

/// The hash of `postprocess.py`.
fn random_map(density: u64) -> Volume<Label> {
    let data = (0..SHAPE.iter().product::<usize>() as u64)
        .map(|i| {
            let mut h = (i * 2_654_435_761 + 12_345) % (1 << 32);
            h ^= h >> 15;
            h = h * 2_246_822_519 % (1 << 32);
            h ^= h >> 13;
            if h % 1000 < density {
                1 + (h / 1000 % 3) as Label
            } else {
                0
            }
        })
        .collect();
    let grid = Grid {
        shape: SHAPE,
        affine: Affine::IDENTITY,
    };
    Volume::new(grid, data).expect("one value a voxel")
}

fn count(v: &Volume<Label>, f: impl Fn(Label) -> bool) -> usize {
    v.data().iter().filter(|&&l| f(l)).count()
}

fn descending(sizes: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut sizes: Vec<_> = sizes.collect();
    sizes.sort_by_key(|&s| std::cmp::Reverse(s));
    sizes
}

fn check_components(map: &Volume<Label>, expected: &Value) {
    let all = [
        Connectivity::Faces,
        Connectivity::Edges,
        Connectivity::Corners,
    ];
    let expected = expected.as_array().expect("three connectivities");
    for (connectivity, expected) in all.into_iter().zip(expected) {
        let found =
            Components::find(map, connectivity, Grouping::Foreground).expect("not too large");
        let sizes = descending(found.sizes().iter().copied());
        assert_eq!(sizes.len(), number(&expected["count"]));
        let largest: Vec<_> = reals(&expected["largest"])
            .iter()
            .map(|&n| n as usize)
            .collect();
        assert_eq!(sizes[..largest.len()], largest);

        let mut kept = map.clone();
        let cleared = keep_largest(&mut kept, connectivity).expect("not too large");
        assert_eq!(count(&kept, |l| l != 0), largest[0]);
        assert_eq!(cleared + largest[0], count(map, |l| l != 0));

        let mut kept = map.clone();
        let (grouping, minimum) = (Grouping::Foreground, MinimumSize::Voxels(10));
        let cleared =
            remove_small(&mut kept, connectivity, grouping, minimum).expect("not too large");
        assert_eq!(cleared, number(&expected["small"]));

        let found = Components::find(map, connectivity, Grouping::PerLabel).expect("not too large");
        let mut kept = map.clone();
        keep_largest_per_label(&mut kept, connectivity).expect("not too large");
        for (label, v) in entries(&expected["per_label"]) {
            let own = found.labels().iter().filter(|&&l| l == label).count();
            assert_eq!(own, number(&v[0]), "{label}");
            assert_eq!(count(&kept, |l| l == label), number(&v[1]), "{label}");
        }
    }
}

fn check_holes(map: &Volume<Label>, expected: &Value) {
    let mut filled = map.clone();
    let n = fill_holes(&mut filled, Grouping::Foreground).expect("not too large");
    assert_eq!(n, number(&expected["foreground"]));
    assert_eq!(n, count(&filled, |l| l != 0) - count(map, |l| l != 0));
    let mut filled = map.clone();
    fill_holes(&mut filled, Grouping::PerLabel).expect("not too large");
    for (label, v) in entries(&expected["per_label"]) {
        let n = count(&filled, |l| l == label) - count(map, |l| l == label);
        assert_eq!(n, number(v), "{label}");
    }
}

#[test]
fn random_maps_agree_with_scipy() {
    let all = reference();
    for (density, expected) in entries(&all["random"]) {
        let map = random_map(density.into());
        check_components(&map, &expected["components"]);
        check_holes(&map, &expected["holes"]);
    }
}

#[test]
fn real_maps_agree_with_scipy() {
    let all = reference();
    let Some(mri) = shared("mri/t1_crop.nii.gz") else {
        return;
    };
    let file = BufReader::new(File::open(mri).expect("readable"));
    let (image, _) = read_volume(file, &ReadOptions::default()).expect("a volume");
    for (name, expected) in all["real"].as_object().expect("files") {
        let Some(path) = shared(&format!("labels/{name}")) else {
            continue;
        };
        let map = labels(&path);
        check_components(&map, &expected["components"]);
        check_holes(&map, &expected["holes"]);
        let report =
            LabelReport::measure(&map, Some(&image), &LabelTable::default()).expect("one shape");
        let statistics: Vec<_> = entries(&expected["statistics"]).collect();
        assert_eq!(report.labels.len(), statistics.len());
        for (found, (label, v)) in report.labels.iter().zip(statistics) {
            assert_eq!((found.value, found.voxels), (label, number(&v["voxels"])));
            // Voxels of 1 mm^3.
            assert!((found.volume_ml * 1000.0 - found.voxels as f64).abs() < 1e-3);
            let near = |a: f64, b: &Value| (a - b.as_f64().expect("a number")).abs() < 1e-6;
            assert!(near(found.mean.expect("an image"), &v["mean"]));
            assert!(near(found.std.expect("an image"), &v["std"]));
            for (a, b) in found
                .centroid_mm
                .expect("present")
                .iter()
                .zip(reals(&v["centroid"]))
            {
                assert!((a - b).abs() < 1e-6, "{a} {b}");
            }
            let found = found.bounding_box.expect("present");
            assert_eq!(found.start.map(|c| c as f64)[..], reals(&v["start"]));
            assert_eq!(found.end.map(|c| c as f64)[..], reals(&v["end"]));
        }
    }
    if let (Some(a), Some(b)) = (
        shared("labels/t1_crop.model5_gw_ae.nii.gz"),
        shared("labels/t1_crop.model18cls.nii.gz"),
    ) {
        let found = dice(&labels(&a), &labels(&b), 1)
            .expect("one shape")
            .expect("present");
        assert!((found - all["dice"].as_f64().expect("a number")).abs() < 1e-12);
    }
}
