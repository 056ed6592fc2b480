//! Any bytes as parts of a store. The first says which: 0 the root group, 1 the index, others a
//! shard of 20^3 voxels in chunks of 10^3, by zstd or gzip.
#![no_main]

use amaes::store::{Codec, Layout, RootAttributes, check_shard, parse_index};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else {
        return;
    };
    let root = br#"{"zarr_format": 3, "node_type": "group", "attributes": {"amaes": {
        "format": 1, "plan": {"steps": []}, "dtype": "uint16", "bits": 16,
        "codec": {"name": "zstd", "level": 1}, "chunk": 64, "shard": 512, "created_by": ""}}}"#;
    let layout = Layout {
        shape: [20; 3],
        chunk: [10; 3],
        shard: [20; 3],
    };
    match kind {
        0 => drop(RootAttributes::parse(bytes, "zarr.json")),
        1 => {
            let root = RootAttributes::parse(root, "zarr.json").expect("a root");
            drop(parse_index(bytes, "index.jsonl", &root));
        }
        2 => drop(check_shard(bytes, &layout, Codec::Gzip { level: 1 })),
        _ => drop(check_shard(bytes, &layout, Codec::Zstd { level: 1 })),
    }
});
