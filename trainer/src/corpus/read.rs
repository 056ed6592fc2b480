//! From a file or a member to its lines in the catalogue.

use std::io::{self, Read as _};

use amaes_core::volume::{Header, ReadOptions, VolumeError, VolumeReader};
use sha2::{Digest, Sha256};

use super::exclude::{self, Reason};
use super::input::{Bytes, Hashing};
use super::layout::Captures;
use super::measure::{Scratch, measure};
use super::naming::{of_path, portable};
use super::record::{Record, Where};
use super::scan::Choice;
use super::sequence::Sequence;
use super::sidecar::{Beside, facts};
use crate::digits::hex;
use crate::volumes::stem;

/// A volume that is to be read.
pub(super) struct Task<'a> {
    pub(super) source: &'a str,
    /// File and member.
    pub(super) place: Where,
    pub(super) bytes: u64,
    pub(super) choice: &'a Choice,
}

/// The lines for one file or member: one, or one for each volume that is used by itself. Never
/// fails: a file that cannot be read has a line that says so.
pub(super) fn read(
    task: &Task<'_>,
    input: &mut dyn Bytes,
    beside: &mut dyn Beside,
    scratch: &mut Scratch,
) -> Vec<Record> {
    let base = described(task, beside);
    let frames = match task.choice.channels.len() {
        0 => vec![None],
        n => (0..n as u32).map(Some).collect(),
    };
    let mut out = Vec::new();
    let mut hash = None;
    for frame in frames {
        let mut record = base.clone();
        record.place.frame = frame;
        if frame.is_some_and(|f| f > 0) && !input.again() {
            record.fail(&VolumeError::Read(io::Error::other(
                "several volumes in one file of a compressed archive: unpack the archive",
            )));
        } else if let Err(error) = fill(&mut record, frame, task, input, scratch, &mut hash) {
            record.fail(&error);
        }
        record.sha256 = hash.clone();
        finish(&mut record, task);
        let several = record.reasons.contains(&Reason::NotThreeD);
        out.push(record);
        if several {
            // Not what the description says: one line is enough.
            break;
        }
    }
    out
}

impl Record {
    pub(super) fn fail(&mut self, error: &VolumeError) {
        self.reasons.push(exclude::by_error(error));
        self.error = Some(error.to_string());
    }
}

/// What names and sidecars say.
fn described(task: &Task<'_>, beside: &mut dyn Beside) -> Record {
    let name = match task.place.member.as_str() {
        "" => &task.place.path,
        member => member,
    };
    let mut folders: Vec<&str> = name.split('/').collect();
    let file = folders.pop().unwrap_or_default();
    let stem = stem(file.as_ref());
    let captures = &task.choice.captures;
    let named = of_path(&stem, &folders);
    let subject = captured(captures, "subject").or(named.subject);
    let subject = match (captured(captures, "dataset"), subject) {
        (Some(dataset), Some(subject)) => Some(format!("{dataset}/{subject}")),
        (_, subject) => subject,
    };
    let session = captured(captures, "session").or(named.session);
    let facts = facts(
        beside,
        &folders,
        &stem,
        subject.as_deref(),
        session.as_deref(),
    );
    let mut sequence = captures
        .get("sequence")
        .and_then(|s| Sequence::of_text(s))
        .unwrap_or_else(|| Sequence::guess(&stem, &folders, facts.series.as_deref()));
    match facts.modality.as_deref() {
        Some("CT") => sequence = Sequence::Ct,
        Some("PT" | "PET" | "NM") => sequence = Sequence::Pet,
        _ => {}
    }
    Record {
        place: task.place.clone(),
        source: task.source.to_owned(),
        subject,
        session,
        sequence,
        bytes: task.bytes,
        manufacturer: facts.manufacturer,
        scanner: facts.scanner,
        field_strength: facts.field_strength,
        site: captured(captures, "site").or(facts.site),
        age: facts.age,
        sex: facts.sex.map(str::to_owned),
        ..Record::default()
    }
}

/// What a name of the layout stands for, without the prefix that BIDS gives it.
fn captured(captures: &Captures, key: &str) -> Option<String> {
    let text = captures.get(key)?;
    let bare = text
        .strip_prefix("sub-")
        .or_else(|| text.strip_prefix("ses-"));
    Some(bare.unwrap_or(text).to_owned())
}

/// What header and voxels say.
fn fill(
    record: &mut Record,
    frame: Option<u32>,
    task: &Task<'_>,
    input: &mut dyn Bytes,
    scratch: &mut Scratch,
    hash: &mut Option<String>,
) -> Result<(), VolumeError> {
    let options = ReadOptions {
        volume: Some(frame.unwrap_or(0).into()),
        ..ReadOptions::default()
    };
    let mut hasher = Sha256::new();
    let mut header_bytes = Vec::new();
    if let Some(header) = input.header() {
        let header = header.map_err(VolumeError::Read)?;
        header
            .take(1 << 20)
            .read_to_end(&mut header_bytes)
            .map_err(VolumeError::Read)?;
        hasher.update(&header_bytes);
    }
    let wanted = hash.is_none();
    let bytes = input.open().map_err(VolumeError::Read)?;
    let mut reader = Hashing::new(bytes, wanted.then_some(hasher));
    let found = (|| {
        let volume = match header_bytes.is_empty() {
            true => VolumeReader::new(&mut reader, &options)?,
            false => VolumeReader::from_pair(&header_bytes[..], &mut reader, &options)?,
        };
        geometry(record, volume.header());
        let volumes = volume.header().volumes();
        let expected = task.choice.channels.len().max(1) as u64;
        if volumes != expected || record.dims.as_ref().is_some_and(|d| d.len() < 3) {
            return Err(VolumeError::NotThreeD {
                dims: volume.header().dims().to_vec(),
                volumes,
            });
        }
        record
            .reasons
            .extend(exclude::by_shape(volume.grid().shape));
        if volume.grid().orientation().is_err() {
            return Err(VolumeError::SingularAffine);
        }
        measure(volume, scratch)
    })();
    if wanted {
        *hash = reader.finish().map_err(VolumeError::Read)?;
    }
    let measured = found?;
    record.reasons.extend(exclude::by_voxels(&measured));
    record.measured = Some(measured);
    Ok(())
}

fn geometry(record: &mut Record, header: &Header) {
    let grid = header.grid();
    record.shape = Some(grid.shape);
    record.dims = Some(header.dims().to_vec());
    let spacing = grid.spacing();
    record.spacing = spacing.iter().all(|s| s.is_finite()).then_some(spacing);
    record.orientation = grid.orientation().ok().map(|o| o.to_string());
    record.datatype = Some(header.datatype().to_string());
}

/// The name, and the reasons that the kind of image gives.
fn finish(record: &mut Record, task: &Task<'_>) {
    let file = match record.place.member.as_str() {
        "" => &record.place.path,
        member => member,
    };
    let mut name = stem(file.as_ref());
    if let Some(frame) = record.place.frame
        && let Some(channel) = task.choice.channels.get(frame as usize)
    {
        record.sequence = Sequence::of_text(channel).unwrap_or_default();
        name = format!("{name}-{channel}");
    }
    if let Some(subject) = &record.subject
        && !name.contains(subject.as_str())
    {
        name = format!("{subject}_{name}");
    }
    record.reasons.extend(exclude::by_sequence(record.sequence));
    record.reasons = exclude::tidy(std::mem::take(&mut record.reasons));
    let mut hasher = Sha256::new();
    match &record.sha256 {
        Some(hash) => hasher.update(hash),
        None => hasher.update(format!("{}\0{}", record.place.path, record.place.member)),
    }
    hasher.update(format!("\0{:?}", record.place.frame));
    let digest = hasher.finalize();
    record.name = format!("{}-{}", portable(&name), hex(&digest[..6]));
}
