//! What must hold of any bytes that are read as a volume.

use amaes_core::volume::{
    ReadOptions, Volume, VolumeReader, WriteOptions, read_header, read_labels, read_raw,
    read_volume, write_labels, write_raw, write_volume,
};

const OPTIONS: ReadOptions = ReadOptions {
    volume: Some(0),
    max_voxels: 1 << 15,
    max_bytes: 1 << 20,
};

fn bits(values: &[f32]) -> impl Iterator<Item = u32> + '_ {
    values.iter().map(|v| v.to_bits())
}

/// Reads `bytes` in every way. What can be read can be written, and reads the same again.
pub fn check(bytes: &[u8]) {
    let header = read_header(bytes);
    if let Ok((volume, header)) = read_volume(bytes, &OPTIONS) {
        let _ = volume.grid().orientation();
        let _ = volume.non_finite();
        check_slabs(bytes, &volume);
        let mut out = Vec::new();
        write_volume(&mut out, &header, &volume, &WriteOptions::PLAIN).expect("a sink");
        let (back, again) = read_volume(&out[..], &OPTIONS).expect("written here");
        assert!(bits(back.data()).eq(bits(volume.data())));
        assert_eq!(back.grid().shape, volume.grid().shape);
        assert_eq!(
            again.pixdim().map(f64::to_bits),
            header.pixdim().map(f64::to_bits)
        );
        if let Ok(turned) = volume.reoriented("LIA".parse().expect("an orientation")) {
            assert_eq!(turned.data().len(), volume.data().len());
        }
        let _ = header.with_grid(volume.grid());
    }
    if let Ok((labels, header)) = read_labels(bytes, &OPTIONS) {
        let mut out = Vec::new();
        write_labels(&mut out, &header, &labels, &WriteOptions::PLAIN).expect("a sink");
        let (back, _) = read_labels(&out[..], &OPTIONS).expect("written here");
        assert_eq!(back.data(), labels.data());
    }
    if let Ok((raw, header)) = read_raw(bytes, &OPTIONS) {
        let mut out = Vec::new();
        write_raw(&mut out, &header, &raw, &WriteOptions::PLAIN).expect("a sink");
        let (back, _) = read_raw(&out[..], &OPTIONS).expect("written here");
        assert_eq!(back.len(), raw.len());
        assert_eq!(back.datatype(), raw.datatype());
    }
    if header.is_ok_and(|h| h.is_pair()) {
        let (head, image) = bytes.split_at(bytes.len().min(540));
        if let Ok(reader) = VolumeReader::from_pair(head, image, &OPTIONS) {
            let _ = reader.read_all::<f64>();
        }
    }
}

fn check_slabs(bytes: &[u8], whole: &Volume<f32>) {
    let mut reader = VolumeReader::new(bytes, &OPTIONS).expect("read before");
    let mut slab = vec![0f32; 3 * reader.plane_len()];
    let mut at = 0;
    loop {
        let n = reader.read_slab(&mut slab).expect("read before") * reader.plane_len();
        if n == 0 {
            break;
        }
        assert!(bits(&slab[..n]).eq(bits(&whole.data()[at..at + n])));
        at += n;
    }
    assert_eq!(at, whole.data().len());
}
