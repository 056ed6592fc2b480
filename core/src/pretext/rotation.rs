//! Rotation of a patch by quarter turns, whose number a network has to tell.

/// Rotations that are told apart: by 0, 90, 180 and 270 degrees.
pub const TURNS: usize = 4;

/// Rotates a patch by `turns` quarter turns about its first axis, from the second axis towards the
/// third (`torch.rot90(patch, turns, (-2, -1))`, as SwinUNETR's pretraining does it).
///
/// `patch` is `[x, y, z]` of `shape`, last axis fastest; edges y and z must be equal for an odd
/// number of turns to keep the shape.
///
/// # Panics
///
/// If the patch has another number of voxels, or is not square where it must be.
pub fn rotate<T: Copy>(patch: &[T], shape: [usize; 3], turns: usize) -> Vec<T> {
    let [x, y, z] = shape;
    assert_eq!(patch.len(), x * y * z, "{shape:?}");
    let turns = turns % TURNS;
    assert!(turns.is_multiple_of(2) || y == z, "{shape:?} is not square");
    let mut rotated = Vec::with_capacity(patch.len());
    for plane in patch.chunks_exact((y * z).max(1)) {
        match turns {
            0 => rotated.extend_from_slice(plane),
            2 => rotated.extend(plane.iter().rev()),
            _ => {
                for j in 0..y {
                    // What lies in row j was column z - 1 - j, or column j from its end.
                    let column = |k: usize| match turns {
                        1 => plane[k * z + z - 1 - j],
                        _ => plane[(y - 1 - k) * z + j],
                    };
                    rotated.extend((0..z).map(column));
                }
            }
        }
    }
    rotated
}
