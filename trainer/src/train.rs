//! Training: what pretraining and finetuning have in common.

pub mod adamw;
pub mod average;
pub mod backbone;
pub mod checkpoint;
pub mod config;
pub mod corpus;
mod error;
pub mod exchange;
pub mod export;
pub mod finetune;
pub mod gradients;
pub mod log;
pub mod loss_scale;
pub mod memory;
#[cfg(feature = "mpi")]
pub mod mpi;
pub mod network;
pub mod picture;
pub mod pretext;
pub mod pretrain;
pub mod run;
pub mod sample;
pub mod schedule;
pub mod sections;
pub mod step;
pub mod task;
pub mod views;

pub use self::error::{Result, TrainError};
