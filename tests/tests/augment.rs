//! Augmentation against NumPy, SciPy and scikit-image (`tests/reference/augment.py`).

use amaes_core::augment::{
    BiasField, CoordinateMap, Displacement, Gamma, GibbsRinging, MotionGhosting, additive_noise,
    blur, low_resolution, multiplicative_noise,
};
use serde_json::Value;

const SHAPE: [usize; 3] = [23, 18, 13];

/// The cases of one transform.
fn cases(transform: &str) -> Vec<Value> {
    let text = include_str!("../reference/augment.json");
    let all: Value = serde_json::from_str(text).expect("JSON");
    all[transform].as_array().expect("a list").clone()
}

fn number(v: &Value) -> f64 {
    v.as_f64().expect("a number")
}

fn triple(v: &Value) -> [f64; 3] {
    [0, 1, 2].map(|a| number(&v[a]))
}

fn edges(v: &Value) -> [usize; 3] {
    triple(v).map(|n| n as usize)
}

fn index(v: &Value) -> usize {
    number(v) as usize
}

fn truth(v: &Value) -> bool {
    v.as_bool().expect("true or false")
}

fn rough([nx, ny, nz]: [usize; 3]) -> Vec<usize> {
    let mut out = Vec::new();
    for z in 0..nz {
        for y in 0..ny {
            for x in 0..nx {
                let v = x * 73 + y * 179 + z * 283 + x * y * 7 + y * z * 11 + x * z * 5;
                out.push(v % 997);
            }
        }
    }
    out
}

/// The image of `augment.py`.
fn image(shape: [usize; 3], low: f64) -> Vec<f32> {
    let value = |v: usize| (v as f64 / 996.0 + low) as f32;
    rough(shape).into_iter().map(value).collect()
}

fn labels(shape: [usize; 3]) -> Vec<u8> {
    // The script rounds down what its division and product leave of a whole number.
    let whole = |v: usize| (v as f64 / 996.0 * 996.0).floor() as usize;
    rough(shape)
        .into_iter()
        .map(|v| (whole(v) % 50) as u8)
        .collect()
}

fn noise(shape: [usize; 3], which: usize) -> Vec<f32> {
    let voxels: usize = shape.iter().product();
    let number = |i: usize| (i * i * 31 + i * 7919 + which * 104_729) % 10_007;
    (0..voxels)
        .map(|i| (number(i) as f64 / 10_006.0 * 2.0 - 1.0) as f32)
        .collect()
}

/// Compares with a recorded case, to 1e-4 of `size`.
fn check(name: &str, out: &[f32], case: &Value, size: f64) {
    let at = case["index"].as_array().expect("a list");
    let wanted = case["value"].as_array().expect("a list");
    let last = at.last().map(index);
    assert_eq!(last, Some(out.len() - 1), "{name}: number of voxels");
    let mut worst = 0.0f64;
    for (i, wanted) in at.iter().zip(wanted) {
        let (found, wanted) = (f64::from(out[index(i)]), number(wanted));
        let error = (found - wanted).abs() / size;
        assert!(error <= 1e-4, "{name}, voxel {i}: {found}, not {wanted}");
        worst = worst.max(error);
    }
    let sum: f64 = out.iter().copied().map(f64::from).sum();
    let error = (sum - number(&case["sum"])).abs() / (size * out.len() as f64);
    assert!(error <= 1e-4, "{name}: sum {sum}, not {}", case["sum"]);
    eprintln!("{name}: {worst:.1e}");
}

#[test]
fn coordinate_maps_agree_with_scipy() {
    for (i, case) in cases("spatial").iter().enumerate() {
        let (shape, patch) = (edges(&case["shape"]), edges(&case["patch"]));
        let displacement = case["elastic"].as_array().map(|elastic| {
            let noise = [0, 1, 2].map(|c| noise(patch, c));
            let noise = [&noise[0][..], &noise[1], &noise[2]];
            let (sigma, alpha) = (number(&elastic[0]), number(&elastic[1]));
            let made = Displacement::from_noise(noise, patch, sigma, alpha).expect("noise");
            for (c, moved) in made.to_vectors().iter().enumerate() {
                let case = &case["displacement"][c];
                let values = case["value"].as_array().expect("a list");
                let size = values.iter().map(|v| number(v).abs()).fold(0.0, f64::max);
                check(&format!("displacement {i}.{c}"), moved, case, size);
            }
            made
        });
        let map = CoordinateMap::new(
            patch,
            triple(&case["centre"]),
            triple(&case["angles"]),
            number(&case["scale"]),
            displacement,
        );
        let out = map.cubic(&image(shape, -0.2), shape, None);
        check(&format!("cubic {i}"), &out, &case["cubic"], 1.0);
        let near = map.nearest(&labels(shape), shape, 0);
        let near: Vec<f32> = near.into_iter().map(f32::from).collect();
        check(&format!("nearest {i}"), &near, &case["nearest"], 1.0);
    }
}

#[test]
fn noise_agrees_with_numpy() {
    for case in cases("noise") {
        let sigma = number(&case["sigma"]) as f32;
        let mut out = image(SHAPE, -0.3);
        additive_noise(&mut out, &noise(SHAPE, 3), sigma);
        check("additive", &out, &case["additive"], 1.0);
        let mut out = image(SHAPE, -0.3);
        multiplicative_noise(&mut out, &noise(SHAPE, 3), sigma);
        check("multiplicative", &out, &case["multiplicative"], 1.0);
    }
}

#[test]
fn blur_agrees_with_scipy() {
    for case in cases("blur") {
        let shape = edges(&case["shape"]);
        let mut out = image(shape, -0.3);
        blur(&mut out, shape, number(&case["sigma"]));
        check(&format!("blur {}", case["sigma"]), &out, &case, 1.0);
    }
}

#[test]
fn ghosting_agrees_with_fourier_transforms() {
    for case in cases("ghosting") {
        let shape = edges(&case["shape"]);
        let mut out = image(shape, number(&case["low"]));
        let ghosts = MotionGhosting {
            alpha: number(&case["alpha"]),
            every: index(&case["every"]),
            axis: index(&case["axis"]),
            with_mean: truth(&case["with_mean"]),
        };
        ghosts.apply(&mut out, shape);
        check(&format!("{ghosts:?}"), &out, &case, 1.0);
    }
}

#[test]
fn ringing_agrees_with_fourier_transforms() {
    for case in cases("ringing") {
        let shape = edges(&case["shape"]);
        let mut out = image(shape, number(&case["low"]));
        let ringing = GibbsRinging {
            planes: index(&case["planes"]),
            axis: index(&case["axis"]),
        };
        ringing.apply(&mut out, shape);
        check(&format!("{ringing:?}"), &out, &case, 1.0);
    }
}

#[test]
fn low_resolution_agrees_with_scikit_image() {
    for case in cases("low_resolution") {
        let shape = edges(&case["shape"]);
        let mut out = image(shape, -0.3);
        low_resolution(&mut out, shape, edges(&case["target"]));
        check(
            &format!("low resolution {}", case["target"]),
            &out,
            &case,
            1.0,
        );
    }
}

#[test]
fn bias_fields_agree_with_numpy() {
    for case in cases("bias_field") {
        let shape = edges(&case["shape"]);
        let mut out = image(shape, -0.3);
        let centre = edges(&case["centre"]);
        BiasField { centre }.apply(&mut out, shape);
        check(&format!("bias field {centre:?}"), &out, &case, 1.0);
    }
}

#[test]
fn gamma_agrees_with_numpy() {
    for case in cases("gamma") {
        let mut out: Vec<f32> = rough(SHAPE)
            .into_iter()
            .map(|v| ((v as f64 / 996.0 - 0.3) * 1.7) as f32)
            .collect();
        let gamma = Gamma {
            gamma: number(&case["gamma"]),
            invert: truth(&case["invert"]),
            reference: truth(&case["reference"]),
        };
        gamma.apply(&mut out);
        check(&format!("{gamma:?}"), &out, &case, 1.7);
    }
}
