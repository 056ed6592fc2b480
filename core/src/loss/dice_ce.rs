//! Soft Dice and cross-entropy (MONAI's `DiceCELoss`, the AMAES reference's `DiceCE`).

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor, s};
use serde::{Deserialize, Serialize};

/// How the two parts are taken and weighed. The default is the reference's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DiceCeConfig {
    /// Weight of the Dice part.
    pub dice: f64,
    /// Weight of the cross-entropy.
    pub cross_entropy: f64,
    /// Whether the background, class 0, counts in the Dice part.
    pub background: bool,
    /// One Dice coefficient a class for the whole batch, not for each sample.
    pub batch: bool,
    /// Added to the numerator and to the denominator of a Dice coefficient.
    pub smooth: f64,
}

impl Default for DiceCeConfig {
    fn default() -> Self {
        Self {
            dice: 1.0,
            cross_entropy: 1.0,
            background: true,
            batch: false,
            smooth: 1.0,
        }
    }
}

/// The loss of a batch. Each is a scalar, `[1]`.
#[derive(Clone, Debug)]
pub struct DiceCe {
    /// What is minimised: the weighted sum of the other two.
    pub loss: Tensor<1>,
    /// 1 less the mean Dice coefficient.
    pub dice: Tensor<1>,
    /// Mean cross-entropy of a voxel.
    pub cross_entropy: Tensor<1>,
}

/// Compares logits with the classes that they should be.
///
/// With `p` the softmax over the classes and `y` 1 where a voxel is of class `c`, the Dice part is
/// 1 less the mean of `(2 sum(p y) + smooth) / (sum(p) + sum(y) + smooth)` over classes and
/// samples, and the cross-entropy the mean of `-ln p` of the right class. A voxel whose label is
/// no class (-1, say) counts in neither.
///
/// # Memory
///
/// The gradient is computed here, in closed form, and not from a graph. Beside the logits, four
/// tensors of their size are held at most while the loss is taken, and one until the backward
/// pass: for two patches of 128^3 and four classes 256 and 64 MiB.
///
/// # Shapes
///
/// - logits: `[batch, classes, x, y, z]`
/// - labels: `[batch, 1, x, y, z]`
pub fn dice_cross_entropy(
    logits: Tensor<5>,
    labels: Tensor<5, Int>,
    config: &DiceCeConfig,
) -> DiceCe {
    let [batch, classes, ..] = logits.dims();
    let labels = labels.inner();
    let log_p = log_softmax(logits.clone().inner(), 1);
    let below = labels.clone().lower_elem(classes as i64).float();
    let labelled = labels.clone().greater_equal_elem(0).float() * below;
    let is = |class: usize| labels.clone().equal_elem(class as i64).float();

    let mut cross = Tensor::zeros([batch, 1], &labels.device());
    for class in 0..classes {
        let log_p = log_p.clone().slice(s![.., class..class + 1]);
        cross = cross - total(log_p * is(class));
    }
    let count = labelled.clone().sum().clamp_min(1.0);
    let cross_entropy = cross.sum() / count.clone();

    let p = log_p.exp();
    let of = |class: usize| p.clone().slice(s![.., class..class + 1]);
    let mut sums = [const { Vec::new() }; 2];
    for class in 0..classes {
        let (p, y) = (of(class) * labelled.clone(), is(class));
        sums[0].push(total(p.clone() * y.clone()));
        sums[1].push(total(p) + total(y));
    }
    let [both, either] = sums.map(|sums| Tensor::cat(sums, 1));
    let dice = Coefficients::new(both, either, config);

    let value = dice.part.clone() * config.dice + cross_entropy.clone() * config.cross_entropy;
    let loss = match logits.is_tracked() {
        false => value,
        true => {
            let rate = (count.recip() * config.cross_entropy).reshape([1, 1, 1, 1, 1]);
            let gradient = gradient(&of, &is, &labelled, &dice, &rate, classes);
            // Its value is the loss, its derivative the gradient.
            let linear = (logits * gradient).sum();
            linear.clone() - linear.detach() + value
        }
    };
    DiceCe {
        loss,
        dice: dice.part,
        cross_entropy,
    }
}

/// The Dice part, and how it changes with its sums.
struct Coefficients {
    part: Tensor<1>,
    /// Derivative by `sum(p y)`, `[batch, classes]`, or `[1, classes]`.
    by_both: Tensor<2>,
    /// Derivative by `sum(p)`, of the same shape.
    by_p: Tensor<2>,
}

impl Coefficients {
    /// Of `sum(p y)` and `sum(p) + sum(y)`, `[batch, classes]` each.
    fn new(mut both: Tensor<2>, mut either: Tensor<2>, config: &DiceCeConfig) -> Self {
        if config.batch {
            (both, either) = (both.sum_dim(0), either.sum_dim(0));
        }
        let [samples, classes] = both.dims();
        let first = usize::from(!config.background && classes > 1);
        let count = (samples * (classes - first)) as f64;
        let numerator = both * 2.0 + config.smooth;
        let denominator = either + config.smooth;
        let ratio = numerator / denominator.clone();
        let mean = ratio.clone().slice(s![.., first..]).sum() / count;

        let rate = config.dice / count;
        let mut by_both = denominator.clone().recip() * (-2.0 * rate);
        let mut by_p = ratio / denominator * rate;
        if first == 1 {
            let zeros = Tensor::zeros([samples, 1], &by_p.device());
            let without = |x: Tensor<2>| Tensor::cat(vec![zeros.clone(), x.slice(s![.., 1..])], 1);
            (by_both, by_p) = (without(by_both), without(by_p));
        }
        Self {
            part: mean.neg() + 1.0,
            by_both,
            by_p,
        }
    }

    /// Derivatives by `sum(p y)` and `sum(p)` of one class, to multiply with images.
    fn of(&self, class: usize) -> [Tensor<5>; 2] {
        [&self.by_both, &self.by_p].map(|by| {
            let by = by.clone().slice(s![.., class..class + 1]);
            let samples = by.dims()[0];
            by.reshape([samples, 1, 1, 1, 1])
        })
    }
}

/// The derivative of the loss by the logits. `of` gives `p` of a class, `is` its `y`, `rate` is
/// the weight of a voxel's cross-entropy.
fn gradient(
    of: &dyn Fn(usize) -> Tensor<5>,
    is: &dyn Fn(usize) -> Tensor<5>,
    labelled: &Tensor<5>,
    dice: &Coefficients,
    rate: &Tensor<5>,
    classes: usize,
) -> Tensor<5> {
    // By p of a class: `d_c`; by its logit: `p_c (d_c - sum_k p_k d_k)`.
    let by_p = |class: usize| {
        let [by_both, by_p] = dice.of(class);
        is(class) * by_both + by_p
    };
    let mut mean = labelled.zeros_like();
    for class in 0..classes {
        mean = mean + of(class) * by_p(class);
    }
    let classes = (0..classes).map(|class| {
        let p = of(class);
        let dice = p.clone() * (by_p(class) - mean.clone());
        let cross_entropy = (p - is(class)) * rate.clone();
        (dice + cross_entropy) * labelled.clone()
    });
    Tensor::cat(classes.collect(), 1)
}

/// Sums of each sample of `[batch, 1, x, y, z]`: `[batch, 1]`. Axis by axis, so that few numbers
/// are added to a large one.
fn total(x: Tensor<5>) -> Tensor<2> {
    let batch = x.dims()[0];
    x.sum_dim(4).sum_dim(3).sum_dim(2).reshape([batch, 1])
}
