//! Signed distances (mm, negative inside) of the solids that anatomy is made of, and their
//! smooth unions and intersections (Quilez' polynomial forms).

/// A position in mm.
pub(super) type Point = [f32; 3];

/// Union of two solids whose seam is rounded over `k` mm.
#[inline]
pub(super) fn union(a: f32, b: f32, k: f32) -> f32 {
    let h = (k - (a - b).abs()).max(0.0);
    a.min(b) - h * h * 0.25 / k
}

/// Intersection of two solids whose edge is rounded over `k` mm.
#[inline]
pub(super) fn intersection(a: f32, b: f32, k: f32) -> f32 {
    -union(-a, -b, k)
}

/// 0 below `from`, 1 above `to`, smooth between them.
#[inline]
pub(super) fn step(from: f32, to: f32, value: f32) -> f32 {
    let t = ((value - from) / (to - from)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// Length of a vector.
#[inline]
pub(super) fn length(v: Point) -> f32 {
    (v[0] * v[0] + v[1] * v[1] + v[2] * v[2]).sqrt()
}

/// An ellipsoid, turned about x and z.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ellipsoid {
    centre: Point,
    inverse: Point,
    /// Sine and cosine of the turn about x (positive lifts the front) and about z (positive
    /// brings the front to the left).
    pitch: [f32; 2],
    yaw: [f32; 2],
}

impl Ellipsoid {
    /// An ellipsoid along the axes.
    pub(super) fn new(centre: Point, radii: Point) -> Self {
        Self {
            centre,
            inverse: radii.map(|r| 1.0 / r),
            pitch: [0.0, 1.0],
            yaw: [0.0, 1.0],
        }
    }

    /// Turns it, degrees.
    pub(super) fn turned(mut self, pitch: f32, yaw: f32) -> Self {
        let turn = |degrees: f32| [degrees.to_radians().sin(), degrees.to_radians().cos()];
        self.pitch = turn(pitch);
        self.yaw = turn(yaw);
        self
    }

    /// Distance, good near the surface and of the right sign everywhere.
    #[inline]
    pub(super) fn distance(&self, p: Point) -> f32 {
        let [x, y, z] = [0, 1, 2].map(|a| p[a] - self.centre[a]);
        let ([sp, cp], [sy, cy]) = (self.pitch, self.yaw);
        let (x, y) = (cy * x + sy * y, cy * y - sy * x);
        let (y, z) = (cp * y + sp * z, cp * z - sp * y);
        let once = [
            x * self.inverse[0],
            y * self.inverse[1],
            z * self.inverse[2],
        ];
        let twice = [0, 1, 2].map(|a| once[a] * self.inverse[a]);
        let (k0, k1) = (length(once), length(twice));
        if k1 < 1e-9 {
            // The centre: as far as the nearest pole.
            let nearest = self.inverse.iter().fold(0.0f32, |m, &v| m.max(v));
            return -1.0 / nearest;
        }
        k0 * (k0 - 1.0) / k1
    }
}

/// Distance to a tube along points `[x, y, z, radius]`, the radius linear between them.
#[inline]
pub(super) fn tube(points: &[[f32; 4]], p: Point) -> f32 {
    let mut nearest = f32::INFINITY;
    for pair in points.windows(2) {
        let (a, b) = (pair[0], pair[1]);
        let axis = [b[0] - a[0], b[1] - a[1], b[2] - a[2]];
        let from = [p[0] - a[0], p[1] - a[1], p[2] - a[2]];
        let dot = |u: Point, v: Point| u[0] * v[0] + u[1] * v[1] + u[2] * v[2];
        let t = (dot(from, axis) / dot(axis, axis)).clamp(0.0, 1.0);
        let off = [0, 1, 2].map(|i| from[i] - t * axis[i]);
        nearest = nearest.min(length(off) - (a[3] + t * (b[3] - a[3])));
    }
    nearest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_spheres_and_capsules() {
        let ball = Ellipsoid::new([1.0, 2.0, 3.0], [5.0; 3]).turned(30.0, 40.0);
        assert!((ball.distance([1.0, 2.0, 11.0]) - 3.0).abs() < 1e-5);
        assert!((ball.distance([1.0, 4.0, 3.0]) + 3.0).abs() < 1e-5);
        assert!((ball.distance([1.0, 2.0, 3.0]) + 5.0).abs() < 1e-5);
        let rod = [[0.0, 0.0, 0.0, 1.0], [10.0, 0.0, 0.0, 3.0]];
        assert!((tube(&rod, [5.0, 6.0, 0.0]) - 4.0).abs() < 1e-5);
        assert!((tube(&rod, [-3.0, 4.0, 0.0]) - 4.0).abs() < 1e-5);
    }

    #[test]
    fn turns_move_the_poles() {
        // The long axis lies along y; a pitch of 90 degrees lifts its front end to the top.
        let long = Ellipsoid::new([0.0; 3], [1.0, 10.0, 1.0]);
        assert!(long.turned(90.0, 0.0).distance([0.0, 0.0, 9.0]) < 0.0);
        assert!(long.turned(0.0, 90.0).distance([-9.0, 0.0, 0.0]) < 0.0);
        assert!(long.turned(45.0, 0.0).distance([0.0, 6.0, 6.0]) < 0.0);
        assert!(long.turned(45.0, 0.0).distance([0.0, 6.0, -6.0]) > 0.0);
    }

    #[test]
    fn smooth_seams_add_and_take_a_quarter() {
        assert_eq!(union(0.0, 0.0, 4.0), -1.0);
        assert_eq!(union(0.0, 9.0, 4.0), 0.0);
        assert_eq!(intersection(0.0, 0.0, 4.0), 1.0);
        assert_eq!((step(1.0, 2.0, 0.0), step(1.0, 2.0, 1.5)), (0.0, 0.5));
    }
}
