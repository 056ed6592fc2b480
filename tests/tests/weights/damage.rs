//! Damaged files of every format: each cut and each flipped byte gives an error or the same
//! tensors, never a panic.

use amaes_core::weights::{StateDict, WeightsError};

use super::{data, read_plain};

/// Reads damaged bytes and uses what comes out.
fn survive(bytes: Vec<u8>) -> Result<StateDict, WeightsError> {
    let state = read_plain(bytes)?;
    for name in state.names() {
        // Values may have changed where the format has no checksum.
        let _ = state.f32(name);
    }
    Ok(state)
}

const FILES: [&str; 6] = [
    "views.pth",
    "legacy.pth",
    "lightning.ckpt",
    "state_dict.pth",
    "deflated.pth",
    "attack.pkl",
];

#[test]
fn cut_files_are_refused() {
    for file in FILES {
        let good = data(file);
        for len in 0..good.len() {
            assert!(
                survive(good[..len].to_vec()).is_err(),
                "{file} cut to {len} bytes"
            );
        }
    }
}

#[test]
fn flipped_bytes_do_no_harm() {
    for file in FILES {
        let good = data(file);
        for at in 0..good.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = good.clone();
                bytes[at] ^= flip;
                let _ = survive(bytes);
            }
        }
    }
}

/// The zip archive has a checksum of every storage, so that changed values are found.
#[test]
fn changed_values_in_an_archive_are_found() {
    let good = data("state_dict.pth");
    // 107 is the last value of the second weight.
    let value = 107f32.to_le_bytes();
    let at = good
        .windows(4)
        .position(|window| window == value)
        .expect("the value");
    let mut bytes = good;
    bytes[at] ^= 1;
    let error = survive(bytes).expect_err("changed").to_string();
    assert!(error.contains("`state_dict/data/2`"), "{error}");
    assert!(error.to_lowercase().contains("checksum"), "{error}");
}

/// An archive whose directory claims that a compressed storage is larger than it is.
#[test]
fn sizes_in_an_archive_are_not_believed() {
    let good = data("deflated.pth");
    let name = b"state_dict/data/2";
    // In the directory, the second place of the name; the size is 22 bytes before it.
    let at = good
        .windows(name.len())
        .rposition(|window| window == name)
        .expect("an entry");
    let claim = |size: u32| {
        let mut bytes = good.clone();
        bytes[at - 22..at - 18].copy_from_slice(&size.to_le_bytes());
        survive(bytes).expect_err("a lie").to_string()
    };
    assert!(
        claim(0xf000_0000).contains("`state_dict/data/2` is 4026531840 bytes, above the limit")
    );
    let error = claim(0x3000_0000);
    assert!(error.contains("`state_dict/data/2`"), "{error}");
    claim(100);
}

/// Pickles that ask for much with few bytes.
#[test]
fn small_pickles_that_grow_are_refused() {
    let refused = |what: &str, body: &[u8]| {
        let bytes = [b"\x80\x02", body].concat();
        survive(bytes).expect_err(what).to_string()
    };
    // Lengths beyond the file.
    assert!(refused("text", b"X\xff\xff\xff\x7fabc.").contains("2147483647 bytes wanted"));
    assert!(refused("bytes", b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.").contains("bytes wanted"));
    // A stack that is not there.
    for body in [
        &b"."[..],
        b"0.",
        b"R.",
        b"u.",
        b"e.",
        b"b.",
        b"\x93.",
        b"(s.",
        b"(a.",
        b"h\x00.",
    ] {
        refused("stack", body);
    }
    // Lists within lists, shared twice on each level: 2^40 paths.
    let mut body = b"]q\x00".to_vec();
    for _ in 0..40 {
        body.extend(b"0(h\x00h\x00lq\x00");
    }
    body.push(b'.');
    // No tensor can be in a pickle alone, so it is not even walked.
    assert!(refused("bomb", &body).contains("no tensors"));
    // A list that contains itself.
    refused("cycle", b"]q\x00h\x00a.");
    // Millions of empty lists.
    let error = refused("many", &[b"]".repeat(3_000_000), b".".to_vec()].concat());
    assert!(
        error.contains("more values than a checkpoint has"),
        "{error}"
    );
}
