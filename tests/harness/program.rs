//! The program `linkspan` as a process: one server, three platforms, a log that is read at the end.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

/// The platforms' server names.
pub const INSTAGRAM: &str = "instagram.localhost";
/// The second of them.
pub const MESSENGER: &str = "messenger.localhost";
/// The third of them.
pub const WHATSAPP: &str = "whatsapp.localhost";

/// The password of everybody.
pub const PASSWORD: &str = "correct horse battery staple";

/// A server of its own, ended with the test.
#[derive(Debug)]
pub struct Server {
    /// Where all platforms are served, told apart by host.
    pub address: String,
    log: PathBuf,
    program: Child,
    _folder: TempDir,
}

impl Server {
    /// Starts a server of three platforms in a folder of its own. `more`: further settings of each platform.
    /// `administrators`: accounts that are made before, each the name of a platform and of a user.
    pub fn start(more: &str, administrators: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("linkspan.toml");
        let platforms = [INSTAGRAM, MESSENGER, WHATSAPP].map(|server_name| {
            let name = server_name.trim_end_matches(".localhost");
            format!(
                "[[platform]]\nname = '{name}'\nserver_name = '{server_name}'\nregistration = 'open'\n\
                 verify = false\n{more}\n"
            )
        });
        let settings = format!("data = 'data'\n[listen]\nhttp = '127.0.0.1:0'\n{}", platforms.concat());
        fs::write(&config, settings).expect("the configuration is written");
        let command = |words: &[&str]| {
            let mut command = Command::new(built("linkspan"));
            command.args(words).arg("--config").arg(&config).current_dir(folder.path());
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            command
        };
        for (platform, name) in administrators {
            let mut child = command(&["user", "create", platform, name, "--admin"]).spawn().expect("it runs");
            let mut input = child.stdin.take().expect("it is piped");
            writeln!(input, "{PASSWORD}").expect("the password is read");
            drop(input);
            assert!(child.wait().expect("it ends").success(), "{name} could not be made");
        }
        let log = folder.path().join("log");
        let errors = fs::File::create(&log).expect("a log");
        let mut program = command(&["serve"]).stderr(errors).spawn().expect("the program runs");
        let mut line = String::new();
        let mut output = BufReader::new(program.stdout.take().expect("it is piped"));
        output.read_line(&mut line).expect("a line of text");
        let rest = line.strip_prefix("listening on http://").expect("it says where it listens");
        let address = rest.split(' ').next().expect("the address comes first").to_owned();
        Self { address, log, program, _folder: folder }
    }

    /// Lines of the log that say that something went wrong.
    pub fn complaints(&self) -> Vec<String> {
        let log = fs::read(&self.log).expect("the log is read");
        let log = String::from_utf8_lossy(&log);
        let bad = |line: &&str| [" WARN ", "ERROR ", "panicked"].iter().any(|sign| line.contains(sign));
        log.lines().filter(bad).map(str::to_owned).collect()
    }

    /// Asserts that the server still runs, never panicked, and did not fill its log.
    #[track_caller]
    pub fn check_health(&mut self) {
        assert!(self.program.try_wait().expect("it can be asked").is_none(), "the server ended");
        let complaints = self.complaints();
        let bad = complaints.iter().filter(|line| line.contains("panicked") || line.contains("ERROR "));
        assert_eq!(bad.collect::<Vec<_>>(), Vec::<&String>::new());
        assert!(complaints.len() <= 5, "the log is flooded: {complaints:#?}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.complaints().iter().take(20).for_each(|line| eprintln!("server: {line}"));
        }
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// Where a program of this build is.
fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this test is a program");
    let folder = test.ancestors().nth(2).expect("tests are built in target/PROFILE/deps");
    let program = folder.join(name);
    assert!(program.exists(), "{} is not built: run `make test`, which builds it", program.display());
    program
}
