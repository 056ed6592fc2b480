//! Writing, and reading what was written.

use std::io::{self, Write};

use super::build::{Nifti, kinds};
use crate::volume::{
    Affine, AffineSource, DataType, Format, Grid, Header, RawData, ReadOptions, Scaling, Volume,
    VolumeError, VolumeWriter, WriteOptions, label_datatype, read_header, read_labels, read_raw,
    read_volume, write_labels, write_raw, write_volume,
};

type Check = Result<(), VolumeError>;

const BOTH: [WriteOptions; 2] = [WriteOptions::PLAIN, WriteOptions::GZIP];

fn options() -> ReadOptions {
    ReadOptions::default()
}

/// Byte ranges of the fields that say where voxels are, per version: `dim_info`, `pixdim`,
/// `xyzt_units`, `qform_code` to `srow_z`, and the description.
fn geometry(header: &[u8]) -> Vec<u8> {
    let ranges = match header.len() {
        348 => vec![39..40, 76..108, 123..124, 148..228, 252..328],
        _ => vec![104..168, 240..320, 344..496, 500..504, 524..525],
    };
    ranges
        .into_iter()
        .flat_map(|r| header[r].to_vec())
        .collect()
}

#[test]
fn the_geometry_is_kept_to_the_bit() -> Check {
    for little in kinds().into_iter().filter(|f| !f.big) {
        // Numbers that arithmetic would change, and odd ones that must not be tidied.
        let odd = |f: &mut Nifti| {
            f.srow = [
                0.1,
                -0.2,
                1e-9,
                f64::NAN,
                0.3,
                1.7,
                -0.,
                1e30,
                0.7,
                0.,
                0.9,
                -3.3,
            ];
            f.quatern = [0.1, 0.2, 0.3];
            f.qoffset = [-0., 5.5, 1e-20];
            f.pixdim = [-1., -1.1, 0., 0.7, 2.5, -0., 7., f64::INFINITY];
            f.qform = 99;
            f.sform = 3;
        };
        let little = little.with(odd);
        let kept = geometry(&little.header());
        let big = Nifti {
            big: true,
            ..Nifti::small(little.two, true)
        }
        .with(odd);
        for source in [little, big] {
            let (v, h) = read_volume(&source.bytes()[..], &options())?;
            assert_eq!(geometry(h.as_bytes()), kept);
            let labels = v.map(|x| *x as u16);
            for o in BOTH {
                let mut out = Vec::new();
                write_labels(&mut out, &h, &labels, &o)?;
                let back = read_header(&out[..])?;
                assert_eq!(geometry(back.as_bytes()), kept);
                assert_eq!((back.intent_code(), back.datatype()), (1002, DataType::U8));
                let mut out = Vec::new();
                write_volume(&mut out, &h, &v, &o)?;
                let back = read_header(&out[..])?;
                assert_eq!(geometry(back.as_bytes()), kept);
                assert_eq!((back.intent_code(), back.datatype()), (0, DataType::F32));
            }
        }
    }
    Ok(())
}

#[test]
fn values_survive_in_every_format() -> Check {
    for source in kinds() {
        let (v, h) = read_volume(&source.bytes()[..], &options())?;
        let mut odd = v.clone();
        odd.data_mut()[..3].copy_from_slice(&[f32::INFINITY, -0.0, 1e-40]);
        for o in BOTH {
            let mut out = Vec::new();
            write_volume(&mut out, &h, &odd, &o)?;
            assert_eq!(out.starts_with(&[0x1f, 0x8b]), o.gzip.is_some());
            let (back, header) = read_volume(&out[..], &options())?;
            assert_eq!(back, odd);
            assert!(!header.is_big_endian());
            assert_eq!(header.format(), h.format());
        }
    }
    Ok(())
}

#[test]
fn a_wrong_size_field_is_not_passed_on() -> Check {
    // Written as it was, this one would look like the first bytes of an MGH file.
    for size in [0, 0x0100_0000] {
        let source = Nifti::small(false, true).with(|f| f.size = size);
        let (v, h) = read_volume(&source.bytes()[..], &options())?;
        let mut out = Vec::new();
        write_volume(&mut out, &h, &v, &WriteOptions::PLAIN)?;
        assert_eq!(out[..4], 348i32.to_le_bytes());
        assert_eq!(read_volume(&out[..], &options())?.0, v);
    }
    Ok(())
}

#[test]
fn labels_take_the_smallest_type() -> Check {
    let cases = [(0, DataType::U8), (255, DataType::U8), (256, DataType::I16)];
    let more = [
        (32767, DataType::I16),
        (32768, DataType::U16),
        (65535, DataType::U16),
    ];
    for source in kinds() {
        let h = read_header(&source.bytes()[..])?;
        for (max, datatype) in cases.into_iter().chain(more) {
            assert_eq!(label_datatype(max), datatype);
            let mut data = vec![0u16; 24];
            data[7] = max;
            data[9] = max / 2;
            let labels = Volume::new(h.grid(), data)?;
            for o in BOTH {
                let mut out = Vec::new();
                write_labels(&mut out, &h, &labels, &o)?;
                let (back, header) = read_labels(&out[..], &options())?;
                assert_eq!(back, labels);
                assert_eq!(header.datatype(), datatype);
            }
            let plain = WriteOptions {
                label_intent: false,
                ..WriteOptions::PLAIN
            };
            let mut out = Vec::new();
            write_labels(&mut out, &h, &labels, &plain)?;
            assert_eq!(read_header(&out[..])?.intent_code(), 0);
            assert_eq!(out.len(), source.size as usize + 4 + 24 * datatype.size());
        }
    }
    Ok(())
}

#[test]
fn stored_values_keep_type_scaling_and_intent() -> Check {
    let all = [
        RawData::U8(vec![1; 24]),
        RawData::I8(vec![-1; 24]),
        RawData::U16(vec![60000; 24]),
        RawData::I16(vec![-300; 24]),
        RawData::U32(vec![1 << 31; 24]),
        RawData::I32(vec![-70000; 24]),
        RawData::U64(vec![1 << 63; 24]),
        RawData::I64(vec![-(1 << 40); 24]),
        RawData::F32(vec![0.1; 24]),
        RawData::F64(vec![1e-300; 24]),
    ];
    for source in kinds() {
        let source = source.with(|f| {
            f.slope = 0.5;
            f.inter = -3.;
        });
        let h = read_header(&source.bytes()[..])?;
        for raw in &all {
            assert_eq!((raw.len(), raw.is_empty()), (24, false));
            for o in BOTH {
                let mut out = Vec::new();
                write_raw(&mut out, &h, raw, &o)?;
                let (back, header) = read_raw(&out[..], &options())?;
                assert_eq!(&back, raw);
                assert_eq!(header.datatype(), raw.datatype());
                assert_eq!(
                    header.scaling(),
                    Scaling {
                        slope: 0.5,
                        intercept: -3.
                    }
                );
                assert_eq!(header.intent_code(), 1001);
            }
        }
        let e = write_raw(
            io::sink(),
            &h,
            &RawData::U8(vec![0; 23]),
            &WriteOptions::PLAIN,
        );
        assert!(matches!(
            e,
            Err(VolumeError::DataLength {
                voxels: 24,
                values: 23
            })
        ));
    }
    Ok(())
}

#[test]
fn a_flat_source_without_forms_keeps_its_place() -> Check {
    for source in kinds() {
        let source = source.with(|f| {
            f.dim[0] = 2;
            f.sform = 0;
            f.pixdim[3] = 9.;
        });
        let (v, h) = read_volume(&source.bytes()[..], &options())?;
        let mut out = Vec::new();
        write_volume(&mut out, &h, &v, &WriteOptions::PLAIN)?;
        let (back, header) = read_volume(&out[..], &options())?;
        assert_eq!(back, v);
        assert_eq!(header.affine_source(), AffineSource::Pixdim);
    }
    Ok(())
}

/// Turned, anisotropic, left-handed, off centre.
fn turned() -> Affine {
    let (s, c) = 0.4f64.sin_cos();
    Affine([
        [-1.5 * c, 0.7 * s, 0., 80.25],
        [1.5 * s, 0.7 * c, 0., -100.5],
        [0., 0., 2.2, 33.],
    ])
}

#[test]
fn a_bare_grid_gets_both_forms() -> Check {
    let grid = Grid {
        shape: [3, 4, 5],
        affine: turned(),
    };
    let v = Volume::new(grid.clone(), (0..60).map(|x| x as f32).collect())?;
    let mut header = Header::new(&grid);
    header.set_description("made here");
    let mut out = Vec::new();
    write_volume(&mut out, &header, &v, &WriteOptions::GZIP)?;
    let (back, h) = read_volume(&out[..], &options())?;
    assert_eq!(back.data(), v.data());
    assert_eq!((h.sform_code(), h.qform_code(), h.xyzt_units()), (2, 2, 2));
    assert_eq!(h.description(), "made here");
    assert_eq!(h.pixdim().map(|p| (p * 1e5).round() / 1e5), [1.5, 0.7, 2.2]);
    // The qform alone gives the same place.
    let mut plain = Vec::new();
    write_volume(&mut plain, &header, &v, &WriteOptions::PLAIN)?;
    plain[254..256].fill(0);
    let q = read_header(&plain[..])?;
    assert_eq!(q.affine_source(), AffineSource::Qform(2));
    for a in [h.affine(), q.affine()] {
        for (x, y) in a.0.iter().flatten().zip(turned().0.iter().flatten()) {
            assert!((x - y).abs() < 1e-5, "{a:?}");
        }
    }
    Ok(())
}

#[test]
fn a_sheared_or_singular_grid_has_an_sform_only() -> Check {
    let mut sheared = turned();
    sheared.0[0][2] = 0.5;
    let singular = Affine([[0.; 4]; 3]);
    for affine in [sheared, singular] {
        let grid = Grid {
            shape: [1, 1, 1],
            affine,
        };
        let v = Volume::new(grid.clone(), vec![1f32])?;
        let mut out = Vec::new();
        write_volume(&mut out, &Header::new(&grid), &v, &WriteOptions::PLAIN)?;
        let h = read_header(&out[..])?;
        assert_eq!((h.sform_code(), h.qform_code()), (2, 0));
        assert!((h.affine().0[0][2] - affine.0[0][2]).abs() < 1e-6);
    }
    Ok(())
}

#[test]
fn long_axes_need_nifti_2() -> Check {
    for (n, format) in [(32767, Format::Nifti1), (32768, Format::Nifti2)] {
        let grid = Grid {
            shape: [1, n, 1],
            affine: turned(),
        };
        let labels = Volume::new(grid.clone(), vec![5u16; n])?;
        let mut out = Vec::new();
        write_labels(&mut out, &Header::new(&grid), &labels, &WriteOptions::GZIP)?;
        let (back, h) = read_labels(&out[..], &options())?;
        assert_eq!(back.data(), labels.data());
        assert_eq!(h.format(), format);
        // A NIfTI-1 source cannot lend its header, but what it says can be kept.
        let mut source = read_header(&Nifti::small(false, false).bytes()[..])?;
        source.set_description("from the scanner");
        let h = source.with_grid(&grid);
        assert_eq!((h.sform_code(), h.xyzt_units()), (1, 2));
        assert_eq!(h.description(), "from the scanner");
        write_labels(io::sink(), &h, &labels, &WriteOptions::PLAIN)?;
    }
    Ok(())
}

#[test]
fn another_place_than_the_headers_is_refused() -> Check {
    for source in kinds() {
        let (v, h) = read_volume(&source.bytes()[..], &options())?;
        let (mut grid, data) = v.into_parts();
        grid.affine.0[1][3] += 0.5;
        let moved = Volume::new(grid.clone(), data)?;
        let e = write_volume(io::sink(), &h, &moved, &WriteOptions::PLAIN);
        assert!(
            matches!(e, Err(VolumeError::GridMismatch { what: "affine" })),
            "{e:?}"
        );
        write_volume(
            io::sink(),
            &h.with_grid(&grid),
            &moved,
            &WriteOptions::PLAIN,
        )?;
        grid.shape = [3, 2, 4];
        let turned = Volume::new(grid, vec![0u16; 24])?;
        let e = write_labels(io::sink(), &h, &turned, &WriteOptions::PLAIN);
        assert!(
            matches!(e, Err(VolumeError::GridMismatch { what: "shape" })),
            "{e:?}"
        );
    }
    let empty = Grid {
        shape: [0, 1, 1],
        affine: Affine::IDENTITY,
    };
    let v = Volume::new(empty.clone(), Vec::<f32>::new())?;
    let e = write_volume(io::sink(), &Header::new(&empty), &v, &WriteOptions::PLAIN);
    assert!(
        matches!(e, Err(VolumeError::Field { field: "dim", .. })),
        "{e:?}"
    );
    Ok(())
}

#[test]
fn slabs_written_are_the_whole() -> Check {
    for source in kinds() {
        let (v, h) = read_volume(&source.bytes()[..], &options())?;
        let mut whole = Vec::new();
        write_volume(&mut whole, &h, &v, &WriteOptions::PLAIN)?;
        let mut w = VolumeWriter::new(Vec::new(), &h, &WriteOptions::PLAIN)?;
        w.write_slab(&v.data()[..12])?;
        w.write_slab(&v.data()[12..18])?;
        assert!(matches!(
            w.write_slab(&[0.; 7]),
            Err(VolumeError::SlabLength {
                values: 7,
                plane: 6
            })
        ));
        let e = w.write_slab(&[0.; 12]);
        assert!(
            matches!(
                e,
                Err(VolumeError::PlaneCount {
                    expected: 4,
                    written: 5
                })
            ),
            "{e:?}"
        );
        w.write_slab(&v.data()[18..])?;
        assert_eq!(w.finish()?, whole);
        let w = VolumeWriter::new(Vec::new(), &h, &WriteOptions::PLAIN)?;
        let e = w.finish();
        assert!(
            matches!(
                e,
                Err(VolumeError::PlaneCount {
                    expected: 4,
                    written: 0
                })
            ),
            "{e:?}"
        );
    }
    Ok(())
}

#[test]
fn a_full_disk_is_always_noticed() -> Check {
    /// Takes so many bytes, then none.
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0 == 0 && !bytes.is_empty() {
                return Err(io::Error::other("no space left"));
            }
            let n = bytes.len().min(self.0);
            self.0 -= n;
            Ok(n)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    /// Takes everything, and loses it at the end.
    struct Lost;
    impl Write for Lost {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(io::Error::other("lost"))
        }
    }
    for source in kinds() {
        let (v, h) = read_volume(&source.bytes()[..], &options())?;
        let labels = v.map(|x| *x as u16);
        for o in BOTH {
            let mut good = Vec::new();
            write_labels(&mut good, &h, &labels, &o)?;
            for n in 0..good.len() {
                let e = write_labels(Full(n), &h, &labels, &o);
                assert!(matches!(e, Err(VolumeError::Write(_))), "{n}: {e:?}");
            }
            write_labels(Full(good.len()), &h, &labels, &o)?;
            let e = write_volume(Lost, &h, &v, &o);
            assert!(matches!(e, Err(VolumeError::Write(_))), "{e:?}");
        }
    }
    Ok(())
}
