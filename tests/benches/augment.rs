//! Times augmentation of 181^3 to 128^3 voxels against SciPy, in turn, one thread each.
//!
//! `cargo bench --workspace --bench augment -- [--json FILE] [--rounds N]`. SciPy runs in the
//! Python that `AMAES_PYTHON` names (`python3` otherwise). Each time is the median of N runs (5;
//! SciPy's slow ones 1). The mean of a sample is the sum of the transforms' times by how often the
//! reference draws them; ours is measured too, over 64 samples.

use std::time::Instant;

use amaes_core::augment::{
    AdditiveNoise, AugmentConfig, BiasField, Blur, Change, CoordinateMap, Displacement, Gamma,
    GibbsRinging, LowResolution, MotionGhosting, MultiplicativeNoise, Pipeline, Random,
};
use amaes_tests::{Python, median};

const SOURCE: [usize; 3] = [181; 3];
const PATCH: [usize; 3] = [128; 3];

/// What is timed, and the part of the samples that has it.
enum Case {
    /// Elastic deformation, angle about all axes, scale.
    Spatial(bool, f64, f64),
    Intensity(Change),
}

fn cases() -> Vec<(&'static str, f64, Case)> {
    use Case::{Intensity, Spatial};
    let seed = 1;
    // Of a sample with a rotation drawn, 4 % have no axis drawn.
    let (elastic, rotation, scale) = (0.33, 0.2 * (1.0 - 0.34f64.powi(3)), 0.2);
    let no_elastic = 1.0 - elastic;
    vec![
        (
            "nothing drawn",
            no_elastic * (1.0 - rotation) * (1.0 - scale),
            Spatial(false, 0.0, 1.0),
        ),
        (
            "scale",
            no_elastic * (1.0 - rotation) * scale,
            Spatial(false, 0.0, 0.95),
        ),
        ("rotation", no_elastic * rotation, Spatial(false, 0.3, 1.0)),
        (
            "elastic",
            elastic * (1.0 - rotation),
            Spatial(true, 0.0, 1.0),
        ),
        (
            "elastic, rotation, scale",
            elastic * rotation,
            Spatial(true, 0.3, 0.95),
        ),
        (
            "additive noise",
            0.2,
            Intensity(Change::AdditiveNoise(AdditiveNoise { sigma: 1e-3, seed })),
        ),
        ("blur", 0.1, Intensity(Change::Blur(Blur { sigma: 0.6 }))),
        (
            "multiplicative noise",
            0.2,
            Intensity(Change::MultiplicativeNoise(MultiplicativeNoise {
                sigma: 1e-3,
                seed,
            })),
        ),
        (
            "motion ghosting",
            0.2,
            Intensity(Change::MotionGhosting(MotionGhosting {
                alpha: 0.9,
                every: 3,
                axis: 1,
                with_mean: true,
            })),
        ),
        (
            "Gibbs ringing",
            0.2,
            Intensity(Change::GibbsRinging(GibbsRinging {
                planes: 100,
                axis: 1,
            })),
        ),
        (
            "low resolution",
            0.1,
            Intensity(Change::LowResolution(LowResolution {
                shape: [96, 128, 96],
            })),
        ),
        (
            "bias field",
            0.33,
            Intensity(Change::BiasField(BiasField { centre: [40; 3] })),
        ),
        (
            "gamma",
            0.2,
            Intensity(Change::Gamma(Gamma {
                gamma: 1.3,
                invert: false,
                reference: false,
            })),
        ),
    ]
}

impl Case {
    fn run(&self, source: &[f32], patch: &mut [f32]) {
        match self {
            Self::Spatial(elastic, angle, scale) => {
                let displacement = elastic
                    .then(|| Displacement::random(&mut Random::new(1, 1), PATCH, 25.0, 400.0));
                let whole = (SOURCE[0] - PATCH[0]) / 2;
                let centre = [whole as f64 + 63.5; 3];
                let map = CoordinateMap::new(PATCH, centre, [*angle; 3], *scale, displacement);
                std::hint::black_box(map.cubic(source, SOURCE, None));
            }
            Self::Intensity(change) => change.apply(patch, PATCH),
        }
    }
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

fn main() {
    let (mut json, mut rounds) = (None, 5);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--json" => json = args.next(),
            "--rounds" => rounds = args.next().and_then(|n| n.parse().ok()).unwrap_or(rounds),
            _ => {}
        }
    }
    let mut python = Python::start("bench_augment.py");

    let mut random = Random::new(0, 0);
    let mut noise = |shape: [usize; 3]| -> Vec<f32> {
        let voxels: usize = shape.iter().product();
        (0..voxels).map(|_| random.unit() as f32).collect()
    };
    let (source, clean) = (noise(SOURCE), noise(PATCH));
    println!("| transform | of samples | amaes, ms | SciPy, ms | ratio |\n|---|---|---|---|---|");
    let (mut rows, mut means) = (Vec::new(), [0.0; 2]);
    for (name, part, case) in cases() {
        let (mut ours, mut theirs) = (Vec::new(), Vec::<f64>::new());
        for _ in 0..rounds {
            let mut patch = clean.clone();
            let start = Instant::now();
            case.run(&source, &mut patch);
            ours.push(milliseconds(start));
            if theirs.first().is_none_or(|&t| t < 400.0) {
                let answer = python.ask(name);
                theirs.push(answer.parse().expect("milliseconds"));
            }
        }
        let (ours, theirs) = (median(ours), median(theirs));
        means[0] += part * ours;
        means[1] += part * theirs;
        println!(
            "| {name} | {:.0} % | {ours:.1} | {theirs:.0} | {:.0} |",
            part * 100.0,
            theirs / ours
        );
        rows.push(serde_json::json!({
            "name": name, "part": part, "ours_ms": ours, "scipy_ms": theirs,
        }));
    }
    let [ours, theirs] = means;
    println!(
        "| mean of a sample | | {ours:.1} | {theirs:.0} | {:.0} |",
        theirs / ours
    );

    let pipeline = Pipeline::new(AugmentConfig::default()).expect("the reference's parameters");
    let samples = 64;
    let start = Instant::now();
    for seed in 0..samples {
        let out = pipeline.apply(&source, SOURCE, PATCH, seed);
        std::hint::black_box(out.expect("a sample"));
    }
    let whole = milliseconds(start) / samples as f64;
    println!("\nWhole pipeline, mean of {samples} samples: {whole:.1} ms");
    rows.push(serde_json::json!({
        "name": "mean of a sample", "ours_ms": ours, "scipy_ms": theirs, "pipeline_ms": whole,
    }));
    drop(python);
    if let Some(path) = json {
        std::fs::write(path, serde_json::to_vec_pretty(&rows).expect("JSON")).expect("written");
    }
}
