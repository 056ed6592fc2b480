//! A corpus of volumes: what is there ([`scan`]).
//!
//! Everything is kept in a [`Catalogue`], one SQLite file. Memory does not grow with the number of
//! volumes: files are walked, measured and written as they come.

mod archive;
mod catalogue;
mod exclude;
mod layout;
mod measure;
mod naming;
mod read;
mod record;
pub mod scan;
mod sequence;
mod sidecar;
mod walk;

pub use self::catalogue::{Catalogue, Entry, SCHEMA_VERSION, Selected};
pub use self::exclude::Reason;
pub use self::layout::{Layout, LayoutError};
pub use self::measure::{Foreground, Measured};
pub use self::record::{Record, Where};
pub use self::sequence::Sequence;
