//! A server of two platforms, and people who reach it by HTTPS as the world would.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    net::{IpAddr, SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
};

use reqwest::{Client, Response};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::certificate::Certificate;

pub(crate) const PHOTOS: &str = "photos.example";
pub(crate) const FAMILY: &str = "family.example";
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// A server that listens where its configuration says.
pub(crate) struct Deployed {
    pub(crate) folder: TempDir,
    server: Child,
    /// What it says about where it listens: a scheme and an address for each listener.
    pub(crate) listening: Vec<(String, SocketAddr)>,
}

/// The configuration of the two platforms, with what else there is at its top, and of each platform.
pub(crate) fn config(top: &str, photos: &str, family: &str) -> String {
    let platform = |name: &str, server_name: &str, more: &str| {
        format!(
            "[[platform]]\nname = \"{name}\"\nserver_name = \"{server_name}\"\nregistration = \"open\"\n\
             verify = false\nrate_limits = false\n{more}\n"
        )
    };
    let platforms = platform("photos", PHOTOS, photos) + &platform("family", FAMILY, family);
    format!("data = \"data\"\n{top}\n{platforms}")
}

impl Deployed {
    /// Starts one in a folder. It has so many listeners.
    pub(crate) fn start(folder: TempDir, config: &str, listeners: usize) -> Self {
        let path = folder.path().join("linkspan.toml");
        fs::write(&path, config).expect("the configuration is written");
        let log = File::create(folder.path().join("log")).expect("a log");
        let mut command = program();
        command.args(["serve", "--config"]).arg(&path).stdout(Stdio::piped()).stderr(log);
        let mut server = command.spawn().expect("the program runs");
        let lines = BufReader::new(server.stdout.take().expect("it is piped")).lines();
        let listening: Vec<_> = lines
            .take(listeners)
            .map(|line| {
                let line = line.expect("a line of text");
                let rest = line.strip_prefix("listening on ").expect("it says where it listens");
                let url = rest.split(' ').next().expect("the address comes first");
                let (scheme, address) = url.split_once("://").expect("a URL");
                (scheme.to_owned(), address.parse().expect("an address"))
            })
            .collect();
        assert_eq!(listening.len(), listeners, "the server did not start");
        Self { folder, server, listening }
    }

    /// Has it read another configuration, and returns what is told of that, or why it is not taken.
    pub(crate) fn reload(&self, config: &str) -> Result<String, String> {
        let path = self.folder.path().join("linkspan.toml");
        fs::write(&path, config).expect("the configuration is written");
        let output = program().args(["reload", "--config"]).arg(&path).output().expect("the program runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    pub(crate) fn id(&self) -> u32 {
        self.server.id()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).expect("a log of text")
    }
}

impl Drop for Deployed {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The program, which logs as it does by itself.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_linkspan"));
    command.env_remove("LINKSPAN_LOG");
    command
}

/// An address of this machine that nobody listens on.
pub(crate) fn free_address() -> SocketAddr {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    free.local_addr().expect("it is bound")
}

/// Somebody who believes in some certificates, and finds both platforms at one address.
pub(crate) struct Visitor {
    pub(crate) client: Client,
    address: SocketAddr,
}

impl Visitor {
    /// `from`: the address of this machine that the visitor comes from.
    pub(crate) fn new(address: SocketAddr, certificates: &[&Certificate], from: Option<IpAddr>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let read = |path: &Path| fs::read(path).expect("it was made");
        let certificates = certificates
            .iter()
            .map(|made| reqwest::Certificate::from_pem(&read(&made.certificate)).expect("a certificate"));
        let client = Client::builder()
            .no_proxy()
            .tls_certs_only(certificates)
            .resolve(PHOTOS, address)
            .resolve(FAMILY, address)
            .local_address(from)
            .build()
            .expect("a client");
        Self { client, address }
    }

    /// The base of a platform's URLs.
    pub(crate) fn base(&self, host: &str) -> String {
        format!("https://{host}:{}", self.address.port())
    }

    pub(crate) async fn get(&self, host: &str, path: &str) -> reqwest::Result<Response> {
        self.client.get(self.base(host) + path).send().await
    }

    /// Registers somebody who is on a new device, and returns the token.
    pub(crate) async fn register(&self, host: &str, name: &str) -> String {
        let body = json!({ "username": name, "password": PASSWORD, "auth": { "type": "m.login.dummy" } });
        let url = self.base(host) + "/_matrix/client/v3/register";
        let registered = json_of(self.client.post(url).json(&body).send().await).await;
        registered["access_token"].as_str().unwrap_or_else(|| panic!("no token: {registered}")).to_owned()
    }
}

/// The body of an answer.
pub(crate) async fn json_of(answer: reqwest::Result<Response>) -> Value {
    let text = answer.expect("an answer").text().await.expect("a whole answer");
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}"))
}
