//! Processes that a peer consists of: starting them with the rights that they are made for, waiting until
//! they answer, and ending them. It ends only what it started.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpStream;

/// How long a server may take until it listens. After that it has failed to start.
const START_LIMIT: Duration = Duration::from_secs(60);
/// The time between two questions whether it listens yet.
const START_POLL: Duration = Duration::from_millis(50);
/// How long a server that was asked to end may take until it is killed.
const END_LIMIT: Duration = Duration::from_secs(10);
/// How many lines of a log are shown when a server does not start.
const LOG_LINES: usize = 8;

/// A running process.
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    /// The signal that asks it to end.
    end: Signal,
}

impl Process {
    /// Starts a process. Its output goes into a file in the folder.
    pub(crate) fn start(name: &str, folder: &Path, mut command: Command) -> Result<Self, String> {
        let log = folder.join(format!("{name}.log"));
        let cannot = |error: std::io::Error| format!("cannot start {name}: {error}");
        let file = File::create(&log).map_err(cannot)?;
        command.stdout(file.try_clone().map_err(cannot)?).stderr(file);
        let child = command.spawn().map_err(cannot)?;
        Ok(Self { name: name.to_owned(), child, log, end: Signal::TERM })
    }

    /// Makes this the signal that asks the process to end.
    pub(crate) fn ended_by(mut self, end: Signal) -> Self {
        self.end = end;
        self
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the process listens at the address.
    pub(crate) async fn wait_for(&mut self, address: SocketAddr) -> Result<(), String> {
        let until = Instant::now() + START_LIMIT;
        while TcpStream::connect(address).await.is_err() {
            let ended = self.child.try_wait().map_err(|error| error.to_string())?;
            if let Some(status) = ended {
                return Err(format!("{} ended with {status}: {}", self.name, self.last_words()));
            }
            if Instant::now() >= until {
                return Err(format!("{} does not listen: {}", self.name, self.last_words()));
            }
            tokio::time::sleep(START_POLL).await;
        }
        Ok(())
    }

    fn last_words(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        last_lines(&String::from_utf8_lossy(&log))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // All of this fails only if it has ended already.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, self.end);
        }
        let until = Instant::now() + END_LIMIT;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() >= until {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(START_POLL);
        }
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join(" / ")
}

/// A command in a folder, with the rights of this user of the system if we are root and there is one: servers
/// refuse to be root. Proxies that the environment names are not used.
pub(crate) fn command(program: impl AsRef<Path>, folder: &Path, user: &str) -> Command {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(program.as_ref());
    command.current_dir(folder).env("HOME", folder).stdin(Stdio::null());
    for name in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env_remove(name);
    }
    if let Some((uid, gid)) = rights_of(user) {
        command.uid(uid).gid(gid);
    }
    command
}

/// Runs a command to its end and returns what it printed. If it failed, its last lines are the error.
pub(crate) fn output(what: &str, command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("cannot run {what}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(format!("{what} failed: {}", last_lines(&String::from_utf8_lossy(&output.stderr))))
}

/// A new folder that this user of the system may write to.
pub(crate) fn folder_of(parent: &Path, name: &str, user: &str) -> Result<PathBuf, String> {
    let folder = parent.join(name);
    let cannot = |error: std::io::Error| format!("cannot make {}: {error}", folder.display());
    fs::create_dir(&folder).map_err(cannot)?;
    if let Some((uid, gid)) = rights_of(user) {
        std::os::unix::fs::chown(&folder, Some(uid), Some(gid)).map_err(cannot)?;
    }
    Ok(folder)
}

/// The user and group id to change to, if we are root and there is such a user.
fn rights_of(user: &str) -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let accounts = fs::read_to_string("/etc/passwd").ok()?;
    let mut fields = accounts.lines().find(|line| line.split(':').next() == Some(user))?.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}
