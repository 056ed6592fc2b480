//! Damaged and hostile stores: each is refused by name, before memory is taken.

use amaes::store::{Codec, Dtype, Part, RootAttributes, Store, StoreError, parse_index};

use super::{options, store, volume};

#[test]
fn damage_is_named_by_file_volume_and_chunk() {
    let folder = tempfile::tempdir().expect("a folder");
    let volumes = [("a", volume([40; 3], 1)), ("b", volume([40; 3], 2))];
    let store = store(folder.path(), options(), &volumes);
    let path = folder.path().join("volumes/b/0/c/0/0/0");
    let good = std::fs::read(&path).expect("a shard");
    let location = folder.path().to_str().expect("text");
    let mut out = vec![0.0; 64_000];
    let mut read = |bytes: &[u8]| {
        std::fs::write(&path, bytes).expect("written");
        // A new reader: the old one knows the shard's index.
        let store = Store::open(location).expect("opened");
        store
            .read(0, [0; 3], [40; 3], &mut out)
            .expect("a is whole");
        let error = store
            .read(1, [0; 3], [40; 3], &mut out)
            .expect_err("damaged");
        assert!(error.is_damage());
        let text = error.to_string();
        assert!(
            text.contains("volumes/b/0/c/0/0/0") && text.contains("`b`"),
            "{text}"
        );
        match error {
            StoreError::Damaged { part, .. } => (part, text),
            other => panic!("{other}"),
        }
    };
    let index = good.len() - (store.entries()[1].shard_bytes.len() * 27 * 16 + 4);
    let mut flipped = good.clone();
    flipped[index / 2] ^= 1;
    let (part, text) = read(&flipped);
    assert!(matches!(part, Part::Chunk(_)), "{text}");
    assert!(text.contains("wrong checksum"), "{text}");
    // The chunk that is named is the flipped one: it alone cannot be read.
    let Part::Chunk(named) = part else {
        unreachable!("checked above");
    };
    let fresh = Store::open(location).expect("opened");
    let mut one = vec![0.0; 14 * 14 * 14];
    let mut bad = Vec::new();
    for i in 0..27 {
        let chunk = [i % 3, i / 3 % 3, i / 9];
        let size = chunk.map(|c| if c == 2 { 40 - 28 } else { 14 });
        let start = chunk.map(|c| c as i64 * 14);
        let n = size.iter().product();
        if fresh.read(1, start, size, &mut one[..n]).is_err() {
            bad.push(chunk);
        }
    }
    assert_eq!(bad, [named]);

    let mut flipped = good.clone();
    flipped[index + 20] ^= 1;
    assert_eq!(read(&flipped).0, Part::Index);
    let (part, text) = read(&good[..good.len() - 7]);
    assert_eq!(part, Part::File);
    assert!(text.contains(&format!("{}", good.len())), "{text}");
    assert_eq!(read(&[]).0, Part::File);
    std::fs::remove_file(&path).expect("removed");
    let gone = fresh
        .read(1, [0; 3], [1; 3], &mut one[..1])
        .expect_err("gone");
    assert!(
        gone.is_damage() && gone.to_string().contains("`b`"),
        "{gone}"
    );
}

#[test]
fn a_store_that_was_never_sealed_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    store(path, options(), &[("a", volume([20; 3], 1))]);
    std::fs::remove_file(path.join("index.jsonl")).expect("removed");
    let error = Store::open(path.to_str().expect("text")).expect_err("refused");
    assert!(matches!(error, StoreError::NotSealed { .. }), "{error}");
    let nowhere = path.join("nowhere");
    let error = Store::open(nowhere.to_str().expect("text")).expect_err("refused");
    assert!(error.to_string().contains("nowhere"), "{error}");
}

/// What a reader makes of the root's metadata with one text in place of another.
fn root(change: (&str, &str)) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    store(folder.path(), options(), &[("a", volume([20; 3], 1))]);
    let path = folder.path().join("zarr.json");
    let text = std::fs::read_to_string(&path).expect("read");
    assert!(text.contains(change.0), "{text}");
    std::fs::write(&path, text.replace(change.0, change.1)).expect("written");
    let opened = Store::open(folder.path().to_str().expect("text"));
    opened.expect_err("refused").to_string()
}

#[test]
fn foreign_roots_are_refused() {
    for (change, part) in [
        (
            (r#""zarr_format": 3"#, r#""zarr_format": 2"#),
            "zarr_format",
        ),
        ((r#""amaes": {"#, r#""other": {"#), "attributes.amaes"),
        ((r#""format": 1"#, r#""format": 2"#), "version 2 is unknown"),
        ((r#""uint16""#, r#""complex64""#), "complex64"),
        ((r#""zstd""#, r#""blosc""#), "blosc"),
        (("{", "["), "JSON"),
    ] {
        let message = root(change);
        assert!(message.contains(part), "{message}");
        assert!(message.contains("zarr.json"), "{message}");
    }
}

#[test]
fn hostile_lines_are_refused_before_memory_is_taken() {
    let attributes = |dtype| RootAttributes {
        format: 1,
        plan: amaes_core::preprocess::Plan::default(),
        dtype,
        bits: 16,
        codec: Codec::Zstd { level: 1 },
        chunk: 64,
        shard: 512,
        created_by: String::new(),
    };
    let good = r#"{"id":"a","shape":[20,20,20],"spacing":[1.0,1.0,1.0],"source":"s","min":0.0,"max":1.0,"mean":0.5,"sd":0.1,"foreground":0.5,"blocks":{"block":32,"bits":"1"},"chunk":[20,20,20],"shard":[20,20,20],"shard_bytes":[100],"quantisation":{"scale":0.1,"offset":0.0}}"#;
    let parse = |line: &str, dtype| {
        parse_index(
            format!("{line}\n").as_bytes(),
            "index.jsonl",
            &attributes(dtype),
        )
    };
    assert_eq!(parse(good, Dtype::Uint16).expect("good").len(), 1);
    assert!(parse(good, Dtype::Float16).is_err());
    let huge = format!("[{0},{0},{0}]", 1u64 << 20);
    let overflow = format!("[{0},{0},{0}]", u64::MAX);
    for (from, to, part) in [
        (
            r#""shape":[20,20,20]"#,
            format!(r#""shape":{huge}"#),
            "shape",
        ),
        (
            r#""shape":[20,20,20]"#,
            format!(r#""shape":{overflow}"#),
            "shape",
        ),
        (
            r#""shape":[20,20,20]"#,
            r#""shape":[20,0,20]"#.into(),
            "shape",
        ),
        (
            r#""shape":[20,20,20]"#,
            r#""shape":[-1,20,20]"#.into(),
            "JSON",
        ),
        (r#""shape":[20,20,20]"#, r#""shape":[20,20]"#.into(), "JSON"),
        (
            r#""chunk":[20,20,20]"#,
            r#""chunk":[0,20,20]"#.into(),
            "chunk",
        ),
        (
            r#""chunk":[20,20,20]"#,
            r#""chunk":[16384,16384,4]"#.into(),
            "chunk",
        ),
        (
            r#""shard":[20,20,20]"#,
            r#""shard":[30,20,20]"#.into(),
            "shard",
        ),
        (
            r#""shard":[20,20,20]"#,
            format!(r#""shard":{huge}"#),
            "shard",
        ),
        (
            r#""shard_bytes":[100]"#,
            r#""shard_bytes":[]"#.into(),
            "shard_bytes",
        ),
        (r#""bits":"1""#, r#""bits":"11""#.into(), "blocks"),
        (r#""bits":"1""#, r#""bits":"3""#.into(), "blocks"),
        (r#""block":32"#, r#""block":0"#.into(), "blocks"),
        (
            r#""spacing":[1.0,1.0,1.0]"#,
            r#""spacing":[0.0,1.0,1.0]"#.into(),
            "spacing",
        ),
        (r#""min":0.0"#, r#""min":2.0"#.into(), "min"),
        (r#""min":0.0"#, r#""min":1e999"#.into(), "JSON"),
        (r#""scale":0.1"#, r#""scale":0.0"#.into(), "quantisation"),
        (r#""id":"a""#, r#""id":"../../etc""#.into(), "id"),
        (
            r#""source":"s""#,
            r#""source":"s","weight":-1"#.into(),
            "weight",
        ),
        (r#""source":"s","#, String::new(), "source"),
    ] {
        assert!(good.contains(from));
        let line = good.replacen(from, &to, 1);
        let error = parse(&line, Dtype::Uint16).expect_err(&line).to_string();
        assert!(
            error.contains("index.jsonl, line 1") && error.contains(part),
            "{error}"
        );
    }
    let twice = parse_index(
        format!("{good}\n{good}\n").as_bytes(),
        "index.jsonl",
        &attributes(Dtype::Uint16),
    );
    assert!(twice.expect_err("twice").to_string().contains("line 2"));
    let cut = parse_index(good.as_bytes(), "index.jsonl", &attributes(Dtype::Uint16));
    assert!(cut.expect_err("cut off").to_string().contains("cut off"));
}

/// A file of the right size whose index points anywhere.
#[test]
fn hostile_shards_are_refused() {
    use amaes::store::{Layout, check_shard};
    let layout = Layout {
        shape: [20; 3],
        chunk: [10; 3],
        shard: [20; 3],
    };
    let codec = Codec::Zstd { level: 1 };
    let shard = |offset: u64, length: u64| {
        let mut index = vec![0xff; 8 * 16];
        index[..8].copy_from_slice(&offset.to_le_bytes());
        index[8..16].copy_from_slice(&length.to_le_bytes());
        let mut bytes = vec![7; 50];
        bytes.extend(&index);
        bytes.extend(crc32c(&index).to_le_bytes());
        check_shard(&bytes, &layout, codec)
    };
    assert_eq!(shard(u64::MAX, u64::MAX), Ok(0));
    for (offset, length) in [
        (0, 51),
        (51, 1),
        (u64::MAX, 2),
        (2, u64::MAX),
        (1 << 63, 1 << 63),
    ] {
        let message = shard(offset, length).expect_err("refused");
        assert!(message.contains("chunk 0 has"), "{message}");
    }
    assert!(shard(0, 50).expect_err("refused").contains("checksum"));
    assert!(shard(0, 3).expect_err("refused").contains("checksum"));
    assert!(check_shard(&[0; 10], &layout, codec).is_err());
}

/// CRC-32C bit by bit, apart from the library that reads with.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &b in bytes {
        crc ^= u32::from(b);
        for _ in 0..8 {
            crc = crc >> 1 ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

/// Thousands of damaged copies of an index, a root and a shard: errors, never a panic or memory.
#[test]
fn no_damage_makes_a_reader_panic() {
    use amaes::store::check_shard;
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path(), options(), &[("a", volume([20; 3], 1))]);
    let layout = store.entries()[0].layout();
    let read = |name: &str| std::fs::read(folder.path().join(name)).expect("read");
    let mut random = super::noise(11);
    let mut below = |n: usize| ((random() * n as f32) as usize).min(n - 1);
    let mut refused = [0; 3];
    for (kind, name) in ["zarr.json", "index.jsonl", "volumes/a/0/c/0/0/0"]
        .iter()
        .enumerate()
    {
        let good = read(name);
        for _ in 0..2000 {
            let mut bytes = good.clone();
            for _ in 0..=below(3) {
                let at = below(bytes.len());
                match below(4) {
                    0 => bytes[at] ^= 1 << below(8),
                    1 => bytes[at] = b"0[]{}\",-9e"[below(10)],
                    2 => bytes.truncate(at.max(1)),
                    _ => bytes.insert(at, b"0[]{}\",-9e"[below(10)]),
                }
            }
            let failed = match kind {
                0 => RootAttributes::parse(&bytes, name).is_err(),
                1 => parse_index(&bytes, name, store.attributes()).is_err(),
                _ => check_shard(&bytes, &layout, store.attributes().codec).is_err(),
            };
            refused[kind] += usize::from(failed);
        }
    }
    assert!(refused.iter().all(|&n| n > 500), "{refused:?}");
    assert!(refused[2] > 1900, "{refused:?}");
}
