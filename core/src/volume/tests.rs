//! Tests on files built by hand and on random volumes.

mod bad_input;
mod build;
mod mgh;
mod orientation;
mod pieces;
mod reading;
mod writing;
