//! The `.amaes` model file: weights with everything needed to use them.
//!
//! It is a burnpack file, so that burn can read its tensors, whose metadata has these entries:
//!
//! | entry | value |
//! |---|---|
//! | `amaes.version` | version of this layout, decimal |
//! | `amaes.spec` | the network, JSON of [`Spec`] |
//! | `amaes.plan` | its preprocessing, JSON of [`Plan`] |
//! | `amaes.labels` | its classes, JSON of [`LabelTable`], `[]` where it has none |
//! | `amaes.hints` | how it is best run, JSON of [`Hints`] |
//! | `amaes.provenance` | where the weights come from, JSON of [`Provenance`] |
//! | `amaes.sha256` | checksum of the other entries and of all tensors, hexadecimal |
//!
//! Tensors are in the order of their names, the file holds no time, so that the same contents give
//! the same bytes.

mod checksum;
mod eight_bit;
mod entries;

use std::io::Write;

use burn::tensor::{DType, TensorData, f16};
use burn_pack::{Bytes, Tensor, Writer};

pub use self::checksum::sha256;
pub use self::entries::{Hints, Provenance};

use self::checksum::Checksum;
use super::burnpack::{self, pack_error};
use super::spec::{Part, fit};
use super::state_dict::{reserve, shared, values};
use super::{StateDict, WeightsError};
use crate::label::LabelTable;
use crate::model::Spec;
use crate::preprocess::Plan;

/// The layout described above.
const VERSION: u64 = 1;

/// How a model file stores values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// float32.
    #[default]
    Full,
    /// float16, rounded to nearest, ties to even: half the size.
    Half,
    /// Whole numbers of 8 bits with a float32 factor for each output channel; tensors of one axis
    /// are float32. A quarter of the size; read as float32.
    Byte,
}

/// A network with its weights and all that is needed to use it.
#[derive(Clone, Debug)]
pub struct ModelFile {
    /// The network.
    pub spec: Spec,
    /// What is done to a volume before the network sees it.
    pub plan: Plan,
    /// The network's classes; empty for one that puts out intensities.
    pub labels: LabelTable,
    /// How it is best run.
    pub hints: Hints,
    /// Where the weights come from.
    pub provenance: Provenance,
    /// The weights: exactly the network's parameters.
    pub state: StateDict,
}

impl ModelFile {
    /// Reads a model file. The tensors are views of `bytes`.
    ///
    /// # Errors
    /// If it is no model file, is of a newer version, is cut off, was changed since it was
    /// written, or its parts contradict each other.
    pub fn read(bytes: Vec<u8>) -> Result<Self, WeightsError> {
        let reader = burnpack::open(shared(bytes))?;
        let metadata = reader.metadata().clone();
        let version = entries::get(&metadata, entries::VERSION)?;
        match version.parse() {
            Ok(VERSION) => {}
            Ok(found) => {
                return Err(WeightsError::NewerVersion {
                    found,
                    supported: VERSION,
                });
            }
            Err(_) => return Err(entries::bad(entries::VERSION, format!("`{version}`"))),
        }
        let mut state = burnpack::tensors(reader)?;

        let expected = entries::get(&metadata, entries::SHA256)?.clone();
        let mut checksum = Checksum::new();
        for (key, value) in metadata.iter().filter(|(key, _)| *key != entries::SHA256) {
            checksum.entry(key, value);
        }
        for (name, data) in state.iter() {
            checksum.tensor(name, data.dtype(), data.shape(), data.as_bytes());
        }
        let found = checksum.finish();
        if found != expected {
            return Err(WeightsError::Checksum { expected, found });
        }

        let file = Self {
            spec: entries::parse(&metadata, entries::SPEC)?,
            plan: entries::parse(&metadata, entries::PLAN)?,
            labels: entries::parse(&metadata, entries::LABELS)?,
            hints: entries::parse(&metadata, entries::HINTS)?,
            provenance: entries::parse(&metadata, entries::PROVENANCE)?,
            state: StateDict::new(),
        };
        file.check()?;
        state = eight_bit::restored(state)?;
        let unexpected = fit(&file.spec, &mut state, Part::Whole)?;
        if !unexpected.is_empty() {
            let message = format!("tensors of no parameter: {}", unexpected.join(", "));
            return Err(entries::bad(entries::SPEC, message));
        }
        Ok(Self { state, ..file })
    }

    /// Writes the model file and returns its checksum.
    ///
    /// # Errors
    /// If the weights are not exactly the network's parameters, a value is too large for
    /// the precision, memory is short, or `out` fails.
    pub fn write(
        &self,
        out: &mut impl Write,
        precision: Precision,
    ) -> Result<String, WeightsError> {
        self.check()?;
        let mut state = self.state.clone();
        let unexpected = fit(&self.spec, &mut state, Part::Whole)?;
        if !unexpected.is_empty() {
            let message = format!("tensors of no parameter: {}", unexpected.join(", "));
            return Err(entries::bad(entries::SPEC, message));
        }

        let entries = [
            (entries::VERSION, VERSION.to_string()),
            (entries::SPEC, entries::json(entries::SPEC, &self.spec)?),
            (entries::PLAN, entries::json(entries::PLAN, &self.plan)?),
            (
                entries::LABELS,
                entries::json(entries::LABELS, &self.labels)?,
            ),
            (entries::HINTS, entries::json(entries::HINTS, &self.hints)?),
            (
                entries::PROVENANCE,
                entries::json(entries::PROVENANCE, &self.provenance)?,
            ),
        ];
        let mut checksum = Checksum::new();
        let mut sorted: Vec<_> = entries.iter().collect();
        sorted.sort();
        for (key, value) in sorted {
            checksum.entry(key, value);
        }
        let mut named: Vec<(String, TensorData)> = state.into_iter().collect();
        if precision == Precision::Byte {
            named = eight_bit::stored(named)?;
        }
        named.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut tensors = Vec::with_capacity(named.len());
        for (name, data) in named {
            let dtype = match precision {
                Precision::Full => DType::F32,
                Precision::Half => DType::F16,
                Precision::Byte => data.dtype(),
            };
            let bytes = store(&name, &data, precision)?;
            let (shape, len) = (data.shape().clone(), bytes.len());
            checksum.tensor(&name, dtype, &shape, &bytes);
            // Converted again when its turn comes, so that one tensor is in memory twice, not all.
            let again = name.clone();
            let provider = move || {
                store(&again, &data, precision)
                    .map_err(|error| burn_pack::Error::IoError(error.to_string()))
            };
            tensors.push(Tensor::deferred(name, dtype, shape, None, len, provider));
        }
        let sum = checksum.finish();

        let mut writer = Writer::new(tensors).with_metadata(entries::SHA256, &sum);
        for (key, value) in &entries {
            writer = writer.with_metadata(key, value);
        }
        let size = writer.size().map_err(|error| pack_error(&error))?;
        let mut bytes = reserve::<u8>(size, "the model file")?;
        bytes.resize(size, 0);
        writer
            .write_into(&mut bytes)
            .map_err(|error| pack_error(&error))?;
        out.write_all(&bytes)?;
        out.flush()?;
        Ok(sum)
    }

    /// Checks the parts against each other.
    fn check(&self) -> Result<(), WeightsError> {
        self.spec.validate()?;
        let (labels, classes) = (self.labels.0.len(), self.spec.out_channels());
        if labels != 0 && labels != classes {
            let message = format!("{labels} labels for a network of {classes} classes");
            return Err(entries::bad(entries::LABELS, message));
        }
        self.hints.check()
    }
}

/// Whether a burnpack file is a model file: whether its metadata names the version.
pub(super) fn is_model_file(bytes: &[u8]) -> bool {
    let size = bytes
        .get(6..10)
        .and_then(|size| size.try_into().ok())
        .map(u32::from_le_bytes);
    let size = size
        .and_then(|size| usize::try_from(size).ok())
        .unwrap_or(0);
    let rest = bytes.get(burn_pack::HEADER_SIZE..).unwrap_or_default();
    let metadata = &rest[..rest.len().min(size)];
    metadata
        .windows(entries::VERSION.len())
        .any(|window| window == entries::VERSION.as_bytes())
}

/// The bytes of a tensor as they are stored: its own where no conversion is needed.
fn store(name: &str, data: &TensorData, precision: Precision) -> Result<Bytes, WeightsError> {
    let values = match (precision, data.dtype()) {
        (Precision::Full, DType::F32) | (Precision::Half, DType::F16) | (Precision::Byte, _) => {
            return Ok(data.bytes().clone());
        }
        _ => values(name, data)?,
    };
    if precision == Precision::Full {
        return Ok(Bytes::from_elems(values));
    }
    let mut halves = reserve(values.len(), name)?;
    for value in values {
        let half = f16::from_f32(value);
        if half.is_infinite() && value.is_finite() {
            let name = name.to_owned();
            return Err(WeightsError::Overflow {
                name,
                value,
                precision: "float16",
            });
        }
        halves.push(half);
    }
    Ok(Bytes::from_elems(halves))
}
