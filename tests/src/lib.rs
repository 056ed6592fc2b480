//! What tests and benchmarks share.

mod gradients;
mod recorded;

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

pub use self::gradients::gradients_of;
pub use self::recorded::check_recorded;

/// Numbers in [-1, 1) from a hash of 32 bits, those of `draw` in `tests/reference/decoders.py`.
pub fn draw(tensor: u32, count: usize) -> impl Iterator<Item = f64> {
    (0..count as u32).map(move |n| {
        let mut h = n
            .wrapping_mul(2_654_435_761)
            .wrapping_add(tensor.wrapping_mul(40_503));
        h ^= h >> 16;
        h = h.wrapping_mul(2_246_822_519);
        h ^= h >> 13;
        h = h.wrapping_mul(3_266_489_917);
        h ^= h >> 16;
        f64::from(h) / 2f64.powi(31) - 1.0
    })
}

/// The middle of some times; of an even number the later of the two.
///
/// # Panics
///
/// Without any.
pub fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Python in another process, asked by lines.
#[derive(Debug)]
pub struct Python {
    child: Child,
    questions: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Python {
    /// Starts a script of `tests/reference` in the Python that `AMAES_PYTHON` names (`python3`
    /// otherwise).
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn start(script: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference");
        let python = std::env::var_os("AMAES_PYTHON").unwrap_or_else(|| "python3".into());
        let mut child = Command::new(python)
            .arg(folder.join(script))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let questions = child.stdin.take().expect("a pipe");
        let answers = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        Self {
            child,
            questions,
            answers,
        }
    }

    /// Sends a line that has no answer.
    ///
    /// # Panics
    ///
    /// When Python has ended.
    pub fn tell(&mut self, line: &str) {
        writeln!(self.questions, "{line}").expect("Python listens");
    }

    /// Sends a line and waits for the line that answers it.
    ///
    /// # Panics
    ///
    /// When Python has ended.
    pub fn ask(&mut self, line: &str) -> String {
        self.tell(line);
        self.answers.next().expect("an answer").expect("text")
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // What was asked is answered, so nothing is lost; a failure here has no one to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
