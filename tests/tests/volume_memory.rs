//! Files that lie about their size do not take memory. Alone in its process, whose peak it reads.

#![cfg(target_os = "linux")]

use std::io::Write;

use amaes_core::volume::{Affine, Grid, Header, ReadOptions, VolumeError, read_volume};
use flate2::Compression;
use flate2::write::GzEncoder;

/// Peak resident memory of this process in MiB.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}

#[test]
fn a_lying_header_and_a_gzip_bomb_take_little_memory() {
    let Some(before) = peak() else {
        eprintln!("skipped: no /proc/self/status");
        return;
    };
    // A gibivoxel, allowed by the default limits, of which 100 kB are there.
    let grid = Grid {
        shape: [1024, 1024, 1024],
        affine: Affine::IDENTITY,
    };
    let mut lying = Header::new(&grid).as_bytes().to_vec();
    lying.resize(352 + 100_000, 1);
    let e = read_volume(&lying[..], &ReadOptions::default());
    assert!(
        matches!(
            e,
            Err(VolumeError::TruncatedData {
                expected: 0x1_0000_0000,
                found: 100_000
            })
        ),
        "{:?}",
        e.err()
    );

    // A gigabyte of zeros in a megabyte behind a header that asks for eight voxels.
    let grid = Grid {
        shape: [2, 2, 2],
        affine: Affine::IDENTITY,
    };
    let mut bomb = GzEncoder::new(Vec::new(), Compression::new(1));
    bomb.write_all(Header::new(&grid).as_bytes())
        .expect("memory");
    let zeros = vec![0; 1 << 20];
    for _ in 0..1024 {
        bomb.write_all(&zeros).expect("memory");
    }
    let bomb = bomb.finish().expect("memory");
    let (v, _) = read_volume(&bomb[..], &ReadOptions::default()).expect("the start is good");
    assert_eq!(v.data(), [0.0; 8]);

    // The same zeros where the header asks for more than is allowed.
    let grid = Grid {
        shape: [32767, 32767, 2],
        affine: Affine::IDENTITY,
    };
    let mut huge = GzEncoder::new(Vec::new(), Compression::new(1));
    huge.write_all(Header::new(&grid).as_bytes())
        .expect("memory");
    huge.write_all(&zeros).expect("memory");
    let huge = huge.finish().expect("memory");
    let e = read_volume(&huge[..], &ReadOptions::default());
    assert!(
        matches!(e, Err(VolumeError::TooLarge { what: "voxels", .. })),
        "{:?}",
        e.err()
    );

    let after = peak().unwrap_or(u64::MAX);
    assert!(
        after < before + 64,
        "{before} MiB before, {after} MiB after"
    );
}
