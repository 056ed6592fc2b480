//! Parts of the head that are simple solids, where they lie in the template.
//!
//! Template coordinates are those of an average adult head, mm: x to the right, y to the front, z
//! to the top, from the anterior commissure, about as in the MNI space.

use super::part::Part;
use super::shape::{Ellipsoid, Point, tube};
use super::subject::Subject;

/// A shape.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    /// An ellipsoid.
    Ellipsoid(Ellipsoid),
    /// A tube along points `[x, y, z, radius]`.
    Tube(Vec<[f32; 4]>),
}

/// One solid of a part.
#[derive(Clone, Debug)]
pub(super) struct Solid {
    /// What it is made of.
    pub(super) part: Part,
    /// Its shape, that of the right side where it is there twice.
    pub(super) shape: Shape,
    /// Whether the left side has it too.
    pub(super) paired: bool,
    /// Whether the two sides are different parts.
    pub(super) sided: bool,
    /// The box that holds it.
    pub(super) bounds: [Point; 2],
}

impl Solid {
    /// An ellipsoid: centre, radii, pitch and yaw in degrees.
    fn ellipsoid(part: Part, centre: Point, radii: Point, [pitch, yaw]: [f32; 2]) -> Self {
        let reach = match pitch == 0.0 && yaw == 0.0 {
            true => radii,
            false => [radii.iter().fold(0.0f32, |m, &r| m.max(r)); 3],
        };
        let bounds = [-1.0, 1.0].map(|s| [0, 1, 2].map(|a| centre[a] + s * reach[a]));
        let shape = Ellipsoid::new(centre, radii).turned(pitch, yaw);
        Self::new(part, Shape::Ellipsoid(shape), bounds)
    }

    /// A tube.
    fn tube(part: Part, points: &[[f32; 4]]) -> Self {
        let (mut low, mut high) = ([f32::MAX; 3], [f32::MIN; 3]);
        for p in points {
            for a in 0..3 {
                low[a] = low[a].min(p[a] - p[3]);
                high[a] = high[a].max(p[a] + p[3]);
            }
        }
        Self::new(part, Shape::Tube(points.to_vec()), [low, high])
    }

    fn new(part: Part, shape: Shape, bounds: [Point; 2]) -> Self {
        Self {
            part,
            shape,
            paired: false,
            sided: false,
            bounds,
        }
    }

    /// On both sides, as one part.
    fn paired(mut self) -> Self {
        self.paired = true;
        self
    }

    /// On both sides, as parts of their own.
    fn sided(mut self) -> Self {
        self.sided = true;
        self.paired()
    }

    /// Signed distance, mm.
    #[inline]
    pub(super) fn distance(&self, p: Point) -> f32 {
        match &self.shape {
            Shape::Ellipsoid(e) => e.distance(p),
            Shape::Tube(points) => tube(points, p),
        }
    }
}

/// Muscles and bones of face and neck, which lie below the scalp.
pub(super) fn face() -> Vec<Solid> {
    let ball = |part, centre, radii| Solid::ellipsoid(part, centre, radii, [0.0; 2]);
    vec![
        // Temporalis, masseter, pterygoids, neck, tongue.
        ball(Part::MUSCLE, [67.0, 12.0, -14.0], [13.0, 30.0, 34.0]).paired(),
        ball(Part::MUSCLE, [54.0, 20.0, -68.0], [10.0, 16.0, 26.0]).paired(),
        ball(Part::MUSCLE, [31.0, 18.0, -66.0], [13.0, 17.0, 17.0]).paired(),
        ball(Part::MUSCLE, [20.0, -82.0, -92.0], [22.0, 24.0, 44.0]).paired(),
        ball(Part::MUSCLE, [50.0, -42.0, -92.0], [14.0, 20.0, 40.0]).paired(),
        ball(Part::MUSCLE, [0.0, 48.0, -86.0], [25.0, 32.0, 17.0]),
        // Cheek bone, upper and lower jaw, palate, nose.
        Solid::tube(
            Part::BONE,
            &[
                [46.0, 58.0, -42.0, 6.0],
                [62.0, 34.0, -42.0, 3.5],
                [68.0, 2.0, -38.0, 3.5],
            ],
        )
        .paired(),
        ball(Part::BONE, [29.0, 57.0, -52.0], [17.0, 19.5, 20.5]).paired(),
        Solid::tube(
            Part::BONE,
            &[
                [50.0, 2.0, -44.0, 4.5],
                [47.0, 14.0, -82.0, 6.0],
                [36.0, 52.0, -96.0, 6.5],
                [12.0, 80.0, -100.0, 7.5],
                [0.0, 84.0, -100.0, 7.5],
            ],
        )
        .paired(),
        Solid::tube(
            Part::MARROW,
            &[
                [47.0, 14.0, -82.0, 3.0],
                [36.0, 52.0, -96.0, 3.5],
                [12.0, 80.0, -100.0, 4.5],
                [0.0, 84.0, -100.0, 4.5],
            ],
        )
        .paired(),
        ball(Part::BONE, [0.0, 56.0, -64.0], [24.0, 30.0, 3.5]),
        ball(Part::BONE, [0.0, 88.0, -28.0], [6.0, 9.0, 12.0]),
        // Walls of the orbit.
        Solid::ellipsoid(
            Part::BONE,
            [30.0, 54.0, -30.0],
            [20.0, 27.0, 19.0],
            [0.0, -18.0],
        )
        .paired(),
        // Petrous bones and clivus; vertebrae.
        Solid::tube(
            Part::BONE,
            &[[16.0, -10.0, -36.0, 6.0], [56.0, -32.0, -38.0, 12.0]],
        )
        .paired(),
        Solid::tube(
            Part::BONE,
            &[[0.0, 14.0, -30.0, 9.0], [0.0, -14.0, -58.0, 7.0]],
        ),
        Solid::tube(
            Part::MARROW,
            &[[0.0, 14.0, -31.0, 6.5], [0.0, -14.0, -58.0, 4.5]],
        ),
        Solid::tube(
            Part::BONE,
            &[[0.0, -22.0, -70.0, 9.0], [0.0, -24.0, -140.0, 10.0]],
        ),
        Solid::tube(
            Part::MARROW,
            &[[0.0, -22.0, -70.0, 7.5], [0.0, -24.0, -140.0, 8.5]],
        ),
        ball(Part::BONE, [0.0, -68.0, -84.0], [9.0, 14.0, 6.0]),
    ]
}

/// Air-filled cells, mucosa and the contents of the orbits, which lie within bone.
pub(super) fn cavities() -> Vec<Solid> {
    let ball = |part, centre, radii| Solid::ellipsoid(part, centre, radii, [0.0; 2]);
    vec![
        ball(Part::CAVITY, [29.0, 57.0, -52.0], [13.5, 16.0, 17.0]).paired(),
        ball(Part::CAVITY, [7.0, 27.0, -33.0], [7.0, 9.0, 7.5]).paired(),
        ball(Part::CAVITY, [6.5, 52.0, -32.0], [5.0, 17.0, 8.0]).paired(),
        ball(Part::CAVITY, [13.0, 79.0, -9.0], [11.0, 3.2, 8.0]).paired(),
        // Nose: the passages and what hangs into them.
        ball(Part::MUCOSA, [0.0, 66.0, -48.0], [12.5, 36.0, 17.0]),
        ball(Part::CAVITY, [3.5, 66.0, -48.0], [2.0, 34.0, 14.0]).paired(),
        ball(Part::CAVITY, [8.0, 64.0, -58.0], [2.2, 28.0, 4.0]).paired(),
        ball(Part::CAVITY, [8.0, 62.0, -46.0], [1.6, 26.0, 4.0]).paired(),
        Solid::tube(
            Part::CAVITY,
            &[
                [0.0, 28.0, -52.0, 8.0],
                [0.0, 12.0, -70.0, 9.0],
                [0.0, 4.0, -140.0, 9.0],
            ],
        ),
        // Ear canal and the cells of the mastoid.
        Solid::tube(
            Part::CAVITY,
            &[[46.0, -20.0, -32.0, 3.0], [92.0, -18.0, -34.0, 3.5]],
        )
        .paired(),
        ball(Part::CAVITY, [55.0, -32.0, -40.0], [4.0, 5.0, 6.0]).paired(),
        ball(Part::CAVITY, [58.0, -40.0, -47.0], [3.5, 4.5, 5.0]).paired(),
        ball(Part::CAVITY, [52.0, -37.0, -52.0], [3.5, 4.0, 5.0]).paired(),
        ball(Part::CAVITY, [60.0, -31.0, -53.0], [3.0, 3.5, 5.0]).paired(),
        // Orbit: fat, muscles, nerve, globe and lens.
        Solid::ellipsoid(
            Part::ORBIT,
            [30.5, 55.0, -30.0],
            [17.5, 26.0, 16.5],
            [0.0, -18.0],
        )
        .paired(),
        Solid::tube(
            Part::MUSCLE,
            &[
                [22.0, 36.0, -28.0, 1.5],
                [22.5, 56.0, -31.0, 2.2],
                [23.5, 66.0, -32.0, 1.4],
            ],
        )
        .paired(),
        Solid::tube(
            Part::MUSCLE,
            &[
                [25.0, 36.0, -28.0, 1.5],
                [43.0, 54.0, -31.0, 2.2],
                [45.5, 64.0, -32.0, 1.4],
            ],
        )
        .paired(),
        Solid::tube(
            Part::MUSCLE,
            &[
                [24.0, 36.0, -26.0, 1.5],
                [32.0, 54.0, -19.5, 2.2],
                [33.0, 64.0, -19.0, 1.4],
            ],
        )
        .paired(),
        Solid::tube(
            Part::MUSCLE,
            &[
                [24.0, 36.0, -31.0, 1.5],
                [32.0, 54.0, -42.0, 2.2],
                [33.0, 64.0, -44.0, 1.4],
            ],
        )
        .paired(),
        Solid::tube(
            Part::NERVE,
            &[
                [33.0, 60.0, -32.0, 2.2],
                [27.0, 44.0, -29.0, 2.1],
                [14.0, 24.0, -22.0, 2.1],
            ],
        )
        .paired(),
        ball(Part::GLOBE, [34.0, 69.0, -32.0], [12.2; 3]).paired(),
        ball(Part::LENS, [34.0, 77.5, -32.0], [4.5, 2.0, 4.5]).paired(),
    ]
}

/// Deep grey matter, ventricles and vessels, which lie within the brain or its fluid; later ones
/// are painted over earlier ones.
pub(super) fn deep(subject: &Subject) -> Vec<Solid> {
    let v = subject.ventricles as f32;
    let lens = |part, centre, radii, turn| Solid::ellipsoid(part, centre, radii, turn).sided();
    let wide = |points: &[[f32; 4]]| -> Vec<[f32; 4]> {
        let grow = |&[x, y, z, r]: &[f32; 4]| [x + 0.55 * r * (v - 1.0), y, z, r * v];
        points.iter().map(grow).collect()
    };
    vec![
        // Lateral ventricle: the horns and the body, narrow on both sides of the septum.
        Solid::tube(
            Part::LATERAL,
            &wide(&[
                [6.0, 34.0, 2.0, 2.0],
                [6.3, 28.0, 7.0, 4.2],
                [6.2, 14.0, 14.0, 4.4],
                [6.0, 0.0, 19.5, 4.2],
                [8.5, -14.0, 22.0, 4.4],
                [14.0, -28.0, 20.0, 5.0],
                [23.0, -39.0, 12.0, 6.2],
                [26.5, -54.0, 9.0, 4.2],
                [25.0, -68.0, 6.0, 1.8],
            ]),
        )
        .sided(),
        Solid::tube(
            Part::LATERAL,
            &wide(&[
                [11.0, 26.0, 6.0, 2.4],
                [11.5, 14.0, 15.0, 2.6],
                [13.0, -2.0, 20.5, 2.6],
                [16.0, -16.0, 22.5, 3.0],
            ]),
        )
        .sided(),
        Solid::tube(
            Part::LATERAL,
            &wide(&[
                [24.0, -39.0, 11.0, 5.5],
                [31.0, -37.0, 1.0, 3.8],
                [35.0, -27.0, -9.0, 2.3],
                [34.5, -14.0, -16.0, 1.9],
                [31.0, -6.0, -20.0, 1.4],
            ]),
        )
        .sided(),
        Solid::tube(
            Part::CHOROID,
            &[
                [15.0, -28.0, 17.5, 1.6],
                [22.5, -38.0, 9.0, 2.6],
                [28.0, -37.0, 1.0, 1.6],
            ],
        )
        .sided(),
        lens(
            Part::THALAMUS,
            [11.5, -18.5, 7.0],
            [9.8, 17.5, 9.8],
            [8.0, 24.0],
        ),
        Solid::tube(
            Part::CAUDATE,
            &[
                [12.5, 18.0, 0.0, 6.1],
                [13.5, 12.0, 8.0, 6.4],
                [15.5, 2.0, 15.0, 4.5],
                [17.5, -10.0, 19.0, 3.2],
                [21.5, -23.0, 18.5, 2.5],
                [27.5, -33.0, 11.0, 1.8],
                [31.0, -32.0, 1.0, 1.3],
            ],
        )
        .sided(),
        lens(
            Part::PUTAMEN,
            [26.4, 2.0, 1.0],
            [6.9, 18.0, 11.8],
            [8.0, 14.0],
        ),
        lens(
            Part::PALLIDUM,
            [20.0, -4.0, -0.5],
            [5.2, 11.5, 7.8],
            [8.0, 24.0],
        ),
        Solid::tube(
            Part::HIPPOCAMPUS,
            &[
                [23.5, -9.0, -21.0, 6.1],
                [28.0, -17.0, -17.5, 5.9],
                [30.0, -26.0, -11.5, 5.1],
                [27.0, -34.0, -5.0, 4.0],
                [21.0, -38.0, 1.0, 2.8],
            ],
        )
        .sided(),
        lens(
            Part::AMYGDALA,
            [22.5, -1.5, -20.0],
            [7.0, 6.5, 7.0],
            [0.0; 2],
        ),
        // Third ventricle, aqueduct, fourth ventricle.
        Solid::ellipsoid(
            Part::THIRD,
            [0.0, -13.0, -2.0],
            [2.3 * v, 16.0, 10.0],
            [-10.0, 0.0],
        ),
        Solid::tube(
            Part::FOURTH,
            &[
                [0.0, -28.0, -4.0, 1.2],
                [0.0, -34.0, -14.0, 1.1],
                [0.0, -38.0, -24.0, 1.6],
            ],
        ),
        Solid::ellipsoid(
            Part::FOURTH,
            [0.0, -43.5, -34.0],
            [6.0 * v.min(1.3), 5.0, 11.0],
            [20.0, 0.0],
        ),
        Solid::tube(
            Part::FOURTH,
            &[[0.0, -44.0, -32.0, 2.5], [13.0, -38.0, -37.0, 1.2]],
        )
        .paired(),
    ]
}

/// Arteries and venous sinuses, which lie within the fluid or the dura.
pub(super) fn vessels() -> Vec<Solid> {
    let along = |part, points: &[[f32; 4]]| Solid::tube(part, points);
    vec![
        // Carotid, middle and anterior cerebral arteries; basilar and posterior cerebral arteries.
        along(
            Part::VESSEL,
            &[
                [24.0, 6.0, -58.0, 2.4],
                [14.0, 2.0, -36.0, 2.4],
                [13.0, 10.0, -26.0, 2.2],
                [13.0, 4.0, -17.0, 2.0],
                [20.0, 3.0, -18.0, 1.5],
                [32.0, 5.0, -13.0, 1.4],
                [39.0, 2.0, -6.0, 1.2],
                [42.0, -10.0, 3.0, 1.1],
                [46.0, -24.0, 11.0, 0.9],
            ],
        )
        .sided(),
        along(
            Part::VESSEL,
            &[
                [13.0, 4.0, -17.0, 1.4],
                [2.6, 14.0, -16.0, 1.2],
                [2.0, 34.0, -4.0, 1.1],
                [2.0, 42.0, 10.0, 1.0],
                [2.0, 32.0, 28.0, 0.8],
            ],
        )
        .sided(),
        along(
            Part::VESSEL,
            &[
                [2.0, -18.0, -66.0, 1.8],
                [0.5, -11.0, -46.0, 1.8],
                [0.0, -10.0, -20.0, 1.6],
                [9.0, -16.0, -17.0, 1.3],
                [17.0, -30.0, -12.0, 1.1],
                [16.0, -46.0, -4.0, 1.0],
            ],
        )
        .sided(),
        // Straight, transverse and sigmoid sinus.
        along(
            Part::VESSEL,
            &[
                [0.0, -42.0, 4.0, 1.8],
                [0.0, -62.0, 1.0, 2.2],
                [0.0, -101.0, -14.0, 3.2],
            ],
        ),
        along(
            Part::VESSEL,
            &[
                [0.0, -103.0, -16.0, 3.2],
                [24.0, -97.0, -18.0, 3.2],
                [46.0, -74.0, -22.0, 3.2],
                [54.0, -48.0, -28.0, 3.4],
                [44.0, -38.0, -46.0, 3.4],
                [30.0, -26.0, -60.0, 3.4],
            ],
        )
        .sided(),
    ]
}
