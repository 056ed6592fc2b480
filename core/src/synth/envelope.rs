//! The large shapes of the template (coordinates as in [`super::solid`]): what encloses cerebrum,
//! cerebellum and brainstem, the fissures between them, and the outline of the head.

use super::shape::{Ellipsoid, Point, intersection, step, tube, union};

/// A fissure: a sheet that is cut into the brain as far as an edge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sheet {
    /// Signed distance from the sheet, mm.
    pub(super) across: f32,
    /// How far beyond the sheet's edge, mm; negative where the sheet is.
    pub(super) beyond: f32,
}

/// The large shapes.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    cerebrum: Ellipsoid,
    parietal: Ellipsoid,
    frontal: Ellipsoid,
    occipital: Ellipsoid,
    temporal: Ellipsoid,
    uncus: Ellipsoid,
    central: Ellipsoid,
    cerebellum: Ellipsoid,
    vermis: Ellipsoid,
    midbrain: Ellipsoid,
    pons: Ellipsoid,
    face: Ellipsoid,
    cheek: Ellipsoid,
    nose: Ellipsoid,
    chin: Ellipsoid,
}

/// From here on (mm) only the sign of a distance matters.
const FAR: f32 = 26.0;

const MEDULLA: [[f32; 4]; 4] = [
    [0.0, -33.0, -44.0, 9.5],
    [0.0, -40.0, -60.0, 8.0],
    [0.0, -45.0, -78.0, 6.2],
    [0.0, -48.0, -140.0, 5.5],
];

impl Envelope {
    pub(super) fn new() -> Self {
        let plain = Ellipsoid::new;
        Self {
            cerebrum: plain([0.0, -17.0, 11.0], [66.0, 86.0, 66.0]),
            parietal: plain([24.0, -36.0, 18.0], [43.0, 52.0, 56.0]),
            frontal: plain([19.0, 28.0, 13.0], [36.0, 44.0, 51.0]),
            occipital: plain([17.0, -68.0, 10.0], [31.0, 36.0, 43.0]),
            temporal: plain([44.0, -16.0, -19.0], [20.5, 44.0, 22.0]).turned(-14.0, 6.0),
            uncus: plain([28.0, -17.0, -18.0], [12.5, 27.0, 12.0]).turned(-18.0, 8.0),
            central: plain([0.0, -14.0, -3.0], [21.0, 27.0, 19.0]),
            cerebellum: plain([24.0, -64.0, -35.0], [28.5, 28.0, 24.0]).turned(-10.0, 22.0),
            vermis: plain([0.0, -61.0, -27.0], [15.0, 25.0, 24.0]),
            midbrain: plain([0.0, -25.0, -11.0], [17.0, 12.0, 13.0]),
            pons: plain([0.0, -25.0, -32.0], [18.0, 13.0, 15.5]),
            face: plain([0.0, 40.0, -50.0], [62.0, 56.0, 62.0]),
            cheek: plain([30.0, 40.0, -70.0], [36.0, 44.0, 50.0]),
            nose: plain([0.0, 98.0, -48.0], [13.0, 18.0, 19.0]).turned(-35.0, 0.0),
            chin: plain([0.0, 74.0, -104.0], [26.0, 24.0, 18.0]),
        }
    }

    /// What encloses both hemispheres, without fissures and sulci.
    #[inline]
    pub(super) fn cerebrum(&self, [x, y, z]: Point) -> f32 {
        let p = [x.abs(), y, z];
        let mut top = self.cerebrum.distance(p);
        if top > FAR + 20.0 {
            return top;
        }
        // Rounded at the midline, where the skull knows no hemispheres.
        let x = (x * x + 36.0).sqrt();
        let p = [x, y, z];
        top = union(top, self.parietal.distance(p), 10.0);
        top = union(top, self.frontal.distance(p), 10.0);
        top = union(top, self.occipital.distance(p), 10.0);
        // Below: the orbital surface, the opening for the midbrain, the tentorium.
        let orbital = -21.0 + 4.0 * step(40.0, 70.0, y) - 2.0 * step(8.0, 30.0, x);
        let middle = -13.0 + 5.0 * step(0.0, -30.0, y);
        let tent = -1.0 - 0.24 * (x - 4.0).max(0.0) - 0.24 * (-46.0 - y).max(0.0);
        let front = step(4.0, 16.0, y);
        let back = step(-34.0, -50.0, y);
        let floor = (middle * (1.0 - front) + orbital * front) * (1.0 - back) + tent * back;
        let body = intersection(top, (floor - z) * 0.95, 7.0);
        let temporal = union(self.temporal.distance(p), self.uncus.distance(p), 7.0);
        union(body, temporal, 5.0)
    }

    /// The fissure between the hemispheres, which ends at the corpus callosum and what is below
    /// it.
    #[inline]
    pub(super) fn midline(&self, [x, y, z]: Point) -> Sheet {
        // An ellipse about thalami and callosum, cut obliquely below the genu.
        let (dy, dz) = ((y + 6.5) / 40.5, z / 27.5);
        let k0 = (dy * dy + dz * dz).sqrt();
        let k1 = ((dy / 40.5).powi(2) + (dz / 27.5).powi(2)).sqrt().max(1e-6);
        let ellipse = k0 * (k0 - 1.0) / k1;
        let rostrum = (y - 1.3 * z - 33.0) * 0.61;
        let inner = intersection(ellipse, rostrum, 6.0);
        Sheet {
            across: x,
            beyond: -inner,
        }
    }

    /// The lateral (Sylvian) fissure, and the cleft between the insula and what covers it.
    #[inline]
    pub(super) fn sylvian(&self, [x, y, z]: Point) -> [Sheet; 2] {
        let x = x.abs();
        let cleft = Sheet {
            across: (z + 4.5 + 0.46 * (y - 4.0)) * 0.908,
            beyond: (36.0 - 13.0 * step(6.0, 18.0, y) - x)
                .max(y - 26.0)
                .max(-40.0 - y),
        };
        let (dy, dz) = ((y - 1.0 + 0.35 * z) / 25.0, (z - 2.5 + 0.25 * y) / 13.5);
        let round = (dy * dy + dz * dz).sqrt();
        let insula = Sheet {
            across: x - (38.5 - 3.5 * round * round),
            beyond: (round - 1.0) * 15.0,
        };
        [cleft, insula]
    }

    /// Where there is no cortex: around thalami and midbrain.
    #[inline]
    pub(super) fn central(&self, p: Point) -> f32 {
        self.central.distance(p)
    }

    /// What encloses the cerebellum, before it is kept apart from the cerebrum.
    #[inline]
    pub(super) fn cerebellum(&self, [x, y, z]: Point) -> f32 {
        let p = [x.abs(), y, z];
        let vermis = self.vermis.distance(p);
        match vermis > FAR + 40.0 {
            true => vermis - 40.0,
            false => union(self.cerebellum.distance(p), vermis, 9.0),
        }
    }

    /// Midbrain, pons, medulla and the upper spinal cord, with the cerebellar peduncles.
    #[inline]
    pub(super) fn brainstem(&self, [x, y, z]: Point) -> f32 {
        let p = [x.abs(), y, z];
        let axis = ((y + 28.0 - 0.2 * (z + 20.0)).powi(2) + x * x).sqrt();
        if axis > FAR + 24.0 {
            return axis - 24.0;
        }
        let mut stem = union(self.midbrain.distance(p), self.pons.distance(p), 8.0);
        stem = union(stem, tube(&MEDULLA, p), 8.0);
        // The fossa between the cerebral peduncles.
        stem = intersection(
            stem,
            -tube(&[[0.0, -12.0, -4.0, 5.0], [0.0, -9.0, -19.0, 5.0]], p),
            3.0,
        );
        let peduncle = [[13.0, -29.0, -32.0, 6.5], [17.0, -45.0, -37.0, 5.5]];
        union(stem, tube(&peduncle, p), 5.0)
    }

    /// The outline of face and neck.
    #[inline]
    pub(super) fn face(&self, [x, y, z]: Point) -> f32 {
        let p = [x.abs(), y, z];
        if z > 14.0 + FAR {
            return z - 14.0;
        }
        let mut face = union(self.face.distance(p), self.cheek.distance(p), 14.0);
        face = union(face, self.chin.distance(p), 14.0);
        face = union(face, self.nose.distance(p), 9.0);
        let neck = tube(
            &[[14.0, -36.0, -70.0, 46.0], [14.0, -36.0, -140.0, 46.0]],
            p,
        );
        union(face, neck, 22.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn landmarks_lie_where_atlases_have_them() {
        let e = Envelope::new();
        let inside = |p| e.cerebrum(p) < 0.0;
        // Frontal, occipital and temporal pole, vertex, insula; not the cerebellum or the pons.
        for p in [
            [14.0, 62.0, 4.0],
            [-12.0, -97.0, 0.0],
            [38.0, 16.0, -26.0],
            [6.0, -20.0, 72.0],
            [-38.0, 4.0, 0.0],
        ] {
            assert!(inside(p), "{p:?} {}", e.cerebrum(p));
        }
        assert!(!inside([20.0, -65.0, -35.0]) && !inside([0.0, -28.0, -32.0]));
        assert!(e.cerebellum([20.0, -65.0, -35.0]) < 0.0 && e.brainstem([0.0, -28.0, -32.0]) < 0.0);
        // The genu and the splenium are beyond the fissure's edge, the cingulate gyrus is not.
        assert!(e.midline([0.0, 27.0, 4.0]).beyond > 0.0);
        assert!(e.midline([0.0, -42.0, 10.0]).beyond > 0.0);
        assert!(e.midline([0.0, 40.0, 10.0]).beyond < 0.0);
        assert!(e.midline([0.0, -10.0, 36.0]).beyond < 0.0);
    }
}
