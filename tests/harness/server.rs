//! The server under test, which is one process over one folder. It has three platforms, each on a port of its
//! own and all on another, and a log that is read at the end.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    built,
    http1::{Answer, Connection, Request},
};

/// The server name of the first platform.
pub const INSTAGRAM: &str = "instagram.localhost";
/// The server name of the second platform.
pub const MESSENGER: &str = "messenger.localhost";
/// The server name of the third platform.
pub const WHATSAPP: &str = "whatsapp.localhost";

/// The password of everybody.
pub const PASSWORD: &str = "correct horse battery staple";

/// A setting by which there are no rate limits, for tests that are not about them.
const UNLIMITED: &str = "rate_limits = false";

/// A platform of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// Its people are known by handles.
    Instagram,
    /// Its people are known by accounts.
    Messenger,
    /// Its people are known by phone numbers.
    Whatsapp,
}

impl Platform {
    /// All that a server hosts.
    pub const ALL: [Self; 3] = [Self::Instagram, Self::Messenger, Self::Whatsapp];

    /// Its Matrix server name.
    pub fn server_name(self) -> &'static str {
        match self {
            Self::Instagram => INSTAGRAM,
            Self::Messenger => MESSENGER,
            Self::Whatsapp => WHATSAPP,
        }
    }

    /// Its part of the configuration, with the further settings `more`. Nothing is proved at sign-up, unless
    /// they say something else.
    fn settings(self, more: &str) -> String {
        let server_name = self.server_name();
        let name = server_name.trim_end_matches(".localhost");
        let identity = match self {
            Self::Instagram => "handle",
            Self::Messenger => "account",
            Self::Whatsapp => "phone",
        };
        let verify = if more.contains("verify =") { "" } else { "verify = false" };
        format!(
            r#"
            [[platform]]
            name = "{name}"
            server_name = "{server_name}"
            listen = "127.0.0.1:0"
            identity = "{identity}"
            registration = "open"
            {verify}
            {more}
            "#
        )
    }
}

/// A server with a folder of its own. Both go with the test, but after a failure the folder stays.
#[derive(Debug)]
pub struct Server {
    folder: Option<TempDir>,
    /// The address at which all platforms are served, told apart by host. It is another after each start.
    address: String,
    /// The address of each platform. They are others after each start.
    addresses: Vec<String>,
    program: Option<Child>,
}

impl Server {
    /// Starts it in a new folder, without rate limits.
    pub fn start() -> Self {
        Self::start_with(UNLIMITED, &[])
    }

    /// Starts it in a new folder, without rate limits. In rooms with people of `strict` all has to be
    /// encrypted.
    pub fn start_requiring_encryption(strict: Platform) -> Self {
        let rule = |platform| if platform == strict { "encryption = 'required'" } else { "" };
        Self::start_in_a_folder(|platform| platform.settings(&[UNLIMITED, rule(platform)].join("\n")), &[])
    }

    /// Starts it in a new folder. Each platform has the further settings `more`. The accounts of
    /// `administrators`, which are names of a platform and of a user, are made before.
    pub fn start_with(more: &str, administrators: &[(&str, &str)]) -> Self {
        Self::start_in_a_folder(|platform| platform.settings(more), administrators)
    }

    /// Starts it in a new folder, without rate limits. Each platform has further settings of its own.
    pub fn start_with_settings(more: impl Fn(Platform) -> String) -> Self {
        Self::start_in_a_folder(|platform| platform.settings(&[UNLIMITED, &more(platform)].join("\n")), &[])
    }

    /// Starts it in a new folder. It takes at most so many connections at a time.
    pub fn start_with_connections(most: usize) -> Self {
        let listen = format!("listen.max_connections = {most}\n");
        Self::start_listening(&listen, |platform| platform.settings(UNLIMITED), &[])
    }

    fn start_in_a_folder(settings: impl Fn(Platform) -> String, administrators: &[(&str, &str)]) -> Self {
        Self::start_listening("", settings, administrators)
    }

    /// `listen`: settings of all listeners.
    fn start_listening(
        listen: &str,
        settings: impl Fn(Platform) -> String,
        administrators: &[(&str, &str)],
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let platforms: String = Platform::ALL.into_iter().map(settings).collect();
        let config = format!("data = \"data\"\n{listen}listen.http = \"127.0.0.1:0\"\n{platforms}");
        fs::write(folder.path().join("linkspan.toml"), config).expect("the configuration is written");
        File::create(folder.path().join("log")).expect("a log");
        let mut server =
            Self { folder: Some(folder), address: String::new(), addresses: Vec::new(), program: None };
        for (platform, name) in administrators {
            server.make_administrator(platform, name);
        }
        server.restart();
        server
    }

    fn make_administrator(&self, platform: &str, name: &str) {
        let mut command = self.command(&["user", "create", platform, name, "--admin"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it runs");
        let mut input = child.stdin.take().expect("it is piped");
        writeln!(input, "{PASSWORD}").expect("the password is read");
        drop(input);
        assert!(child.wait().expect("it ends").success(), "{name} could not be made");
    }

    fn folder(&self) -> &Path {
        self.folder.as_ref().expect("the folder stays until the end").path()
    }

    /// Begins to look for the most memory that the program takes at once, and says how much it takes now, in bytes.
    pub fn begin_peak_of_memory(&self) -> usize {
        fs::write(self.of_process("clear_refs"), "5").expect("the peak is forgotten");
        self.memory("VmRSS:")
    }

    /// The most memory that the program has taken since then, in bytes.
    pub fn peak_of_memory(&self) -> usize {
        self.memory("VmHWM:")
    }

    fn memory(&self, name: &str) -> usize {
        let status = fs::read_to_string(self.of_process("status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("it is told");
        let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib << 10
    }

    fn of_process(&self, file: &str) -> PathBuf {
        let id = self.program.as_ref().expect("it runs").id();
        PathBuf::from(format!("/proc/{id}/{file}"))
    }

    /// A command of the program, on this server's configuration.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(built("linkspan"));
        command.args(words).arg("--config").arg(self.folder().join("linkspan.toml"));
        command
    }

    fn spawn(&mut self) -> Child {
        assert!(self.program.is_none(), "it runs already");
        let log = OpenOptions::new().append(true).open(self.log_path()).expect("a log");
        let mut command = self.command(&["serve"]);
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
        let addresses = lines.take(1 + Platform::ALL.len()).map(|line| {
            let line = line.expect("a line of text");
            let rest = line.strip_prefix("listening on http://").expect("it says where it listens");
            rest.split(' ').next().expect("the address comes first").to_owned()
        });
        let mut addresses: Vec<_> = addresses.collect();
        self.program = Some(program);
        assert_eq!(addresses.len(), 1 + Platform::ALL.len(), "the server did not start");
        self.address = addresses.remove(0);
        self.addresses = addresses;
    }

    /// Starts a server with the same configuration over what it restores from a backup.
    pub fn start_restored(&self, backup: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::copy(self.folder().join("linkspan.toml"), folder.path().join("linkspan.toml"))
            .expect("it is copied");
        File::create(folder.path().join("log")).expect("a log");
        let mut server =
            Self { folder: Some(folder), address: String::new(), addresses: Vec::new(), program: None };
        let restored = server.command(&["restore"]).arg(backup).output().expect("the program runs");
        assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
        server.restart();
        server
    }

    /// From now on, it listens at every start where it listens now.
    pub fn stay(&self) {
        let path = self.folder().join("linkspan.toml");
        let mut config = fs::read_to_string(&path).expect("the configuration is there");
        for address in std::iter::once(&self.address).chain(&self.addresses) {
            config = config.replacen("\"127.0.0.1:0\"", &format!("\"{address}\""), 1);
        }
        fs::write(path, config).expect("the configuration is written");
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

    /// Where all platforms are served, told apart by host.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where each platform listens.
    pub fn addresses(&self) -> Vec<String> {
        self.addresses.clone()
    }

    /// The base of a platform's URLs.
    pub fn url(&self, platform: Platform) -> String {
        format!("http://{}", self.addresses[platform as usize])
    }

    /// Asks a platform without a body, as `token` if there is one.
    pub fn get(&self, platform: Platform, path: &str, token: Option<&str>) -> Answer {
        let address = &self.addresses[platform as usize];
        let mut connection = Connection::open(address);
        connection.send(&Request::new("GET", path).by(token).to_bytes(address));
        connection.answer().expect("it answers")
    }

    /// The lines of the log that say that something went wrong.
    pub fn complaints(&self) -> Vec<String> {
        let bad = |line: &String| [" WARN ", "ERROR ", "panicked"].iter().any(|sign| line.contains(sign));
        self.log().filter(bad).collect()
    }

    /// The memory that it holds now, and the most that it has held since it was started, in bytes.
    pub fn memory_bytes(&self) -> (u64, u64) {
        let program = self.program.as_ref().expect("it runs");
        let status = fs::read_to_string(format!("/proc/{}/status", program.id())).expect("it runs");
        let field = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the system says so");
            1024 * line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of kB")
        };
        (field("VmRSS:"), field("VmHWM:"))
    }

    /// What its data take on the disk, in bytes.
    pub fn stored_bytes(&self) -> u64 {
        fn size(folder: &Path) -> u64 {
            let files = fs::read_dir(folder).into_iter().flatten().flatten();
            // What goes while this looks has no size.
            files
                .map(|file| match file.metadata() {
                    Ok(about) if about.is_dir() => size(&file.path()),
                    Ok(about) => about.blocks() * 512,
                    Err(_) => 0,
                })
                .sum()
        }
        size(&self.folder().join("data"))
    }

    /// Asserts that the server still runs, never panicked, and did not fill its log.
    #[track_caller]
    pub fn check_health(&mut self) {
        let program = self.program.as_mut().expect("it was started");
        assert!(program.try_wait().expect("it can be asked").is_none(), "the server ended");
        let complaints = self.complaints();
        let bad = complaints.iter().filter(|line| line.contains("panicked") || line.contains("ERROR "));
        assert_eq!(bad.collect::<Vec<_>>(), Vec::<&String>::new());
        assert!(complaints.len() <= 5, "the log is flooded: {complaints:#?}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(program) = &mut self.program {
            let _ = program.kill();
            let _ = program.wait();
        }
        if std::thread::panicking() {
            self.complaints().iter().take(20).for_each(|line| eprintln!("server: {line}"));
            let folder = self.folder.take().map(TempDir::keep);
            eprintln!("the server's folder stays: {folder:?}");
        }
    }
}
