//! The server on which the people chat: the program `linkspan` in a process of its own, which ends with the
//! demo.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    net::SocketAddr,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::{Failure, LOG, LOG_DEFAULT};

/// A server that runs. It stops when this is dropped, and also when the demo is killed: it serves for as long
/// as its standard input is open, and the other end of that is here.
pub(crate) struct Server {
    program: Child,
    /// The lines that it prints. They end when it ends.
    lines: UnboundedReceiver<String>,
}

impl Server {
    /// Starts the server with a configuration.
    pub(crate) fn start(program: &Path, config: &Path) -> Result<Self, Failure> {
        let mut command = Command::new(program);
        command.args(["serve", "--stop-with-stdin", "--config"]).arg(config);
        if std::env::var_os(LOG).is_none() {
            // That anybody may use the demo's accounts is known here.
            command.env(LOG, format!("{LOG_DEFAULT},linkspan::configuration=error"));
        }
        // It is in a process group of its own, because Ctrl-C is for the demo to handle.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut program =
            command.spawn().map_err(|error| format!("{} cannot be started: {error}", program.display()))?;
        let output = program.stdout.take().expect("it is piped");
        let (tell, lines) = unbounded_channel();
        // Reading from a pipe blocks, so a thread does it.
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
        Ok(Self { program, lines })
    }

    /// The URL of each of these platforms, as soon as the server listens there. Each has to have an address
    /// that is for it alone.
    pub(crate) async fn urls(&mut self, server_names: [&str; 3]) -> Result<[String; 3], Failure> {
        let mut found = BTreeMap::new();
        loop {
            if let [Some(first), Some(second), Some(third)] = server_names.map(|name| found.get(name)) {
                return Ok([first, second, third].map(|address| url(*address)));
            }
            let line = self.lines.recv().await.ok_or(
                "the server has not started; if a port is taken, `--ports-from 9000` makes the demo use others",
            )?;
            let told = line.strip_prefix("listening on http://").and_then(|rest| rest.split_once(" for "));
            if let Some((address, names)) = told {
                found.insert(names.to_owned(), address.parse()?);
            }
        }
    }

    /// Waits until the server ends by itself.
    pub(crate) async fn ended(&mut self) {
        while self.lines.recv().await.is_some() {}
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.program.stdin.take());
        let _ = self.program.wait();
    }
}

/// The program that stands beside the demo: both are built into the same folder.
pub(crate) fn beside() -> Result<PathBuf, Failure> {
    Ok(std::env::current_exe()?.with_file_name("linkspan"))
}

/// How this machine reaches an address.
fn url(mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    format!("http://{address}")
}
