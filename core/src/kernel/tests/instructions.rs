//! The kernels with every set of instructions that the processor has, not only the best.

use burn::Tensor;
use burn::tensor::Device;

use super::super::cpu::with_each_arch;
use super::super::{
    Conv3dOptions, activate, conv_transpose3d, conv3d, depthwise_conv3d, instance_norm, max_pool2,
    portable,
};
use super::{ACTIVATIONS, Random, Subject, compare};

#[test]
fn every_set_of_instructions_gives_the_same() {
    let (device, subject) = (Device::flex(), Subject::flex());
    with_each_arch(|arch| {
        let mut random = Random(0xabcd_1234);
        for (index, size) in [[3, 4, 5], [5, 9, 17], [9, 3, 70]].into_iter().enumerate() {
            let case = |what: &str| format!("{arch:?}, {what}, {size:?}");
            let [d, h, w] = size;
            let x: Tensor<5> = random.tensor([2, 5, d, h, w], &device);
            let bias: Tensor<1> = random.tensor([5], &device);
            for kernel in [1, 3, 5] {
                for stride in [1, 2] {
                    let name = case(&format!("kernel {kernel} stride {stride}"));
                    let weight = random.tensor([9, 5, kernel, kernel, kernel], &device);
                    let options = Conv3dOptions::new(stride, kernel / 2, 1);
                    compare(
                        &subject,
                        &name,
                        &mut random,
                        (x.clone(), Some(weight), None),
                        |(x, w, b)| conv3d(x, w.expect("weight"), b, &options),
                        |(x, w, b)| portable::conv3d(x, w.expect("weight"), b, &options),
                    );
                    let weight = random.tensor([5, 1, kernel, kernel, kernel], &device);
                    let padding = kernel / 2;
                    compare(
                        &subject,
                        &format!("depthwise {name}"),
                        &mut random,
                        (x.clone(), Some(weight), Some(bias.clone())),
                        |(x, w, b)| depthwise_conv3d(x, w.expect("weight"), b, stride, padding),
                        |(x, w, b)| {
                            portable::depthwise_conv3d(x, &w.expect("weight"), b, stride, padding)
                        },
                    );
                }
            }
            let weight = random.tensor([5, 3, 2, 2, 2], &device);
            compare(
                &subject,
                &case("transposed"),
                &mut random,
                (x.clone(), Some(weight), None),
                |(x, w, b)| conv_transpose3d(x, w.expect("weight"), b),
                |(x, w, b)| portable::conv_transpose3d(x, w.expect("weight"), b, 2),
            );
            for activation in ACTIVATIONS.into_iter().skip(index).step_by(2) {
                let apart = x.clone() + 0.0003;
                compare(
                    &subject,
                    &case(&format!("{activation:?}")),
                    &mut random,
                    (apart.clone(), None, None),
                    |(x, _, _)| activate(x, activation),
                    |(x, _, _)| portable::activate(x, activation),
                );
                compare(
                    &subject,
                    &case(&format!("norm, {activation:?}")),
                    &mut random,
                    (apart, None, Some(bias.clone())),
                    |(x, _, b)| instance_norm(x, None, b, 1e-5, Some(activation)),
                    |(x, _, b)| portable::instance_norm(x, None, b, 1e-5, Some(activation)),
                );
            }
            compare(
                &subject,
                &case("pool"),
                &mut random,
                (x, None, None),
                |(x, _, _)| max_pool2(x),
                |(x, _, _)| portable::max_pool2(x),
            );
        }
    });
}
