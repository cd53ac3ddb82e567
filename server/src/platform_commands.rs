//! The commands `platform list` and `platform add`: they read and write the configuration file only.
//! A platform gets its signing key when the server first starts with it.

use std::{
    io::Write,
    os::unix::fs::{MetadataExt, fchown},
    path::Path,
};

use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

use crate::{
    ConfigPath, Failure,
    config::{Config, Severity},
    read_config,
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum PlatformCommand {
    /// List the platforms of a configuration.
    List(ConfigPath),
    /// Add a platform to a configuration; a running server takes it up when it is restarted.
    Add(NewPlatform),
}

/// The values of a new platform. They are judged like those in the file.
#[derive(Debug, clap::Args)]
pub(crate) struct NewPlatform {
    #[command(flatten)]
    config: ConfigPath,
    /// A short name, such as `photos`.
    name: String,
    /// The Matrix server name: what stands after the colon in people's addresses. It never changes.
    server_name: String,
    /// A host name that means this platform, besides its server name. May be given several times.
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<String>,
    /// An address that is this platform's alone, such as `127.0.0.1:8104`.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// How people are known: handle, phone or account.
    #[arg(long)]
    identity: Option<String>,
    /// Who may register: open, token or closed.
    #[arg(long)]
    registration: Option<String>,
    /// Whether messages are encrypted: optional, required or forbidden.
    #[arg(long)]
    encryption: Option<String>,
}

pub(crate) fn run(command: PlatformCommand) -> Result<(), Failure> {
    match command {
        PlatformCommand::List(path) => list(&path.config),
        PlatformCommand::Add(new) => add(&new),
    }
}

fn list(path: &Path) -> Result<(), Failure> {
    for platform in read_config(path)?.platforms {
        let listen = platform.listen.map_or_else(|| "-".to_owned(), |address| address.to_string());
        println!(
            "{}\t{}\t{listen}\tidentity {}\tregistration {}\tencryption {}",
            platform.name,
            platform.server_name,
            lower(platform.identity),
            lower(platform.registration),
            lower(platform.encryption),
        );
    }
    Ok(())
}

/// A setting as it is written in the configuration.
fn lower(setting: impl std::fmt::Debug) -> String {
    format!("{setting:?}").to_lowercase()
}

fn add(new: &NewPlatform) -> Result<(), Failure> {
    let path = &new.config.config;
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    let text = with_platform(&text, new)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let reading = Config::parse(&text, folder, std::env::var(crate::config::MEDIA_SECRET_KEY).ok());
    for finding in &reading.findings {
        eprintln!("{finding}");
    }
    if reading.findings.iter().any(|finding| finding.severity == Severity::Error) {
        return Err(
            format!("{} is left as it was: with this platform it would have errors", path.display()).into()
        );
    }
    replace(path, &text)?;
    println!("{} is added to {}; restart the server to take it up", new.server_name, path.display());
    Ok(())
}

/// The configuration with one more platform. Comments and order stay.
fn with_platform(text: &str, new: &NewPlatform) -> Result<String, Failure> {
    let mut document: DocumentMut = text.parse()?;
    let mut table = Table::new();
    table["name"] = value(&new.name);
    table["server_name"] = value(&new.server_name);
    if !new.hosts.is_empty() {
        table["hosts"] = value(new.hosts.iter().collect::<toml_edit::Array>());
    }
    for (key, setting) in [
        ("listen", &new.listen),
        ("identity", &new.identity),
        ("registration", &new.registration),
        ("encryption", &new.encryption),
    ] {
        if let Some(setting) = setting {
            table[key] = value(setting);
        }
    }
    document
        .entry("platform")
        .or_insert(Item::ArrayOfTables(ArrayOfTables::new()))
        .as_array_of_tables_mut()
        .ok_or("`platform` is not written as [[platform]]")?
        .push(table);
    Ok(document.to_string())
}

/// Replaces a file whole or not at all. Whoever may read it may read it afterwards.
fn replace(path: &Path, text: &str) -> Result<(), Failure> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    let before = std::fs::metadata(path)?;
    // The owner comes first: a change of owner takes away rights.
    fchown(file.as_file(), Some(before.uid()), Some(before.gid()))?;
    file.as_file().set_permissions(before.permissions())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "# ours\ndata = \"data\" # here\n\n[listen]\nhttp = \"127.0.0.1:8008\"\n\n\
        [[platform]]\nname = \"one\"\nserver_name = \"one.localhost\"\n\n[platform.limits]\nmessage = 5.0\n";

    fn new_platform(path: &Path, name: &str) -> NewPlatform {
        NewPlatform {
            config: ConfigPath { config: path.to_owned() },
            name: name.to_owned(),
            server_name: format!("{name}.localhost"),
            hosts: vec!["two.example".to_owned()],
            listen: None,
            identity: Some("phone".to_owned()),
            registration: None,
            encryption: None,
        }
    }

    #[test]
    fn a_platform_is_added_and_the_rest_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("linkspan.toml");
        std::fs::write(&path, BEFORE).expect("the file is written");
        add(&new_platform(&path, "two")).expect("it is added");
        let after = std::fs::read_to_string(&path).expect("the file is there");
        assert!(after.starts_with(BEFORE), "{after}");
        let config = Config::read(&path).expect("it is read").config.expect("it is good");
        assert_eq!(config.platforms[1].hosts, ["two.example"]);
    }

    #[test]
    fn a_platform_that_would_clash_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("linkspan.toml");
        std::fs::write(&path, BEFORE).expect("the file is written");
        assert!(add(&new_platform(&path, "one")).is_err());
        assert_eq!(std::fs::read_to_string(&path).expect("the file is there"), BEFORE);
    }
}
