//! The configuration of the demo's server. It is written to the folder of the data, where people may change
//! it.

use std::{
    fs,
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
};

use toml::{Table, Value};
use url::Url;

use crate::Failure;

/// The configuration, to be read by people too.
const CONFIG: &str = include_str!("linkspan.toml");
/// The name of its file.
const FILE: &str = "linkspan.toml";
/// The name of a copy that has other ports, written anew each time.
const MOVED_FILE: &str = "linkspan-ports.toml";

/// A configuration that the server is started with.
#[derive(Debug)]
pub(crate) struct Config {
    /// Its file.
    pub(crate) path: PathBuf,
    table: Table,
}

/// Where the server sends what is for people, as the configuration says.
#[derive(Debug)]
pub(crate) struct Post {
    /// The address that takes SMS, and shows everything that was sent.
    pub(crate) sms: TcpListener,
    /// The address that takes mails.
    pub(crate) mails: TcpListener,
    /// What requests with SMS are signed with.
    pub(crate) secret: String,
}

impl Config {
    /// Reads the configuration of a folder, and writes it before if there is none: who changed it wants it
    /// so. With `ports_from`, everything listens on that port and the next ones; 0: on any. The addresses
    /// for mails and SMS are taken at once, because the server has to know them.
    pub(crate) fn in_folder(folder: &Path, ports_from: Option<u16>) -> Result<(Self, Post), Failure> {
        fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
        let mut path = folder.join(FILE);
        if !path.exists() {
            fs::write(&path, CONFIG).map_err(|error| failed(&path, &error))?;
        }
        let text = fs::read_to_string(&path).map_err(|error| failed(&path, &error))?;
        let mut table: Table = text.parse().map_err(|error| failed(&path, &error))?;
        if let Some(first) = ports_from {
            listen_from(&mut table, first)?;
        }
        let post = take_post(&mut table)?;
        if ports_from.is_some() {
            path = folder.join(MOVED_FILE);
            fs::write(&path, table.to_string()).map_err(|error| failed(&path, &error))?;
        }
        Ok((Self { path, table }, post))
    }

    /// Whether a platform requires encryption of those who talk with its people. The demo needs it to have an
    /// address of its own.
    pub(crate) fn requires_encryption(&self, server_name: &str) -> Result<bool, Failure> {
        let found = self.platform(server_name).filter(|platform| platform.get("listen").is_some());
        let found = found.ok_or_else(|| {
            format!("the configuration has no platform {server_name} with a `listen` address, which the demo needs")
        })?;
        Ok(text(found, "encryption") == Some("required"))
    }

    /// The colour of a platform's pages.
    pub(crate) fn colour(&self, server_name: &str) -> Option<&str> {
        self.platform(server_name).and_then(|platform| text(platform, "colour"))
    }

    /// What people call a platform.
    pub(crate) fn display_name(&self, server_name: &str) -> Option<&str> {
        self.platform(server_name).and_then(|platform| text(platform, "display_name"))
    }

    /// The recovery key of somebody's demo account.
    pub(crate) fn recovery_key(&self, server_name: &str, user: &str) -> Option<&str> {
        let accounts = self.platform(server_name)?.get("demo_account")?.as_array()?;
        let account = accounts.iter().find(|account| text(account, "user") == Some(user))?;
        text(account, "recovery_key")
    }

    fn platform(&self, server_name: &str) -> Option<&Value> {
        let mut platforms = self.table.get("platform").and_then(Value::as_array).into_iter().flatten();
        platforms.find(|platform| text(platform, "server_name") == Some(server_name))
    }
}

fn failed(path: &Path, error: &dyn std::error::Error) -> Failure {
    format!("{}: {error}", path.display()).into()
}

fn text<'a>(table: &'a Value, key: &str) -> Option<&'a str> {
    table.get(key).and_then(Value::as_str)
}

fn platforms(config: &mut Table) -> impl Iterator<Item = &mut Value> {
    config.get_mut("platform").and_then(Value::as_array_mut).into_iter().flatten()
}

/// The URL of the gateway for SMS, if the configuration has one.
fn gateway(config: &mut Table) -> Option<&mut Value> {
    config.get_mut("sms").and_then(|sms| sms.get_mut("gateway"))
}

/// The URLs of the platforms' mail servers.
fn mail_servers(config: &mut Table) -> impl Iterator<Item = &mut Value> {
    platforms(config).filter_map(|platform| platform.get_mut("email")?.get_mut("smtp"))
}

/// Ports that follow each other; 0 is followed by 0, and means any.
struct Ports {
    first: u16,
    next: Option<u16>,
}

impl Ports {
    fn take(&mut self) -> Result<u16, Failure> {
        let port =
            self.next.ok_or_else(|| format!("--ports-from {}: there are not so many ports", self.first))?;
        self.next = if port == 0 { Some(0) } else { port.checked_add(1) };
        Ok(port)
    }
}

/// Moves everything that listens to this port and the next ones: the server in the order of its addresses,
/// then what takes SMS, then what takes mails.
fn listen_from(config: &mut Table, first: u16) -> Result<(), Failure> {
    let mut ports = Ports { first, next: Some(first) };
    if let Some(address) = config.get_mut("listen").and_then(|listen| listen.get_mut("http")) {
        move_listener(address, ports.take()?)?;
    }
    for platform in platforms(config) {
        let Some(address) = platform.get_mut("listen") else { continue };
        let (before, port) = (address.clone(), ports.take()?);
        move_listener(address, port)?;
        let now = address.clone();
        let Some(hosts) = platform.get_mut("hosts").and_then(Value::as_array_mut) else { continue };
        hosts.iter_mut().filter(|host| **host == before).for_each(|host| *host = now.clone());
        // A port that is not known yet is none that a link can lead to.
        hosts.retain(|host| port != 0 || *host != now);
    }
    let sms = ports.take()?;
    gateway(config).map_or(Ok(()), |url| move_url(url, sms))?;
    let mails = ports.take()?;
    mail_servers(config).try_for_each(|url| move_url(url, mails))
}

fn move_listener(address: &mut Value, port: u16) -> Result<(), Failure> {
    let mut moved: SocketAddr = match address.as_str().map(str::parse) {
        Some(Ok(parsed)) => parsed,
        _ => return Err(format!("the configuration says `listen`, but {address} is no address").into()),
    };
    moved.set_port(port);
    *address = moved.to_string().into();
    Ok(())
}

fn parsed(url: &Value) -> Result<Url, Failure> {
    let parsed = url.as_str().and_then(|text| Url::parse(text).ok()).filter(|parsed| parsed.has_host());
    parsed.ok_or_else(|| format!("the configuration sends messages to {url}, which is no address").into())
}

fn move_url(url: &mut Value, port: u16) -> Result<(), Failure> {
    let mut moved = parsed(url)?;
    // The address has a host, so it can have a port.
    let _ = moved.set_port(Some(port));
    *url = moved.to_string().into();
    Ok(())
}

/// Takes the addresses to which the configuration has mails and SMS sent. It says afterwards which they are.
fn take_post(config: &mut Table) -> Result<Post, Failure> {
    let missing = |what: &str| format!("the configuration has no {what}, which the demo needs to read codes");
    let secret = config.get("sms").and_then(|sms| text(sms, "secret")).map(ToOwned::to_owned);
    let secret = secret.ok_or_else(|| missing("[sms] with a `secret`"))?;
    let url = gateway(config).ok_or_else(|| missing("[sms] with a `gateway`"))?;
    let sms = listen_at(url)?;
    let url = mail_servers(config).next().ok_or_else(|| missing("`email` of a platform"))?;
    let mails = listen_at(url)?;
    let url = url.clone();
    mail_servers(config).for_each(|one| *one = url.clone());
    Ok(Post { sms, mails, secret })
}

/// Listens at the address of a URL, which may leave the port open.
fn listen_at(url: &mut Value) -> Result<TcpListener, Failure> {
    let address = parsed(url)?;
    let host = address.host_str().unwrap_or_default().to_owned();
    let port =
        address.port().ok_or_else(|| format!("{address} has no port, so the demo cannot listen there"))?;
    let listener =
        TcpListener::bind((host.trim_matches(['[', ']']), port)).map_err(|error| match error.kind() {
            ErrorKind::AddrInUse => {
                format!("port {port} is taken; `--ports-from 9000` makes the demo use others")
            }
            _ => format!("{address}: {error}"),
        })?;
    // What belongs to the runtime must not block.
    listener.set_nonblocking(true)?;
    move_url(url, listener.local_addr()?.port())?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(config: &mut Table) -> Vec<u16> {
        let port = |value: &Value| {
            let text = value.as_str().expect("a text");
            match text.parse::<SocketAddr>() {
                Ok(address) => address.port(),
                Err(_) => Url::parse(text).expect("a URL").port().expect("it has a port"),
            }
        };
        let mut found = vec![port(&config["listen"]["http"])];
        for platform in platforms(config) {
            found.push(port(&platform["listen"]));
            let (port, hosts) = (port(&platform["listen"]), platform["hosts"].as_array().expect("a list"));
            let leads_there = hosts.contains(&platform["listen"]);
            assert_eq!(leads_there, port != 0, "links lead to where it listens, if that is known");
        }
        found.extend(gateway(config).map(|url| port(url)));
        found.extend(mail_servers(config).map(|url| port(url)));
        found
    }

    #[test]
    fn ports_follow_each_other() {
        let mut config: Table = CONFIG.parse().expect("it can be read");
        assert_eq!(ports(&mut config), [8008, 8101, 8102, 8103, 8104, 8105, 8105, 8105]);
        listen_from(&mut config, 9000).expect("there are enough");
        assert_eq!(ports(&mut config), [9000, 9001, 9002, 9003, 9004, 9005, 9005, 9005]);
        listen_from(&mut config, 0).expect("there are always");
        assert_eq!(ports(&mut config), [0; 8]);
        assert!(listen_from(&mut config, 65_532).is_err());
    }

    #[test]
    fn the_server_is_told_where_messages_are_taken() {
        let mut config: Table = CONFIG.parse().expect("it can be read");
        listen_from(&mut config, 0).expect("there are always");
        let post = take_post(&mut config).expect("there are always");
        let port = |listener: &TcpListener| listener.local_addr().expect("it listens").port();
        let (sms, mails) = (port(&post.sms), port(&post.mails));
        assert_eq!(ports(&mut config)[4..], [sms, mails, mails, mails]);
        config.remove("sms");
        let missing = take_post(&mut config).expect_err("it is not there").to_string();
        assert!(missing.contains("[sms]"), "{missing}");
    }

    #[test]
    fn a_changed_configuration_stays_and_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = || Config::in_folder(folder.path(), Some(0)).expect("it is there").0;
        assert!(config().requires_encryption("whatsapp.localhost").expect("it has an address"));
        assert_eq!(config().colour("whatsapp.localhost"), Some("#11694b"));
        let lax = CONFIG.replace("\"required\"", "\"optional\"").replace("listen = \"127.0.0.1:8101\"", "");
        fs::write(folder.path().join(FILE), lax).expect("it is written");
        assert!(!config().requires_encryption("whatsapp.localhost").expect("it has an address"));
        assert!(config().requires_encryption("instagram.localhost").is_err(), "it has no address now");
    }
}
