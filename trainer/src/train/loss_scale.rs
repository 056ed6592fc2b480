//! Scaling of the loss where gradients pass through half precision, as `torch.amp.GradScaler` does
//! it: small gradients are not lost, and a step whose gradients are too large is skipped.

use serde::{Deserialize, Serialize};

/// Steps without a skipped one after which the scale is doubled.
const INTERVAL: u64 = 2000;

/// What the loss is multiplied by, and the gradients of the weights are divided by.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossScale {
    /// The factor, a power of two: nothing is lost in the division.
    pub factor: f64,
    /// Steps since it changed.
    pub steps: u64,
    /// Steps of the run that were skipped.
    pub skipped: u64,
}

impl Default for LossScale {
    fn default() -> Self {
        Self {
            factor: 65_536.0,
            steps: 0,
            skipped: 0,
        }
    }
}

impl LossScale {
    /// Whether no step was taken with it.
    pub fn is_new(&self) -> bool {
        *self == Self::default()
    }

    /// After a step: doubles the factor once in a while.
    pub fn keep(&mut self) {
        self.steps += 1;
        let doubled = 2.0 * self.factor;
        if self.steps == INTERVAL {
            self.steps = 0;
            if (doubled as f32).is_finite() {
                self.factor = doubled;
            }
        }
    }

    /// In place of a step whose gradients are no numbers: halves the factor. `false` where it
    /// cannot be less, since the gradients themselves are beyond half precision.
    pub fn skip(&mut self) -> bool {
        if self.factor <= 1.0 {
            return false;
        }
        self.factor /= 2.0;
        self.steps = 0;
        self.skipped += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_falls_at_once_and_grows_slowly() {
        let mut scale = LossScale::default();
        assert!(scale.is_new());
        assert!(scale.skip() && scale.skip());
        assert_eq!((scale.factor, scale.skipped), (16_384.0, 2));
        for _ in 0..1999 {
            scale.keep();
        }
        assert_eq!((scale.factor, scale.steps), (16_384.0, 1999));
        // A skipped step starts the count again.
        assert!(scale.skip());
        for _ in 0..1999 {
            scale.keep();
        }
        assert_eq!(scale.factor, 8192.0);
        scale.keep();
        assert_eq!((scale.factor, scale.steps, scale.skipped), (16_384.0, 0, 3));
    }

    #[test]
    fn the_factor_has_ends() {
        let mut scale = LossScale::default();
        let skips = std::iter::repeat_with(|| scale.skip()).take_while(|s| *s);
        assert_eq!(skips.count(), 16);
        assert_eq!((scale.factor, scale.skipped), (1.0, 16));
        let mut scale = LossScale {
            factor: 2.0_f64.powi(127),
            steps: INTERVAL - 1,
            skipped: 0,
        };
        scale.keep();
        assert_eq!((scale.factor, scale.steps), (2.0_f64.powi(127), 0));
    }

    #[test]
    fn it_is_the_same_after_reading() {
        let mut scale = LossScale::default();
        scale.skip();
        scale.keep();
        let text = serde_json::to_string(&scale).expect("JSON");
        let read: LossScale = serde_json::from_str(&text).expect("a scale");
        assert_eq!(read, scale);
    }
}
