//! PyTorch in another process, asked by lines.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

/// PyTorch in another process.
pub(crate) struct Torch {
    child: Child,
    ask: ChildStdin,
    answer: BufReader<ChildStdout>,
}

impl Torch {
    pub(crate) fn start(threads: usize) -> Option<Self> {
        let python = std::env::var("AMAES_PYTHON").unwrap_or_else(|_| "python3".into());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/bench_torch.py");
        let found = Command::new(&python)
            .args(["-c", "import torch"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if !found {
            eprintln!(
                "skipped: PyTorch's times ({python} does not import torch; set AMAES_PYTHON)"
            );
            return None;
        }
        let mut child = Command::new(python)
            .arg(script)
            .arg(threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let ask = child.stdin.take()?;
        let answer = BufReader::new(child.stdout.take()?);
        Some(Self { child, ask, answer })
    }

    /// The answer to a case: milliseconds, or MiB.
    pub(crate) fn ask(&mut self, case: &Value) -> f64 {
        writeln!(self.ask, "{case}").expect("the Python process reads");
        let mut line = String::new();
        self.answer
            .read_line(&mut line)
            .expect("the Python process answers");
        line.trim().parse().unwrap_or(f64::NAN)
    }
}

impl Drop for Torch {
    fn drop(&mut self) {
        // It ends with its input; if not, it has nothing to save.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
