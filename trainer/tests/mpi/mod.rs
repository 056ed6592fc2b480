//! Runs of several processes, where the tests were built with `--features amaes/mpi` and Open MPI is
//! installed.

use std::path::Path;
use std::process::{Command, Stdio};

use amaes::train::checkpoint;

/// Why no processes can be started together, if that is so.
pub(crate) fn missing() -> Option<&'static str> {
    if !cfg!(feature = "mpi") {
        return Some("built without --features amaes/mpi");
    }
    let version = Command::new("mpirun").arg("--version").output();
    match version {
        Ok(output) if String::from_utf8_lossy(&output.stdout).contains("Open MPI") => None,
        _ => Some("no Open MPI's `mpirun` here"),
    }
}

/// A command as two processes of one thread each.
pub(crate) fn two(command: &Command) -> Command {
    let mut both = Command::new("mpirun");
    both.args(["-n", "2", "--oversubscribe", "--bind-to", "none"]);
    both.arg("--allow-run-as-root");
    // Sandboxes forbid one process to read another's memory; shared memory does.
    both.env("OMPI_MCA_btl_vader_single_copy_mechanism", "none");
    both.env("RAYON_NUM_THREADS", "1");
    both.arg(command.get_program()).args(command.get_args());
    both.arg("--plain");
    both.stdin(Stdio::null());
    both
}

/// Asserts that two runs took the same steps to the same weights, but for rounding.
pub(crate) fn assert_equal_runs(one: &Path, two: &Path) {
    let [one, two] = [one, two].map(|run| checkpoint::latest(run).expect("a checkpoint").0);
    assert_eq!(one.state.step, two.state.step);
    assert_eq!(one.model.len(), two.model.len());
    for (name, _) in one.model.iter() {
        let [a, b] = [&one, &two].map(|checkpoint| -> Vec<f64> {
            let data = checkpoint.model.f32(name).expect("a weight");
            data.iter::<f64>().collect()
        });
        let length = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>().sqrt();
        let difference: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a - b).collect();
        let error = length(&difference) / length(&a).max(1e-30);
        assert!(error <= 1e-5, "`{name}` is off by {error}");
    }
}
