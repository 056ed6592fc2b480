//! How much memory there is, and how much of it the process has taken.

/// The largest resident memory so far in MiB; `None` where the system does not tell.
pub fn peak_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

/// Begins to look for the largest resident memory anew, where the system allows it.
pub fn forget_peak() {
    // Where it is not allowed the peak is that of the whole process.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// The machine's memory in MiB, or what the process may take of it; `None` where the system does
/// not tell.
pub fn total_mib() -> Option<f64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let info = read("/proc/meminfo")?;
    let line = info.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    let limit = read("/sys/fs/cgroup/memory.max").and_then(|text| text.trim().parse::<f64>().ok());
    let mib = kib / 1024.0;
    Some(limit.map_or(mib, |bytes| mib.min(bytes / 1024.0 / 1024.0)))
}
