//! Metrics of segmentations against MONAI, scikit-learn, SimpleITK and SciPy.
//!
//! The numbers are made by `tests/reference/metric.py`.

use amaes_core::label::Label;
use amaes_core::metric::{LesionConfig, Lesions, Masks, Pair, dice};
use amaes_core::volume::{Affine, Grid, Volume};
use serde_json::Value;

fn list(v: &Value) -> Vec<f64> {
    let list = v.as_array().expect("a list").iter();
    list.map(|n| n.as_f64().expect("a number")).collect()
}

/// Runs of a value and a count, the way in which labels are written.
fn volume(pair: &Value, name: &str) -> Volume<Label> {
    let shape = list(&pair["shape"]);
    let spacing = list(&pair["spacing"]);
    let mut data = Vec::new();
    for run in list(&pair[name]).chunks(2) {
        data.resize(data.len() + run[1] as usize, run[0] as Label);
    }
    // A rotation by the 3-4-5 triangle: only the columns' lengths are the voxel's size.
    let [x, y, z] = [spacing[0], spacing[1], spacing[2]];
    let affine = Affine([
        [-0.6 * x, 0.8 * y, 0.0, 40.0],
        [0.8 * x, 0.6 * y, 0.0, -3.0],
        [0.0, 0.0, z, 7.0],
    ]);
    let shape = [0, 1, 2].map(|a| shape[a] as usize);
    Volume::new(Grid { shape, affine }, data).expect("one value a voxel")
}

/// MONAI computes in single precision, the position between two values of a percentile too.
fn agrees(found: Option<f64>, expected: &Value, what: &str) {
    match (found, expected.as_f64()) {
        (Some(a), Some(b)) => assert!((a - b).abs() <= 2e-5 * b.abs().max(0.1), "{what}: {a} {b}"),
        (a, b) => assert_eq!(a, b, "{what}"),
    }
}

fn check_surfaces(masks: &Masks, expected: &Value, tolerances: &[f64], name: &str) {
    let found = masks.surface_distances().expect("small");
    let one_is_empty = found.is_none() && !expected["dice"].is_null();
    for (&tolerance, dice) in tolerances
        .iter()
        .zip(expected["surface_dice"].as_array().expect("a list"))
    {
        // With one of the two empty there are no distances, and no voxel of the other is near.
        let found = match &found {
            Some(distances) => Some(distances.surface_dice(tolerance)),
            None => one_is_empty.then_some(0.0),
        };
        agrees(
            found,
            dice,
            &format!("{name}: surface Dice at {tolerance} mm"),
        );
    }
    let hd95 = found.as_ref().map(|d| d.percentile(95.0));
    agrees(hd95, &expected["hd95"], &format!("{name}: HD95"));
    let hausdorff = found.as_ref().map(|d| d.hausdorff());
    agrees(
        hausdorff,
        &expected["hausdorff"],
        &format!("{name}: Hausdorff"),
    );
    let mean = found.as_ref().map(|d| d.mean());
    agrees(mean, &expected["mean"], &format!("{name}: mean"));
}

fn check_lesions(masks: &Masks, config: &LesionConfig, expected: &Value, name: &str) {
    let found = masks.lesions(config).expect("small");
    let n: Vec<usize> = list(expected).into_iter().map(|n| n as usize).collect();
    let expected = Lesions {
        reference: n[0],
        found: n[1],
        prediction: n[2],
        right: n[3],
    };
    assert_eq!(found, expected, "{name}");
}

#[test]
fn metrics_agree_with_the_programs_people_use() {
    let all: Value = serde_json::from_str(include_str!("../reference/metric.json")).expect("JSON");
    let tolerances = list(&all["tolerances"]);
    let mut checked = 0;
    for data in all["pairs"].as_array().expect("pairs") {
        let (reference, prediction) = (volume(data, "reference"), volume(data, "prediction"));
        let pair = Pair::new(&reference, &prediction).expect("one shape");
        for expected in data["structures"].as_array().expect("structures") {
            let labels: Vec<Label> = list(&expected["labels"])
                .iter()
                .map(|&l| l as Label)
                .collect();
            let name = format!("{} {labels:?}", data["name"]);
            let masks = pair.masks(&labels).expect("small");
            let counts = masks.overlap();
            agrees(counts.dice(), &expected["dice"], &name);
            agrees(counts.sensitivity(), &expected["sensitivity"], &name);
            agrees(counts.precision(), &expected["precision"], &name);
            agrees(
                counts.volume_similarity(),
                &expected["volume_similarity"],
                &name,
            );
            if let [label] = labels[..] {
                let alone = dice(&reference, &prediction, label).expect("one shape");
                assert_eq!(alone, counts.dice());
            }
            check_surfaces(&masks, expected, &tolerances, &name);
            check_lesions(
                &masks,
                &LesionConfig::default(),
                &expected["lesions"],
                &name,
            );
            let strict = LesionConfig {
                min_mm3: 2.5 * masks.voxel_mm3(),
                min_overlap: 0.5,
                ..LesionConfig::default()
            };
            let counted = &expected["lesions_of_3_voxels_half_covered"];
            check_lesions(&masks, &strict, counted, &name);
            checked += 1;
        }
    }
    assert_eq!(checked, 50);
}
