//! Stores over HTTP and S3, from servers that misbehave, with and without a cache on disk.

use std::time::{Duration, Instant};

use amaes::store::{CacheOptions, OpenOptions, Store, StoreError};

use super::server::{Fault, Server};
use super::{files, options, store, volume};

/// Little patience, so that tests are quick.
fn impatient() -> OpenOptions {
    OpenOptions {
        timeout: 0.3,
        attempts: 3,
        pause: 0.01,
        ..OpenOptions::default()
    }
}

fn read(store: &Store, i: usize) -> Result<Vec<f32>, StoreError> {
    let mut out = vec![0.0; 64_000];
    store.read(i, [3, -2, 1], [40; 3], &mut out)?;
    Ok(out)
}

#[test]
fn faults_are_retried_then_told_with_the_address() {
    let folder = tempfile::tempdir().expect("a folder");
    let volumes = [("a", volume([40; 3], 1)), ("b", volume([40; 3], 2))];
    let local = store(folder.path(), options(), &volumes);
    let expected = read(&local, 1).expect("read");
    let server = Server::new(folder.path());
    for fault in [
        Fault::Stall,
        Fault::StallHalfway,
        Fault::Status(500),
        Fault::Status(503),
        Fault::Status(429),
        Fault::Drop,
        Fault::WrongRange,
        Fault::Short,
        Fault::Whole,
    ] {
        // Twice wrong, then right.
        let began = Instant::now();
        let remote = Store::open_with(&server.url(), &impatient()).expect("opened");
        server.fail("volumes/b", &[fault; 2]);
        assert_eq!(read(&remote, 1).expect("retried"), expected, "{fault:?}");
        // Wrong for good.
        server.fail("volumes/b", &[fault; 100]);
        let remote = Store::open_with(&server.url(), &impatient()).expect("opened");
        let error = read(&remote, 1).expect_err("refused");
        let text = error.to_string();
        assert!(
            matches!(error, StoreError::Remote { attempts: 3, .. }),
            "{fault:?}: {text}"
        );
        let address = format!("{}/volumes/b/0/c/0/0/0", server.url());
        assert!(text.contains(&address), "{text}");
        // The other volume is not concerned.
        read(&remote, 0).expect("a is well");
        server.fail("", &[]);
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{fault:?} took {:?}",
            began.elapsed()
        );
    }
}

#[test]
fn faults_while_opening_are_retried_too() {
    let folder = tempfile::tempdir().expect("a folder");
    store(folder.path(), options(), &[("a", volume([40; 3], 1))]);
    let server = Server::new(folder.path());
    for name in ["zarr.json", "index.jsonl"] {
        server.fail(name, &[Fault::Status(500), Fault::Drop]);
        Store::open_with(&server.url(), &impatient()).expect("retried");
        server.fail(name, &[Fault::Stall; 3]);
        let text = Store::open_with(&server.url(), &impatient())
            .expect_err("refused")
            .to_string();
        assert!(text.contains(name) && text.contains("3 attempts"), "{text}");
    }
    // What is not there is not asked for again.
    let before = server.requests();
    let nowhere = format!("{}/nowhere", server.url());
    let text = Store::open_with(&nowhere, &impatient())
        .expect_err("refused")
        .to_string();
    assert!(text.contains("nowhere/zarr.json: not there"), "{text}");
    assert_eq!(server.requests(), before + 1);
    let port = server.port();
    drop(server);
    let nobody = format!("http://127.0.0.1:{port}");
    let text = Store::open_with(&nobody, &impatient())
        .expect_err("refused")
        .to_string();
    assert!(text.contains(&nobody), "{text}");
}

#[test]
fn bytes_flipped_on_the_way_are_fetched_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let local = store(folder.path(), options(), &[("a", volume([40; 3], 1))]);
    let expected = read(&local, 0).expect("read");
    let server = Server::new(folder.path());
    let cache = tempfile::tempdir().expect("a folder");
    for cached in [false, true] {
        let mut options = impatient();
        options.cache = cached.then(|| CacheOptions {
            folder: cache.path().into(),
            bytes: 64 << 20,
        });
        let remote = Store::open_with(&server.url(), &options).expect("opened");
        server.fail("volumes/a", &[Fault::Flip, Fault::None, Fault::Flip]);
        assert_eq!(read(&remote, 0).expect("fetched again"), expected);
        server.fail("volumes/a", &[Fault::None, Fault::Flip, Fault::Flip]);
        if !cached {
            let error = read(&remote, 0);
            assert!(error.is_ok() || error.is_err_and(|e| e.is_damage()));
        }
        server.fail("", &[]);
    }
}

#[test]
fn the_cache_serves_again_within_its_limit() {
    let folder = tempfile::tempdir().expect("a folder");
    let ids: Vec<String> = (0..8).map(|i| format!("v{i}")).collect();
    let volumes: Vec<_> = ids
        .iter()
        .map(|id| (id.as_str(), volume([128; 3], 3)))
        .collect();
    let local = store(folder.path(), options(), &volumes);
    let size = local.entries()[0].shard_bytes[0];
    assert!(size > 1 << 20, "{size} bytes are one block");
    let server = Server::new(folder.path());
    let cache = tempfile::tempdir().expect("a folder");
    let limit = 10 << 20;
    let mut options = impatient();
    options.cache = Some(CacheOptions {
        folder: cache.path().into(),
        bytes: limit,
    });
    let taken = || files(cache.path()).values().map(Vec::len).sum::<usize>() as u64;
    // Two readers share the cache as two processes would.
    let readers = [0, 1].map(|_| Store::open_with(&server.url(), &options).expect("opened"));
    for i in 0..8 {
        let expected = read(&local, i).expect("read");
        assert_eq!(read(&readers[i % 2], i).expect("fetched"), expected);
        let before = server.bytes();
        assert_eq!(read(&readers[1 - i % 2], i).expect("kept"), expected);
        assert_eq!(server.bytes(), before, "volume {i} was fetched twice");
        assert!(taken() <= limit, "{} of {limit}", taken());
    }
    assert!(taken() > limit / 2);
    // A damaged block is fetched again; the newest volume's are there.
    for (name, mut bytes) in files(cache.path()) {
        if name != ".size" {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(cache.path().join(name), bytes).expect("written");
        }
    }
    let before = server.bytes();
    assert_eq!(
        read(&readers[0], 7).expect("read"),
        read(&local, 7).expect("read")
    );
    assert!(server.bytes() > before);
    // Four threads and two readers at once.
    std::thread::scope(|scope| {
        for t in 0..4 {
            let (readers, local) = (&readers, &local);
            scope.spawn(move || {
                for i in 0..8 {
                    let i = (i * 3 + t) % 8;
                    let found = read(&readers[t % 2], i).expect("read");
                    assert_eq!(found, read(local, i).expect("read"));
                }
            });
        }
    });
    assert!(taken() <= limit, "{} of {limit}", taken());
    // Another limit is kept from the moment of opening.
    options.cache = Some(CacheOptions {
        folder: cache.path().into(),
        bytes: 4 << 20,
    });
    Store::open_with(&server.url(), &options).expect("opened");
    assert!(taken() <= 4 << 20);
}

#[test]
fn s3_is_read_with_a_prefix() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bucket/some/prefix");
    let local = store(&path, options(), &[("a", volume([40; 3], 1))]);
    let server = Server::new(folder.path());
    let mut options = impatient();
    for (key, value) in [
        ("endpoint", server.url()),
        ("region", "here".into()),
        ("access_key_id", "id".into()),
        ("secret_access_key", "not a secret".into()),
        ("allow_http", "true".into()),
    ] {
        options.s3.insert(key.into(), value);
    }
    let remote = Store::open_with("s3://bucket/some/prefix", &options).expect("opened");
    server.fail("volumes/a", &[Fault::Status(500), Fault::Drop]);
    assert_eq!(
        read(&remote, 0).expect("read"),
        read(&local, 0).expect("read")
    );
    options.s3.insert("endpiont".into(), String::new());
    let text = Store::open_with("s3://bucket/some/prefix", &options)
        .expect_err("refused")
        .to_string();
    assert!(text.contains("endpiont"), "{text}");
}
