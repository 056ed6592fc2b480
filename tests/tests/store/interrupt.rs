//! Writers that are killed, and disks that are full. Each runs this test program again as a
//! process of its own.

#![cfg(unix)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use amaes::store::{Access, Store, StoreError, Writer};

use super::{files, meta, options, store, volume};

const VARIABLE: &str = "AMAES_TEST_STORE";
const COUNT: usize = 24;

fn id(i: usize) -> String {
    format!("v{i:02}")
}

fn nth(i: usize) -> amaes_core::volume::Volume<f32> {
    volume([40, 36 + i % 5, 33], i as u64)
}

fn write_missing(folder: &Path) -> Result<(), StoreError> {
    let writer = Writer::open_for_resume(folder, options(), Access::Alone)?;
    for i in 0..COUNT {
        if !writer.contains(&id(i)) {
            writer.write(&id(i), &nth(i), &meta("a"))?;
        }
    }
    writer.seal().map(drop)
}

/// Not a test by itself: what the processes below run.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(VARIABLE) else {
        return;
    };
    match write_missing(Path::new(&folder)) {
        Ok(()) => println!("sealed"),
        Err(StoreError::Io { path, source }) => {
            println!("refused: {}: {source}", path.display());
        }
        Err(other) => panic!("{other}"),
    }
}

fn process(folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a program"));
    command
        .args(["--exact", "interrupt::child", "--nocapture"])
        .env(VARIABLE, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

#[test]
fn a_killed_writer_goes_on_to_the_same_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let (whole, killed) = (folder.path().join("whole"), folder.path().join("killed"));
    let began = Instant::now();
    write_missing(&whole).expect("written");
    let took = began.elapsed();
    let mut partial = 0;
    for i in 0..6 {
        let mut child = process(&killed).spawn().expect("started");
        // A little more each time, so that the end comes near too.
        std::thread::sleep(Duration::from_millis(20) + took.mul_f64(0.05 * f64::from(i)));
        child.kill().expect("killed");
        child.wait().expect("gone");
        let found = killed.join("volumes").read_dir().map_or(0, Iterator::count);
        partial += usize::from(found < COUNT + 1);
        assert!(Store::open(killed.to_str().expect("text")).is_err() || found == COUNT + 1);
    }
    assert!(partial > 0, "every writer was too fast to be killed");
    write_missing(&killed).expect("gone on");
    let (whole, killed) = (files(&whole), files(&killed));
    assert!(whole.keys().eq(killed.keys()), "{:?}", killed.keys());
    assert!(whole == killed);
}

#[test]
fn a_full_disk_leaves_the_store_readable() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    drop(store(
        &path,
        options(),
        &[(&id(0), nth(0)), (&id(1), nth(1))],
    ));
    let before = files(&path);
    // No file may become longer than 4 KiB: the metadata fit, no shard does.
    let child = process(&path);
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "sh"])
        .arg(child.get_program())
        .args(child.get_args())
        .env(VARIABLE, &path);
    let answer = limited.output().expect("started");
    let text = String::from_utf8_lossy(&answer.stdout);
    assert!(text.contains("refused: ") && text.contains("v02"), "{text}");
    assert!(
        before == files(&path),
        "something stayed of the volume that failed"
    );
    let store = Store::open(path.to_str().expect("text")).expect("opened");
    let mut out = vec![0.0; 40 * 37 * 33];
    store.read(1, [0; 3], [40, 37, 33], &mut out).expect("read");
    drop(store);
    // With room again it goes on.
    write_missing(&path).expect("gone on");
    assert_eq!(
        Store::open(path.to_str().expect("text"))
            .expect("opened")
            .entries()
            .len(),
        COUNT
    );
}
