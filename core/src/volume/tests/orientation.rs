//! Orientations of random volumes.

use proptest::prelude::*;

use crate::volume::{
    Affine, Grid, Header, Orientation, ReadOptions, Volume, WriteOptions, read_volume, write_volume,
};

/// Affines near one of the 48 orientations: turned by less than half a right angle about a random
/// axis, stretched, off centre.
fn affine() -> impl Strategy<Value = (Affine, Orientation)> {
    let axis = prop::array::uniform3(-1.0..1.0f64);
    let zoom = prop::array::uniform3(0.3..4.0f64);
    let offset = prop::array::uniform3(-200.0..200.0f64);
    (0..48usize, axis, 0.0..0.6f64, zoom, offset).prop_map(|(which, axis, angle, zoom, offset)| {
        let o = Orientation::all().nth(which).unwrap_or(Orientation::RAS);
        let norm = axis.iter().map(|v| v * v).sum::<f64>().sqrt().max(1e-9);
        let [x, y, z] = axis.map(|v| v / norm);
        let (s, c) = angle.sin_cos();
        let t = 1.0 - c;
        let turn = [
            [c + t * x * x, t * x * y - s * z, t * x * z + s * y],
            [t * x * y + s * z, c + t * y * y, t * y * z - s * x],
            [t * x * z - s * y, t * y * z + s * x, c + t * z * z],
        ];
        let mut rows = [[0.0; 4]; 3];
        for (r, row) in rows.iter_mut().enumerate() {
            for a in 0..3 {
                let sign = if o.positive()[a] { 1.0 } else { -1.0 };
                row[a] = turn[r][o.world_axes()[a]] * sign * zoom[a];
            }
            row[3] = offset[r];
        }
        (Affine(rows), o)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// There and back between any two orientations gives every value and position back, through
    /// a file too.
    #[test]
    fn there_and_back(
        (affine, own) in affine(),
        shape in prop::array::uniform3(1..20usize),
        target in 0..48usize,
    ) {
        let grid = Grid { shape, affine };
        let v = Volume::new(grid.clone(), (0..grid.voxels()).map(|i| i as f32).collect())?;
        prop_assert_eq!(grid.orientation()?, own);
        let target = Orientation::all().nth(target).unwrap_or(Orientation::RAS);
        let turned = v.reoriented(target)?;
        prop_assert_eq!(turned.grid().orientation()?, target);
        let mut file = Vec::new();
        write_volume(&mut file, &Header::new(turned.grid()), &turned, &WriteOptions::PLAIN)?;
        let back = read_volume(&file[..], &ReadOptions::default())?.0.reoriented(own)?;
        prop_assert_eq!(back.data(), v.data());
        prop_assert_eq!(back.grid().shape, shape);
        for (a, b) in back.grid().affine.0.iter().flatten().zip(affine.0.iter().flatten()) {
            prop_assert!((a - b).abs() < 1e-4, "{} {}", a, b);
        }
    }
}
