//! Damaged, lying and unfitting files: every one ends in an error that says what is wrong.

use std::io::{self, Read};

use super::build::{Mgh, Nifti, gzip, kinds};
use crate::volume::{
    Header, Orientation, ReadOptions, Volume, VolumeError, VolumeReader, read_labels, read_raw,
    read_volume,
};

fn read(bytes: &[u8]) -> Result<(Volume<f32>, Header), VolumeError> {
    read_volume(bytes, &ReadOptions::default())
}

fn error_of(file: &Nifti) -> VolumeError {
    read(&file.bytes()).expect_err("the file is bad")
}

/// The error is about a header field and names it.
fn assert_field(file: &Nifti, name: &str) {
    let e = error_of(file);
    assert!(
        matches!(&e, VolumeError::Field { field, .. } if *field == name),
        "{name}: {e}"
    );
    assert!(e.to_string().contains(name));
}

#[test]
fn unknown_formats() {
    for bytes in [
        &b""[..],
        b"a",
        b"\x89PNG",
        b"NRRD0005\nrest",
        &[0; 400],
        &[0xff; 1000],
    ] {
        let e = read(bytes).expect_err("not a volume");
        assert!(matches!(e, VolumeError::UnknownFormat { .. }), "{e}");
        let e = read(&gzip(bytes, 6)).expect_err("not a volume");
        assert!(matches!(e, VolumeError::UnknownFormat { .. }), "{e}");
    }
}

#[test]
fn wrong_magic() {
    for file in kinds() {
        assert_field(&file.clone().with(|f| f.magic[0] = b'x'), "magic");
        assert_field(&file.clone().with(|f| f.magic.fill(0)), "magic");
        if file.two {
            assert_field(&file.clone().with(|f| f.magic[4] = b'\n'), "magic");
            let zero = file.with(|f| f.magic[4..].fill(0));
            assert!(read(&zero.bytes()).is_ok());
        }
    }
}

#[test]
fn every_truncation_is_an_error() {
    for file in kinds() {
        let bytes = file.bytes();
        for n in 0..bytes.len() {
            assert!(read(&bytes[..n]).is_err(), "{n}");
        }
        match read(&bytes[..bytes.len() - 3]) {
            Err(VolumeError::TruncatedData { expected, found }) => {
                assert_eq!((expected, found), (48, 45));
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(
            read(&bytes[..200]),
            Err(VolumeError::TruncatedHeader { found: 200, .. })
        ));
        let small = gzip(&bytes, 6);
        for n in 0..small.len() {
            assert!(read(&small[..n]).is_err(), "gzip {n}");
        }
    }
    let bytes = gzip(&Mgh::small().bytes(), 6);
    for n in 0..bytes.len() {
        assert!(read(&bytes[..n]).is_err(), "mgz {n}");
    }
}

#[test]
fn flipped_bits_of_a_gzip_file_are_found() {
    for file in kinds() {
        let good = read(&file.bytes()).expect("good").0;
        let bytes = gzip(&file.bytes(), 6);
        for bit in 0..8 * bytes.len() {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            // Flags, time and system in the gzip header are not protected.
            if let Ok((v, _)) = read(&bytes) {
                assert_eq!(v, good, "bit {bit}");
            }
        }
    }
}

#[test]
fn flipped_bits_of_a_plain_header_do_no_harm() {
    let options = ReadOptions {
        volume: Some(0),
        max_voxels: 1 << 16,
        max_bytes: 1 << 20,
    };
    let files = kinds()
        .map(|f| f.bytes())
        .into_iter()
        .chain([Mgh::small().bytes()]);
    let mut refused = 0;
    for file in files {
        for bit in 0..8 * file.len() {
            let mut bytes = file.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            refused += usize::from(read_volume(&bytes[..], &options).is_err());
            let _ = read_labels(&bytes[..], &options);
            let _ = read_raw(&bytes[..], &options);
        }
    }
    assert!(refused > 100);
}

#[test]
fn impossible_dimensions() {
    for file in kinds() {
        for n in [0, -1, 8, 99] {
            assert_field(&file.clone().with(|f| f.dim[0] = n), "dim[0]");
        }
        for v in [0, -1, -4] {
            assert_field(&file.clone().with(|f| f.dim[1] = v), "dim[1]");
            assert_field(&file.clone().with(|f| f.dim[3] = v), "dim[3]");
            let five = file.clone().with(|f| {
                f.dim[0] = 5;
                f.dim[5] = v;
            });
            assert_field(&five, "dim[5]");
        }
    }
}

#[test]
fn huge_claims_are_refused_before_memory_is_taken() {
    let too_large = |file: &Nifti, what: &str| {
        let e = error_of(file);
        assert!(
            matches!(&e, VolumeError::TooLarge { what: w, .. } if *w == what),
            "{e}"
        );
    };
    for big in [false, true] {
        let one = Nifti::small(false, big);
        let two = Nifti::small(true, big);
        too_large(&one.clone().with(|f| f.dim[1..4].fill(32767)), "voxels");
        // 2^60, and what overflows 64 bits.
        too_large(&two.clone().with(|f| f.dim[1..4].fill(1 << 20)), "voxels");
        too_large(&two.clone().with(|f| f.dim[1..4].fill(1 << 40)), "voxels");
        too_large(&two.clone().with(|f| f.dim[1..4].fill(i64::MAX)), "voxels");
        let many = two.clone().with(|f| {
            f.dim[0] = 7;
            f.dim[4..8].fill(1 << 40);
        });
        too_large(&many, "volumes");
        too_large(&one.clone().with(|f| f.vox_offset = 1e30), "bytes");
        too_large(&two.clone().with(|f| f.vox_offset = 1e18), "bytes");
        // A late volume counts with all before it.
        let late = two.with(|f| {
            f.dim[0] = 4;
            f.dim[4] = 1 << 40;
        });
        let options = ReadOptions {
            volume: Some((1 << 40) - 1),
            ..ReadOptions::default()
        };
        let e = read_volume(&late.bytes()[..], &options).expect_err("too far");
        assert!(
            matches!(e, VolumeError::TooLarge { what: "bytes", .. }),
            "{e}"
        );
    }
    let options = ReadOptions {
        max_voxels: 23,
        ..ReadOptions::default()
    };
    for file in kinds() {
        let e = read_volume(&file.bytes()[..], &options).expect_err("24 voxels");
        assert!(
            matches!(
                e,
                VolumeError::TooLarge {
                    found: 24,
                    limit: 23,
                    ..
                }
            ),
            "{e}"
        );
    }
}

#[test]
fn little_more_is_decompressed_than_the_header_promises() {
    struct Counting<'a>(&'a [u8], &'a mut usize);
    impl Read for Counting<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let n = self.0.read(out)?;
            *self.1 += n;
            Ok(n)
        }
    }
    for file in kinds() {
        let bomb = gzip(&[file.bytes(), vec![0; 8 << 20]].concat(), 0);
        let mut taken = 0;
        let (v, _) =
            read_volume(Counting(&bomb, &mut taken), &ReadOptions::default()).expect("good start");
        assert_eq!(v.data()[23], 23.);
        assert!(taken <= 2 << 20, "{taken}");
    }
}

#[test]
fn four_dimensions_need_a_choice() {
    for file in kinds() {
        let four = file.with(|f| f.dim = [4, 2, 3, 2, 2, 1, 1, 1]);
        match error_of(&four) {
            VolumeError::NotThreeD { dims, volumes } => {
                assert_eq!((dims, volumes), (vec![2, 3, 2, 2], 2));
            }
            e => panic!("{e}"),
        }
        let options = ReadOptions {
            volume: Some(2),
            ..ReadOptions::default()
        };
        let e = read_volume(&four.bytes()[..], &options).expect_err("there are two");
        assert!(
            matches!(
                e,
                VolumeError::NoSuchVolume {
                    index: 2,
                    volumes: 2
                }
            ),
            "{e}"
        );
    }
}

#[test]
fn other_datatypes_are_named() {
    for file in kinds() {
        for (code, name) in [
            (0, "none"),
            (1, "1 bit"),
            (32, "complex64"),
            (128, "RGB24"),
            (1536, "float128"),
            (1792, "complex128"),
            (2048, "complex256"),
            (2304, "RGBA32"),
            (3, "unknown"),
            (-2, "unknown"),
        ] {
            let e = error_of(&file.clone().with(|f| f.datatype = code));
            let text = e.to_string();
            assert!(matches!(e, VolumeError::Datatype { .. }), "{text}");
            assert!(
                text.contains(&format!("datatype is {code} ({name})")),
                "{text}"
            );
        }
    }
}

#[test]
fn impossible_offsets_and_quaternions() {
    for file in kinds() {
        for offset in [1., 16., f64::from(file.size) + 3., -352.] {
            assert_field(&file.clone().with(|f| f.vox_offset = offset), "vox_offset");
        }
        let quaternion = file.clone().with(|f| {
            f.sform = 0;
            f.qform = 1;
            f.quatern = [1., 0.1, 0.];
        });
        assert_field(&quaternion, "quatern_b, quatern_c, quatern_d");
        // Not looked at where the sform counts.
        assert!(read(&quaternion.with(|f| f.sform = 1).bytes()).is_ok());
    }
    for big in [false, true] {
        for offset in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_field(
                &Nifti::small(false, big).with(|f| f.vox_offset = offset),
                "vox_offset",
            );
        }
    }
}

#[test]
fn a_singular_affine_can_be_read_but_has_no_orientation() {
    for file in kinds() {
        for srow in [
            [0.; 12],
            [f64::NAN; 12],
            [1., 1., 0., 0., 1., 1., 0., 0., 0., 0., 1., 0.],
        ] {
            let (v, _) = read(&file.clone().with(|f| f.srow = srow).bytes()).expect("readable");
            assert!(matches!(
                v.grid().orientation(),
                Err(VolumeError::SingularAffine)
            ));
            assert!(matches!(
                v.reoriented(Orientation::RAS),
                Err(VolumeError::SingularAffine)
            ));
        }
    }
}

#[test]
fn a_failing_reader_is_reported_as_such() {
    struct Failing<'a>(&'a [u8]);
    impl Read for Failing<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            match self.0.read(out)? {
                0 => Err(io::Error::other("cable unplugged")),
                n => Ok(n),
            }
        }
    }
    let bytes = Nifti::small(false, false).bytes();
    for n in [0, 3, 100, 350, 360, bytes.len() - 1] {
        let e = read_volume(Failing(&bytes[..n]), &ReadOptions::default()).expect_err("fails");
        assert!(matches!(e, VolumeError::Read(_)), "{n}: {e}");
        assert!(e.to_string().contains("cable unplugged"));
    }
}

#[test]
fn wrong_checksums_are_found_by_slabs_too() {
    let mut bytes = gzip(&Nifti::small(false, false).bytes(), 6);
    let n = bytes.len();
    bytes[n - 6] ^= 4;
    let mut reader = VolumeReader::new(&bytes[..], &ReadOptions::default()).expect("good header");
    let mut slab = [0f32; 12];
    assert_eq!(reader.read_slab(&mut slab).expect("first half"), 2);
    let e = reader.read_slab(&mut slab).expect_err("checksum");
    assert!(matches!(e, VolumeError::Gzip(_)), "{e}");
}
