//! Weight gradients by minimal filtering on graphics cards: sizes about its blocks of four, and
//! slabs that end within a sample.

use super::{Random, Subject, compare};
use crate::kernel::{Conv3dOptions, conv3d, portable};

#[test]
fn weight_gradients_of_any_size_match_their_definition() {
    let Some(subject) = Subject::gpu() else {
        return;
    };
    let same = [[1, 1]; 3];
    let cases = [
        (3, 8, 9, [16, 64, 64], same),
        (3, 9, 21, [3, 3, 1], same),
        (1, 33, 8, [4, 5, 6], same),
        (2, 40, 36, [9, 4, 8], [[2, 2], [0, 0], [2, 1]]),
        (1, 8, 70, [5, 8, 13], [[0, 1], [1, 0], [0, 2]]),
        (1, 8, 8, [5, 6, 3], [[0, 0]; 3]),
        (2, 8, 12, [2, 3, 2], [[3, 3], [4, 0], [5, 1]]),
        (1, 12, 8, [3, 2, 9], same),
    ];
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for (batch, inputs, outputs, size, padding) in cases {
        let options = Conv3dOptions {
            stride: [1; 3],
            padding,
            dilation: [1; 3],
        };
        let device = &subject.device;
        let x = random.tensor([batch, inputs, size[0], size[1], size[2]], device);
        let weight = random.tensor([outputs, inputs, 3, 3, 3], device);
        compare(
            &subject,
            &format!("{batch}x{inputs}->{outputs} {size:?} {options:?}"),
            &mut random,
            (x, Some(weight), None),
            |(x, w, b)| conv3d(x, w.expect("weight"), b, &options),
            |(x, w, b)| portable::conv3d(x, w.expect("weight"), b, &options),
        );
    }
}
