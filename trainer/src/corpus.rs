//! A corpus of volumes: what is there ([`scan`]), what it is made of ([`stats`]), which part of it
//! is used ([`assemble`]) and the store that training reads ([`prepare`]).
//!
//! Everything is kept in a [`Catalogue`], one SQLite file. Memory does not grow with the number of
//! volumes: files are walked, measured and written as they come.

mod archive;
pub mod assemble;
mod catalogue;
mod exclude;
mod input;
mod layout;
mod location;
pub mod manifest;
mod measure;
mod naming;
mod plot;
pub mod prepare;
mod read;
mod record;
pub mod report;
pub mod scan;
mod sequence;
mod sidecar;
mod split;
pub mod stats;
mod walk;

pub use self::catalogue::{Catalogue, Entry, SCHEMA_VERSION, Selected};
pub use self::exclude::Reason;
pub use self::layout::{Layout, LayoutError};
pub use self::measure::{Foreground, Measured};
pub use self::record::{Record, Where};
pub use self::sequence::Sequence;
pub(crate) use self::split::test_part;
