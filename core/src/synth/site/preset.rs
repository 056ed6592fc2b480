//! Sites that are there by name: scanners that differ as those of public data sets do.

use std::collections::BTreeMap;

use super::{Acquisition, Artefacts, Plane, Site};
use crate::synth::contrast::Contrast;
use crate::synth::signal::Sequence;

/// Names of the sites that are there, and what they are.
pub const PRESETS: [(&str, &str); 6] = [
    ("a", "3 T, all sequences in three dimensions, 1 mm"),
    (
        "b",
        "3 T, other maker, T1w in three dimensions, the rest in axial slices of 3 mm",
    ),
    (
        "c",
        "1.5 T, T1w in three dimensions, the rest in axial slices of 5 mm every 6 mm",
    ),
    (
        "d",
        "1.5 T, old protocol: all in slices of 5 mm, more noise, ghosts and motion",
    ),
    ("e", "0.064 T, portable: 1.6 x 1.6 x 5 mm, much noise"),
    (
        "f",
        "3 T, skull-stripped and resampled to 1 mm, as challenges hand data out",
    ),
];

/// A site by its name.
pub fn preset(name: &str) -> Option<Site> {
    let volume = |sequence, mm: f64| Acquisition {
        sequence,
        slices: Plane::Sagittal,
        pixel: mm,
        thickness: mm,
        distance: None,
    };
    let slices = |sequence, pixel, thickness, distance: f64| Acquisition {
        sequence,
        slices: Plane::Axial,
        pixel,
        thickness,
        distance: (distance != thickness).then_some(distance),
    };
    let echo = |tr, te| Sequence::SpinEcho { tr, te };
    let inversion = |tr, ti, te| Sequence::InversionRecovery { tr, ti, te };
    let mprage = |tr, ti, te| Sequence::Mprage { tr, ti, te };
    let gradient = |tr, te, flip| Sequence::GradientEcho { tr, te, flip };
    let diffusion = |tr, te, b| Sequence::Diffusion { tr, te, b };
    let protocol = |list: [(Contrast, Acquisition); 6]| BTreeMap::from(list);
    let three = |t1: Sequence, t1ce: Sequence, flair: Sequence| {
        protocol([
            (Contrast::T1w, volume(t1, 1.0)),
            (Contrast::T1ce, volume(t1ce, 1.0)),
            (Contrast::T2w, volume(echo(3200.0, 90.0), 1.0)),
            (Contrast::Flair, volume(flair, 1.0)),
            (Contrast::PDw, volume(echo(3200.0, 15.0), 1.0)),
            (
                Contrast::Dwi,
                slices(diffusion(6000.0, 75.0, 1000.0), 1.8, 2.0, 2.0),
            ),
        ])
    };
    Some(match name {
        "a" => Site {
            manufacturer: "Siemens".into(),
            model: "Prisma".into(),
            tesla: 3.0,
            noise: 0.03,
            bias: 0.14,
            skull_stripped: false,
            defaced: 0.0,
            cropped: 0.02,
            gain: 600.0,
            fat: 0.8,
            artefacts: Artefacts {
                ringing: 0.05,
                motion: 0.03,
                ..Artefacts::default()
            },
            contrasts: three(
                mprage(2300.0, 1150.0, 2.9),
                mprage(2300.0, 1150.0, 2.9),
                inversion(7000.0, 2130.0, 110.0),
            ),
        },
        "b" => Site {
            manufacturer: "Philips".into(),
            model: "Achieva".into(),
            tesla: 3.0,
            noise: 0.035,
            bias: 0.22,
            skull_stripped: false,
            defaced: 0.0,
            cropped: 0.05,
            gain: 850.0,
            fat: 0.5,
            artefacts: Artefacts {
                ghosting: 0.05,
                ringing: 0.1,
                motion: 0.05,
                ..Artefacts::default()
            },
            contrasts: protocol([
                (Contrast::T1w, volume(gradient(9.0, 4.6, 19.0), 1.0)),
                (Contrast::T1ce, volume(gradient(9.0, 4.6, 19.0), 1.0)),
                (Contrast::T2w, slices(echo(4000.0, 80.0), 0.9, 3.0, 3.0)),
                (
                    Contrast::Flair,
                    slices(inversion(11_000.0, 2550.0, 125.0), 0.9, 3.0, 3.0),
                ),
                (Contrast::PDw, slices(echo(2800.0, 20.0), 0.9, 3.0, 3.0)),
                (
                    Contrast::Dwi,
                    slices(diffusion(5000.0, 80.0, 1000.0), 2.0, 3.0, 3.0),
                ),
            ]),
        },
        "c" => Site {
            manufacturer: "GE".into(),
            model: "Signa HDxt".into(),
            tesla: 1.5,
            noise: 0.045,
            bias: 0.10,
            skull_stripped: false,
            defaced: 0.0,
            cropped: 0.06,
            gain: 1400.0,
            fat: 1.0,
            artefacts: Artefacts {
                ghosting: 0.08,
                ringing: 0.1,
                motion: 0.08,
                ..Artefacts::default()
            },
            contrasts: protocol([
                (Contrast::T1w, volume(gradient(22.0, 5.0, 25.0), 1.2)),
                (Contrast::T1ce, volume(gradient(22.0, 5.0, 25.0), 1.2)),
                (Contrast::T2w, slices(echo(4500.0, 102.0), 0.9, 5.0, 6.0)),
                (
                    Contrast::Flair,
                    slices(inversion(9000.0, 2250.0, 125.0), 0.9, 5.0, 6.0),
                ),
                (Contrast::PDw, slices(echo(2600.0, 18.0), 0.9, 5.0, 6.0)),
                (
                    Contrast::Dwi,
                    slices(diffusion(8000.0, 90.0, 1000.0), 2.2, 5.0, 6.0),
                ),
            ]),
        },
        "d" => Site {
            manufacturer: "Siemens".into(),
            model: "Symphony".into(),
            tesla: 1.5,
            noise: 0.065,
            bias: 0.16,
            skull_stripped: false,
            defaced: 0.0,
            cropped: 0.1,
            gain: 300.0,
            fat: 1.0,
            artefacts: Artefacts {
                ghosting: 0.2,
                ringing: 0.15,
                spike: 0.04,
                motion: 0.2,
                gamma: 0.1,
            },
            contrasts: protocol([
                (Contrast::T1w, slices(echo(480.0, 12.0), 0.9, 5.0, 5.5)),
                (Contrast::T1ce, slices(echo(480.0, 12.0), 0.9, 5.0, 5.5)),
                (Contrast::T2w, slices(echo(3800.0, 96.0), 0.9, 5.0, 5.5)),
                (
                    Contrast::Flair,
                    slices(inversion(8500.0, 2200.0, 110.0), 1.0, 5.0, 5.5),
                ),
                (Contrast::PDw, slices(echo(2400.0, 22.0), 0.9, 5.0, 5.5)),
                (
                    Contrast::Dwi,
                    slices(diffusion(7000.0, 100.0, 1000.0), 2.4, 5.0, 5.5),
                ),
            ]),
        },
        "e" => Site {
            manufacturer: "Hyperfine".into(),
            model: "Swoop".into(),
            tesla: 0.064,
            noise: 0.14,
            bias: 0.08,
            skull_stripped: false,
            defaced: 0.0,
            cropped: 0.05,
            gain: 250.0,
            fat: 1.0,
            artefacts: Artefacts {
                ghosting: 0.1,
                spike: 0.05,
                motion: 0.15,
                ..Artefacts::default()
            },
            contrasts: protocol([
                (
                    Contrast::T1w,
                    slices(mprage(1500.0, 420.0, 6.0), 1.6, 5.0, 5.0),
                ),
                (
                    Contrast::T1ce,
                    slices(mprage(1500.0, 420.0, 6.0), 1.6, 5.0, 5.0),
                ),
                (Contrast::T2w, slices(echo(2000.0, 170.0), 1.6, 5.0, 5.0)),
                (
                    Contrast::Flair,
                    slices(inversion(4000.0, 1450.0, 150.0), 1.6, 5.0, 5.0),
                ),
                (Contrast::PDw, slices(echo(1600.0, 20.0), 1.6, 5.0, 5.0)),
                (
                    Contrast::Dwi,
                    slices(diffusion(1000.0, 80.0, 900.0), 2.4, 6.0, 6.0),
                ),
            ]),
        },
        "f" => Site {
            manufacturer: "Siemens".into(),
            model: "Skyra".into(),
            tesla: 3.0,
            noise: 0.035,
            bias: 0.1,
            skull_stripped: true,
            defaced: 0.0,
            cropped: 0.0,
            gain: 420.0,
            fat: 0.6,
            artefacts: Artefacts::default(),
            contrasts: three(
                mprage(2000.0, 1000.0, 3.0),
                gradient(8.0, 3.0, 22.0),
                inversion(9000.0, 2500.0, 95.0),
            ),
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_valid_and_has_every_sequence() {
        for (name, _) in PRESETS {
            let site = preset(name).expect("a site");
            site.validate(name).expect("valid");
            let missing = |c: &Contrast| !site.contrasts.contains_key(c);
            let missing: Vec<_> = Contrast::ALL.into_iter().filter(missing).collect();
            assert_eq!(missing, [Contrast::Random], "{name}");
        }
        assert!(preset("z").is_none());
    }
}
