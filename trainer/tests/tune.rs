//! `amaes tune` end to end, where there is a graphics adapter.
#![cfg(feature = "wgpu")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use amaes::device::DeviceKind;
use amaes::tiles::{self, VARIABLE};
use amaes_core::kernel::{AdapterClass, GpuTiles, adapter_name};

fn tune(file: &Path, options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_amaes"));
    command.arg("tune").args(options).env(VARIABLE, file);
    command.output().expect("amaes starts")
}

#[test]
fn sizes_are_kept_for_the_adapter_read_and_forgotten() {
    let Ok(device) = DeviceKind::Wgpu.open() else {
        eprintln!("skipped: no graphics adapter");
        return;
    };
    let adapter = adapter_name(&device).expect("a graphics adapter");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("gpu-tiles.json");

    // Without time to try others, the table's are the best.
    let done = tune(&file, &["--seconds", "0", "--json"]);
    assert!(done.status.success(), "{done:?}");
    let printed: GpuTiles = serde_json::from_slice(&done.stdout).expect("sizes");
    assert_eq!(printed, GpuTiles::of(AdapterClass::of(&adapter)));
    let kept = tiles::read(&file).expect("what was kept");
    assert_eq!(kept, [(adapter.clone(), printed)].into());

    let done = tune(&file, &["--forget"]);
    assert!(done.status.success(), "{done:?}");
    assert!(tiles::read(&file).expect("an empty file").is_empty());

    // The device is not opened with sizes that its kernels do not take.
    let mut tiles = serde_json::to_value(printed).expect("plain values");
    tiles["quads"] = 3.into();
    let broken = serde_json::json!({ adapter: tiles }).to_string();
    fs::write(&file, &broken).expect("a file");
    let failed = tune(&file, &["--seconds", "0"]);
    let said = String::from_utf8_lossy(&failed.stderr);
    assert_eq!(failed.status.code(), Some(1), "{said}");
    assert!(
        said.contains("gpu-tiles.json") && said.contains("quads"),
        "{said}"
    );
    assert_eq!(fs::read_to_string(&file).expect("the file"), broken);
}
