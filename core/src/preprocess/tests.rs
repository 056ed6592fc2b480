//! Whole plans: their inverse, their grids, and what they refuse.

use proptest::prelude::*;

use super::*;
use crate::label::{Label, RunnerUp};
use crate::metric::dice;
use crate::volume::{Affine, Grid, Orientation, Volume};

/// An oblique, anisotropic, sheared grid.
fn oblique(shape: [usize; 3]) -> Grid {
    Grid {
        shape,
        affine: Affine([
            [0.1, 1.1, -0.3, -20.0],
            [-0.9, 0.2, 0.4, 35.0],
            [0.15, -0.25, 2.0, -12.5],
        ]),
    }
}

/// A bright ellipsoid on a background of 0, and its label.
fn blob(grid: &Grid) -> (Volume<f32>, Volume<Label>) {
    let n = grid.shape;
    let inside = |i: usize| {
        let p = [i % n[0], i / n[0] % n[1], i / (n[0] * n[1])];
        let r: f64 = (0..3)
            .map(|a| ((p[a] as f64 - 0.45 * n[a] as f64) / (0.3 * n[a] as f64)).powi(2))
            .sum();
        (r <= 1.0).then_some(1.5 - r)
    };
    let image = (0..grid.voxels()).map(|i| inside(i).unwrap_or(0.0) as f32);
    let labels = (0..grid.voxels()).map(|i| Label::from(inside(i).is_some()));
    (
        Volume::new(grid.clone(), image.collect()).expect("one value a voxel"),
        Volume::new(grid.clone(), labels.collect()).expect("one value a voxel"),
    )
}

fn plan(steps: impl Into<Vec<Step>>) -> Plan {
    Plan {
        steps: steps.into(),
    }
}

fn reorient(to: &str) -> Step {
    Step::Reorient {
        to: to.parse().expect("an orientation"),
    }
}

fn resample(spacing: [f64; 3], interpolation: Interpolation) -> Step {
    Step::Resample {
        spacing,
        interpolation,
    }
}

/// Prepared positions and native positions of one voxel are one place in the world.
fn check_positions(prepared: &Prepared) {
    let trace = &prepared.trace;
    assert_eq!(&trace.prepared, prepared.volume.grid());
    for p in [[0.0, 0.0, 0.0], [3.0, 1.0, 2.0], [-4.0, 7.0, 11.5]] {
        let a = trace.native.affine.apply(p);
        let b = trace.prepared.affine.apply(trace.to_prepared.apply(p));
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6));
    }
}

#[test]
fn every_step_keeps_world_positions_and_predicts_its_grid() -> Result<(), PlanError> {
    let (image, _) = blob(&oblique([24, 20, 17]));
    for steps in [
        vec![],
        vec![reorient("RAS")],
        vec![reorient("SPL"), Step::CropForeground { margin: 1 }],
        vec![Step::conform()],
        vec![Step::Conform {
            size: 20,
            spacing: 2.5,
            rescale: Rescale::Always,
        }],
        vec![resample([1.0; 3], Interpolation::Cubic)],
        vec![
            reorient("LIA"),
            resample([0.7, 3.0, 1.4], Interpolation::Trilinear),
            reorient("RAS"),
            Step::Normalize(Normalization::MinMax),
        ],
        Plan::reference().steps,
    ] {
        let plan = plan(steps);
        let prepared = plan.apply(image.clone())?;
        check_positions(&prepared);
        assert_eq!(prepared.trace.steps.len(), plan.steps.len());
        let crops = plan
            .steps
            .iter()
            .any(|s| matches!(s, Step::CropForeground { .. }));
        let grid = plan.target_grid(image.grid())?;
        assert_eq!(grid.is_none(), crops);
        if let Some(grid) = grid {
            assert_eq!(&grid, prepared.volume.grid());
        }
        let json = serde_json::to_string(&prepared.trace).expect("serialises");
        let back: Trace = serde_json::from_str(&json).expect("parses");
        assert_eq!(back.steps.len(), prepared.trace.steps.len());
        assert_eq!(back.native.shape, prepared.trace.native.shape);
        assert_eq!(back.is_exact(), prepared.trace.is_exact());
    }
    Ok(())
}

#[test]
fn blobs_survive_resampling() -> Result<(), PlanError> {
    let (image, labels) = blob(&oblique([40, 36, 30]));
    for steps in [
        vec![Step::conform()],
        vec![
            reorient("RAS"),
            Step::CropForeground { margin: 0 },
            resample([1.0; 3], Interpolation::Cubic),
        ],
        vec![resample([1.7; 3], Interpolation::Trilinear)],
    ] {
        let trace = plan(steps).apply(image.clone())?.trace;
        assert!(!trace.is_exact());
        let back = trace.restore_labels(&trace.prepare_labels(&labels)?)?;
        assert_eq!(back.grid(), labels.grid());
        let kept = dice(&labels, &back, 1).expect("one shape");
        assert!(kept.is_some_and(|d| d > 0.9), "{kept:?}");
    }
    Ok(())
}

#[test]
fn scores_return_smoothly() -> Result<(), PlanError> {
    let (image, _) = blob(&oblique([20, 18, 16]));
    let prepared = plan([resample([0.8; 3], Interpolation::Trilinear)]).apply(image.clone())?;
    let back = prepared.trace.restore_scores(&prepared.volume)?;
    assert_eq!(back.grid(), image.grid());
    let worst = |a: &Volume<f32>| {
        let pairs = a.data().iter().zip(image.data());
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    // Twice interpolated: the step of 0.5 at the blob's surface is smoothed.
    assert!(worst(&back) < 0.5, "{}", worst(&back));
    let prepared = plan([reorient("SAR")]).apply(image.clone())?;
    assert_eq!(
        worst(&prepared.trace.restore_scores(&prepared.volume)?),
        0.0
    );
    Ok(())
}

#[test]
fn cubic_keeps_constants_lines_and_the_range() -> Result<(), PlanError> {
    let grid = Grid {
        shape: [30, 9, 8],
        affine: Affine::IDENTITY,
    };
    let ramp = (0..grid.voxels()).map(|i| (i % 30) as f32).collect();
    let ramp = Volume::new(grid.clone(), ramp)?;
    let out = plan([resample([0.6; 3], Interpolation::Cubic)])
        .apply(ramp)?
        .volume;
    let n = out.grid().shape;
    assert_eq!(n, [50, 15, 13]);
    for (i, &v) in out.data().iter().enumerate() {
        // Away from the ends, where the continued line bends.
        let x = 14.5 + ((i % 50) as f64 - 24.5) * 0.6;
        if (8.0..21.0).contains(&x) {
            assert!((f64::from(v) - x).abs() < 1e-4, "{x} {v}");
        }
        assert!((0.0..=29.0).contains(&v));
    }
    let mut step = vec![0.0; grid.voxels()];
    step[1000..].fill(1.0);
    let out = plan([resample([0.7; 3], Interpolation::Cubic)])
        .apply(Volume::new(grid, step)?)?
        .volume;
    assert!(out.data().iter().all(|v| (0.0..=1.0).contains(v)));
    Ok(())
}

#[test]
fn a_spacing_that_is_there_already_changes_nothing() -> Result<(), PlanError> {
    let grid = Grid {
        shape: [12, 10, 8],
        affine: Affine([
            [1.0000001, 0., 0., 3.],
            [0., 1., 0., -7.],
            [0., 0., 1., 0.5],
        ]),
    };
    let (image, _) = blob(&grid);
    let prepared = plan([resample([1.0; 3], Interpolation::Cubic)]).apply(image.clone())?;
    assert_eq!(prepared.volume, image);
    assert!(prepared.trace.is_exact());
    Ok(())
}

#[test]
fn aligned_volumes_are_conformed_without_interpolation() -> Result<(), PlanError> {
    // 1 mm, RAS, an even shape: only flips, swaps and padding.
    let grid = Grid {
        shape: [20, 30, 24],
        affine: Affine([[1., 0., 0., -9.], [0., 1., 0., -14.], [0., 0., 1., -11.]]),
    };
    let data = (0..grid.voxels()).map(|i| (i * 37 % 251) as f32).collect();
    let image = Volume::new(grid.clone(), data)?;
    let prepared = plan([Step::conform()]).apply(image.clone())?;
    assert!(prepared.trace.is_exact());
    let back = prepared.trace.restore_scores(&prepared.volume)?;
    assert_eq!(back, image);
    assert_eq!(
        prepared.volume.data().iter().sum::<f32>(),
        image.data().iter().sum::<f32>()
    );
    Ok(())
}

#[test]
fn what_is_no_image_is_refused() -> Result<(), PlanError> {
    let grid = oblique([4, 3, 2]);
    let make = |f: &dyn Fn(usize) -> f32| Volume::new(grid.clone(), (0..24).map(f).collect());
    let holed = |i: usize| if i % 10 == 3 { f32::NAN } else { i as f32 };
    for step in [
        Step::conform(),
        Step::CropForeground { margin: 0 },
        Step::Normalize(Normalization::ZScore),
        resample([1.0; 3], Interpolation::Cubic),
        reorient("RAS"),
    ] {
        let e = plan([step.clone()]).apply(make(&holed)?).expect_err("NaN");
        assert_eq!(e.to_string(), "3 of 24 voxels are NaN or infinite");
        let fixed = plan([Step::ReplaceNonFinite, step]).apply(make(&holed)?)?;
        let expected = Applied::ReplaceNonFinite {
            voxels: 3,
            value: 0.0,
        };
        assert_eq!(fixed.trace.steps[0], expected);
        assert!(fixed.volume.data().iter().all(|v| v.is_finite()));
    }
    let flat = || make(&|_| 3.5);
    for step in [
        Step::conform(),
        Step::CropForeground { margin: 0 },
        Step::Normalize(Normalization::VolumeWise),
    ] {
        let e = plan([step]).apply(flat()?).expect_err("constant");
        assert_eq!(e.to_string(), "the image is constant: every voxel is 3.5");
    }
    let e = plan([]).apply(Volume::new(oblique([4, 0, 2]), vec![])?);
    assert!(matches!(e, Err(PlanError::Empty { .. })));
    Ok(())
}

#[test]
fn singular_and_endless_grids_are_refused() -> Result<(), PlanError> {
    let mut grid = oblique([4, 3, 2]);
    for row in &mut grid.affine.0 {
        row[1] = 0.0;
    }
    let image = || Volume::new(grid.clone(), (0..24).map(|i| i as f32).collect());
    for step in [
        Step::conform(),
        reorient("RAS"),
        resample([1.0; 3], Interpolation::Nearest),
    ] {
        let e = plan([step]).apply(image()?).expect_err("singular");
        assert!(e.to_string().contains("singular"), "{e}");
    }
    // The rest needs no place in space.
    plan([
        Step::CropForeground { margin: 0 },
        Step::Normalize(Normalization::MinMax),
    ])
    .apply(image()?)?;
    let grid = oblique([4, 3, 2]);
    for step in [
        resample([1e-9; 3], Interpolation::Nearest),
        resample([1e-300, 1.0, 1.0], Interpolation::Nearest),
        Step::Conform {
            size: 1 << 22,
            spacing: 1.0,
            rescale: Rescale::Auto,
        },
    ] {
        let e = plan([step]).target_grid(&grid).expect_err("endless");
        assert!(matches!(e, PlanError::TooLarge { .. }), "{e}");
    }
    Ok(())
}

#[test]
fn labels_of_larger_voxels_come_back_by_their_weight() -> Result<(), PlanError> {
    let (image, _) = blob(&oblique([14, 13, 9]));
    let plan = plan([resample([2.0, 1.7, 2.9], Interpolation::Trilinear)]);
    let prepared = plan.apply(image)?;
    let (grid, trace) = (prepared.volume.grid(), &prepared.trace);
    // Four labels without any order (a linear congruential generator).
    let mut state = 7u32;
    let mut draw = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state
    };
    let labels: Vec<Label> = (0..grid.voxels())
        .map(|_| (draw() >> 30) as Label)
        .collect();
    let second: Vec<RunnerUp> = (0..grid.voxels())
        .map(|_| {
            RunnerUp::new(
                (draw() >> 30) as Label,
                0.5 * (draw() >> 16) as f32 / 65536.0,
            )
        })
        .collect();
    for by_share in [false, true] {
        let first = Volume::new(grid.clone(), labels.clone())?;
        let back = match by_share {
            true => {
                let second = Volume::new(grid.clone(), second.clone())?;
                trace.restore_labels_by_share(&first, &second)?
            }
            false => trace.restore_labels(&first)?,
        };
        let scores = (0..4)
            .map(|label| {
                let score = |(&first, second): (&Label, &RunnerUp)| {
                    let share = if by_share { second.share() as f32 } else { 0.0 };
                    let is = |l: Label| f32::from(u8::from(l == label));
                    (1.0 - share) * is(first) + share * is(second.label)
                };
                let map = labels.iter().zip(&second).map(score).collect();
                trace.restore_scores(&Volume::new(grid.clone(), map)?)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let mut found = [0; 4];
        for (i, &label) in back.data().iter().enumerate() {
            let of = |label: usize| scores[label].data()[i];
            let most = (0..4).map(of).fold(0.0, f32::max);
            if most > 0.0 {
                assert!(of(usize::from(label)) > most - 1e-5, "voxel {i}");
                found[usize::from(label)] += 1;
            } else {
                assert_eq!(label, 0);
            }
        }
        assert!(found.iter().all(|&n| n > 50), "{found:?}");
    }
    Ok(())
}

#[test]
fn labels_of_another_shape_are_refused() -> Result<(), PlanError> {
    let (image, labels) = blob(&oblique([12, 11, 10]));
    let trace = plan([reorient("RAS"), Step::CropForeground { margin: 0 }])
        .apply(image)?
        .trace;
    let e = trace.restore_labels(&labels).expect_err("not prepared");
    assert!(matches!(e, PlanError::Shape { .. }), "{e}");
    let prepared = trace.prepare_labels(&labels)?;
    assert!(trace.prepare_labels(&prepared).is_err());
    // A trace from a damaged file.
    let mut bad = trace.clone();
    bad.to_prepared = Affine([[0.0; 4]; 3]);
    assert!(matches!(
        bad.prepare_labels(&labels),
        Err(PlanError::SingularAffine)
    ));
    bad.native.shape = [usize::MAX; 3];
    assert!(bad.restore_labels(&prepared).is_err());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn reorienting_and_cropping_undo_exactly(
        shape in prop::array::uniform3(1usize..12),
        values in prop::collection::vec(0u8..3, 11 * 11 * 11),
        turn in prop::array::uniform3(-3.0f64..3.0),
        spacing in prop::array::uniform3(0.3f64..4.0),
        to in 0usize..48,
        and in 0usize..48,
        margin in 0usize..3,
    ) {
        let n: usize = shape.iter().product();
        let values = &values[..n];
        // A rotation by three angles, then a spacing.
        let mut affine = Affine::IDENTITY;
        for (axis, angle) in turn.into_iter().enumerate() {
            let (a, b) = ((axis + 1) % 3, (axis + 2) % 3);
            let mut r = Affine::IDENTITY;
            (r.0[a][a], r.0[a][b]) = (angle.cos(), -angle.sin());
            (r.0[b][a], r.0[b][b]) = (angle.sin(), angle.cos());
            affine = affine.after(&r);
        }
        for row in &mut affine.0 {
            for a in 0..3 {
                row[a] *= spacing[a];
            }
            row[3] = 10.0;
        }
        // Foreground must be there, and differ from the background.
        let image: Vec<f32> = values.iter().map(|&v| f32::from(v / 2)).collect();
        prop_assume!(image.contains(&0.0) && image.contains(&1.0));
        // Labels only where the image is foreground, so that the crop loses none.
        let labels = values
            .iter()
            .enumerate()
            .map(|(i, &v)| if v == 2 { i as Label + 1 } else { 0 })
            .collect();
        let grid = Grid { shape, affine };
        let labels = Volume::new(grid.clone(), labels).expect("one value a voxel");
        let image = Volume::new(grid, image).expect("one value a voxel");
        let orientation = |i| Step::Reorient {
            to: Orientation::all().nth(i).expect("48 of them"),
        };
        let plan = plan([orientation(to), Step::CropForeground { margin }, orientation(and)]);
        let prepared = plan.apply(image.clone()).expect("an image");
        let trace = &prepared.trace;
        prop_assert!(trace.is_exact());
        check_positions(&prepared);
        let there = trace.prepare_labels(&labels).expect("one shape");
        for (l, v) in there.data().iter().zip(prepared.volume.data()) {
            prop_assert_eq!(*l != 0, *v == 1.0);
        }
        prop_assert_eq!(trace.restore_labels(&there).expect("one shape"), labels);
        let scores = trace.restore_scores(&prepared.volume).expect("one shape");
        prop_assert_eq!(scores, image);
    }
}

#[test]
fn further_channels_end_on_the_grid_of_the_first() -> Result<(), PlanError> {
    let (image, _) = blob(&oblique([24, 20, 17]));
    // A channel whose own foreground is smaller, and whose affine is rounded.
    let brightest = image.data().iter().copied().fold(0.0, f32::max);
    let small = image.map(|&v| if v > 0.7 * brightest { 2.0 * v } else { 0.0 });
    let (mut grid, data) = small.clone().into_parts();
    grid.affine.0[0][3] += 1e-4;
    let rounded = Volume::new(grid, data)?;
    let plan = Plan::reference();
    let first = plan.apply(image.clone())?;
    let alone = plan.apply(small)?;
    assert_ne!(alone.volume.grid(), first.volume.grid());
    let second = plan.apply_like(rounded, &first.trace)?;
    assert_eq!(second.volume.grid(), first.volume.grid());
    assert_eq!(plan.apply_like(image.clone(), &first.trace)?, first);
    // Intensities are the channel's own.
    let range = |v: &Volume<f32>| {
        let data = v.data().iter();
        data.fold([f32::MAX, f32::MIN], |[l, h], &v| [l.min(v), h.max(v)])
    };
    assert_eq!(range(&second.volume), [0.0, 1.0]);

    let (mut grid, data) = image.into_parts();
    grid.affine.0[2][3] += 1.0;
    let moved = Volume::new(grid, data)?;
    let error = plan.apply_like(moved, &first.trace).expect_err("moved");
    assert!(matches!(error, PlanError::OtherGrid), "{error}");
    let mut trace = first.trace;
    for step in &mut trace.steps {
        if let Applied::CropForeground { shape, .. } = step {
            shape[1] += 100;
        }
    }
    let (image, _) = blob(&oblique([24, 20, 17]));
    assert!(
        plan.apply_like(image, &trace).is_err(),
        "a trace of another image"
    );
    Ok(())
}
