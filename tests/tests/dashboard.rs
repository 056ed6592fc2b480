//! Event files against TensorBoard's own writer (`tests/reference/events.py`), and what a run's
//! log becomes in them.

use std::fs;
use std::path::Path;

use amaes::tensorboard::EventWriter;
use amaes::train::log::{Record, Step, Validation};
use serde_json::Value;

fn reference(name: &str) -> Vec<u8> {
    let text = include_str!("../reference/events.json");
    let all: Value = serde_json::from_str(text).expect("JSON");
    let hex = all[name].as_str().expect("hexadecimal text").as_bytes();
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("text");
        u8::from_str_radix(pair, 16).expect("hexadecimal")
    };
    hex.chunks_exact(2).map(byte).collect()
}

/// The records of a file, with their frames.
fn records(path: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(path).expect("read");
    let (mut rest, mut out) = (&bytes[..], Vec::new());
    while let Some(length) = rest.first_chunk::<8>() {
        let (record, after) = rest.split_at(u64::from_le_bytes(*length) as usize + 16);
        out.push(record.to_vec());
        rest = after;
    }
    assert!(rest.is_empty());
    out
}

fn contains(record: &[u8], text: &str) -> bool {
    record.windows(text.len()).any(|w| w == text.as_bytes())
}

#[test]
fn records_are_those_of_tensorboard_to_the_byte() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut writer = EventWriter::create(folder.path(), None).expect("a file");
    let time = 1_700_000_000.25;
    let scalars = [
        ("loss/train", Some(0.0625)),
        ("left out", None),
        ("optimiser/learning_rate", Some(1e-4)),
        ("speed", Some(1_234_567.875)),
    ];
    writer.scalars(277_000, time, &scalars).expect("written");
    let png: Vec<u8> = (0..=255).cycle().take(768).collect();
    writer
        .image(5, time, "reconstruction", [300, 40], &png)
        .expect("written");
    let records = records(writer.path());
    assert_eq!(records[0][..12], reference("version_length"));
    assert!(contains(&records[0], "brain.Event:2"));
    assert_eq!(records[1], reference("scalars"));
    assert_eq!(records[2], reference("image"));
}

#[test]
fn a_log_becomes_events() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut writer = EventWriter::create(folder.path(), Some(6)).expect("a file");
    let step = Step {
        step: 7,
        epoch: 0,
        samples: 56,
        loss: 0.5,
        masked_loss: Some(0.625),
        lr: 1e-4,
        grad_norm: 1.0,
        step_s: 2.0,
        wait_s: 0.5,
        samples_per_s: 4.0,
        memory_mib: Some(100.0),
        time: 1_700_000_000.0,
        ..Step::default()
    };
    let validation = Validation {
        step: 7,
        loss: 0.5,
        mean_loss: Some(0.75),
        ..Validation::default()
    };
    let picture = Record::Picture {
        step: 7,
        path: "picture.png".into(),
    };
    let mut write = |record: &Record| writer.write(folder.path(), record);
    write(&Record::Step(step)).expect("written");
    write(&Record::Validation(validation)).expect("written");
    fs::write(folder.path().join("picture.png"), "no picture").expect("written");
    let error = write(&picture).expect_err("no PNG").to_string();
    assert!(error.contains("picture.png"), "{error}");

    let records = records(writer.path());
    assert_eq!(records.len(), 4);
    // A resumed run tells TensorBoard which steps come again.
    let session = reference("session");
    assert!(records[1].windows(session.len()).any(|w| w == session));
    assert!(contains(&records[2], "loss/train_masked"));
    assert!(!contains(&records[2], "loss/train_visible"));
    assert!(contains(&records[2], "speed/waiting_share"));
    assert!(contains(&records[3], "loss/validation_mean_prediction"));
}

#[test]
fn the_dice_of_every_class_becomes_an_event() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut writer = EventWriter::create(folder.path(), None).expect("a file");
    let step = Step {
        step: 1,
        dice_loss: Some(0.5),
        cross_entropy: Some(0.25),
        ..Step::default()
    };
    let validation = Validation {
        step: 1,
        dice: Some(0.75),
        classes: [("core".to_owned(), 0.5), ("oedema".to_owned(), 1.0)].into(),
        ..Validation::default()
    };
    let picture = Record::Picture {
        step: 1,
        path: "picture.png".into(),
    };
    let png = [
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".as_slice(),
        &[0, 0, 0, 9, 0, 0, 0, 7],
    ]
    .concat();
    fs::write(folder.path().join("picture.png"), png).expect("written");
    for record in [Record::Step(step), Record::Validation(validation), picture] {
        writer.write(folder.path(), &record).expect("written");
    }
    let records = records(writer.path());
    assert!(contains(&records[1], "loss/train_dice"));
    assert!(contains(&records[1], "loss/train_cross_entropy"));
    assert!(!contains(&records[1], "masked"));
    assert!(
        ["dice/mean", "dice/core", "dice/oedema"]
            .iter()
            .all(|tag| contains(&records[2], tag))
    );
    assert!(contains(&records[3], "segmentation"));
}
