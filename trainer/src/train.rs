//! Training: what pretraining and finetuning have in common.

pub mod log;
