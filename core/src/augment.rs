//! Random changes of a training sample, and what a network has to undo of them.
//!
//! A [`Pipeline`], made of an [`AugmentConfig`], takes a source a little larger than the patch and
//! gives the network's input and target. Each transform says whether the target keeps it
//! ([`Effect::Kept`]: a rotated image is still an image) or the network must reverse it
//! ([`Effect::Reversed`]: noise). Transforms, order and probabilities are those of the AMAES
//! reference: elastic deformation, rotation and scaling in one coordinate map, then additive
//! noise, blur, multiplicative noise, motion ghosting, Gibbs ringing, low resolution, bias field
//! and gamma.
//!
//! Images are slices with the first axis fastest: voxel `(i, j, k)` of `shape` is at
//! `i + shape[0] * (j + shape[1] * k)`; channels lie one after the other. One seed gives one
//! result. Every transform has a stream of random numbers of its own, so leaving one out leaves
//! the others' draws as they are. Nothing here has state or threads.
//!
//! Each transform is also there by itself, with explicit parameters.

mod additive_noise;
mod bias_field;
mod blur;
mod config;
mod draws;
mod error;
mod gamma;
mod gibbs_ringing;
mod lines;
mod low_resolution;
mod math;
mod mirror;
mod motion_ghosting;
mod multiplicative_noise;
mod pipeline;
mod random;
mod range;
mod spatial;
mod spectrum;
mod spline;
#[cfg(test)]
mod tests;

pub use self::additive_noise::{AdditiveNoise, additive_noise};
pub use self::bias_field::BiasField;
pub use self::blur::{Blur, blur};
pub use self::config::{
    AugmentConfig, BiasFields, Blurring, Effect, Elastic, GammaCurve, Ghosting, LowRes, Mirroring,
    Noise, Preset, Ringing, Rotation, Scale, Transform,
};
pub use self::draws::{Change, ChannelChange, Draws, ElasticDraw};
pub use self::error::AugmentError;
pub use self::gamma::Gamma;
pub use self::gibbs_ringing::GibbsRinging;
pub use self::low_resolution::{LowResolution, low_resolution};
pub use self::mirror::Mirror;
pub use self::motion_ghosting::MotionGhosting;
pub use self::multiplicative_noise::{MultiplicativeNoise, multiplicative_noise};
pub use self::pipeline::{Augmented, AugmentedLabelled, Pipeline};
pub use self::random::Random;
pub use self::spatial::{CoordinateMap, Displacement};
