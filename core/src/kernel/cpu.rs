//! The kernels on slices, for processors: vectors by run-time detection, tasks over all cores.
//!
//! Layouts are those of the public functions, in memory order. Every sum is added in an order
//! that depends on the shapes alone, so results do not change with the number of threads.

mod argmax;
mod attention;
mod conv;
mod copy;
mod curve;
mod dense;
mod depthwise;
mod epilogue;
mod fma;
mod frame;
mod join;
mod lattice;
mod layer_norm;
mod matmul;
pub(in crate::kernel) mod memory;
mod moments;
mod norm;
mod parallel;
mod pointwise;
mod pool;
mod product;
mod reduce;
mod residual;
mod resize;
mod softmax;
mod source;
mod stream;
mod tile;
mod weight;
mod winograd;

pub(crate) use self::argmax::argmax;
pub(crate) use self::attention::Attention;
pub(crate) use self::conv::plane_time;
pub(crate) use self::epilogue::Epilogue;
pub(crate) use self::join::{Join, planes};
pub(crate) use self::layer_norm::LayerNorm;
pub(crate) use self::norm::{KEPT, Norm};
pub(crate) use self::pointwise::{activate, activate_gradient};
pub(crate) use self::pool::Pool;
pub(crate) use self::reduce::per_channel as sum_per_channel;
pub(crate) use self::residual::{Summand, residual_sum};
pub(crate) use self::resize::Resize;
pub(crate) use self::source::{MAP, Part, Slab, Source};
#[cfg(test)]
pub(crate) use self::tile::with_each_arch;
