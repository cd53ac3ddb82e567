//! The commands `platform …`: they change the configuration file, and have the server that runs apply it.
//!
//! A change is checked before it is written, and taken back if the server refuses it. Comments and the order of settings
//! stay as they are. A platform gets its signing key when the server first takes it up.

use std::{
    io::Write,
    os::unix::fs::{MetadataExt, fchown},
    path::Path,
};

use hyper::Method;
use linkspan_platforms::Settings;
use ruma::ServerName;
use serde_json::{Value, json};
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, TableLike, value};

use crate::{
    ConfigPath, Failure,
    back_end::{Ask, BackEnd},
    config::{Config, Severity},
    on_platform::find_platform,
    read_config, reload_command,
    settings::list_settings,
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum PlatformCommand {
    /// List the platforms of a configuration, and how they are.
    List {
        #[command(flatten)]
        config: ConfigPath,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Add a platform; a running server serves it at once.
    Add(NewPlatform),
    /// Change settings of a platform; a running server applies them at once.
    Set(NewSettings),
    /// Take settings of a platform out of the configuration, so that what is usual holds.
    Unset(OldSettings),
    /// Refuse everything that would change something on a platform, until it is unfenced. Reading goes on.
    Fence(OnePlatform),
    /// End that.
    Unfence(OnePlatform),
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

/// Settings that a platform is to have.
#[derive(Debug, clap::Args)]
pub(crate) struct NewSettings {
    #[command(flatten)]
    platform: OnePlatform,
    /// A setting and its value, such as `registration open` or `limits.message 20`. There may be several pairs.
    #[arg(required = true, num_args = 2.., value_names = ["KEY", "VALUE"])]
    pairs: Vec<String>,
}

/// Settings that a platform is to have no more.
#[derive(Debug, clap::Args)]
pub(crate) struct OldSettings {
    #[command(flatten)]
    platform: OnePlatform,
    /// A setting, such as `label` or `limits.message`.
    #[arg(required = true)]
    keys: Vec<String>,
}

/// A platform of a configuration.
#[derive(Debug, clap::Args)]
pub(crate) struct OnePlatform {
    #[command(flatten)]
    config: ConfigPath,
    /// The platform's name or server name.
    platform: String,
}

pub(crate) fn run(command: PlatformCommand) -> Result<(), Failure> {
    match command {
        PlatformCommand::List { config, json } => list(&config.config, json),
        PlatformCommand::Add(new) => {
            let done = format!("{} is added to {}", new.server_name, new.config.config.display());
            change(&new.config.config, |text| with_platform(text, &new), &done)
        }
        PlatformCommand::Set(NewSettings { platform, pairs }) => {
            let pairs = pairs_of(&pairs)?;
            platform.change(|table| pairs.iter().try_for_each(|(key, value)| set(table, key, value)))
        }
        PlatformCommand::Unset(OldSettings { platform, keys }) => {
            platform.change(|table| keys.iter().try_for_each(|key| unset(table, key)))
        }
        PlatformCommand::Fence(platform) => platform.change(|table| set(table, "fenced", "true")),
        PlatformCommand::Unfence(platform) => platform.change(|table| {
            table.remove("fenced");
            Ok(())
        }),
    }
}

fn pairs_of(words: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let (pairs, rest) = words.as_chunks::<2>();
    match rest.first() {
        Some(key) => Err(format!("{key} has no value: settings and values are given in turn").into()),
        None => Ok(pairs.iter().map(|[key, value]| (key.clone(), value.clone())).collect()),
    }
}

fn list(path: &Path, as_json: bool) -> Result<(), Failure> {
    let config = read_config(path)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        let Some(mut running) = BackEnd::running_over(&config).await? else { return Ok(None) };
        let ask = Ask { method: Method::GET, platform: None, path: "platforms".to_owned(), body: None };
        Ok::<_, Failure>(Some(running.ask(ask).await?))
    })?;
    let platforms: Vec<_> = config.platforms.iter().map(|it| describe(it, served.as_ref())).collect();
    if as_json {
        println!("{:#}", json!({ "platforms": platforms }));
        return Ok(());
    }
    for platform in platforms {
        let text = |key: &str| platform[key].as_str().unwrap_or("-").to_owned();
        let count = |key: &str| platform[key].as_u64().map_or("-".to_owned(), |count| count.to_string());
        let fields = [
            text("name"),
            text("server_name"),
            text("listen"),
            format!("identity {}", text("identity")),
            format!("registration {}", text("registration")),
            format!("encryption {}", text("encryption")),
            text("state"),
            format!("users {}", count("users")),
            format!("rooms {}", count("rooms")),
        ];
        println!("{}", fields.join("\t"));
    }
    Ok(())
}

/// A platform as it is configured, and as the server that runs has it.
fn describe(settings: &Settings, served: Option<&Value>) -> Value {
    let all = served.and_then(|served| served["platforms"].as_array()).into_iter().flatten();
    let hosted = all.clone().find(|it| it["server_name"] == settings.server_name.as_str());
    let state = match (served, hosted) {
        (None, _) if settings.fenced => "stopped, fenced",
        (None, _) => "stopped",
        (Some(_), None) => "not applied",
        (Some(_), Some(hosted)) => hosted["state"].as_str().unwrap_or_default(),
    };
    let counted = |key: &str| hosted.map(|hosted| hosted[key].clone()).unwrap_or_default();
    json!({
        "name": settings.name,
        "server_name": settings.server_name,
        "listen": settings.listen,
        "identity": settings.identity,
        "registration": settings.registration,
        "encryption": settings.encryption,
        "state": state,
        "users": counted("users"),
        "rooms": counted("rooms"),
    })
}

/// Changes a configuration, if it stays good and the server that runs takes it. `done` says what was changed.
fn change(
    path: &Path,
    edit: impl FnOnce(&str) -> Result<String, Failure>,
    done: &str,
) -> Result<(), Failure> {
    let before = std::fs::read_to_string(path)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    let text = edit(&before)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let reading = Config::parse(&text, folder, std::env::var(crate::config::MEDIA_SECRET_KEY).ok());
    for finding in &reading.findings {
        eprintln!("{finding}");
    }
    let is_bad = reading.findings.iter().any(|finding| finding.severity == Severity::Error);
    let Some(config) = reading.config.filter(|_| !is_bad) else {
        return Err(format!("{} is left as it was: it would have errors", path.display()).into());
    };
    replace(path, &text)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match runtime.block_on(reload_command::apply(&config)) {
        Ok(true) => println!("{done}"),
        Ok(false) => println!("{done}; no server runs that could apply it"),
        Err(failure) => {
            replace(path, &before)?;
            return Err(format!("{} is left as it was: {failure}", path.display()).into());
        }
    }
    Ok(())
}

impl OnePlatform {
    /// Changes the platform's table in the configuration.
    fn change(&self, edit: impl FnOnce(&mut Table) -> Result<(), Failure>) -> Result<(), Failure> {
        let path = &self.config.config;
        let name = find_platform(&read_config(path)?, &self.platform)?;
        let edit = |text: &str| {
            let mut document: DocumentMut = text.parse()?;
            edit(table_of(&mut document, &name).ok_or("`platform` is not written as [[platform]]")?)?;
            Ok(document.to_string())
        };
        change(path, edit, &format!("{name} is changed in {}", path.display()))
    }
}

/// The table of the platform with this server name.
fn table_of<'d>(document: &'d mut DocumentMut, name: &ServerName) -> Option<&'d mut Table> {
    let tables = document.get_mut("platform")?.as_array_of_tables_mut()?;
    tables.iter_mut().find(|table| table.get("server_name").and_then(Item::as_str) == Some(name.as_str()))
}

/// Sets a setting, which may be in tables of the platform.
fn set(table: &mut Table, key: &str, text: &str) -> Result<(), Failure> {
    if key == "server_name" {
        return Err("a `server_name` never changes: it is part of everybody's address".into());
    }
    let mut value = value_of(key, text);
    let mut names: Vec<_> = key.split('.').collect();
    let last = names.pop().unwrap_or(key);
    let mut inner: &mut dyn TableLike = table;
    for name in names {
        let next = inner.entry(name).or_insert(Item::Table(Table::new()));
        inner = next.as_table_like_mut().ok_or_else(|| format!("`{name}` is no table of settings"))?;
    }
    match inner.get_mut(last) {
        Some(Item::Value(known)) => {
            // What stands around it, such as a comment, stays.
            *value.decor_mut() = known.decor().clone();
            *known = value;
        }
        Some(_) => return Err(format!("`{key}` is a table: give the settings in it one by one").into()),
        None => drop(inner.insert(last, Item::Value(value))),
    }
    Ok(())
}

/// A value as somebody gives it to a command: text needs no quotes.
fn value_of(key: &str, text: &str) -> toml_edit::Value {
    let setting = list_settings().into_iter().find(|setting| setting.key == format!("platform.{key}"));
    let is_text = setting.is_some_and(|setting| setting.kind == "text" || setting.kind.starts_with('"'));
    match text.parse::<toml_edit::Value>() {
        Ok(value) if !is_text || value.is_str() => value,
        _ => text.into(),
    }
}

/// Takes a setting out.
fn unset(table: &mut Table, key: &str) -> Result<(), Failure> {
    let mut names: Vec<_> = key.split('.').collect();
    let last = names.pop().unwrap_or(key);
    let mut inner: &mut dyn TableLike = table;
    let missing = || Failure::from(format!("`{key}` is not set"));
    for name in names {
        inner = inner.get_mut(name).and_then(Item::as_table_like_mut).ok_or_else(missing)?;
    }
    inner.remove(last).map(drop).ok_or_else(missing)
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

/// Replaces a file whole or not at all. It stays that of the same user, whoever runs the command.
fn replace(path: &Path, text: &str) -> Result<(), Failure> {
    // Where there is a link, what it leads to is meant.
    let path = &std::fs::canonicalize(path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    let (before, now) = (std::fs::metadata(path)?, file.as_file().metadata()?);
    if (before.uid(), before.gid()) != (now.uid(), now.gid()) {
        fchown(file.as_file(), Some(before.uid()), Some(before.gid()))
            .map_err(|error| format!("{} would belong to another user: {error}", path.display()))?;
    }
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
        run(PlatformCommand::Add(new_platform(&path, "two"))).expect("it is added");
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
        assert!(run(PlatformCommand::Add(new_platform(&path, "one"))).is_err());
        assert_eq!(std::fs::read_to_string(&path).expect("the file is there"), BEFORE);
    }

    #[test]
    fn settings_are_changed_where_they_stand_and_checked_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("linkspan.toml");
        let text = BEFORE.replace("message = 5.0\n", "message = 5.0 # enough\n");
        std::fs::write(&path, &text).expect("the file is written");
        let platform = || OnePlatform { config: ConfigPath { config: path.clone() }, platform: "one".into() };
        let set = |pairs: &[&str]| {
            let pairs = pairs.iter().map(|&word| word.to_owned()).collect();
            run(PlatformCommand::Set(NewSettings { platform: platform(), pairs }))
        };
        let unset = |key: &str| {
            run(PlatformCommand::Unset(OldSettings { platform: platform(), keys: vec![key.to_owned()] }))
        };
        set(&["limits.message", "7.5", "registration", "open", "hosts", "[\"a.example\"]", "label", "12"])
            .expect("they are set");
        let after = std::fs::read_to_string(&path).expect("the file is there");
        for line in ["message = 7.5 # enough\n", "registration = \"open\"\n", "label = \"12\"\n"] {
            assert!(after.contains(line), "{after}");
        }
        for wrong in
            [&["limits.message", "much"][..], &["mesage", "1"], &["label"], &["server_name", "b.example"]]
        {
            assert!(set(wrong).is_err(), "{wrong:?}");
            assert_eq!(std::fs::read_to_string(&path).expect("the file is there"), after);
        }
        unset("hosts").and_then(|()| unset("label")).and_then(|()| unset("registration")).expect("they go");
        assert!(unset("hosts").is_err(), "it is not there any more");
        let back = std::fs::read_to_string(&path).expect("the file is there");
        assert_eq!(back, text.replace("message = 5.0", "message = 7.5"));
    }
}
