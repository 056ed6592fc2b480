//! Preprocessing against NumPy, SciPy and nibabel, and its inverse on real images.
//!
//! The numbers are made by the scripts in `tests/reference`.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use amaes_core::metric::dice_per_label;
use amaes_core::preprocess::{Applied, Interpolation, Normalization, Plan, Step};
use amaes_core::volume::{Affine, Grid, ReadOptions, Volume, read_labels, read_volume};
use serde_json::Value;

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

fn open(path: &Path) -> BufReader<File> {
    BufReader::new(File::open(path).expect("readable"))
}

fn image(path: &Path) -> Volume<f32> {
    let (volume, _) = read_volume(open(path), &ReadOptions::default()).expect("a volume");
    volume
}

fn reference(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn list(v: &Value) -> &Vec<Value> {
    v.as_array().expect("a list")
}

fn numbers(v: &Value) -> Vec<f64> {
    list(v)
        .iter()
        .map(|n| n.as_f64().expect("a number"))
        .collect()
}

fn triple(v: &Value) -> [f64; 3] {
    numbers(v).try_into().expect("three numbers")
}

fn indices(v: &Value) -> Vec<usize> {
    numbers(v).iter().map(|&n| n as usize).collect()
}

/// The formula of `preprocess.py`.
fn formula(shape: [usize; 3], spacing: [f64; 3]) -> Volume<f32> {
    let [nx, ny, nz] = shape;
    let mut data = Vec::new();
    for z in 0..nz {
        for y in 0..ny {
            for x in 0..nx {
                let v = x * 73 + y * 179 + z * 283 + x * y * 7 + y * z * 11 + x * z * 5;
                data.push((v % 997) as f32);
            }
        }
    }
    let mut affine = Affine::IDENTITY;
    for (a, s) in spacing.into_iter().enumerate() {
        affine.0[a][a] = s;
    }
    Volume::new(Grid { shape, affine }, data).expect("one value a voxel")
}

fn plan(step: Step) -> Plan {
    Plan { steps: vec![step] }
}

#[test]
fn resampling_agrees_with_scipy() {
    let all = reference(include_str!("../reference/preprocess.json"));
    let cases = list(&all["resample"]);
    assert_eq!(cases.len(), 12);
    for case in cases {
        let shape = triple(&case["shape"]).map(|n| n as usize);
        let interpolation = match case["order"].as_u64() {
            Some(0) => Interpolation::Nearest,
            Some(1) => Interpolation::Trilinear,
            _ => Interpolation::Cubic,
        };
        let source = formula(shape, triple(&case["spacing"]));
        let centre = |g: &Grid| g.affine.apply(g.shape.map(|n| (n as f64 - 1.0) / 2.0));
        let expected_centre = centre(source.grid());
        let plan = plan(Step::Resample {
            spacing: triple(&case["target"]),
            interpolation,
        });
        let grid = plan
            .target_grid(source.grid())
            .expect("valid")
            .expect("known");
        let out = plan.apply(source).expect("an image").volume;
        assert_eq!(out.grid(), &grid);
        assert_eq!(
            grid.shape.map(|n| n as f64),
            triple(&case["target_shape"]),
            "{case}"
        );
        let spacing = grid.spacing();
        for a in 0..3 {
            assert!((spacing[a] - triple(&case["target"])[a]).abs() < 1e-12);
            assert!((centre(&grid)[a] - expected_centre[a]).abs() < 1e-9);
        }
        for (at, v) in indices(&case["index"])
            .into_iter()
            .zip(numbers(&case["value"]))
        {
            let found = f64::from(out.data()[at]);
            // Relative to the image's range of 0 to 997.
            assert!((found - v).abs() < 997.0 * 2e-6, "{at}: {found} {v} {case}");
        }
        let sum: f64 = out.data().iter().map(|&v| f64::from(v)).sum();
        let expected = case["sum"].as_f64().expect("a number");
        assert!((sum / expected - 1.0).abs() < 1e-6, "{sum} {case}");
    }
}

#[test]
fn normalisation_agrees_with_numpy() {
    let all = reference(include_str!("../reference/preprocess.json"));
    let expected = &all["normalize"];
    let mut source = formula([21, 17, 13], [1.0; 3]);
    for (i, v) in source.data_mut().iter_mut().enumerate() {
        if i % 21 < 4 {
            *v = 0.0;
        }
    }
    source.data_mut()[5 + 21 * (5 + 17 * 5)] = 1e4;
    let quantile = |clip, epsilon| Normalization::Quantile {
        low: 0.05,
        high: 0.95,
        clip,
        epsilon,
    };
    for (name, how) in [
        ("min_max", Normalization::MinMax),
        ("quantile", quantile(false, 0.0)),
        ("quantile_clip", quantile(true, 1e-3)),
        ("volume_wise", Normalization::VolumeWise),
        ("z_score", Normalization::ZScore),
    ] {
        let out = plan(Step::Normalize(how))
            .apply(source.clone())
            .expect("an image")
            .volume;
        for (at, v) in indices(&expected["index"])
            .into_iter()
            .zip(numbers(&expected["value"][name]))
        {
            let found = f64::from(out.data()[at]);
            assert!(
                (found - v).abs() < 1e-6 * v.abs().max(1.0),
                "{name} {at}: {found} {v}"
            );
        }
        let sum: f64 = out.data().iter().map(|&v| f64::from(v)).sum();
        let v = expected["sum"][name].as_f64().expect("a number");
        assert!(
            (sum - v).abs() < 1e-6 * out.data().len() as f64,
            "{name} {sum} {v}"
        );
    }
}

#[test]
fn conform_agrees_with_nibabel_and_scipy() {
    let all = reference(include_str!("../reference/conform.json"));
    for (name, expected) in all.as_object().expect("files") {
        let Some(path) = shared(&format!("mri/{name}")) else {
            continue;
        };
        let source = image(&path);
        let grid = plan(Step::conform())
            .target_grid(source.grid())
            .expect("valid");
        let prepared = plan(Step::conform()).apply(source).expect("an image");
        let (out, trace) = (&prepared.volume, &prepared.trace);
        assert_eq!(out.grid().shape, [256; 3]);
        assert_eq!(Some(out.grid()), grid.as_ref());
        for (row, v) in out.grid().affine.0.iter().zip(list(&expected["affine"])) {
            for (a, b) in row.iter().zip(numbers(v)) {
                assert!((a - b).abs() < 1e-6, "{name}: {:?}", out.grid().affine);
            }
        }
        let [Applied::Conform { resampled, scaling }] = &trace.steps[..] else {
            panic!("{name}: {:?}", trace.steps);
        };
        assert!(resampled);
        assert_eq!(scaling.is_none(), expected["scaling"].is_null(), "{name}");
        if let Some(s) = scaling {
            let [offset, scale] = numbers(&expected["scaling"])[..] else {
                panic!("two numbers");
            };
            assert!((s.offset - offset).abs() < 1e-6 && (s.scale / scale - 1.0).abs() < 1e-6);
        }
        assert!(
            out.data()
                .iter()
                .all(|&v| (0.0..=255.0).contains(&v) && v.fract() == 0.0)
        );
        let (at, value) = (indices(&expected["index"]), numbers(&expected["value"]));
        let near = |&(&at, &v): &(&usize, &f64)| (f64::from(out.data()[at]) - v).abs() <= 1.0;
        let same = at.iter().zip(&value).filter(near).count();
        assert!(
            same * 1000 >= at.len() * 999,
            "{name}: {same} of {}",
            at.len()
        );
        let blocks = numbers(&expected["block_means"]);
        for (found, v) in block_means(out, (blocks.len() as f64).cbrt().round() as usize)
            .iter()
            .zip(blocks)
        {
            assert!((found - v).abs() < 0.02, "{name}: {found} {v}");
        }
    }
}

/// Means of `n^3` blocks.
fn block_means(v: &Volume<f32>, n: usize) -> Vec<f64> {
    let shape = v.grid().shape;
    let edge = shape[0] / n;
    let mut out = vec![0.0; n * n * n];
    for (i, &value) in v.data().iter().enumerate() {
        let p = [
            i % shape[0],
            i / shape[0] % shape[1],
            i / (shape[0] * shape[1]),
        ]
        .map(|c| c / edge);
        out[p[0] + n * (p[1] + n * p[2])] += f64::from(value);
    }
    out.iter_mut()
        .for_each(|v| *v /= (edge * edge * edge) as f64);
    out
}

#[test]
fn a_conformed_image_stays_as_it_is() {
    let Some(path) = shared("mri/t1_crop.nii.gz") else {
        return;
    };
    let source = image(&path);
    let prepared = plan(Step::conform())
        .apply(source.clone())
        .expect("an image");
    assert_eq!(prepared.volume, source);
    assert!(prepared.trace.is_exact());
    let expected = [Applied::Conform {
        resampled: false,
        scaling: None,
    }];
    assert_eq!(prepared.trace.steps, expected);
}

#[test]
fn labels_follow_the_reference_plan_and_return() {
    let (Some(mri), Some(labels)) = (
        shared("mri/t1_crop.nii.gz"),
        shared("labels/t1_crop.model18cls.nii.gz"),
    ) else {
        return;
    };
    let (labels, _) = read_labels(open(&labels), &ReadOptions::default()).expect("a label volume");
    let mut reference = Plan::reference();
    let exact = Plan {
        steps: reference.steps[..3].to_vec(),
    };
    let prepared = exact.apply(image(&mri)).expect("an image");
    assert!(prepared.trace.is_exact());
    let there = prepared.trace.prepare_labels(&labels).expect("one shape");
    assert_eq!(there.grid(), prepared.volume.grid());
    assert!(there.data().len() <= labels.data().len());
    let back = prepared.trace.restore_labels(&there).expect("one shape");
    assert_eq!(back.grid(), labels.grid());
    let kept = dice_per_label(&labels, &back).expect("one shape");
    // The crop cuts only voxels of the minimum, where this network sees nothing.
    assert!(kept.values().all(|&d| d == 1.0), "{kept:?}");

    if let Some(Step::Resample { spacing, .. }) = reference.steps.last_mut() {
        *spacing = [0.8, 1.1, 0.9];
    }
    let prepared = reference.apply(image(&mri)).expect("an image");
    assert!(!prepared.trace.is_exact());
    let (lo, hi) = prepared
        .volume
        .data()
        .iter()
        .fold((f32::MAX, f32::MIN), |(a, b), &v| (a.min(v), b.max(v)));
    assert_eq!((lo, hi), (0.0, 1.0));
    let there = prepared.trace.prepare_labels(&labels).expect("one shape");
    let back = prepared.trace.restore_labels(&there).expect("one shape");
    let kept = dice_per_label(&labels, &back).expect("one shape");
    assert_eq!(kept.len(), 17);
    assert!(kept.values().all(|&d| d > 0.9), "{kept:?}");
}
