//! The networks: an encoder and a head each, described by a serialisable [`Spec`].

mod mednext;
mod meshnet;
mod spec;
mod unet;

pub use self::mednext::{MedNeXtConfig, MedNeXtDecoder};
pub use self::meshnet::{MeshNetConfig, MeshNetLayer};
pub use self::spec::Spec;
pub use self::unet::{UNetConfig, UNetHead};
