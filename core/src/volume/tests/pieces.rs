//! Files that arrive in pieces: the same volumes and the same errors as from a reader.

use super::build::{Mgh, Nifti, gzip, kinds};
use crate::label::Label;
use crate::volume::{ReadOptions, Sample, VolumeDecoder, VolumeError, read_labels, read_volume};

/// What a decoder makes of `bytes` in pieces of `size`.
fn decode<T: Sample>(bytes: &[u8], size: usize, options: &ReadOptions) -> Result<Vec<T>, String> {
    let run = || -> Result<_, VolumeError> {
        let mut decoder = VolumeDecoder::<T>::new(options);
        for piece in bytes.chunks(size) {
            decoder.push(piece)?;
        }
        Ok(decoder.finish()?.0.into_parts().1)
    };
    run().map_err(|e| e.to_string())
}

fn read(bytes: &[u8], options: &ReadOptions) -> Result<Vec<f32>, String> {
    match read_volume(bytes, options) {
        Ok((volume, _)) => Ok(volume.into_parts().1),
        Err(e) => Err(e.to_string()),
    }
}

/// Piece by piece is as whole, but for the words of a gzip error.
fn same(bytes: &[u8], options: &ReadOptions) {
    let kind = |r: Result<Vec<f32>, String>| {
        r.map_err(|e| match e.starts_with("the gzip stream is damaged") {
            true => e[..26].to_owned(),
            false => e,
        })
    };
    let expected = kind(read(bytes, options));
    for size in [1, 2, 3, 7, 64, 353, 1 << 20] {
        let found = kind(decode(bytes, size, options));
        assert_eq!(found, expected, "{} bytes by {size}", bytes.len());
    }
}

fn files() -> Vec<Vec<u8>> {
    let mut files: Vec<_> = kinds().iter().map(Nifti::bytes).collect();
    files.push(Mgh::small().bytes());
    let far = Nifti::small(false, true).with(|f| {
        f.gap = vec![7; 100];
        f.vox_offset = 448.;
        f.slope = 0.5;
        f.inter = -3.;
    });
    files.push(far.bytes());
    files
}

#[test]
fn all_formats_in_pieces_of_all_sizes() {
    let options = ReadOptions::default();
    for file in files() {
        assert!(read(&file, &options).is_ok());
        same(&file, &options);
        for level in [0, 6] {
            same(&gzip(&file, level), &options);
        }
    }
}

#[test]
fn every_truncation_is_the_same_error() {
    let options = ReadOptions::default();
    for file in files() {
        for bytes in [gzip(&file, 6), file] {
            for n in 0..bytes.len() {
                same(&bytes[..n], &options);
            }
        }
    }
}

/// Damage may show in the stream or in what came out of it, whichever is seen first.
fn agree(bytes: &[u8], options: &ReadOptions) {
    let expected = read(bytes, options);
    for size in [1, 7, 353] {
        let found = decode(bytes, size, options);
        assert_eq!(found.is_ok(), expected.is_ok(), "{found:?} {expected:?}");
        assert!(found.is_err() || found == expected);
    }
}

#[test]
fn damage_is_the_same_error() {
    let options = ReadOptions {
        max_voxels: 1000,
        ..ReadOptions::default()
    };
    for file in files() {
        for at in 0..file.len().min(360) {
            let mut file = file.clone();
            file[at] ^= 0x41;
            same(&file, &options);
        }
        let good = gzip(&file, 6);
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 0x10;
            agree(&bytes, &options);
        }
    }
}

#[test]
fn members_and_what_follows_them() {
    let options = ReadOptions::default();
    let file = Nifti::small(false, false).bytes();
    let parts: Vec<u8> = file.chunks(11).flat_map(|part| gzip(part, 6)).collect();
    same(&parts, &options);
    for after in [&b"\0"[..], b"padding", b"\x1f\x8b", b"\x1f"] {
        same(&[&parts[..], after].concat(), &options);
        same(&[&gzip(&file, 6)[..], after].concat(), &options);
    }
    let mut wrong = gzip(&file, 6);
    let sum = wrong.len() - 8;
    wrong[sum] ^= 1;
    same(&wrong, &options);
}

#[test]
fn one_volume_of_several() {
    let file = Nifti::small(false, false).with(|f| {
        f.dim = [4, 2, 3, 2, 2, 1, 1, 1];
    });
    for bytes in [file.bytes(), gzip(&file.bytes(), 6)] {
        for volume in [None, Some(0), Some(1), Some(2)] {
            let options = ReadOptions {
                volume,
                ..ReadOptions::default()
            };
            same(&bytes, &options);
        }
    }
}

#[test]
fn labels_and_progress() -> Result<(), VolumeError> {
    let options = ReadOptions::default();
    let good = Nifti::small(true, false);
    let bad = good.clone().with(|f| f.data[31] = 0xff);
    for file in [good.bytes(), bad.bytes()] {
        let expected = read_labels(&file[..], &options)
            .map(|(v, _)| v.into_parts().1)
            .map_err(|e| e.to_string());
        for size in [1, 5, 1000] {
            assert_eq!(decode::<Label>(&file, size, &options), expected);
        }
    }
    let bytes = good.bytes();
    let mut decoder = VolumeDecoder::<f32>::new(&options);
    decoder.push(&bytes[..539])?;
    assert!(decoder.header().is_none());
    assert_eq!(decoder.fraction(), 0.0);
    decoder.push(&bytes[539..bytes.len() - 24])?;
    assert_eq!(decoder.fraction(), 0.5);
    assert_eq!(decoder.header().map(|h| h.shape()), Some([2, 3, 4]));
    Ok(())
}
