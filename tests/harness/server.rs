//! The server under test: one process, three platforms, each on a port of its own, over one folder.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

/// A platform of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// Known by handles.
    Instagram,
    /// Known by accounts.
    Messenger,
    /// Known by phone numbers.
    Whatsapp,
}

impl Platform {
    /// All that a server hosts.
    pub const ALL: [Self; 3] = [Self::Instagram, Self::Messenger, Self::Whatsapp];

    /// Its Matrix server name.
    pub fn server_name(self) -> &'static str {
        match self {
            Self::Instagram => "instagram.localhost",
            Self::Messenger => "messenger.localhost",
            Self::Whatsapp => "whatsapp.localhost",
        }
    }

    fn settings(self) -> String {
        let server_name = self.server_name();
        let name = server_name.trim_end_matches(".localhost");
        let identity = match self {
            Self::Instagram => "handle",
            Self::Messenger => "account",
            Self::Whatsapp => "phone",
        };
        format!(
            r#"
            [[platform]]
            name = "{name}"
            server_name = "{server_name}"
            listen = "127.0.0.1:0"
            identity = "{identity}"
            registration = "open"
            verify = false
            rate_limits = false
            "#
        )
    }
}

/// Where the programs of this build are.
pub fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this test is a program");
    let folder = test.ancestors().nth(2).expect("tests are built in target/PROFILE/deps");
    let program = folder.join(name);
    assert!(program.exists(), "{} is not built: run `make test`, which builds it", program.display());
    program
}

/// A server with a folder of its own; both go with the test, but after a failure the folder stays.
#[derive(Debug)]
pub struct Server {
    folder: Option<TempDir>,
    /// By platform; others after each start.
    addresses: Vec<String>,
    program: Option<Child>,
}

impl Server {
    /// Starts it in a new folder, with all three platforms listening.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let platforms: String = Platform::ALL.into_iter().map(Platform::settings).collect();
        let config = format!("data = \"data\"\n{platforms}");
        fs::write(folder.path().join("linkspan.toml"), config).expect("the configuration is written");
        let mut server = Self { folder: Some(folder), addresses: Vec::new(), program: None };
        server.restart();
        server
    }

    fn folder(&self) -> &Path {
        self.folder.as_ref().expect("the folder stays until the end").path()
    }

    /// A command of the program, on this server's configuration.
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(built("linkspan"));
        command.arg(name).arg("--config").arg(self.folder().join("linkspan.toml"));
        command
    }

    fn spawn(&mut self) -> Child {
        assert!(self.program.is_none(), "it runs already");
        let log = OpenOptions::new().append(true).create(true).open(self.log_path()).expect("a log");
        let mut command = self.command("serve");
        command.env("LINKSPAN_LOG", "warn").stdout(Stdio::piped()).stderr(log);
        command.spawn().expect("the server runs")
    }

    fn log_path(&self) -> PathBuf {
        self.folder().join("log")
    }

    /// What it has told on its standard error, over all starts.
    pub fn log(&self) -> impl Iterator<Item = String> {
        BufReader::new(File::open(self.log_path()).expect("a log")).lines().map_while(Result::ok)
    }

    /// Starts it again over the same folder, after [`Self::kill`].
    pub fn restart(&mut self) {
        let mut program = self.spawn();
        let lines = BufReader::new(program.stdout.take().expect("it is piped")).lines();
        let addresses = lines.take(Platform::ALL.len()).map(|line| {
            let line = line.expect("a line of text");
            let rest = line.strip_prefix("listening on http://").expect("it says where it listens");
            rest.split(' ').next().expect("the address comes first").to_owned()
        });
        self.addresses = addresses.collect();
        self.program = Some(program);
        assert_eq!(self.addresses.len(), Platform::ALL.len(), "the server did not start");
    }

    /// Starts it over the same folder and kills it after a while, whether it listens by then or not.
    pub async fn stumble(&mut self, after: Duration) {
        let mut program = self.spawn();
        tokio::time::sleep(after).await;
        program.kill().expect("it is killed");
        program.wait().expect("it ends");
    }

    /// Ends it at once, with SIGKILL.
    pub fn kill(&mut self) {
        let mut program = self.program.take().expect("it runs");
        assert!(program.try_wait().expect("it can be asked").is_none(), "it ended by itself");
        program.kill().expect("it is killed");
        program.wait().expect("it ends");
    }

    /// Where each platform listens.
    pub fn addresses(&self) -> Vec<String> {
        self.addresses.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(program) = &mut self.program {
            let _ = program.kill();
            let _ = program.wait();
        }
        if std::thread::panicking() {
            let folder = self.folder.take().map(TempDir::keep);
            eprintln!("the server's folder stays: {folder:?}");
        }
    }
}
