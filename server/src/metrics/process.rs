//! What the system knows of this process and its disk. What cannot be read is left out.

use std::{
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use rustix::{
    fs::statvfs,
    param::{clock_ticks_per_second, page_size},
    process::{Resource, getrlimit},
};

use super::text::Text;

/// Where processor times stand in `/proc/self/stat` after the name of the program, counted from 0.
const USER_TICKS: usize = 11;
const SYSTEM_TICKS: usize = 12;

/// Writes what is known. Names are those that all programs give it.
pub(crate) fn write(text: &mut Text, data: &Path, started: SystemTime) {
    if let Ok(since) = started.duration_since(UNIX_EPOCH) {
        let started = since.as_secs_f64();
        text.gauge("process_start_time_seconds", "When the process began, since the Unix epoch.", started);
    }
    if let Some(resident) = resident_bytes() {
        text.gauge("process_resident_memory_bytes", "Memory of the process.", resident);
    }
    if let Some(seconds) = cpu_seconds() {
        text.counter("process_cpu_seconds_total", "Processor time of the process.", seconds);
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        text.gauge("process_open_fds", "Open files, connections among them.", files.count());
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        text.gauge("process_max_fds", "The most open files that the system allows.", most);
    }
    if let Some((free, all)) = disk_space(data) {
        text.gauge("linkspan_disk_free_bytes", "Free space where the data folder is.", free);
        text.gauge("linkspan_disk_bytes", "All space where the data folder is.", all);
    }
}

/// The free space and all space where a folder is, in bytes.
pub(crate) fn disk_space(folder: &Path) -> Option<(u64, u64)> {
    let disk = statvfs(folder).ok()?;
    Some((disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize))
}

/// Memory of the process, in bytes.
pub(crate) fn resident_bytes() -> Option<u64> {
    let pages: u64 = fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()?;
    Some(pages * page_size() as u64)
}

fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program may have spaces and brackets in it.
    let (_, numbers) = stat.rsplit_once(") ")?;
    let numbers: Vec<_> = numbers.split(' ').collect();
    let ticks = |at: usize| numbers.get(at)?.parse::<u64>().ok();
    Some((ticks(USER_TICKS)? + ticks(SYSTEM_TICKS)?) as f64 / clock_ticks_per_second() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_uses_memory_and_time_and_files() {
        let mut text = Text::default();
        write(&mut text, Path::new("/"), SystemTime::now());
        let text = text.into_string();
        for name in [
            "process_start_time_seconds",
            "process_resident_memory_bytes",
            "process_open_fds",
            "linkspan_disk_free_bytes",
        ] {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
            assert!(value.is_some_and(|value| value > 0.0), "{name}: {text}");
        }
        assert!(text.contains("\nprocess_cpu_seconds_total "), "{text}");
    }
}
