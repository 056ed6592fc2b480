//! Stores beside zarr-python.

use std::path::Path;
use std::process::Command;

use amaes::store::{Codec, Dtype, Store, StoreOptions};
use serde_json::{Value, json};

use super::{options, store, volume};

/// What zarr-python wrote, as a file of our tests.
fn data(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/store");
    std::fs::read(folder.join(name)).expect("a file of the tests")
}

/// The codes of `reference/store.py`.
fn codes() -> Vec<u16> {
    let mut out = Vec::new();
    for z in 0..11usize {
        for y in 0..13 {
            for x in 0..17 {
                let v = x * 73 + y * 179 + z * 283 + x * y * 7 + y * z * 11 + x * z * 5;
                let corner = z >= 6 && y >= 7 && x >= 9;
                out.push(if corner { 0 } else { (v % 997) as u16 });
            }
        }
    }
    out
}

/// Arrays of zarr-python in a store of ours.
#[test]
fn arrays_of_zarr_python_are_read() {
    for (dtype, codec) in [
        ("uint16", json!({"name": "zstd", "level": 3})),
        ("float16", json!({"name": "gzip", "level": 6})),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let shard = data(&format!("{dtype}/c/0/0/0"));
        let array = folder.path().join("volumes/x/0/c/0/0");
        std::fs::create_dir_all(&array).expect("folders");
        std::fs::write(array.join("0"), &shard).expect("written");
        let root = json!({"zarr_format": 3, "node_type": "group", "attributes": {"amaes": {
            "format": 1, "plan": {"steps": []}, "dtype": dtype, "bits": 16, "codec": codec,
            "chunk": 8, "shard": 16, "created_by": "zarr-python",
        }}});
        let mut entry = json!({
            "id": "x", "shape": [17, 13, 11], "spacing": [1.0, 1.0, 1.0], "source": "a",
            "min": 0.0, "max": 996.0, "mean": 1.0, "sd": 1.0, "foreground": 1.0,
            "blocks": {"block": 32, "bits": "1"}, "chunk": [9, 7, 6], "shard": [18, 14, 12],
            "shard_bytes": [shard.len()],
        });
        if dtype == "uint16" {
            entry["quantisation"] = json!({"scale": 0.5, "offset": -3.0});
        }
        std::fs::write(folder.path().join("zarr.json"), root.to_string()).expect("written");
        std::fs::write(folder.path().join("index.jsonl"), format!("{entry}\n")).expect("written");
        let store = Store::open(folder.path().to_str().expect("text")).expect("opened");
        let mut out = vec![0.0; 17 * 13 * 11];
        store.read(0, [0; 3], [17, 13, 11], &mut out).expect("read");
        for (found, code) in out.into_iter().zip(codes()) {
            if dtype == "uint16" {
                assert_eq!(found, f32::from(code) * 0.5 - 3.0);
            } else {
                // NumPy's float16 of a double: within half a unit in the last place.
                let expected = f32::from(code) / 997.0;
                assert!(
                    (found - expected).abs() <= expected / 2048.0,
                    "{found} {expected}"
                );
            }
        }
    }
}

/// The metadata of an array are those that zarr-python writes for the same array.
#[test]
fn metadata_are_those_of_zarr_python() {
    for (dtype, codec) in [
        (Dtype::Uint16, Codec::Zstd { level: 3 }),
        (Dtype::Float16, Codec::Gzip { level: 6 }),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let options = StoreOptions {
            dtype,
            codec,
            chunk: 8,
            shard: 16,
            ..StoreOptions::default()
        };
        // 17 voxels are more than a shard, so that shards are whole chunks of at least 256.
        store(folder.path(), options, &[("x", volume([17, 13, 11], 1))]);
        let path = folder.path().join("volumes/x/0/zarr.json");
        let ours: Value =
            serde_json::from_slice(&std::fs::read(path).expect("read")).expect("JSON");
        let theirs: Value =
            serde_json::from_slice(&data(&format!("{dtype}/zarr.json"))).expect("JSON");
        for field in [
            "zarr_format",
            "node_type",
            "shape",
            "data_type",
            "chunk_key_encoding",
            "dimension_names",
        ] {
            assert_eq!(ours[field], theirs[field], "{field}");
        }
        let simple = |v: &Value| {
            let sharding = &v["codecs"][0];
            let names = |list: &str| -> Vec<String> {
                let list = sharding["configuration"][list].as_array().expect("codecs");
                let text = |c: &Value| {
                    let configuration = c.get("configuration").filter(|v| *v != &json!({}));
                    format!("{} {}", c["name"], configuration.unwrap_or(&Value::Null))
                };
                list.iter().map(text).collect()
            };
            assert_eq!(v["codecs"].as_array().map(Vec::len), Some(1));
            let location = &sharding["configuration"]["index_location"];
            (
                sharding["name"].clone(),
                names("codecs"),
                names("index_codecs"),
                location.as_str().unwrap_or("end").to_owned(),
            )
        };
        assert_eq!(simple(&ours), simple(&theirs));
        assert_eq!(ours["fill_value"].as_f64(), theirs["fill_value"].as_f64());
    }
}

/// A Python with zarr 3, or nothing and a line that says so.
fn python(test: &str) -> Option<Command> {
    let python = std::env::var_os("AMAES_PYTHON").unwrap_or_else(|| "python3".into());
    let check = "import zarr; assert int(zarr.__version__.split('.')[0]) >= 3";
    let found = Command::new(&python).args(["-c", check]).output();
    if found.is_ok_and(|o| o.status.success()) {
        return Some(Command::new(python));
    }
    eprintln!("skipped: {test}: no Python with zarr 3");
    None
}

#[test]
fn zarr_python_reads_our_stores() {
    let Some(_) = python("zarr_python_reads_our_stores") else {
        return;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/store.py");
    for (dtype, codec, shard) in [
        (Dtype::Uint16, Codec::Zstd { level: -1 }, 512),
        (Dtype::Float16, Codec::Gzip { level: 1 }, 32),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let options = StoreOptions {
            dtype,
            codec,
            shard,
            ..options()
        };
        let volumes = [
            ("a", volume([40, 33, 27], 1)),
            ("b.1-x_y", volume([300, 20, 19], 2)),
        ];
        let store = store(folder.path(), options, &volumes);
        let mut python = python("zarr_python_reads_our_stores").expect("found before");
        let answer = python.arg(&script).arg("read").arg(folder.path()).output();
        let answer = answer.expect("Python ran");
        let errors = String::from_utf8_lossy(&answer.stderr);
        assert!(answer.status.success(), "{errors}");
        let lines = String::from_utf8(answer.stdout).expect("text");
        let facts: Vec<Value> = lines
            .lines()
            .map(|l| serde_json::from_str(l).expect("JSON"))
            .collect();
        assert_eq!(facts.len(), 2);
        for (i, facts) in facts.iter().enumerate() {
            let entry = &store.entries()[i];
            let reversed = |v: [usize; 3]| json!([v[2], v[1], v[0]]);
            assert_eq!(facts["id"], entry.id.as_str());
            assert_eq!(facts["version"], "0.5");
            assert_eq!(facts["axes"], json!(["z", "y", "x"]));
            assert_eq!(facts["dimension_names"], json!(["z", "y", "x"]));
            assert_eq!(
                facts["units"],
                json!(["millimeter", "millimeter", "millimeter"])
            );
            assert_eq!(facts["scale"], json!([2.0, 1.5, 1.0]));
            assert_eq!(facts["dtype"], dtype.to_string());
            assert_eq!(facts["shape"], reversed(entry.shape));
            assert_eq!(facts["chunks"], reversed(entry.chunk));
            assert_eq!(facts["shards"], reversed(entry.shard));
            let n = entry.shape.iter().product::<usize>();
            let mut ours = vec![0.0; n];
            store.read(i, [0; 3], entry.shape, &mut ours).expect("read");
            let sum: f64 = ours.iter().map(|&v| f64::from(v)).sum();
            let theirs = facts["sum"].as_f64().expect("a number");
            assert!((sum - theirs).abs() <= theirs * 1e-6, "{sum} {theirs}");
            let values = facts["values"].as_array().expect("values");
            for (theirs, ours) in values.iter().zip(ours.iter().step_by(n / 50)) {
                let theirs = theirs.as_f64().expect("a number");
                assert!((f64::from(*ours) - theirs).abs() <= 1e-7, "{ours} {theirs}");
            }
        }
    }
}
