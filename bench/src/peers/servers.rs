//! How each peer is set up: its data in a new folder, its configuration from a template in `bench/peers`, and
//! its processes. All of them listen on 127.0.0.1 only.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tempfile::TempDir;

use super::{
    process::{Process, command, folder_of, output},
    xmpp::Account,
};
use crate::{client::Platform, server::free_addresses};

const SYNAPSE: &str = include_str!("../../peers/synapse.yaml");
const SYNAPSE_LOG: &str = include_str!("../../peers/synapse-log.yaml");
const PROSODY: &str = include_str!("../../peers/prosody.cfg.lua");
const EJABBERD: &str = include_str!("../../peers/ejabberd.yml");
/// The hosts of an XMPP server; the templates name them too.
const XMPP_HOSTS: [&str; 2] = ["one.localhost", "two.localhost"];
/// How long a database that listens may take until it answers.
const DATABASE_LIMIT: Duration = Duration::from_secs(20);
/// Stands for no user of the system: a process keeps our rights.
const OURSELVES: &str = "";

/// How the people who chat reach the server.
pub(crate) enum Reached {
    /// They use the Matrix client-server API of these platforms.
    Matrix(Vec<Arc<Platform>>),
    /// They use XMPP on these hosts. The names of the accounts are to be filled in.
    Xmpp(Vec<Account>),
}

/// A peer that is up. It ends, and its data are removed, when this is dropped.
pub(crate) struct Running {
    /// How to reach it.
    pub(crate) reached: Reached,
    /// The version of the peer, and those of what it needs.
    pub(crate) version: String,
    /// The processes in the order in which they end. The database is the last.
    processes: Vec<Process>,
    _folder: TempDir,
}

impl Running {
    /// The ids of its processes; their children are not among them.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.processes.iter().map(Process::pid).collect()
    }
}

/// A folder that all users of the system may look into.
fn new_folder(parent: &Path) -> Result<TempDir, String> {
    let make = || {
        let folder = tempfile::Builder::new().prefix("linkspan-peer-").tempdir_in(parent)?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        Ok(folder)
    };
    make().map_err(|error: std::io::Error| format!("cannot make a folder in {}: {error}", parent.display()))
}

/// Writes a file from a template whose words in {{…}} are filled in.
fn write_filled(path: &Path, template: &str, words: &[(&str, &str)]) -> Result<(), String> {
    let mut text = template.to_owned();
    for (name, value) in words {
        text = text.replace(&format!("{{{{{name}}}}}"), value);
    }
    fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn addresses(count: usize) -> Result<Vec<SocketAddr>, String> {
    free_addresses(count).map_err(|error| format!("there are no free ports: {error}"))
}

/// The first of these paths that is there.
fn installed(what: &str, paths: impl IntoIterator<Item = PathBuf>) -> Result<PathBuf, String> {
    paths
        .into_iter()
        .find(|path| path.exists())
        .ok_or_else(|| format!("{what} is not installed; bench/peers/setup.sh installs it where it can"))
}

/// The names in a folder, the greatest first.
fn entries(folder: &str) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.reverse();
    paths
}

fn package_version(package: &str) -> String {
    let asked = output(package, Command::new("dpkg-query").args(["-W", "-f", "${Version}", package]));
    asked.unwrap_or_else(|_| "of unknown version".to_owned())
}

struct Database {
    process: Process,
    address: SocketAddr,
    programs: PathBuf,
    version: String,
}

impl Database {
    /// Starts PostgreSQL as its package sets it up, except for more memory for its cache. Commits wait for
    /// the disk.
    async fn start(folder: &Path) -> Result<Self, String> {
        let programs = entries("/usr/lib/postgresql").into_iter().map(|version| version.join("bin"));
        let programs = installed("PostgreSQL", programs.filter(|bin| bin.join("initdb").exists()))?;
        let folder = folder_of(folder, "postgres", "postgres")?;
        let data = folder.join("data");
        let mut init = command(programs.join("initdb"), &folder, "postgres");
        init.args(["-U", "bench", "--auth=trust", "-E", "UTF8", "--locale=C", "-D"]).arg(&data);
        output("initdb", &mut init)?;
        let address = addresses(1)?[0];
        let mut serve = command(programs.join("postgres"), &folder, "postgres");
        serve.arg("-D").arg(&data).args(["-p", &address.port().to_string()]);
        for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "shared_buffers=256MB"] {
            serve.args(["-c", setting]);
        }
        // Otherwise it would wait until everybody who is connected leaves.
        let mut process = Process::start("postgres", &folder, serve)?.ended_by(Signal::INT);
        process.wait_for(address).await?;
        let mut database = Self { process, address, programs, version: String::new() };
        let until = Instant::now() + DATABASE_LIMIT;
        database.version = loop {
            match database.run("postgres", &["-t", "-A", "-c", "SHOW server_version"]) {
                Ok(version) => break format!("PostgreSQL {version}"),
                Err(error) if Instant::now() >= until => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        };
        Ok(database)
    }

    fn run(&self, database: &str, arguments: &[&str]) -> Result<String, String> {
        let port = self.address.port().to_string();
        let mut psql = command(self.programs.join("psql"), Path::new("/"), OURSELVES);
        psql.args(["-h", "127.0.0.1", "-p", &port, "-U", "bench", "-d", database]);
        output("psql", psql.args(["-q", "-v", "ON_ERROR_STOP=1"]).args(arguments))
    }

    fn create(&self, name: &str) -> Result<(), String> {
        self.run("postgres", &["-c", &format!("CREATE DATABASE {name}")]).map(drop)
    }

    fn port(&self) -> String {
        self.address.port().to_string()
    }
}

/// Starts one Synapse, or several that federate with each other.
pub(crate) async fn synapse(venv: &Path, parent: &Path, count: usize) -> Result<Running, String> {
    let python = installed("Synapse", [venv.join("bin/python")])?;
    let ask = "import importlib.metadata as m; print(m.version('matrix-synapse'))";
    let version = output("Synapse", Command::new(&python).args(["-c", ask]))
        .map_err(|_| "Synapse is not installed; bench/peers/setup.sh installs it where it can".to_owned())?;
    let temporary = new_folder(parent)?;
    let database = Database::start(temporary.path()).await?;
    let ports = addresses(2 * count)?;
    let (mut processes, mut platforms) = (Vec::new(), Vec::new());
    for (index, ports) in ports.chunks_exact(2).enumerate() {
        let (client, federation) = (ports[0], ports[1]);
        let name = format!("synapse{index}");
        let folder = folder_of(temporary.path(), &name, OURSELVES)?;
        database.create(&name)?;
        let mut certificate = command("openssl", &folder, OURSELVES);
        certificate.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj"]);
        output("openssl", certificate.args(["/CN=127.0.0.1", "-keyout", "tls.key", "-out", "tls.crt"]))?;
        write_filled(&folder.join("log.yaml"), SYNAPSE_LOG, &[])?;
        let server_name = federation.to_string();
        let words = [
            ("server_name", server_name.as_str()),
            ("client_port", &client.port().to_string()),
            ("federation_port", &federation.port().to_string()),
            ("folder", &folder.display().to_string()),
            ("database", &name),
            ("database_port", &database.port()),
        ];
        write_filled(&folder.join("homeserver.yaml"), SYNAPSE, &words)?;
        let synapse = || {
            let mut synapse = command(&python, &folder, OURSELVES);
            synapse.args(["-m", "synapse.app.homeserver", "-c", "homeserver.yaml"]);
            synapse
        };
        output("Synapse", synapse().arg("--generate-keys"))?;
        processes.push((Process::start(&name, &folder, synapse())?, client));
        platforms.push(Arc::new(Platform::new(&server_name, client)?));
    }
    let mut up = Vec::new();
    for (mut process, address) in processes {
        process.wait_for(address).await?;
        up.push(process);
    }
    let version = format!("Synapse {version}, {}", database.version);
    up.push(database.process);
    Ok(Running { reached: Reached::Matrix(platforms), version, processes: up, _folder: temporary })
}

/// Where Prosody keeps its archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProsodyArchive {
    /// The archive is in files, which is the default.
    Files,
    /// The archive is in PostgreSQL.
    Database,
}

/// Starts one Prosody with two hosts.
pub(crate) async fn prosody(parent: &Path, archive: ProsodyArchive) -> Result<Running, String> {
    let program = installed("Prosody", ["/usr/bin/prosody".into()])?;
    let temporary = new_folder(parent)?;
    let folder = folder_of(temporary.path(), "prosody", "prosody")?;
    let database = match archive {
        ProsodyArchive::Files => None,
        ProsodyArchive::Database => Some(Database::start(temporary.path()).await?),
    };
    let storage = match &database {
        None => "storage = \"internal\"".to_owned(),
        Some(database) => {
            database.create("prosody")?;
            format!(
                "storage = {{ archive = \"sql\" }}\nsql = {{ driver = \"PostgreSQL\", database = \
                 \"prosody\", host = \"127.0.0.1\", port = {}, username = \"bench\", password = \"\" }}",
                database.port()
            )
        }
    };
    let address = addresses(1)?[0];
    let words = [
        ("folder", folder.display().to_string()),
        ("port", address.port().to_string()),
        ("storage", storage),
    ];
    let configuration = temporary.path().join("prosody.cfg.lua");
    write_filled(&configuration, PROSODY, &words.each_ref().map(|(name, value)| (*name, value.as_str())))?;
    let mut serve = command(program, &folder, "prosody");
    serve.arg("-F").arg("--config").arg(&configuration);
    let mut process = Process::start("prosody", &folder, serve)?;
    process.wait_for(address).await?;
    let mut version = format!("Prosody {}", package_version("prosody"));
    let mut processes = vec![process];
    if let Some(database) = database {
        version.push_str(&format!(", {}", database.version));
        processes.push(database.process);
    }
    Ok(Running { reached: Reached::Xmpp(hosts(address)), version, processes, _folder: temporary })
}

/// Starts one ejabberd with two hosts and its archive in PostgreSQL.
pub(crate) async fn ejabberd(parent: &Path) -> Result<Running, String> {
    let missing = "ejabberd";
    let libraries = entries("/usr/lib").into_iter().filter(|folder| {
        let names = entries(&folder.display().to_string());
        names.iter().any(|path| path.join("ebin/ejabberd.beam").exists())
    });
    let libraries = installed(missing, libraries)?;
    let schema = installed(missing, ["/usr/share/ejabberd/sql/pg.new.sql".into()])?;
    let erlang = installed(missing, ["/usr/bin/erl".into()])?;
    let temporary = new_folder(parent)?;
    let folder = folder_of(temporary.path(), "ejabberd", "ejabberd")?;
    let database = Database::start(temporary.path()).await?;
    database.create("ejabberd")?;
    database.run("ejabberd", &["-f", &schema.display().to_string()])?;
    let address = addresses(1)?[0];
    let words = [("port", &*address.port().to_string()), ("database_port", &*database.port())];
    let configuration = temporary.path().join("ejabberd.yml");
    write_filled(&configuration, EJABBERD, &words)?;
    // This is how ejabberdctl starts it, but without a name among Erlang's nodes, which needs a daemon of its
    // own.
    let mut serve = command(erlang, &folder, "ejabberd");
    serve
        .args(["+K", "true", "+P", "250000", "-noinput", "-mnesia", "dir"])
        .arg(format!("\"{}\"", folder.join("spool").display()))
        .args(["-s", "ejabberd"])
        .env("ERL_LIBS", libraries)
        .env("ERL_MAX_PORTS", "32000")
        .env("ERL_CRASH_DUMP_BYTES", "0")
        .env("EJABBERD_CONFIG_PATH", configuration)
        .env("EJABBERD_LOG_PATH", folder.join("log/ejabberd.log"));
    let mut process = Process::start("ejabberd", &folder, serve)?;
    process.wait_for(address).await?;
    let version = format!("ejabberd {}, {}", package_version("ejabberd"), database.version);
    let processes = vec![process, database.process];
    Ok(Running { reached: Reached::Xmpp(hosts(address)), version, processes, _folder: temporary })
}

fn hosts(address: SocketAddr) -> Vec<Account> {
    XMPP_HOSTS.map(|host| Account { address, host: host.to_owned(), name: String::new() }).into()
}
