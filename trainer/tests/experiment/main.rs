//! Experiments that are not run: what a matrix asks for, and what a report makes of scores.

mod plan;
mod report;

use std::fs;
use std::path::PathBuf;

use amaes::experiment::Plan;
use tempfile::TempDir;

/// A matrix that is read but not run: nothing that it names is there.
const MATRIX: &str = r#"
title = "A <test>"
folder = "FOLDER"
seeds = [1, 2]
[pretrain]
data.store = "none"
training.steps = 10
[finetune]
data.path = "nowhere"
split.test = 0.2
training.steps = 20
[tasks.a]
title = "Task A"
[[tasks.a.tests]]
name = "far"
sites = ["b"]
[tasks.b]
in_domain = false
[[tasks.b.tests]]
name = "own"
in_domain = true
data.path = "elsewhere"
[[grid]]
backbones = ["unet-b", { backbone = "mednext-s", filters = 4 }]
pretraining = ["none", "amaes"]
labelled = [20]
"#;

struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder }
    }

    fn matrix(&self, text: &str) -> PathBuf {
        let path = self.folder.path().join("matrix.toml");
        let out = self.folder.path().join("out");
        let text = text.replace("FOLDER", &out.display().to_string());
        fs::write(&path, text).expect("written");
        path
    }

    fn plan(&self, text: &str) -> Plan {
        Plan::read(&self.matrix(text)).unwrap_or_else(|e| panic!("{e}"))
    }
}
