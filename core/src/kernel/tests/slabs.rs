//! Convolutions of slabs against those of all planes at once.

use burn::Tensor;
use burn::tensor::Device;

use super::super::{Conv3dOptions, conv3d_activated, conv3d_slabs, joined_slabs, planes};
use super::{ACTIVATIONS, Random, Subject, assert_close, moved, values};

on_each_backend!(
    slabs_are_read_as_one_tensor,
    planes_have_memory_of_their_own,
);

/// One to four slabs of a tensor.
fn cut(x: &Tensor<5>, random: &mut Random) -> Vec<Tensor<5>> {
    let mut slabs = Vec::new();
    let (depth, mut start) = (x.dims()[2], 0);
    while start < depth {
        let end = match slabs.len() {
            3 => depth,
            _ => start + 1 + random.below(depth - start),
        };
        slabs.push(planes(x, start..end));
        start = end;
    }
    slabs
}

fn slabs_are_read_as_one_tensor(subject: &Subject) {
    let device = &subject.device;
    let mut random = Random(47);
    for index in 0..48 / subject.every {
        let dilation = random.pick(&[1, 2, 3, 8]);
        // Kernels that slabs are joined for, too: of one voxel, and of one channel.
        let kernel = random.pick(&[1, 3, 3, 3, 5]);
        let inputs = random.pick(&[1, 2, 5, 13, 21]);
        let outputs = random.pick(&[1, 5, 13, 33]);
        let batch = 1 + random.below(2);
        let [d, h, w]: [usize; 3] = std::array::from_fn(|_| 1 + random.below(19));
        let reach = (kernel - 1) * dilation;
        let padding = [d, h, w].map(|edge| {
            let low = random.below(reach + 1);
            [
                low,
                reach
                    .saturating_sub(low)
                    .max(reach.saturating_sub(edge + low - 1)),
            ]
        });
        let options = Conv3dOptions {
            padding,
            ..Conv3dOptions::new(1, 0, dilation)
        };
        let activation = ACTIVATIONS[index % ACTIVATIONS.len()];
        let x: Tensor<5> = random.tensor([batch, inputs, d, h, w], device);
        let weight: Tensor<5> = random.tensor([outputs, inputs, kernel, kernel, kernel], device);
        let bias = (index % 2 == 0).then(|| random.tensor::<1>([outputs], device));
        let slabs = cut(&x, &mut random);
        let found = conv3d_slabs(
            &slabs,
            d,
            weight.clone(),
            bias.clone(),
            &options,
            activation,
        );
        let joined = joined_slabs(slabs);
        let again = conv3d_slabs(
            &joined,
            d,
            weight.clone(),
            bias.clone(),
            &options,
            activation,
        );
        let case = format!("{inputs} to {outputs} at {d}x{h}x{w}, k{kernel} d{dilation}");
        assert_eq!(values(found.clone()), values(again), "{case}");
        let on = |device: &Device| {
            let bias = bias.clone().map(|bias| moved(bias, device));
            let (x, weight) = (moved(x.clone(), device), moved(weight.clone(), device));
            values(conv3d_activated(x, weight, bias, &options, activation))
        };
        assert_eq!(values(found.clone()), on(device), "{case}, at once");
        assert_close("output", &case, &values(found), &on(&subject.definition));
    }
}

fn planes_have_memory_of_their_own(subject: &Subject) {
    let mut random = Random(53);
    let x: Tensor<5> = random.tensor([2, 3, 7, 4, 5], &subject.device);
    for range in [0..7, 0..1, 6..7, 2..5] {
        let part = planes(&x, range.clone());
        let slice = x.clone().narrow(2, range.start, range.len());
        assert_eq!(values(part), values(slice), "{range:?}");
    }
}
