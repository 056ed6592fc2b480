//! What heads, lesions and images must be like.

use std::collections::BTreeMap;

use super::image::rician;
use super::region::{Region, region_of, side_of};
use super::*;
use crate::augment::Random;
use crate::label::Label;
use crate::volume::{Affine, Grid, Volume};

const GREY: [Label; 16] = [3, 42, 8, 47, 10, 49, 11, 50, 12, 51, 13, 52, 17, 53, 18, 54];
const WHITE: [Label; 4] = [2, 41, 7, 46];
const VENTRICLES: [Label; 4] = [4, 43, 14, 15];

fn head(seed: u64, lesion: Option<LesionKind>, mm: f64) -> Scene {
    let frame = Frame::head(None, [mm; 3]).expect("a frame");
    Scene::phantom(&Subject::draw(seed), &frame, lesion).expect("a head")
}

/// Volume of labels, mL.
fn volume(scene: &Scene, labels: &[Label]) -> f64 {
    let count = scene.labels().iter().filter(|l| labels.contains(l)).count();
    count as f64 * scene.grid().voxel_volume() / 1000.0
}

#[test]
fn volumes_are_those_of_adults() {
    for seed in 0..10 {
        let scene = head(seed, None, 2.5);
        let of = |labels: &[Label]| volume(&scene, labels);
        let (grey, white, ventricles) = (of(&GREY), of(&WHITE), of(&VENTRICLES));
        let subject = Subject::draw(seed);
        let note = format!("{subject:?}: grey {grey}, white {white}, ventricles {ventricles}");
        assert!((500.0..800.0).contains(&grey), "{note}");
        assert!((400.0..650.0).contains(&white), "{note}");
        let brain = grey + white + of(&[16]);
        assert!((1000.0..1600.0).contains(&brain), "{note}");
        assert!((8.0..70.0).contains(&ventricles), "{note}");
        // Volumetry of adults: cerebellum 100 to 180 mL, brainstem 15 to 60 with the peduncles,
        // thalamus 3.5 to 9, putamen 2.6 to 7.5, caudate 2 to 5.5, pallidum 0.9 to 2.8, hippocampus 1.8 to
        // 5 a side.
        for (labels, low, high) in [
            (&[7, 8, 46, 47][..], 90.0, 190.0),
            (&[16], 20.0, 65.0),
            (&[10], 3.5, 9.0),
            (&[12], 2.6, 7.5),
            (&[11], 2.0, 5.5),
            (&[13], 0.9, 2.8),
            (&[17], 1.8, 5.0),
        ] {
            let found = of(labels);
            assert!((low..high).contains(&found), "{labels:?} {found}: {note}");
        }
        // Halves differ, but little.
        let ratio = of(&[2, 3]) / of(&[41, 42]);
        assert!(
            (0.8..1.25).contains(&ratio) && ratio != 1.0,
            "{ratio}: {note}"
        );
    }
}

#[test]
fn the_grid_hardly_changes_the_head() {
    let (coarse, fine) = (head(3, None, 2.0), head(3, None, 1.0));
    for labels in [&GREY[..], &WHITE, &VENTRICLES] {
        let ratio = volume(&coarse, labels) / volume(&fine, labels);
        assert!((0.93..1.07).contains(&ratio), "{labels:?}: {ratio}");
    }
}

#[test]
fn cortex_lies_between_fluid_and_white_matter() {
    let scene = head(5, None, 1.0);
    let [nx, ny, _] = scene.grid().shape;
    let near = |at: usize, labels: &[Label], reach: usize| {
        let strides = [1, nx, nx * ny];
        (0..3).any(|a| {
            (1..=reach).any(|r| {
                let (before, after) = (at - r * strides[a], at + r * strides[a]);
                labels.contains(&scene.labels()[before]) || labels.contains(&scene.labels()[after])
            })
        })
    };
    let (mut cortex, mut thick) = (0, 0);
    for (at, &label) in scene.labels().iter().enumerate() {
        if [3, 42].contains(&label) {
            cortex += 1;
            // Cortex of 2 to 4 mm has something else within 5 voxels along some axis.
            thick += usize::from(!near(at, &[2, 41, 24], 5));
        }
    }
    assert!(cortex > 400_000, "{cortex}");
    assert!((thick as f64) < 0.02 * cortex as f64, "{thick} of {cortex}");
}

#[test]
fn heads_differ_and_repeat() {
    let (a, b) = (head(1, None, 4.0), head(2, None, 4.0));
    assert_eq!(a.labels(), head(1, None, 4.0).labels());
    let differ = a.labels().iter().zip(b.labels()).filter(|(a, b)| a != b);
    assert!(differ.count() > a.labels().len() / 20);
}

#[test]
fn lesions_lie_where_their_kind_does() {
    for kind in LesionKind::ALL {
        let mut sizes = Vec::new();
        for seed in 0..5 {
            let scene = head(seed, Some(kind), 2.0);
            let mut under: BTreeMap<Label, usize> = BTreeMap::new();
            for (&l, &label) in scene.lesion().iter().zip(scene.labels()) {
                if l > 0 {
                    assert!(usize::from(l) <= kind.labels().len());
                    *under.entry(label).or_default() += 1;
                }
            }
            let all: usize = under.values().sum();
            assert!(all > 10, "{kind:?} {seed}: {all}");
            sizes.push(all as f64 * 0.008);
            let sides: Vec<i8> = under.keys().map(|&l| side_of(l)).collect();
            for &label in under.keys() {
                let region = region_of(label);
                match kind {
                    LesionKind::Wmh => assert_eq!(region, Region::White, "{label}"),
                    LesionKind::Stroke => {
                        let inside = [Region::White, Region::Cortex, Region::Deep];
                        assert!(inside.contains(&region), "{label}");
                    }
                    _ => assert_ne!(region, Region::Outside, "{label}"),
                }
            }
            if kind == LesionKind::Stroke {
                assert!(sides.windows(2).all(|w| w[0] == w[1]), "{sides:?}");
            }
        }
        sizes.sort_by(f64::total_cmp);
        assert!(
            sizes[4] > 2.0 * sizes[0],
            "{kind:?}: all of a size: {sizes:?}"
        );
        assert!(sizes[0] > 0.05 && sizes[4] < 400.0, "{kind:?}: {sizes:?}");
    }
}

/// Mean of an image over labels, where there is no lesion.
fn mean(scene: &Scene, image: &Image, labels: &[Label]) -> f64 {
    let inside = image.data.iter().zip(scene.labels()).zip(scene.lesion());
    let inside = inside.filter(|((_, l), lesion)| **lesion == 0 && labels.contains(l));
    let (sum, n) = inside.fold((0.0, 0), |(s, n), ((v, _), _)| (s + f64::from(*v), n + 1));
    sum / f64::from(n.max(1))
}

/// Mean of an image over a label of the lesion.
fn lesion_mean(scene: &Scene, image: &Image, label: u8) -> f64 {
    let inside = image.data.iter().zip(scene.lesion());
    let inside = inside.filter(|(_, l)| **l == label);
    let (sum, n) = inside.fold((0.0, 0), |(s, n), (v, _)| (s + f64::from(*v), n + 1));
    sum / f64::from(n.max(1))
}

#[test]
fn sequences_have_the_contrasts_that_they_are_known_for() {
    let scene = head(8, Some(LesionKind::Wmh), 2.0);
    for name in ["a", "b", "c", "d", "f"] {
        let mut site = preset(name).expect("a site");
        // The order of means, without what goes wrong now and then.
        site.artefacts = Artefacts::default();
        site.bias = 0.0;
        for seed in [1, 2] {
            let image = |contrast| scene.image(contrast, &site, seed).expect("an image");
            let means = |contrast| {
                let image = image(contrast);
                [&WHITE[..2], &GREY[..2], &VENTRICLES[..2]].map(|l| mean(&scene, &image, l))
            };
            let [white, grey, fluid] = means(Contrast::T1w);
            assert!(
                white > 1.05 * grey && grey > 1.3 * fluid,
                "{name} T1w {white} {grey} {fluid}"
            );
            let [white, grey, fluid] = means(Contrast::T2w);
            assert!(
                fluid > 1.2 * grey && grey > 1.1 * white,
                "{name} T2w {white} {grey} {fluid}"
            );
            let [white, grey, _] = means(Contrast::PDw);
            assert!(grey > 1.02 * white, "{name} PDw {white} {grey}");
            let flair = image(Contrast::Flair);
            let of = |labels: &[Label]| mean(&scene, &flair, labels);
            let (white, fluid) = (of(&WHITE[..2]), of(&VENTRICLES[..2]));
            let bright = lesion_mean(&scene, &flair, 1);
            assert!(
                bright > 1.2 * white && white > 1.3 * fluid,
                "{name} FLAIR {bright} {white} {fluid}"
            );
            let t1 = image(Contrast::T1w);
            let dark = lesion_mean(&scene, &t1, 1);
            assert!(dark < mean(&scene, &t1, &WHITE[..2]), "{name} T1w {dark}");
        }
    }
}

#[test]
fn agent_brightens_what_enhances() {
    let site = preset("a").expect("a site");
    let found = (0..12).find_map(|seed| {
        let scene = head(seed, Some(LesionKind::Tumour), 2.0);
        let rim = scene.lesion().iter().filter(|&&l| l == 3).count();
        (rim > 200).then_some(scene)
    });
    let scene = found.expect("a tumour that enhances");
    let ratio = |contrast| {
        let image = scene.image(contrast, &site, 3).expect("an image");
        lesion_mean(&scene, &image, 3) / mean(&scene, &image, &WHITE[..2])
    };
    let (before, after) = (ratio(Contrast::T1w), ratio(Contrast::T1ce));
    assert!(before < 1.0 && after > 1.3, "{before} {after}");
}

/// Longitudinal magnetisation and signal, pulse by pulse until nothing changes.
fn bloch(sequence: Sequence, t1: f64, t2: f64) -> f64 {
    let recovered = |m: f64, t: f64| 1.0 - (1.0 - m) * (-t / t1).exp();
    let (mut m, mut signal) = (1.0, 0.0);
    for _ in 0..20_000 {
        match sequence {
            Sequence::SpinEcho { tr, te } | Sequence::Diffusion { tr, te, .. } => {
                signal = m * (-te / t2).exp();
                m = recovered(0.0, tr);
            }
            Sequence::InversionRecovery { tr, ti, te } => {
                let at = recovered(-m, ti);
                signal = at.abs() * (-te / t2).exp();
                m = recovered(0.0, tr - ti);
            }
            Sequence::Mprage { tr, ti, te } => {
                signal = recovered(-m, ti).abs() * (-te / t2).exp();
                m = recovered(-m, tr);
            }
            Sequence::GradientEcho { tr, te, flip } => {
                signal = m * flip.to_radians().sin() * (-te / t2).exp();
                m = recovered(m * flip.to_radians().cos(), tr);
            }
        }
    }
    signal
}

#[test]
fn signals_are_those_of_a_simulation_pulse_by_pulse() {
    let sequences = [
        Sequence::SpinEcho {
            tr: 500.0,
            te: 15.0,
        },
        Sequence::InversionRecovery {
            tr: 9000.0,
            ti: 2400.0,
            te: 120.0,
        },
        Sequence::Mprage {
            tr: 2300.0,
            ti: 1100.0,
            te: 3.0,
        },
        Sequence::GradientEcho {
            tr: 9.0,
            te: 4.0,
            flip: 15.0,
        },
    ];
    for tissue in [Tissue::White, Tissue::Cortex, Tissue::Csf, Tissue::Fat] {
        for tesla in [1.5, 3.0] {
            let m = tissue.magnetic(tesla);
            for sequence in sequences {
                let found = sequence.signal(tissue, tesla, false);
                let wanted = m.protons * bloch(sequence, m.t1, m.t2);
                assert!(
                    (found - wanted).abs() <= 1e-4 * wanted.max(1e-3),
                    "{tissue:?} {sequence:?}: {found} {wanted}"
                );
            }
        }
    }
    // Diffusion weighting is that of free water at b = 1000: exp(-3).
    let b = |b| {
        Sequence::Diffusion {
            tr: 5000.0,
            te: 80.0,
            b,
        }
        .signal(Tissue::Csf, 3.0, false)
    };
    assert!((b(1000.0) / b(1e-9) - (-3.0f64).exp()).abs() < 1e-6);
}

#[test]
fn noise_is_rician() {
    // Means and standard deviations of scipy.stats.rice(b) for b = 0, 0.5, 1, 2, 5.
    let known = [
        (0.0, 1.253_314_137_315_500_3, 0.655_136_377_562_033_5),
        (0.5, 1.330_447_340_610_703_1, 0.692_755_277_036_492_6),
        (1.0, 1.548_572_460_551_146, 0.775_837_182_933_745),
        (2.0, 2.272_383_428_068_742, 0.914_479_937_362_517_1),
        (5.0, 5.101_069_639_492_125, 0.989_489_026_241_126_1),
    ];
    for (signal, mean, spread) in known {
        let mut data = vec![10.0 * signal as f32; 400_000];
        rician(&mut data, 10.0, &mut Random::new(5, 0));
        let n = data.len() as f64;
        let found = data.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let square = data
            .iter()
            .map(|&v| (f64::from(v) - found).powi(2))
            .sum::<f64>()
            / n;
        assert!((found / 10.0 - mean).abs() < 0.006, "{signal}: {found}");
        assert!(
            (square.sqrt() / 10.0 - spread).abs() < 0.006,
            "{signal}: {}",
            square.sqrt()
        );
    }
}

#[test]
fn air_has_the_noise_that_the_image_states() {
    let scene = head(4, None, 2.0);
    let mut site = preset("a").expect("a site");
    site.artefacts = Artefacts::default();
    site.bias = 0.0;
    site.cropped = 0.0;
    let mut t1 = site.contrasts[&Contrast::T1w];
    // As fine as the grid.
    (t1.pixel, t1.thickness) = (2.0, 2.0);
    site.contrasts.insert(Contrast::T1w, t1);
    let image = scene.image(Contrast::T1w, &site, 1).expect("an image");
    // The mean of Rayleigh's distribution is sigma sqrt(pi / 2); a corner above the head is air.
    let [nx, ny, nz] = scene.grid().shape;
    let corner = image.data.iter().enumerate().filter(|(i, _)| {
        let (x, y, z) = (i % nx, i / nx % ny, i / (nx * ny));
        x < 12 && y < 24 && z + 12 >= nz
    });
    let air: Vec<f64> = corner.map(|(_, &v)| f64::from(v)).collect();
    let air = air.iter().sum::<f64>() / air.len() as f64;
    let wanted = image.noise * (std::f64::consts::PI / 2.0).sqrt();
    assert!((air / wanted - 1.0).abs() < 0.03, "{air} {wanted}");
}

/// A ball of white matter in a shell of cortex, with a ventricle, on an oblique grid.
fn ball() -> Volume<Label> {
    let shape = [40, 44, 36];
    let mut affine = Affine::IDENTITY;
    affine.0[0] = [-1.9, 0.1, 0.0, 30.0];
    affine.0[1] = [0.1, 2.0, 0.2, -40.0];
    affine.0[2] = [0.0, -0.2, 2.1, -30.0];
    let mut data = Vec::new();
    for k in 0..shape[2] {
        for j in 0..shape[1] {
            for i in 0..shape[0] {
                let d = [i as f64 - 20.0, j as f64 - 22.0, k as f64 - 18.0];
                let r = d.iter().map(|v| v * v).sum::<f64>().sqrt();
                // The first axis points to the left.
                let right = i < 20;
                data.push(match r {
                    r if r < 3.0 => 4 + 39 * Label::from(right),
                    r if r < 13.0 => 2 + 39 * Label::from(right),
                    r if r < 16.0 => 3 + 39 * Label::from(right),
                    _ => 0,
                });
            }
        }
    }
    Volume::new(Grid { shape, affine }, data).expect("a volume")
}

fn options(tissues: &BTreeMap<Label, Tissue>) -> LabelMapOptions<'_> {
    LabelMapOptions {
        tissues,
        spacing: None,
        deformation: 0.0,
        lesion: None,
        age: 60.0,
        seed: 1,
    }
}

#[test]
fn label_maps_keep_their_place_and_labels() {
    let map = ball();
    let none = BTreeMap::new();
    let scene = Scene::from_labels(&map, &options(&none)).expect("a scene");
    let ras = map
        .reoriented("RAS".parse().expect("RAS"))
        .expect("reoriented");
    assert_eq!(scene.grid(), ras.grid());
    assert_eq!(scene.labels(), ras.data());
    // Finer voxels: the same place, the same volumes.
    let finer = LabelMapOptions {
        spacing: Some([1.0; 3]),
        ..options(&none)
    };
    let fine = Scene::from_labels(&map, &finer).expect("a scene");
    let ratio = volume(&fine, &[2, 41]) / volume(&scene, &[2, 41]);
    assert!((ratio - 1.0).abs() < 0.03, "{ratio}");
    let centre = |scene: &Scene| {
        let [nx, ny, _] = scene.grid().shape;
        let (mut sum, mut n) = ([0.0; 3], 0.0);
        for (i, &l) in scene.labels().iter().enumerate() {
            if l > 0 {
                let p = [i % nx, i / nx % ny, i / (nx * ny)].map(|v| v as f64);
                let p = scene.grid().affine.apply(p);
                (0..3).for_each(|a| sum[a] += p[a]);
                n += 1.0;
            }
        }
        sum.map(|v| v / n)
    };
    for (a, b) in centre(&scene).into_iter().zip(centre(&fine)) {
        assert!((a - b).abs() < 0.3, "{a} {b}");
    }
    let deformed = LabelMapOptions {
        deformation: 1.0,
        ..options(&none)
    };
    let deformed = Scene::from_labels(&map, &deformed).expect("a scene");
    assert_ne!(deformed.labels(), scene.labels());
    for kind in LesionKind::ALL {
        let with = LabelMapOptions {
            lesion: Some(kind),
            ..options(&none)
        };
        let scene = Scene::from_labels(&map, &with).expect("a scene");
        assert!(scene.lesion().iter().any(|&l| l > 0), "{kind:?}");
    }
}

#[test]
fn a_map_in_freesurfers_numbers_is_imaged_as_the_phantom_is() {
    let scene = head(6, None, 2.0);
    let map = Volume::new(scene.grid().clone(), scene.labels().to_vec()).expect("a volume");
    let none = BTreeMap::new();
    let other = Scene::from_labels(&map, &options(&none)).expect("a scene");
    assert_eq!(other.labels(), scene.labels());
    let mut site = preset("a").expect("a site");
    site.artefacts = Artefacts::default();
    for contrast in [Contrast::T1w, Contrast::Flair] {
        let [one, two] = [&scene, &other].map(|s| s.image(contrast, &site, 2).expect("an image"));
        for labels in [&WHITE[..2], &GREY[..2]] {
            // Sharp boundaries are softened by a blur, others by partial volume.
            let ratio = mean(&scene, &one, labels) / mean(&other, &two, labels);
            assert!(
                (ratio - 1.0).abs() < 0.12,
                "{contrast:?} {labels:?}: {ratio}"
            );
        }
    }
}

#[test]
fn labels_without_tissue_are_named() {
    let map = ball().map(|&l| if l == 2 { 901 } else { l });
    let none = BTreeMap::new();
    let scene = Scene::from_labels(&map, &options(&none)).expect("a scene");
    let site = preset("a").expect("a site");
    let error = scene.image(Contrast::T1w, &site, 1).expect_err("no tissue");
    assert_eq!(error, SynthError::Tissue { label: 901 });
    let random = scene
        .image(Contrast::Random, &site, 1)
        .expect("random greys");
    assert!(random.data.iter().all(|v| v.is_finite() && *v >= 0.0));
    let known = BTreeMap::from([(901, Tissue::White)]);
    let scene = Scene::from_labels(&map, &options(&known)).expect("a scene");
    assert!(scene.image(Contrast::T1w, &site, 1).is_ok());
    let many = ball();
    let many = Volume::new(
        many.grid().clone(),
        (0..many.data().len()).map(|i| (i % 500) as Label).collect(),
    );
    let error =
        Scene::from_labels(&many.expect("a volume"), &options(&none)).expect_err("too many");
    assert_eq!(
        error,
        SynthError::Labels {
            found: 500,
            most: 240
        }
    );
    let empty = ball().map(|_| 0);
    let wmh = LabelMapOptions {
        lesion: Some(LesionKind::Wmh),
        ..options(&none)
    };
    assert_eq!(
        Scene::from_labels(&empty, &wmh).expect_err("no brain"),
        SynthError::NoRoom {
            kind: LesionKind::Wmh
        }
    );
}

#[test]
fn frames_of_no_sense_are_refused() {
    for (shape, spacing) in [
        ([0, 4, 4], 1.0),
        ([4, 4, 4], 0.0),
        ([1 << 20, 1 << 20, 4], 1.0),
        ([4; 3], f64::NAN),
    ] {
        assert!(Frame::around([0.0; 3], shape, [spacing; 3]).is_err());
    }
}
