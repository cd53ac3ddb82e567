//! The configuration of the demo's server. It is written to the folder of the data, where people may change
//! it.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

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

impl Config {
    /// Reads the configuration of a folder, and writes it before if there is none: who changed it wants it
    /// so. With `ports_from`, the server listens on that port and the next ones; 0: on any.
    pub(crate) fn in_folder(folder: &Path, ports_from: Option<u16>) -> Result<Self, Failure> {
        fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
        let mut path = folder.join(FILE);
        if !path.exists() {
            fs::write(&path, CONFIG).map_err(|error| failed(&path, &error))?;
        }
        let text = fs::read_to_string(&path).map_err(|error| failed(&path, &error))?;
        let mut table: Table = text.parse().map_err(|error| failed(&path, &error))?;
        if let Some(first) = ports_from {
            listen_from(&mut table, first)?;
            path = folder.join(MOVED_FILE);
            fs::write(&path, table.to_string()).map_err(|error| failed(&path, &error))?;
        }
        Ok(Self { path, table })
    }

    /// Whether a platform requires encryption of those who talk with its people. The demo needs it to have an
    /// address of its own.
    pub(crate) fn requires_encryption(&self, server_name: &str) -> Result<bool, Failure> {
        let mut platforms = self.table.get("platform").and_then(Value::as_array).into_iter().flatten();
        let found = platforms.find(|platform| text(platform, "server_name") == Some(server_name));
        let found = found.filter(|platform| platform.get("listen").is_some());
        let found = found.ok_or_else(|| {
            format!("the configuration has no platform {server_name} with a `listen` address, which the demo needs")
        })?;
        Ok(text(found, "encryption") == Some("required"))
    }
}

fn failed(path: &Path, error: &dyn std::error::Error) -> Failure {
    format!("{}: {error}", path.display()).into()
}

fn text<'a>(table: &'a Value, key: &str) -> Option<&'a str> {
    table.get(key).and_then(Value::as_str)
}

/// Moves the listeners to this port and the next ones, in their order; 0: to any.
fn listen_from(config: &mut Table, first: u16) -> Result<(), Failure> {
    let mut next = Some(first);
    let mut move_one = |address: &mut Value| -> Result<(), Failure> {
        let mut moved: SocketAddr = match address.as_str().map(str::parse) {
            Some(Ok(parsed)) => parsed,
            _ => return Err(format!("the configuration says `listen`, but {address} is no address").into()),
        };
        let port = next.ok_or_else(|| format!("--ports-from {first}: there are not so many ports"))?;
        moved.set_port(port);
        *address = moved.to_string().into();
        next = if port == 0 { Some(0) } else { port.checked_add(1) };
        Ok(())
    };
    if let Some(address) = config.get_mut("listen").and_then(|listen| listen.get_mut("http")) {
        move_one(address)?;
    }
    let platforms = config.get_mut("platform").and_then(Value::as_array_mut).into_iter().flatten();
    platforms.filter_map(|platform| platform.get_mut("listen")).try_for_each(move_one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_follow_each_other() {
        let mut config: Table = CONFIG.parse().expect("it can be read");
        let ports = |config: &Table| -> Vec<u16> {
            let platforms = config["platform"].as_array().expect("there are platforms").iter();
            let all = std::iter::once(&config["listen"]["http"]).chain(platforms.map(|one| &one["listen"]));
            let addresses = all.map(|one| one.as_str().expect("a text").parse::<SocketAddr>());
            addresses.map(|address| address.expect("an address").port()).collect()
        };
        assert_eq!(ports(&config), [8008, 8101, 8102, 8103]);
        listen_from(&mut config, 9000).expect("there are enough");
        assert_eq!(ports(&config), [9000, 9001, 9002, 9003]);
        listen_from(&mut config, 0).expect("there are always");
        assert_eq!(ports(&config), [0; 4]);
        assert!(listen_from(&mut config, 65_534).is_err());
    }

    #[test]
    fn a_changed_configuration_stays_and_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = || Config::in_folder(folder.path(), Some(0)).expect("it is there");
        assert!(config().requires_encryption("whatsapp.localhost").expect("it has an address"));
        let lax = CONFIG.replace("\"required\"", "\"optional\"").replace("listen = \"127.0.0.1:8101\"", "");
        fs::write(folder.path().join(FILE), lax).expect("it is written");
        assert!(!config().requires_encryption("whatsapp.localhost").expect("it has an address"));
        assert!(config().requires_encryption("instagram.localhost").is_err(), "it has no address now");
    }
}
