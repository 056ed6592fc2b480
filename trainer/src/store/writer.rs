//! Making a store, volume by volume, so that it can be killed at any moment.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use amaes_core::preprocess::Trace;
use amaes_core::volume::{Grid, Volume};
use half::f16;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zarrs::array::codec::{
    Crc32cCodec, GzipCodec, ShardingCodecOptions, SubchunkWriteOrder, ZstdCodec,
    api::BytesToBytesCodecTraits,
};
use zarrs::array::{
    Array, ArrayBuilder, ArrayBytes, ArrayMetadataOptions, CodecOptions, CodecSpecificOptions,
    DataType, FillValue, data_type,
};
use zarrs::storage::store::MemoryStore;
use zarrs::storage::{ReadableStorageTraits, WritableStorageTraits};

use crate::atomic::sync_folder;

use super::encode::{Encoding, Statistics, shard_bytes};
use super::entry::{Entry, Foreground};
use super::error::{At, Result, StoreError};
use super::layout::{
    ARRAY, Codec, Dtype, INDEX, Layout, MAX_EDGE, METADATA, StoreOptions, TEMPORARY, VOLUMES,
    check_id,
};
use super::lock::{Access, Lock};
use super::metadata::{RootAttributes, entry_of, group, volume_attributes};

/// What is known of a volume beside its voxels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VolumeMeta {
    /// Data set that the volume is of; sampling weights go by it.
    pub source: String,
    /// Such as `T1w`.
    pub sequence: Option<String>,
    /// Person.
    pub subject: Option<String>,
    /// Visit.
    pub session: Option<String>,
    /// Where it was acquired.
    pub site: Option<String>,
    /// How often it is drawn beside the others of its source; `None` is 1.
    pub weight: Option<f64>,
    /// Grid of the volume as it was acquired.
    pub original: Option<Grid>,
    /// What the plan did to it.
    pub trace: Option<Trace>,
    /// SHA-256 of the source file, in hexadecimal.
    pub sha256: Option<String>,
}

/// Writes a store. Threads may share one and write different volumes at once.
///
/// A volume is there whole or not at all: it is written under a name that readers do not know,
/// synced and renamed. Readers see it once [`Writer::seal`] has written the index. The same
/// volumes give the same bytes, in whatever order and however often the writer was killed.
#[derive(Debug)]
pub struct Writer {
    root: PathBuf,
    options: StoreOptions,
    rank: u32,
    lock: Lock,
}

impl Writer {
    /// Begins a store in a folder that is empty or not there.
    ///
    /// Ranks of one job join a store that another has begun with the same options.
    ///
    /// # Errors
    ///
    /// [`StoreError::Option`], [`StoreError::Exists`], [`StoreError::Locked`],
    /// [`StoreError::Mismatch`] and [`StoreError::Io`].
    pub fn create(path: &Path, options: StoreOptions, access: Access) -> Result<Self> {
        if access == Access::Alone && path.join(METADATA).exists() {
            return Err(StoreError::Exists {
                path: path.into(),
                what: "a store",
            });
        }
        Self::open_for_resume(path, options, access)
    }

    /// Goes on with a store, or begins one where there is none. What a killed writer left half
    /// done is removed.
    ///
    /// # Errors
    ///
    /// As [`Writer::create`], but a store with the same options may be there.
    pub fn open_for_resume(path: &Path, options: StoreOptions, access: Access) -> Result<Self> {
        options.validate()?;
        fs::create_dir_all(path).at(path)?;
        let metadata = path.join(METADATA);
        if !metadata.exists() {
            refuse_strangers(path)?;
        }
        let lock = Lock::take(path, access)?;
        let rank = match access {
            Access::Alone => 0,
            Access::Rank(rank) => rank,
        };
        let writer = Self {
            root: path.into(),
            options,
            rank,
            lock,
        };
        if metadata.exists() {
            writer.check_options(&metadata)?;
        } else {
            writer.begin(&metadata)?;
        }
        writer.remove_leftovers(access)?;
        Ok(writer)
    }

    /// Whether the store holds a volume of this name, whole.
    pub fn contains(&self, id: &str) -> bool {
        check_id(id).is_ok() && self.folder(id).join(METADATA).is_file()
    }

    /// What a volume of the store is like, or `None` where there is none of that name.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] and [`StoreError::Metadata`].
    pub fn entry(&self, id: &str) -> Result<Option<Entry>> {
        if !self.contains(id) {
            return Ok(None);
        }
        let path = self.folder(id).join(METADATA);
        let bytes = fs::read(&path).at(&path)?;
        entry_of(&bytes, &path.display().to_string()).map(Some)
    }

    /// Writes a prepared volume. On any error nothing of it stays.
    ///
    /// # Errors
    ///
    /// [`StoreError::Id`] and [`StoreError::Volume`] for what cannot be stored,
    /// [`StoreError::Exists`], and [`StoreError::Io`] with the file, as when the disk is full.
    pub fn write(&self, id: &str, volume: &Volume<f32>, meta: &VolumeMeta) -> Result<Entry> {
        check_id(id)?;
        let target = self.folder(id);
        if target.exists() {
            return Err(StoreError::Exists {
                path: target,
                what: "a volume",
            });
        }
        let layout = self.layout(id, volume)?;
        let statistics = Statistics::of(id, volume)?;
        let encoding = Encoding::new(id, self.options.dtype, self.options.bits, &statistics)?;
        let mut entry = Entry {
            id: id.into(),
            shape: layout.shape,
            spacing: volume.grid().spacing(),
            source: meta.source.clone(),
            sequence: meta.sequence.clone(),
            subject: meta.subject.clone(),
            session: meta.session.clone(),
            site: meta.site.clone(),
            weight: meta.weight,
            min: statistics.min,
            max: statistics.max,
            mean: statistics.mean,
            sd: statistics.sd,
            foreground: statistics.foreground,
            blocks: Foreground::of(volume.data(), layout.shape, statistics.min),
            chunk: layout.chunk,
            shard: layout.shard,
            shard_bytes: vec![0; layout.shards().iter().product()],
            quantisation: encoding.quantisation(),
        };
        entry.validate(&target.display().to_string())?;
        let details = json!({
            "affine": volume.grid().affine,
            "original": meta.original,
            "trace": meta.trace,
            "sha256": meta.sha256,
        });

        let temporary = self.root.join(format!("{TEMPORARY}{}-{id}", self.rank));
        let written = self
            .write_files(&temporary, volume, &mut entry, &details, &encoding)
            .and_then(|()| fs::rename(&temporary, &target).at(&target));
        if written.is_err() {
            // The first error is the one to tell.
            let _ = fs::remove_dir_all(&temporary);
        }
        written?;
        sync_folder(&self.root.join(VOLUMES));
        Ok(entry)
    }

    /// Writes the index of all volumes of the store, in the order of their names, and returns
    /// their number. Until then readers see what they saw before.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`] while other ranks are at work, [`StoreError::Io`] and
    /// [`StoreError::Metadata`].
    pub fn seal(self) -> Result<usize> {
        self.lock.be_alone()?;
        let folder = self.root.join(VOLUMES);
        let mut names = Vec::new();
        for item in fs::read_dir(&folder).at(&folder)? {
            let item = item.at(&folder)?;
            if let Some(name) = item.file_name().to_str()
                && item.path().is_dir()
            {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        let path = self.root.join(INDEX);
        let temporary = self.root.join(format!("{TEMPORARY}{INDEX}"));
        let result = (|| {
            let mut index = std::io::BufWriter::new(File::create(&temporary).at(&temporary)?);
            for name in &names {
                let Some(entry) = self.entry(name)? else {
                    continue;
                };
                let line = serde_json::to_string(&entry)
                    .map_err(|e| StoreError::metadata(name.as_str(), "entry", e.to_string()))?;
                writeln!(index, "{line}").at(&temporary)?;
            }
            let file = index
                .into_inner()
                .map_err(std::io::IntoInnerError::into_error)
                .at(&temporary)?;
            file.sync_all().at(&temporary)?;
            fs::rename(&temporary, &path).at(&path)
        })();
        if result.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        result?;
        sync_folder(&self.root);
        Ok(names.len())
    }

    fn folder(&self, id: &str) -> PathBuf {
        self.root.join(VOLUMES).join(id)
    }

    fn layout(&self, id: &str, volume: &Volume<f32>) -> Result<Layout> {
        let shape = volume.grid().shape;
        let refuse = |problem| {
            Err(StoreError::Volume {
                id: id.into(),
                problem,
            })
        };
        if shape.iter().any(|&n| n == 0 || n > MAX_EDGE) {
            return refuse(format!("shape {shape:?} is not within 1 to {MAX_EDGE}"));
        }
        let layout = self.options.layout(shape);
        match layout.validate() {
            Ok(()) => Ok(layout),
            Err((field, problem)) => refuse(format!("{field} {problem}")),
        }
    }

    /// The root group and the group of volumes.
    fn begin(&self, metadata: &Path) -> Result<()> {
        let volumes = self.root.join(VOLUMES);
        fs::create_dir_all(&volumes).at(&volumes)?;
        replace(&volumes.join(METADATA), &group(&json!({})), self.rank)?;
        let attributes = json!({"amaes": RootAttributes::of(&self.options)});
        replace(metadata, &group(&attributes), self.rank)?;
        sync_folder(&self.root);
        Ok(())
    }

    fn check_options(&self, metadata: &Path) -> Result<()> {
        let bytes = fs::read(metadata).at(metadata)?;
        let found = RootAttributes::parse(&bytes, &metadata.display().to_string())?;
        let asked = RootAttributes::of(&self.options);
        let plan = |plan| serde_json::to_string(plan).unwrap_or_default();
        for (field, found, asked) in [
            ("plan", plan(&found.plan), plan(&asked.plan)),
            ("dtype", found.dtype.to_string(), asked.dtype.to_string()),
            ("bits", found.bits.to_string(), asked.bits.to_string()),
            ("codec", found.codec.to_string(), asked.codec.to_string()),
            ("chunk", found.chunk.to_string(), asked.chunk.to_string()),
            ("shard", found.shard.to_string(), asked.shard.to_string()),
        ] {
            if found != asked {
                return Err(StoreError::Mismatch {
                    path: metadata.into(),
                    field,
                    found,
                    asked,
                });
            }
        }
        Ok(())
    }

    /// Removes what a killed writer was writing: a rank its own, a writer that is alone all.
    fn remove_leftovers(&self, access: Access) -> Result<()> {
        let prefix = match access {
            Access::Alone => TEMPORARY.to_owned(),
            Access::Rank(rank) => format!("{TEMPORARY}{rank}-"),
        };
        for item in fs::read_dir(&self.root).at(&self.root)? {
            let path = item.at(&self.root)?.path();
            let name = path.file_name().and_then(|n| n.to_str());
            if !name.is_some_and(|n| n.starts_with(&prefix)) {
                continue;
            }
            if path.is_dir() {
                fs::remove_dir_all(&path).at(&path)?;
            } else {
                fs::remove_file(&path).at(&path)?;
            }
        }
        Ok(())
    }

    fn write_files(
        &self,
        folder: &Path,
        volume: &Volume<f32>,
        entry: &mut Entry,
        details: &Value,
        encoding: &Encoding,
    ) -> Result<()> {
        if folder.exists() {
            fs::remove_dir_all(folder).at(folder)?;
        }
        let array_folder = folder.join(ARRAY);
        fs::create_dir_all(&array_folder).at(&array_folder)?;
        let layout = entry.layout();
        let memory = Arc::new(MemoryStore::new());
        let fill = encoding.encode(entry.min);
        let array = self
            .array(&memory, entry, fill)
            .map_err(|message| encode_error(&entry.id, &message))?;
        let mut bytes = array.metadata_opt(&metadata_options()).to_string_pretty();
        bytes.push('\n');
        create(&array_folder.join(METADATA), bytes.as_bytes())?;

        let [nx, ny, nz] = layout.shards();
        for z in 0..nz {
            for y in 0..ny {
                for x in 0..nx {
                    let shard = [x, y, z];
                    let raw = shard_bytes(volume, &layout, shard, encoding, fill);
                    let encoded = encode_shard(&array, &memory, shard, raw)
                        .map_err(|message| encode_error(&entry.id, &message))?;
                    if let Some(encoded) = encoded {
                        create(&array_folder.join(Layout::key(shard)), &encoded)?;
                        entry.shard_bytes[x + nx * (y + ny * z)] = encoded.len() as u64;
                    }
                }
            }
        }
        let attributes = volume_attributes(entry, details);
        create(&folder.join(METADATA), &group(&attributes))?;
        sync_folder(&array_folder);
        sync_folder(folder);
        Ok(())
    }

    /// The array of a volume, over memory.
    fn array(
        &self,
        memory: &Arc<MemoryStore>,
        entry: &Entry,
        fill: u16,
    ) -> std::result::Result<Array<MemoryStore>, String> {
        let c_order = |[x, y, z]: [usize; 3]| vec![z as u64, y as u64, x as u64];
        let (dtype, fill): (DataType, FillValue) = match self.options.dtype {
            Dtype::Float16 => (data_type::float16(), f16::from_bits(fill).into()),
            Dtype::Uint16 => (data_type::uint16(), fill.into()),
        };
        let codec: Arc<dyn BytesToBytesCodecTraits> = match self.options.codec {
            Codec::Zstd { level } => Arc::new(ZstdCodec::new(level, false)),
            Codec::Gzip { level } => Arc::new(GzipCodec::new(level).map_err(|e| e.to_string())?),
        };
        let mut attributes = serde_json::Map::new();
        if let Some(q) = entry.quantisation {
            attributes.insert("scale_factor".into(), f64::from(q.scale).into());
            attributes.insert("add_offset".into(), f64::from(q.offset).into());
        }
        let order =
            ShardingCodecOptions::default().with_subchunk_write_order(SubchunkWriteOrder::C);
        ArrayBuilder::new(c_order(entry.shape), c_order(entry.shard), dtype, fill)
            .subchunk_shape(c_order(entry.chunk))
            .bytes_to_bytes_codecs(vec![codec, Arc::new(Crc32cCodec::new())])
            .dimension_names(Some(["z", "y", "x"]))
            .attributes(attributes)
            .codec_specific_options(CodecSpecificOptions::default().with_option(order))
            .build(memory.clone(), &format!("/{ARRAY}"))
            .map_err(|e| e.to_string())
    }
}

/// Encodes one shard; `None` where all of it is the fill value.
fn encode_shard(
    array: &Array<MemoryStore>,
    memory: &MemoryStore,
    [x, y, z]: [usize; 3],
    raw: Vec<u8>,
) -> std::result::Result<Option<Vec<u8>>, String> {
    let indices = [z as u64, y as u64, x as u64];
    // One thread a volume: callers write several volumes at once.
    let options = CodecOptions::default().with_concurrent_target(1);
    array
        .store_chunk_opt(&indices, ArrayBytes::new_flen(raw), &options)
        .map_err(|e| e.to_string())?;
    let key = array.chunk_key(&indices);
    let bytes = memory.get(&key).map_err(|e| e.to_string())?;
    memory.erase(&key).map_err(|e| e.to_string())?;
    Ok(bytes.map(|b| b.to_vec()))
}

fn metadata_options() -> ArrayMetadataOptions {
    ArrayMetadataOptions::default().with_include_zarrs_metadata(false)
}

fn encode_error(id: &str, message: &str) -> StoreError {
    StoreError::Encode {
        id: id.into(),
        message: message.into(),
    }
}

/// Writes a new file and syncs it.
fn create(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).at(folder)?;
    }
    let mut file = File::create(path).at(path)?;
    file.write_all(bytes).at(path)?;
    file.sync_all().at(path)
}

/// Puts a file in the place of another, or of none.
fn replace(path: &Path, bytes: &[u8], rank: u32) -> Result<()> {
    let temporary = path.with_file_name(format!("{TEMPORARY}{rank}-{METADATA}"));
    create(&temporary, bytes)?;
    fs::rename(&temporary, path).at(path)
}

/// A new store is begun only where there is nothing but a writer's own files.
fn refuse_strangers(folder: &Path) -> Result<()> {
    for item in fs::read_dir(folder).at(folder)? {
        let name = item.at(folder)?.file_name();
        let name = name.to_string_lossy();
        if name != VOLUMES && !name.starts_with(TEMPORARY) && !name.starts_with(".amaes-lock") {
            return Err(StoreError::Exists {
                path: folder.into(),
                what: "a folder with other files",
            });
        }
    }
    Ok(())
}
