//! Event files that TensorBoard reads.
//!
//! A file is a row of records: the length in eight bytes, its checksum, the record, its checksum
//! (TensorFlow's `record_writer`); checksums are CRC-32C, turned and shifted by a constant. A
//! record is an `Event` message of `event.proto`, encoded here by hand: there are few fields.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result, WithPath};
use crate::train::log::{Record, now};

/// Writes one event file.
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    file: File,
    /// What the run's pictures show.
    shown: &'static str,
}

impl EventWriter {
    /// Begins an event file in the folder of a run. Where the run goes on after `resumed` steps,
    /// TensorBoard drops what earlier files say of later ones.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn create(folder: &Path, resumed: Option<u64>) -> Result<Self> {
        let time = now();
        // TensorBoard reads files in the order of their names.
        let micros = (time.fract() * 1e6) as u32;
        let name = format!(
            "events.out.tfevents.{:010}.amaes.{}.{micros:06}",
            time as u64,
            std::process::id()
        );
        let path = folder.join(name);
        let file = File::create_new(&path).with_path(&path)?;
        let shown = "reconstruction";
        let mut writer = Self { path, file, shown };
        writer.event(time, None, |event| event.bytes(3, b"brain.Event:2"))?;
        if let Some(step) = resumed {
            // SessionLog with the status START.
            writer.event(time, Some(step + 1), |event| {
                event.message(7, |session| session.number(1, 1));
            })?;
        }
        Ok(writer)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes what a line of a run's log says: scalars of steps and validations, and pictures,
    /// which are read from the run's folder.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; [`Error::Unsuitable`] for a picture that is no PNG.
    pub fn write(&mut self, folder: &Path, record: &Record) -> Result<()> {
        match record {
            Record::Step(s) => {
                if s.dice_loss.is_some() {
                    self.shown = "segmentation";
                }
                let mut scalars = vec![
                    ("loss/train", Some(s.loss)),
                    ("loss/train_masked", s.masked_loss),
                    ("loss/train_visible", s.visible_loss),
                    ("loss/train_rotation", s.rotation_loss),
                    ("loss/train_contrastive", s.contrastive_loss),
                    ("loss/train_inpainting", s.inpainting_loss),
                    ("loss/train_dice", s.dice_loss),
                    ("loss/train_cross_entropy", s.cross_entropy),
                    ("optimiser/learning_rate", Some(s.lr)),
                    ("optimiser/gradient_norm", Some(s.grad_norm)),
                    ("speed/samples_per_second", Some(s.samples_per_s)),
                    ("memory/resident_mib", s.memory_mib),
                ];
                if s.step_s > 0.0 {
                    scalars.push(("speed/waiting_share", Some(s.wait_s / s.step_s)));
                }
                self.scalars(s.step, s.time, &scalars)
            }
            Record::Validation(v) => {
                let mut scalars = vec![
                    ("loss/validation", Some(v.loss)),
                    ("loss/validation_masked", v.masked_loss),
                    ("loss/validation_visible", v.visible_loss),
                    ("loss/validation_rotation", v.rotation_loss),
                    ("loss/validation_contrastive", v.contrastive_loss),
                    ("loss/validation_inpainting", v.inpainting_loss),
                    ("loss/validation_mean_prediction", v.mean_loss),
                    ("loss/validation_dice", v.dice_loss),
                    ("loss/validation_cross_entropy", v.cross_entropy),
                    ("dice/mean", v.dice),
                ];
                let classes = v.classes.iter();
                let classes: Vec<_> = classes.map(|(n, d)| (format!("dice/{n}"), *d)).collect();
                scalars.extend(
                    classes
                        .iter()
                        .map(|(tag, dice)| (tag.as_str(), Some(*dice))),
                );
                self.scalars(v.step, now(), &scalars)
            }
            Record::Picture { step, path } => {
                let path = folder.join(path);
                let png = fs::read(&path).with_path(&path)?;
                let size = png_size(&png)
                    .ok_or_else(|| Error::unsuitable(&path, "this is no PNG picture"))?;
                self.image(*step, now(), self.shown, size, &png)
            }
            _ => Ok(()),
        }
    }

    /// Writes numbers of one step; those that are `None` are left out. `time` is in seconds since
    /// 1970.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn scalars(&mut self, step: u64, time: f64, scalars: &[(&str, Option<f64>)]) -> Result<()> {
        self.event(time, Some(step), |event| {
            event.message(5, |summary| {
                for (tag, value) in scalars {
                    let Some(value) = value else {
                        continue;
                    };
                    summary.message(1, |v| {
                        v.bytes(1, tag.as_bytes());
                        v.float(2, *value as f32);
                    });
                }
            });
        })
    }

    /// Writes a PNG picture of `[width, height]` pixels; `time` is in seconds since 1970.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn image(
        &mut self,
        step: u64,
        time: f64,
        tag: &str,
        [width, height]: [u32; 2],
        png: &[u8],
    ) -> Result<()> {
        self.event(time, Some(step), |event| {
            event.message(5, |summary| {
                summary.message(1, |value| {
                    value.bytes(1, tag.as_bytes());
                    value.message(4, |image| {
                        image.number(1, height.into());
                        image.number(2, width.into());
                        // Red, green and blue.
                        image.number(3, 3);
                        image.bytes(4, png);
                    });
                });
            });
        })
    }

    fn event(
        &mut self,
        time: f64,
        step: Option<u64>,
        fill: impl FnOnce(&mut Message),
    ) -> Result<()> {
        let mut event = Message::default();
        event.double(1, time);
        if let Some(step) = step {
            event.number(2, step);
        }
        fill(&mut event);
        self.file.write_all(&framed(&event.0)).with_path(&self.path)
    }
}

/// Width and height that the header of a PNG file says.
fn png_size(png: &[u8]) -> Option<[u32; 2]> {
    let header = png.strip_prefix(b"\x89PNG\r\n\x1a\n")?;
    let edge = |at: usize| {
        let bytes: [u8; 4] = header.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_be_bytes(bytes))
    };
    Some([edge(8)?, edge(12)?])
}

/// A record with its length and checksums.
fn framed(record: &[u8]) -> Vec<u8> {
    let length = (record.len() as u64).to_le_bytes();
    let mut out = Vec::with_capacity(record.len() + 16);
    out.extend(length);
    out.extend(checksum(&length).to_le_bytes());
    out.extend(record);
    out.extend(checksum(record).to_le_bytes());
    out
}

/// A CRC-32C so turned that a checksum of data with checksums is no trivial one.
fn checksum(data: &[u8]) -> u32 {
    crc32c::crc32c(data)
        .rotate_right(15)
        .wrapping_add(0xA282_EAD8)
}

/// A protocol buffer.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn key(&mut self, field: u64, wire: u64) {
        self.varint(field << 3 | wire);
    }

    fn number(&mut self, field: u64, value: u64) {
        self.key(field, 0);
        self.varint(value);
    }

    fn double(&mut self, field: u64, value: f64) {
        self.key(field, 1);
        self.0.extend(value.to_le_bytes());
    }

    fn float(&mut self, field: u64, value: f32) {
        self.key(field, 5);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.key(field, 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
    }

    fn message(&mut self, field: u64, fill: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        fill(&mut inner);
        self.bytes(field, &inner.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_framed_as_tensorflow_does() {
        // The first record of a file that PyTorch's SummaryWriter wrote: its length 24, and the
        // version of the format.
        let frame = framed(&[0; 24]);
        assert_eq!(frame.len(), 24 + 16);
        assert_eq!(frame[..8], [24, 0, 0, 0, 0, 0, 0, 0]);
        // The checksum of that length in every such file.
        assert_eq!(frame[8..12], [0xA3, 0x7F, 0x4B, 0x22]);
    }

    #[test]
    fn numbers_are_varints() {
        let mut message = Message::default();
        message.number(2, 300);
        assert_eq!(message.0, [0x10, 0xAC, 0x02]);
    }
}
