//! Reading what is well formed: versions, byte orders, affines, scaling, slabs, labels, pairs.

use super::build::{Nifti, gzip, kinds};
use crate::volume::{
    Affine, AffineSource, DataType, Format, RawData, ReadOptions, VolumeError, VolumeReader,
    read_header, read_labels, read_raw, read_volume,
};

type Check = Result<(), VolumeError>;

fn options() -> ReadOptions {
    ReadOptions::default()
}

fn counting(n: usize) -> Vec<f32> {
    (0..n).map(|v| v as f32).collect()
}

fn affine_of(file: &Nifti) -> Result<(Affine, AffineSource), VolumeError> {
    let h = read_header(&file.bytes()[..])?;
    Ok((h.affine(), h.affine_source()))
}

fn close(a: &Affine, b: [[f64; 4]; 3]) -> bool {
    a.0.iter()
        .flatten()
        .zip(b.iter().flatten())
        .all(|(x, y)| (x - y).abs() < 1e-6)
}

#[test]
fn versions_and_byte_orders() -> Check {
    for file in kinds() {
        let bytes = file.bytes();
        for bytes in [bytes.clone(), gzip(&bytes, 6)] {
            let (v, h) = read_volume(&bytes[..], &options())?;
            assert_eq!(v.data(), counting(24));
            assert_eq!(v.grid().shape, [2, 3, 4]);
            let rows = [[2., 0., 0., -10.], [0., 3., 0., -20.], [0., 0., 4., -30.]];
            assert_eq!(v.grid().affine, Affine(rows));
            assert_eq!(
                h.format(),
                if file.two {
                    Format::Nifti2
                } else {
                    Format::Nifti1
                }
            );
            assert_eq!(h.is_big_endian(), file.big);
            assert_eq!(h.datatype(), DataType::I16);
            assert_eq!(h.dims(), [2, 3, 4]);
            assert_eq!(h.pixdim(), [2., 3., 4.]);
            assert_eq!(
                (h.sform_code(), h.qform_code(), h.intent_code()),
                (1, 0, 1001)
            );
            assert_eq!((h.xyzt_units(), h.description().as_str()), (2, "descrip"));
            assert_eq!(h.data_offset(), file.vox_offset as u64);
            assert!(h.scaling().is_none());
        }
    }
    Ok(())
}

#[test]
fn extensions_are_skipped_and_offset_0_means_after_the_header() -> Check {
    for file in kinds() {
        let size = f64::from(file.size);
        let far = file.clone().with(|f| {
            f.gap = vec![1; 100];
            f.vox_offset = size + 100.;
        });
        assert_eq!(
            read_volume(&far.bytes()[..], &options())?.0.data(),
            counting(24)
        );
        let zero = file.with(|f| f.vox_offset = 0.);
        assert_eq!(
            read_volume(&zero.bytes()[..], &options())?.0.data(),
            counting(24)
        );
    }
    Ok(())
}

#[test]
fn a_wrong_size_field_is_forgiven_where_the_magic_is_right() -> Check {
    for big in [false, true] {
        let file = Nifti::small(false, big).with(|f| f.size = 0);
        assert_eq!(
            read_volume(&file.bytes()[..], &options())?.0.data(),
            counting(24)
        );
    }
    Ok(())
}

#[test]
fn sform_before_qform_before_pixdim() -> Check {
    for file in kinds() {
        let file = file.with(|f| {
            f.qform = 3;
            f.sform = 4;
            f.quatern = [0., 0., 0.5f64.sqrt()];
            f.qoffset = [1., 2., 3.];
        });
        assert_eq!(affine_of(&file)?.1, AffineSource::Sform(4));
        // Unknown codes count as not set.
        for code in [0, -1, 6, 99] {
            let file = file.clone().with(|f| f.sform = code);
            let (a, source) = affine_of(&file)?;
            assert_eq!(source, AffineSource::Qform(3));
            assert!(
                close(&a, [[0., -3., 0., 1.], [2., 0., 0., 2.], [0., 0., 4., 3.]]),
                "{a:?}"
            );
        }
        let file = file.with(|f| {
            f.sform = 0;
            f.qform = 0;
        });
        let (a, source) = affine_of(&file)?;
        assert_eq!(source, AffineSource::Pixdim);
        assert!(
            close(
                &a,
                [[-2., 0., 0., 1.], [0., 3., 0., -3.], [0., 0., 4., -6.]]
            ),
            "{a:?}"
        );
    }
    Ok(())
}

#[test]
fn qform_with_repairs() -> Check {
    for file in kinds() {
        let file = file.with(|f| {
            f.sform = 0;
            f.qform = 1;
        });
        let diagonal = |f: &Nifti| -> Result<[f64; 3], VolumeError> {
            let a = affine_of(f)?.0.0;
            Ok([a[0][0], a[1][1], a[2][2]])
        };
        assert_eq!(diagonal(&file)?, [2., 3., 4.]);
        for (qfac, z) in [(-1., -4.), (0., 4.), (7., 4.)] {
            let file = file.clone().with(|f| f.pixdim[0] = qfac);
            assert_eq!(diagonal(&file)?, [2., 3., z]);
        }
        let odd = file
            .clone()
            .with(|f| f.pixdim[1..4].copy_from_slice(&[-2., 0., 4.]));
        assert_eq!(diagonal(&odd)?, [2., 1., 4.]);
        // A half turn, with rounding on either side of unit length.
        let eps = if file.two { 2e-16 } else { 1e-7 };
        for b in [1. - eps, 1., 1. + eps] {
            let file = file.clone().with(|f| f.quatern = [b, 0., 0.]);
            let a = affine_of(&file)?.0;
            assert!(
                close(&a, [[2., 0., 0., 0.], [0., -3., 0., 0.], [0., 0., -4., 0.]]),
                "{a:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn missing_axes_are_one_voxel_of_one_mm() -> Check {
    for file in kinds() {
        let file = file.with(|f| {
            f.dim[0] = 2;
            f.sform = 0;
            f.data.truncate(12);
        });
        let (v, h) = read_volume(&file.bytes()[..], &options())?;
        assert_eq!(v.grid().shape, [2, 3, 1]);
        assert_eq!(h.dims(), [2, 3]);
        let rows = [[-2., 0., 0., 1.], [0., 3., 0., -3.], [0., 0., 1., 0.]];
        assert!(close(&v.grid().affine, rows));
    }
    Ok(())
}

#[test]
fn slopes_apply_unless_0_or_not_finite() -> Check {
    for file in kinds() {
        let read = |slope: f64, inter: f64| {
            let file = file.clone().with(|f| {
                f.slope = slope;
                f.inter = inter;
            });
            Ok::<_, VolumeError>(read_volume(&file.bytes()[..], &options())?.0.into_parts().1)
        };
        assert_eq!(read(-2., 5.)?[..3], [5., 3., 1.]);
        assert_eq!(read(1., 5.)?[..3], [5., 6., 7.]);
        for slope in [0., f64::NAN, f64::INFINITY] {
            for inter in [7., f64::NAN, f64::INFINITY] {
                assert_eq!(read(slope, inter)?, counting(24));
            }
        }
        let e = read(2., f64::NAN).expect_err("nibabel refuses this too");
        assert!(e.to_string().contains("scl_inter"), "{e}");
    }
    Ok(())
}

#[test]
fn trailing_ones_are_three_dimensional_and_a_volume_can_be_chosen() -> Check {
    for file in kinds() {
        let ones = file.clone().with(|f| f.dim = [7, 2, 3, 4, 1, 1, 1, 1]);
        assert_eq!(
            read_volume(&ones.bytes()[..], &options())?.0.data(),
            counting(24)
        );
        let four = file.with(|f| f.dim = [5, 2, 3, 1, 2, 2, 1, 1]);
        for index in 0..4 {
            let o = ReadOptions {
                volume: Some(index),
                ..options()
            };
            for bytes in [four.bytes(), gzip(&four.bytes(), 1)] {
                let (v, h) = read_volume(&bytes[..], &o)?;
                assert_eq!(v.data(), &counting(24)[6 * index as usize..][..6]);
                assert_eq!(v.grid().shape, [2, 3, 1]);
                assert_eq!((h.volumes(), h.dims()), (4, &[2u64, 3, 1, 2, 2][..]));
            }
        }
        assert_eq!(read_header(&four.bytes()[..])?.volumes(), 4);
    }
    Ok(())
}

#[test]
fn slabs_give_the_whole() -> Check {
    for file in kinds() {
        let bytes = gzip(&file.bytes(), 6);
        for planes in 1..6 {
            let mut reader = VolumeReader::new(&bytes[..], &options())?;
            let mut slab = vec![0f32; planes * reader.plane_len()];
            let mut all = Vec::new();
            loop {
                let n = reader.read_slab(&mut slab)?;
                if n == 0 {
                    break;
                }
                all.extend_from_slice(&slab[..n * reader.plane_len()]);
            }
            assert_eq!(all, counting(24));
            assert_eq!(reader.planes_left(), 0);
        }
        let mut reader = VolumeReader::new(&bytes[..], &options())?;
        reader.skip_planes(2)?;
        let mut slab = [0f64; 6];
        assert_eq!(reader.read_slab(&mut slab)?, 1);
        assert_eq!(slab, [12., 13., 14., 15., 16., 17.]);
        assert!(matches!(
            reader.read_slab(&mut [0f32; 5]),
            Err(VolumeError::SlabLength {
                values: 5,
                plane: 6
            })
        ));
        assert!(matches!(
            reader.read_slab::<f32>(&mut []),
            Err(VolumeError::SlabLength { .. })
        ));
        assert!(matches!(
            reader.read_all::<f32>(),
            Err(VolumeError::DataLength { .. })
        ));
    }
    Ok(())
}

#[test]
fn labels_are_exact() -> Check {
    for file in kinds() {
        let (v, _) = read_labels(&file.bytes()[..], &options())?;
        assert_eq!(v.data(), (0..24).collect::<Vec<u16>>());
        let negative = file.clone().with(|f| {
            let v = -5i16;
            let bytes = if f.big {
                v.to_be_bytes()
            } else {
                v.to_le_bytes()
            };
            f.data[2 * 9..2 * 10].copy_from_slice(&bytes);
        });
        match read_labels(&negative.bytes()[..], &options()) {
            Err(VolumeError::NotALabel { voxel, value, max }) => {
                assert_eq!((voxel, value, max), ([1, 1, 1], -5., 65535));
            }
            other => panic!("{other:?}"),
        }
        let halves = file.with(|f| f.slope = 0.5);
        let e = read_labels(&halves.bytes()[..], &options()).expect_err("halves");
        assert!(
            matches!(
                e,
                VolumeError::NotALabel {
                    voxel: [1, 0, 0],
                    ..
                }
            ),
            "{e}"
        );
    }
    Ok(())
}

#[test]
fn raw_values_keep_their_type() -> Check {
    for file in kinds() {
        let file = file.with(|f| f.slope = 3.);
        let (raw, h) = read_raw(&file.bytes()[..], &options())?;
        assert_eq!(raw, RawData::I16((0..24).collect()));
        assert_eq!(h.scaling().slope, 3.);
        let float = file.with(|f| {
            f.datatype = 16;
            f.dim = [3, 3, 1, 1, 1, 1, 1, 1];
            let v = [1.5f32, f32::NAN, -2.];
            let big = f.big;
            f.data = v
                .iter()
                .flat_map(|v| {
                    if big {
                        v.to_be_bytes()
                    } else {
                        v.to_le_bytes()
                    }
                })
                .collect();
        });
        match read_raw(&float.bytes()[..], &options())?.0 {
            RawData::F32(v) => assert!(v[0] == 1.5 && v[1].is_nan() && v[2] == -2.),
            other => panic!("{other:?}"),
        }
    }
    Ok(())
}

#[test]
fn nan_and_infinity_are_kept_and_counted() -> Check {
    let values = [1f32, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 2., 3.];
    let file = Nifti::small(false, false).with(|f| {
        f.datatype = 16;
        f.dim = [3, 1, 2, 3, 1, 1, 1, 1];
        f.data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    });
    let (v, _) = read_volume(&file.bytes()[..], &options())?;
    let found = v.non_finite();
    assert_eq!(
        (found.nan, found.infinite, found.first),
        (1, 2, Some([0, 1, 0]))
    );
    assert_eq!(v.data()[2..4], values[2..4]);
    Ok(())
}

#[test]
fn pairs_are_read_from_two_sources() -> Check {
    for file in kinds() {
        let pair = file.with(|f| {
            f.magic[1] = b'i';
            f.vox_offset = 0.;
        });
        for offset in [0usize, 16] {
            let pair = pair.clone().with(|f| f.vox_offset = offset as f64);
            let image = [vec![9; offset], pair.data.clone()].concat();
            for image in [image.clone(), gzip(&image, 6)] {
                let header = gzip(&pair.header(), 6);
                let r = VolumeReader::from_pair(&header[..], &image[..], &options())?;
                assert!(r.header().is_pair());
                assert_eq!(r.read_all::<f32>()?.0.data(), counting(24));
            }
        }
        let e = VolumeReader::new(&pair.bytes()[..], &options()).err();
        assert!(matches!(e, Some(VolumeError::PairHeader { .. })), "{e:?}");
        let single = Nifti::small(pair.two, pair.big);
        let e = VolumeReader::from_pair(&single.bytes()[..], &pair.data[..], &options()).err();
        assert!(
            matches!(e, Some(VolumeError::Field { field: "magic", .. })),
            "{e:?}"
        );
    }
    Ok(())
}
