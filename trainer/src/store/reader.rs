//! Reading boxes of voxels from a store.

use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use half::f16;

use super::entry::{Entry, Quantisation};
use super::error::{Part, Result, StoreError};
use super::kept::Kept;
use super::layout::{ARRAY, Codec, Dtype, INDEX, Layout, METADATA, VOLUMES};
use super::lru::Lru;
use super::metadata::RootAttributes;
use super::shard::{Decoder, ShardIndex, values};
use super::source::{Cached, Files, OpenOptions, Remote, Source, is_address};

/// Bytes of the largest index of a store that is read, and of its root group.
const MAX_INDEX: u64 = 2 << 30;
const MAX_METADATA: u64 = 16 << 20;
/// Bytes of decoded shard indices that are kept: those of 45,000 volumes of 27 chunks.
const SHARD_INDICES: usize = 64 << 20;

/// Times that damaged bytes are fetched.
const DAMAGED_ATTEMPTS: u32 = 3;

/// A sealed store, open for reading. Threads share one.
///
/// Memory: the index (about 600 bytes a volume), at most 64 MiB of shard indices, the decoded
/// chunks of [`OpenOptions::memory`], and for each thread that reads at once the largest chunk,
/// decoded and encoded.
#[derive(Debug)]
pub struct Store {
    source: Box<dyn Source>,
    attributes: RootAttributes,
    entries: Vec<Entry>,
    /// Checksum of the index.
    version: u32,
    indices: Mutex<Lru<ShardOf, Arc<ShardIndex>>>,
    kept: Kept,
    /// Buffers that no thread uses now.
    scratch: Mutex<Vec<Scratch>>,
}

/// A volume's number and the place of one of its shards.
type ShardOf = (usize, [usize; 3]);

/// Buffers of one reading thread.
struct Scratch {
    encoded: Vec<u8>,
    decoder: Decoder,
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scratch").finish_non_exhaustive()
    }
}

/// A chunk that a box touches.
enum Piece {
    /// Its stored numbers, in memory.
    Kept(Arc<[u16]>),
    /// All of it has this value.
    Fill(f32),
    /// Where it is to be read.
    Stored(Range<u64>),
}

/// The voxels of a chunk.
#[derive(Clone, Copy)]
enum Voxels<'a> {
    /// As stored numbers.
    Codes(&'a [u16]),
    /// All have this value.
    Fill(f32),
}

impl Piece {
    fn here(&self) -> Option<Voxels<'_>> {
        match self {
            Self::Kept(codes) => Some(Voxels::Codes(codes)),
            Self::Fill(value) => Some(Voxels::Fill(*value)),
            Self::Stored(_) => None,
        }
    }
}

/// A chunk that a box touches and that is to be read.
struct Touched {
    /// Place in the volume's grid of chunks.
    chunk: [usize; 3],
    bytes: Range<u64>,
}

/// A box of a volume and where its voxels go.
struct Target<'a> {
    start: [i64; 3],
    size: [usize; 3],
    out: &'a mut [f32],
}

impl Store {
    /// Opens a store: a folder, `http://`, `https://` or `s3://bucket/prefix`.
    ///
    /// # Errors
    ///
    /// As [`Store::open_with`].
    pub fn open(location: &str) -> Result<Self> {
        Self::open_with(location, &OpenOptions::default())
    }

    /// Opens a store with options of patience and caching.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotSealed`] where there is no index, [`StoreError::Metadata`] for what is
    /// damaged or not understood, with file, line and field, and errors of files and requests.
    pub fn open_with(location: &str, options: &OpenOptions) -> Result<Self> {
        if !is_address(location) {
            let path = location.strip_prefix("file://").unwrap_or(location);
            let source = Files::new(Path::new(path).into());
            let (attributes, index) = read_index(&source)?;
            return Self::new(Box::new(source), attributes, &index, options);
        }
        let source = Remote::new(location, options)?;
        let (attributes, index) = read_index(&source)?;
        let source: Box<dyn Source> = match &options.cache {
            Some(cache) => Box::new(Cached::new(
                source,
                cache,
                &crc32c::crc32c(&index).to_le_bytes(),
            )?),
            None => Box::new(source),
        };
        Self::new(source, attributes, &index, options)
    }

    fn new(
        source: Box<dyn Source>,
        attributes: RootAttributes,
        index: &[u8],
        options: &OpenOptions,
    ) -> Result<Self> {
        let place = source.describe(INDEX);
        Ok(Self {
            entries: parse_index(index, &place, &attributes)?,
            source,
            attributes,
            version: crc32c::crc32c(index),
            indices: Mutex::new(Lru::new(SHARD_INDICES)),
            kept: Kept::new(options.memory),
            scratch: Mutex::new(Vec::new()),
        })
    }

    /// What the store was made with.
    pub fn attributes(&self) -> &RootAttributes {
        &self.attributes
    }

    /// The volumes, in the order of their names.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The place of a volume among the entries.
    pub fn position(&self, id: &str) -> Option<usize> {
        self.entries
            .binary_search_by(|e| e.id.as_str().cmp(id))
            .ok()
    }

    /// CRC-32C of the index: another store, or another state of it, has another.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The value of voxels outside a volume: its minimum as it is stored.
    pub fn outside(&self, index: usize) -> f32 {
        let entry = &self.entries[index];
        match entry.quantisation {
            Some(q) => q.offset,
            None => f16::from_f32(entry.min).to_f32(),
        }
    }

    /// Reads the box of `size` voxels from `start` of volume `index` to `out`, x fastest. Only the
    /// chunks that it touches are read. Voxels outside the volume become its minimum.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] names file, volume and chunk; errors of files and requests.
    ///
    /// # Panics
    ///
    /// When there is no such volume or `out` has not the size of the box.
    pub fn read(
        &self,
        index: usize,
        start: [i64; 3],
        size: [usize; 3],
        out: &mut [f32],
    ) -> Result<()> {
        assert_eq!(
            out.len(),
            size.iter().product::<usize>(),
            "a box of {size:?}"
        );
        let entry = &self.entries[index];
        let layout = entry.layout();
        // The part of the box within the volume.
        let mut inside: [Range<usize>; 3] = [0..0, 0..0, 0..0];
        let mut whole = true;
        for a in 0..3 {
            let end = start[a].saturating_add(size[a] as i64);
            let limit = layout.shape[a] as i64;
            inside[a] = start[a].clamp(0, limit) as usize..end.clamp(0, limit) as usize;
            whole &= inside[a].len() == size[a];
        }
        if !whole {
            out.fill(self.outside(index));
        }
        if inside.iter().any(Range::is_empty) {
            return Ok(());
        }
        let mut scratch = self.take_scratch();
        let mut target = Target { start, size, out };
        let shards = [0, 1, 2]
            .map(|a| inside[a].start / layout.shard[a]..(inside[a].end - 1) / layout.shard[a] + 1);
        let mut result = Ok(());
        'all: for z in shards[2].clone() {
            for y in shards[1].clone() {
                for x in shards[0].clone() {
                    result = self.read_shard(index, [x, y, z], &inside, &mut target, &mut scratch);
                    if result.is_err() {
                        break 'all;
                    }
                }
            }
        }
        self.scratch
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(scratch);
        result
    }

    /// Reads what a box touches of one shard. What came damaged over a network is fetched
    /// again.
    fn read_shard(
        &self,
        index: usize,
        shard: [usize; 3],
        inside: &[Range<usize>; 3],
        target: &mut Target<'_>,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let entry = &self.entries[index];
        let [nx, ny, _] = entry.layout().shards();
        let size = entry.shard_bytes[shard[0] + nx * (shard[1] + ny * shard[2])];
        let key = shard_key(&entry.id, shard);
        let mut attempt = 1;
        loop {
            let result = self.try_shard(index, shard, (&key, size), inside, target, scratch);
            let damaged = matches!(result, Err(StoreError::Damaged { .. }));
            if !damaged || attempt == DAMAGED_ATTEMPTS || !self.source.forget(&key, size) {
                return result;
            }
            attempt += 1;
        }
    }

    fn try_shard(
        &self,
        index: usize,
        shard: [usize; 3],
        (key, size): (&str, u64),
        inside: &[Range<usize>; 3],
        target: &mut Target<'_>,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let entry = &self.entries[index];
        let layout = entry.layout();
        let fill = self.outside(index);
        let per_shard = layout.chunks_of_shard();
        let shard_chunks = if size == 0 {
            None
        } else {
            Some(self.shard_index(index, shard, (key, size), scratch)?)
        };
        let first = [0, 1, 2].map(|a| shard[a] * per_shard[a]);
        let chunks = [0, 1, 2].map(|a| {
            let end = (inside[a].end - 1) / layout.chunk[a] + 1;
            (inside[a].start / layout.chunk[a]).max(first[a])..end.min(first[a] + per_shard[a])
        });
        let shape_chunks = [0, 1].map(|a| layout.shape[a].div_ceil(layout.chunk[a]));
        let number = |[x, y, z]: [usize; 3]| x + shape_chunks[0] * (y + shape_chunks[1] * z);
        let mut touched = Vec::new();
        for z in chunks[2].clone() {
            for y in chunks[1].clone() {
                let row: Vec<_> = chunks[0]
                    .clone()
                    .map(|x| {
                        let chunk = [x, y, z];
                        let [i, j, k] = [0, 1, 2].map(|a| chunk[a] - first[a]);
                        let place = i + per_shard[0] * (j + per_shard[1] * k);
                        let stored = || shard_chunks.as_ref().and_then(|s| s.chunk(place));
                        let piece = match self.kept.get(index, number(chunk)) {
                            Some(codes) => Piece::Kept(codes),
                            None => stored().map_or(Piece::Fill(fill), Piece::Stored),
                        };
                        (chunk, piece)
                    })
                    .collect();
                let here: Vec<_> = row
                    .iter()
                    .filter_map(|(c, p)| Some((*c, p.here()?)))
                    .collect();
                target.place(&layout, &here, inside, entry.quantisation);
                touched.extend(row.into_iter().filter_map(|(chunk, piece)| match piece {
                    Piece::Stored(bytes) => Some(Touched { chunk, bytes }),
                    _ => None,
                }));
            }
        }
        if touched.is_empty() {
            return Ok(());
        }
        touched.sort_by_key(|t| t.bytes.start);
        let ranges: Vec<_> = touched.iter().map(|t| t.bytes.clone()).collect();
        let codec = self.attributes.codec;
        let voxels = layout.chunk_voxels();
        let damaged = |chunk, problem| StoreError::Damaged {
            location: self.source.describe(key),
            volume: entry.id.clone(),
            part: Part::Chunk(chunk),
            problem,
        };
        let Scratch { encoded, decoder } = scratch;
        self.source
            .ranges(key, size, &ranges, encoded, &mut |i, bytes| {
                let chunk = touched[i].chunk;
                let codes = decoder
                    .decode(bytes, codec, voxels)
                    .map_err(|problem| damaged(chunk, problem))?;
                let voxels = Voxels::Codes(codes);
                target.place(&layout, &[(chunk, voxels)], inside, entry.quantisation);
                self.kept.put(index, number(chunk), codes);
                Ok(())
            })
            .map_err(|e| e.of_volume(&entry.id))
    }

    /// The index of a shard, from memory or the source.
    fn shard_index(
        &self,
        index: usize,
        shard: [usize; 3],
        (key, size): (&str, u64),
        scratch: &mut Scratch,
    ) -> Result<Arc<ShardIndex>> {
        let lock = || self.indices.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(&(index, shard)) {
            return Ok(known);
        }
        let entry = &self.entries[index];
        let layout = entry.layout();
        let damaged = |problem| StoreError::Damaged {
            location: self.source.describe(key),
            volume: entry.id.clone(),
            part: Part::Index,
            problem,
        };
        let range = ShardIndex::range(&layout, size).map_err(damaged)?;
        let mut parsed = None;
        self.source
            .ranges(
                key,
                size,
                &[range],
                &mut scratch.encoded,
                &mut |_, bytes| {
                    parsed = Some(ShardIndex::parse(bytes, &layout, size).map_err(damaged)?);
                    Ok(())
                },
            )
            .map_err(|e| e.of_volume(&entry.id))?;
        let parsed = Arc::new(parsed.ok_or_else(|| damaged("no bytes".into()))?);
        lock().put((index, shard), parsed.clone(), parsed.bytes());
        Ok(parsed)
    }

    fn take_scratch(&self) -> Scratch {
        let mut free = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        free.pop().unwrap_or_else(|| Scratch {
            encoded: Vec::new(),
            decoder: Decoder::new(),
        })
    }
}

impl Target<'_> {
    /// Puts the values of chunks that follow each other along x where they go, row by row, so that
    /// memory is written in its order.
    fn place(
        &mut self,
        layout: &Layout,
        chunks: &[([usize; 3], Voxels<'_>)],
        inside: &[Range<usize>; 3],
        quantisation: Option<Quantisation>,
    ) {
        let Some(([_, j, k], _)) = chunks.first() else {
            return;
        };
        let along = |a: usize, chunk: usize| {
            let origin = chunk * layout.chunk[a];
            let voxels = inside[a].start.max(origin)..inside[a].end.min(origin + layout.chunk[a]);
            (origin, voxels)
        };
        let to = |a: usize, voxel: usize| (voxel as i64 - self.start[a]) as usize;
        let runs: Vec<_> = chunks
            .iter()
            .map(|&([i, ..], voxels)| {
                let (origin, xs) = along(0, i);
                (xs.start - origin, to(0, xs.start)..to(0, xs.end), voxels)
            })
            .collect();
        let ((first_y, ys), (first_z, zs)) = (along(1, *j), along(2, *k));
        for z in zs {
            for y in ys.clone() {
                let row = layout.chunk[0] * (y - first_y + layout.chunk[1] * (z - first_z));
                let out = self.size[0] * (to(1, y) + self.size[1] * to(2, z));
                let out = &mut self.out[out..out + self.size[0]];
                for (from, xs, voxels) in &runs {
                    let out = &mut out[xs.clone()];
                    match voxels {
                        Voxels::Codes(codes) => {
                            let from = row + from;
                            values(&codes[from..from + out.len()], quantisation, out);
                        }
                        Voxels::Fill(value) => out.fill(*value),
                    }
                }
            }
        }
    }
}

fn shard_key(id: &str, shard: [usize; 3]) -> String {
    format!("{VOLUMES}/{id}/{ARRAY}/{}", Layout::key(shard))
}

fn read_index(source: &dyn Source) -> Result<(RootAttributes, Vec<u8>)> {
    let root = source.read(METADATA, MAX_METADATA)?;
    let attributes = RootAttributes::parse(&root, &source.describe(METADATA))?;
    match source.read(INDEX, MAX_INDEX) {
        Ok(index) => Ok((attributes, index)),
        Err(e) if e.is_missing() => Err(StoreError::NotSealed {
            location: source.describe(INDEX),
        }),
        Err(e) => Err(e),
    }
}

/// Reads the lines of the index and checks what they say before any memory is taken for it.
///
/// # Errors
///
/// [`StoreError::Metadata`] with the line and the field.
pub fn parse_index(
    bytes: &[u8],
    location: &str,
    attributes: &RootAttributes,
) -> Result<Vec<Entry>> {
    let mut entries: Vec<Entry> = Vec::new();
    let refuse = |line: usize, field: &str, problem: String| {
        Err(StoreError::metadata(
            format!("{location}, line {line}"),
            field,
            problem,
        ))
    };
    if !bytes.is_empty() && !bytes.ends_with(b"\n") {
        let lines = bytes.split(|&b| b == b'\n').count();
        return refuse(lines, "end", "the last line is cut off".into());
    }
    for (i, line) in bytes.split(|&b| b == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        let place = format!("{location}, line {}", i + 1);
        let entry = Entry::parse(line, &place)?;
        if entry.quantisation.is_some() != (attributes.dtype == Dtype::Uint16) {
            let problem = format!("it does not go with {}", attributes.dtype);
            return refuse(i + 1, "quantisation", problem);
        }
        if entries.last().is_some_and(|last| last.id >= entry.id) {
            return refuse(i + 1, "id", format!("`{}` is out of order", entry.id));
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// Checks a shard as a reader does, without a store: its index, then every chunk. For tests of
/// damaged files; returns the number of chunks.
///
/// # Errors
///
/// What is wrong, in words.
pub fn check_shard(
    bytes: &[u8],
    layout: &Layout,
    codec: Codec,
) -> std::result::Result<usize, String> {
    layout
        .validate()
        .map_err(|(field, problem)| format!("{field}: {problem}"))?;
    let size = bytes.len() as u64;
    let range = ShardIndex::range(layout, size)?;
    let index = ShardIndex::parse(&bytes[range.start as usize..], layout, size)?;
    let mut decoder = Decoder::new();
    let mut chunks = 0;
    for i in 0..layout.chunks_of_shard().iter().product() {
        if let Some(range) = index.chunk(i) {
            let chunk = &bytes[range.start as usize..range.end as usize];
            decoder.decode(chunk, codec, layout.chunk_voxels())?;
            chunks += 1;
        }
    }
    Ok(chunks)
}
