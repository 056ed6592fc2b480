//! The store of prepared volumes: Zarr v3 with sharding and OME-Zarr 0.5 metadata, one array a
//! volume, and one index of them all.
//!
//! [`Writer`] makes a store, [`Store`] reads one from a folder, over HTTP or from an S3-compatible
//! object store. `docs/store.md` describes the format. Voxels are in the order of
//! [`Volume`](amaes_core::volume::Volume): the first axis (x) runs fastest, which Zarr calls an
//! array of shape `[z, y, x]`.

mod encode;
mod entry;
mod error;
mod kept;
mod layout;
mod lock;
mod lru;
mod metadata;
mod reader;
mod shard;
mod source;
mod writer;

pub use self::entry::{Entry, Foreground, Quantisation};
pub use self::error::{Part, Result, StoreError};
pub use self::layout::{Codec, Dtype, FORMAT, Layout, StoreOptions};
pub use self::lock::Access;
pub use self::metadata::RootAttributes;
pub use self::reader::{Store, check_shard, parse_index};
pub use self::source::{CacheOptions, OpenOptions, is_address};
pub(crate) use self::source::{Listing, RemoteFiles};
pub use self::writer::{VolumeMeta, Writer};
