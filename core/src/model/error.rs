//! Why a description of a network is refused.

use thiserror::Error;

/// A network that cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SpecError {
    /// A size is zero or beyond what any such network has.
    #[error("`{field}` is {value}; it must be between 1 and {max}")]
    OutOfRange {
        /// The field of the description.
        field: &'static str,
        /// Its value.
        value: usize,
        /// The largest accepted value.
        max: usize,
    },
    /// Stages without blocks, or the other way round.
    #[error(
        "`features` has {features} stages and `blocks` {blocks}; both must have as many, from 2 to \
         {max}"
    )]
    Stages {
        /// Entries of `features`.
        features: usize,
        /// Entries of `blocks`.
        blocks: usize,
        /// The most stages.
        max: usize,
    },
    /// A network that does not end at the resolution it begins with.
    #[error("`layers`: the edges are not doubled as often as they are halved before")]
    Resolution,
    /// The depthwise kernel is neither 3 nor 5.
    #[error("`kernel` is {0}; it must be 3 or 5")]
    Kernel(usize),
    /// Attention heads that do not divide the channels.
    #[error("`heads` is {heads}, which does not divide {channels} channels")]
    Heads {
        /// Heads of a stage.
        heads: usize,
        /// Channels of that stage.
        channels: usize,
    },
}
