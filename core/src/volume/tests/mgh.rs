//! MGH volumes.

use super::build::{Mgh, gzip};
use crate::volume::{
    AffineSource, DataType, Format, Orientation, ReadOptions, Volume, VolumeError, VolumeReader,
    WriteOptions, read_labels, read_volume, write_labels,
};

fn read(file: &Mgh) -> Result<Volume<f32>, VolumeError> {
    Ok(read_volume(&file.bytes()[..], &ReadOptions::default())?.0)
}

#[test]
fn values_and_geometry() -> Result<(), VolumeError> {
    let bytes = Mgh::small().bytes();
    for bytes in [bytes.clone(), gzip(&bytes, 6)] {
        let (v, h) = read_volume(&bytes[..], &ReadOptions::default())?;
        assert_eq!(v.data(), (0..24).map(|v| v as f32).collect::<Vec<_>>());
        assert_eq!(h.format(), Format::Mgh);
        assert_eq!(h.affine_source(), AffineSource::Mgh);
        assert_eq!(v.grid().orientation()?, Orientation::LIA);
        assert_eq!(v.grid().spacing(), [2., 3., 4.]);
        // The centre is at half the extents, not between the outer voxels.
        assert_eq!(v.grid().affine.apply([1., 1.5, 2.]), [10., 20., 30.]);
    }
    Ok(())
}

#[test]
fn without_the_flag_nibabels_default() -> Result<(), VolumeError> {
    let mut file = Mgh::small();
    file.flag = 0;
    let v = read(&file)?;
    let rows = [[-1., 0., 0., 1.], [0., 0., -1., 2.], [0., 1., 0., -1.5]];
    assert_eq!(v.grid().affine.0, rows);
    Ok(())
}

#[test]
fn every_type() -> Result<(), VolumeError> {
    let expect = |code, data: Vec<u8>, values: [f32; 2], datatype| {
        let mut file = Mgh::small();
        file.dims = [2, 1, 1, 1];
        file.code = code;
        file.data = data;
        let (v, h) = read_volume(&file.bytes()[..], &ReadOptions::default())?;
        assert_eq!(v.data(), values);
        assert_eq!(h.datatype(), datatype);
        Ok::<_, VolumeError>(())
    };
    expect(0, vec![7, 200], [7., 200.], DataType::U8)?;
    expect(
        1,
        [-70000i32, 70000].map(i32::to_be_bytes).concat(),
        [-7e4, 7e4],
        DataType::I32,
    )?;
    expect(
        3,
        [-0.5f32, 1e9].map(f32::to_be_bytes).concat(),
        [-0.5, 1e9],
        DataType::F32,
    )?;
    expect(
        4,
        [-300i16, 300].map(i16::to_be_bytes).concat(),
        [-300., 300.],
        DataType::I16,
    )?;
    expect(
        10,
        [300u16, 65535].map(u16::to_be_bytes).concat(),
        [300., 65535.],
        DataType::U16,
    )
}

#[test]
fn bad_headers() {
    let error = |change: fn(&mut Mgh)| {
        let mut file = Mgh::small();
        change(&mut file);
        read(&file).expect_err("bad")
    };
    for code in [2, 5, 6, 7, 8, 9, 11, -1] {
        let mut file = Mgh::small();
        file.code = code;
        let e = read(&file).expect_err("type");
        assert!(
            matches!(e, VolumeError::Datatype { code: c, .. } if c == code),
            "{e}"
        );
    }
    let e = error(|f| f.dims[2] = 0);
    assert!(
        matches!(e, VolumeError::Field { field: "depth", .. }),
        "{e}"
    );
    let e = error(|f| f.dims[0] = -2);
    assert!(
        matches!(e, VolumeError::Field { field: "width", .. }),
        "{e}"
    );
    let e = error(|f| f.dims = [2, 3, 2, 2]);
    assert!(
        matches!(e, VolumeError::NotThreeD { volumes: 2, .. }),
        "{e}"
    );
    let e = error(|f| f.dims[0..3].fill(i32::MAX));
    assert!(
        matches!(e, VolumeError::TooLarge { what: "voxels", .. }),
        "{e}"
    );
    let e = error(|f| {
        f.data.truncate(40);
        f.footer.clear();
    });
    assert!(
        matches!(
            e,
            VolumeError::TruncatedData {
                expected: 48,
                found: 40
            }
        ),
        "{e}"
    );
}

#[test]
fn a_frame_can_be_chosen() -> Result<(), VolumeError> {
    let mut file = Mgh::small();
    file.dims = [2, 3, 2, 2];
    let options = ReadOptions {
        volume: Some(1),
        ..ReadOptions::default()
    };
    let (v, _) = read_volume(&file.bytes()[..], &options)?;
    assert_eq!(v.data(), (12..24).map(|v| v as f32).collect::<Vec<_>>());
    Ok(())
}

#[test]
fn tags_after_the_voxels_are_passed_to_the_checksum() -> Result<(), VolumeError> {
    let mut file = Mgh::small();
    file.footer = vec![5; 5000];
    let mut bytes = gzip(&file.bytes(), 6);
    assert!(
        VolumeReader::new(&bytes[..], &ReadOptions::default())?
            .read_all::<f32>()
            .is_ok()
    );
    let n = bytes.len();
    bytes[n - 8] ^= 1;
    let e = VolumeReader::new(&bytes[..], &ReadOptions::default())?.read_all::<f32>();
    assert!(matches!(e, Err(VolumeError::Gzip(_))), "{e:?}");
    // A footer is not required.
    file.footer.clear();
    read(&file).map(drop)
}

#[test]
fn labels_of_an_mgh_source_are_written_as_nifti_in_its_place() -> Result<(), VolumeError> {
    let (labels, header) = read_labels(&Mgh::small().bytes()[..], &ReadOptions::default())?;
    let mut out = Vec::new();
    write_labels(&mut out, &header, &labels, &WriteOptions::PLAIN)?;
    let (back, h) = read_labels(&out[..], &ReadOptions::default())?;
    assert_eq!(h.format(), Format::Nifti1);
    assert_eq!(h.datatype(), DataType::U8);
    assert_eq!((h.sform_code(), h.qform_code()), (1, 1));
    assert_eq!(back, labels);
    Ok(())
}
