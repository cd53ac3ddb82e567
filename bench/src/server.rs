//! The server under load as a process: starting and stopping it, and what `/proc` says about it.
//!
//! It only ever ends the child that it started itself.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    net::{SocketAddr, TcpListener},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::client::{Client, Platform};

/// How long a server may take until it answers. After that it has failed to start.
const START_LIMIT: Duration = Duration::from_secs(60);
/// The time between two questions whether it answers yet.
const START_POLL: Duration = Duration::from_millis(2);

/// The hosted platforms, each with the operator's name for it, its server name and its kind of identity.
pub(crate) const PLATFORMS: [(&str, &str, &str); 3] = [
    ("instagram", "instagram.localhost", "handle"),
    ("messenger", "messenger.localhost", "account"),
    ("whatsapp", "whatsapp.localhost", "phone"),
];

/// The unit of `st_blocks`.
const BLOCK_BYTES: u64 = 512;
/// The ending of the names of Linkspan's journals.
const JOURNAL: &str = "jnl";

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    /// There is something wrong with files, ports or the program itself.
    #[error("cannot start the server: {0}")]
    Io(#[from] io::Error),
    /// It ended or never answered. The end of its log comes with it.
    #[error("the server did not come up: {reason}\n{log}")]
    NotUp {
        /// What was seen.
        reason: String,
        /// The last lines it wrote.
        log: String,
    },
}

/// A server that we started, on data of its own. Both are removed when this is dropped.
pub(crate) struct Server {
    program: PathBuf,
    folder: TempDir,
    child: Child,
    platforms: Vec<Arc<Platform>>,
}

/// Whether people of a server are limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limits {
    /// Nothing is limited, so that a few people can make the load of many.
    None,
    /// The limits are those that the program has by itself, but that everybody may register.
    Usual,
}

impl Server {
    /// Writes the configuration into a new folder under `parent` and starts `program serve` on free ports.
    pub(crate) async fn start(program: &Path, parent: &Path, limits: Limits) -> Result<Self, ServerError> {
        let folder = tempfile::Builder::new().prefix("linkspan-bench-").tempdir_in(parent)?;
        let addresses = free_addresses(PLATFORMS.len() + 1)?;
        fs::write(folder.path().join("linkspan.toml"), configuration(folder.path(), &addresses, limits))?;
        let mut platforms = Vec::new();
        for ((_, server_name, _), address) in PLATFORMS.iter().zip(&addresses[1..]) {
            platforms.push(Arc::new(Platform::new(server_name, *address).map_err(io::Error::other)?));
        }
        let child = spawn(program, folder.path())?;
        let mut server = Self { program: program.to_owned(), folder, child, platforms };
        server.wait_until_up().await?;
        Ok(server)
    }

    /// Another process of the same program, on new data beside this one's.
    pub(crate) async fn start_another(&self, limits: Limits) -> Result<Self, ServerError> {
        let parent = self.folder.path().parent().unwrap_or(self.folder.path());
        Self::start(&self.program, parent, limits).await
    }

    /// How much its data take on the disk, in bytes. Journals are counted separately as well.
    pub(crate) fn data_size(&self) -> io::Result<DataSize> {
        let mut size = DataSize::default();
        let mut folders = vec![self.folder.path().join("data")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    folders.push(entry.path());
                    continue;
                }
                // A compaction has just replaced the file.
                let Ok(file) = entry.metadata() else { continue };
                let bytes = file.blocks() * BLOCK_BYTES;
                size.all_bytes += bytes;
                if entry.path().extension().is_some_and(|extension| extension == JOURNAL) {
                    size.journal_bytes += bytes;
                }
            }
        }
        Ok(size)
    }

    /// The platforms it hosts.
    pub(crate) fn platforms(&self) -> &[Arc<Platform>] {
        &self.platforms
    }

    /// The process id of the running child.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills the child without warning and starts it again on the same data. Returns the time from the start
    /// of the new process until it answered `/versions`.
    pub(crate) async fn kill_and_restart(&mut self) -> Result<Duration, ServerError> {
        self.child.kill()?;
        self.child.wait()?;
        let started = Instant::now();
        self.child = spawn(&self.program, self.folder.path())?;
        self.wait_until_up().await?;
        Ok(started.elapsed())
    }

    /// Ends the child, has something done to its data meanwhile, and starts it again.
    pub(crate) async fn restart_after<T>(
        &mut self,
        change: impl AsyncFnOnce(&Path) -> T,
    ) -> Result<T, ServerError> {
        self.child.kill()?;
        self.child.wait()?;
        let changed = change(&self.folder.path().join("data")).await;
        self.child = spawn(&self.program, self.folder.path())?;
        self.wait_until_up().await?;
        Ok(changed)
    }

    async fn wait_until_up(&mut self) -> Result<(), ServerError> {
        let until = Instant::now() + START_LIMIT;
        let mut last = String::from("no answer");
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait()? {
                return Err(self.not_up(format!("it ended with {status}")));
            }
            match Client::anonymous(&self.platforms[0]).get("/_matrix/client/versions").await {
                Ok(_) => return Ok(()),
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(START_POLL).await;
        }
        Err(self.not_up(last))
    }

    fn not_up(&self, reason: String) -> ServerError {
        let log = fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        ServerError::NotUp { reason, log: lines[lines.len().saturating_sub(20)..].join("\n") }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(program: &Path, folder: &Path) -> io::Result<Child> {
    let log = File::options().create(true).append(true).open(folder.join("server.log"))?;
    Command::new(program)
        .args(["serve", "--config"])
        .arg(folder.join("linkspan.toml"))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
}

/// Addresses at which nobody listens at this moment. All are held until the last is found, so they differ.
pub(crate) fn free_addresses(count: usize) -> io::Result<Vec<SocketAddr>> {
    let held = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<io::Result<Vec<_>>>()?;
    held.iter().map(TcpListener::local_addr).collect()
}

fn configuration(folder: &Path, addresses: &[SocketAddr], limits: Limits) -> String {
    let data = folder.join("data").display().to_string();
    let mut text = format!("data = {data:?}\n\n[listen]\nhttp = \"{}\"\n", addresses[0]);
    let limits = match limits {
        Limits::None => "rate_limits = false",
        Limits::Usual => "limits = { registration = 100.0, registration_burst = 100 }",
    };
    for ((name, server_name, identity), address) in PLATFORMS.iter().zip(&addresses[1..]) {
        text.push_str(&format!(
            r#"
[[platform]]
name = "{name}"
server_name = "{server_name}"
hosts = ["{server_name}"]
listen = "{address}"
identity = "{identity}"
registration = "open"
verify = false
encryption = "optional"
presence = false
{limits}
"#
        ));
    }
    text
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// Processor time of all its threads, user and system, in milliseconds.
    pub(crate) cpu_ms: u64,
    /// Resident memory in bytes.
    pub(crate) rss_bytes: u64,
}

/// Reads `/proc/PID`. None if there is no such process.
pub(crate) fn usage(pid: u32) -> Option<Usage> {
    let ticks = stat_field(pid, USER)? + stat_field(pid, SYSTEM)?;
    Some(Usage {
        cpu_ms: ticks * 1000 / rustix::param::clock_ticks_per_second().max(1),
        rss_bytes: stat_field(pid, PAGES)? * rustix::param::page_size() as u64,
    })
}

/// How much a server's data take on the disk.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DataSize {
    /// The bytes of all files.
    pub(crate) all_bytes: u64,
    /// The bytes of the journals among them, whose rows wait in memory to be written to tables.
    pub(crate) journal_bytes: u64,
}

/// The processor time of all threads of a process that have not ended, in microseconds. It is finer than
/// [`usage`], whose clock ticks a hundred times a second.
pub(crate) fn thread_time_us(pid: u32) -> Option<u64> {
    let mut nanos = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let text = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        nanos += text.split_whitespace().next()?.parse::<u64>().ok()?;
    }
    Some(nanos / 1000)
}

/// How much a process has had written to the disk, in bytes. None if the system does not say.
pub(crate) fn written_bytes(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("write_bytes:"))?.trim().parse().ok()
}

/// How much these processes and all that come from them have used so far. None if one of them is gone. Memory
/// that processes share is counted once, where the system tells how much it is.
pub(crate) fn usage_of_trees(roots: &[u32]) -> Option<Usage> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // It may have ended just now.
        let Some(parent) = stat_field(pid, PARENT) else { continue };
        children.entry(parent as u32).or_default().push(pid);
    }
    let mut total = Usage::default();
    let mut left = roots.to_vec();
    while let Some(pid) = left.pop() {
        let Some(own) = usage(pid) else {
            if roots.contains(&pid) {
                return None;
            }
            continue;
        };
        // Children that have ended are part of what their parent used.
        let ended = stat_field(pid, ENDED_USER)? + stat_field(pid, ENDED_SYSTEM)?;
        total.cpu_ms += own.cpu_ms + ended * 1000 / rustix::param::clock_ticks_per_second().max(1);
        total.rss_bytes += share_of_memory(pid).unwrap_or(own.rss_bytes);
        left.extend(children.remove(&pid).unwrap_or_default());
    }
    Some(total)
}

/// The place of the parent among the fields of `/proc/PID/stat` behind the program's name.
const PARENT: usize = 1;
const USER: usize = 11;
const SYSTEM: usize = 12;
const ENDED_USER: usize = 13;
const ENDED_SYSTEM: usize = 14;
const PAGES: usize = 21;

fn stat_field(pid: u32, field: usize) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in brackets and may itself hold spaces and brackets.
    stat.get(stat.rfind(')')? + 1..)?.split_whitespace().nth(field)?.parse().ok()
}

/// The processor time of everything on this machine since it started, in milliseconds, including what its
/// host took.
pub(crate) fn machine_cpu_ms() -> Option<u64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let fields: Vec<u64> =
        stat.lines().next()?.split_whitespace().skip(1).map_while(|f| f.parse().ok()).collect();
    // The fields are user, nice, system, (idle, iowait,) irq, softirq, steal.
    let busy = fields.iter().take(8).enumerate().filter(|(index, _)| !matches!(index, 3 | 4));
    Some(busy.map(|(_, ticks)| ticks).sum::<u64>() * 1000 / rustix::param::clock_ticks_per_second().max(1))
}

fn share_of_memory(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? * 1024)
}

/// The median time of a small write made durable in `folder`, in microseconds. That is what one disk sync
/// costs here.
pub(crate) fn disk_sync_us(folder: &Path) -> io::Result<u64> {
    let mut file = tempfile::tempfile_in(folder)?;
    let mut samples = Vec::new();
    for _ in 0..64 {
        let started = Instant::now();
        file.write_all(&[0x5a; 4096])?;
        file.sync_data()?;
        samples.push(started.elapsed().as_micros() as u64);
    }
    samples.sort_unstable();
    Ok(samples[samples.len() / 2])
}

/// Raises our limit of open files as far as it goes without more rights. Children inherit it. Returns the
/// limit.
pub(crate) fn raise_open_files() -> u64 {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum {
        limit.current = limit.maximum;
        // If it is refused, the old limit stands, and is what is returned.
        let _ = setrlimit(Resource::Nofile, limit);
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_tree_has_the_memory_of_its_children_and_is_gone_with_its_root() {
        let mut shell =
            Command::new("sh").args(["-c", "sleep 60 & echo; wait"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = [0];
        io::Read::read_exact(shell.stdout.as_mut().unwrap(), &mut line).unwrap();
        let alone = share_of_memory(shell.id()).unwrap();
        let tree = usage_of_trees(&[shell.id()]).unwrap();
        assert!(tree.rss_bytes > alone, "{} and {alone}", tree.rss_bytes);
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", shell.id())).unwrap();
        let child = children.trim().parse().ok().and_then(rustix::process::Pid::from_raw).unwrap();
        rustix::process::kill_process(child, rustix::process::Signal::TERM).unwrap();
        shell.wait().unwrap();
        assert!(usage_of_trees(&[shell.id()]).is_none());
    }
}
