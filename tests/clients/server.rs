//! The server under test: one process, three platforms, each on a port of its own; and plain requests to it.
//!
//! It must not know what a client library is.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

/// A platform of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Platform {
    /// Known by handles.
    Instagram,
    /// Known by accounts.
    Messenger,
    /// Known by phone numbers.
    Whatsapp,
}

impl Platform {
    const ALL: [Self; 3] = [Self::Instagram, Self::Messenger, Self::Whatsapp];

    /// Its Matrix server name.
    pub(crate) fn server_name(self) -> &'static str {
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

/// A server of its own, ended with the test.
pub(crate) struct Server {
    addresses: Vec<String>,
    program: Child,
    _folder: TempDir,
}

/// An answer to a plain request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Null if it is not JSON.
    pub(crate) body: Value,
}

/// Where the programs of this build are.
pub(crate) fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this test is a program");
    let folder = test.ancestors().nth(2).expect("tests are built in target/PROFILE/deps");
    let program = folder.join(name);
    assert!(program.exists(), "{} is not built: run `make test`, which builds it", program.display());
    program
}

impl Server {
    /// Starts it in a folder of its own, with all three platforms listening.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("linkspan.toml");
        let platforms: String = Platform::ALL.into_iter().map(Platform::settings).collect();
        fs::write(&config, format!("data = \"data\"\n{platforms}")).expect("the configuration is written");
        let mut command = Command::new(built("linkspan"));
        command.arg("serve").arg("--config").arg(&config).stdout(Stdio::piped());
        let mut program = command.spawn().expect("the server runs");
        let lines = BufReader::new(program.stdout.take().expect("it is piped")).lines();
        let addresses = lines.take(Platform::ALL.len()).map(|line| {
            let line = line.expect("a line of text");
            let rest = line.strip_prefix("listening on http://").expect("it says where it listens");
            rest.split(' ').next().expect("the address comes first").to_owned()
        });
        let addresses: Vec<_> = addresses.collect();
        assert_eq!(addresses.len(), Platform::ALL.len(), "the server did not start");
        Self { addresses, program, _folder: folder }
    }

    fn address(&self, platform: Platform) -> &str {
        &self.addresses[platform as usize]
    }

    /// The base of a platform's URLs.
    pub(crate) fn url(&self, platform: Platform) -> String {
        format!("http://{}", self.address(platform))
    }

    /// A request without a body, as `token` if there is one.
    pub(crate) fn get(&self, platform: Platform, path: &str, token: Option<&str>) -> Answer {
        let address = self.address(platform);
        let authorization =
            token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{authorization}Connection: close\r\n\r\n");
        let mut stream = TcpStream::connect(address).expect("the server listens");
        stream.write_all(head.as_bytes()).expect("it is sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it answers");
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer has a head");
        let status = std::str::from_utf8(&answer[9..12]).ok().and_then(|status| status.parse().ok());
        let body = serde_json::from_slice(&answer[end + 4..]).unwrap_or(Value::Null);
        Answer { status: status.expect("an answer has a status"), body }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}
