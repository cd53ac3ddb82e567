//! Reading the configuration and its certificates again, and applying it to the server that runs.
//!
//! All of it is checked first: with a mistake nothing changes. What holds from the start only stays as it is, and is told.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use linkspan_platforms::PlatformsError;
use linkspan_storage::Store;
use linkspan_wire::{App, now_ts};
use serde::Serialize;
use tokio::sync::Mutex;
use toml::{Table, Value};

use crate::{
    Failure,
    config::{Config, MEDIA_SECRET_KEY, Severity},
    listeners::Listeners,
    settings::Restarts,
    stored,
    systemd::Notifier,
    tls::{Certificates, ReadFiles},
};

/// Where a server that runs is reached for this. It is empty while there is none.
pub(crate) type Reloading = Arc<OnceLock<Reloader>>;

/// What came of it.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Applied {
    /// What holds from now on, a sentence for each.
    pub(crate) applied: Vec<String>,
    /// What will hold after a restart.
    pub(crate) restart: Vec<String>,
    /// What may not be what the operator wants.
    pub(crate) warnings: Vec<String>,
}

/// Reads the configuration again for a server that runs.
pub(crate) struct Reloader {
    path: PathBuf,
    app: App,
    store: Store,
    listeners: Arc<Listeners>,
    certificates: Arc<Certificates>,
    notifier: Arc<Notifier>,
    /// The text of the configuration that the server has started with.
    started: String,
    /// The text of the one that was applied last.
    text: Mutex<String>,
}

impl Reloader {
    /// `text` is the configuration that the server has started with.
    pub(crate) fn new(
        path: PathBuf,
        text: String,
        app: App,
        store: Store,
        listeners: Arc<Listeners>,
        certificates: Arc<Certificates>,
        notifier: Arc<Notifier>,
    ) -> Self {
        let started = text.clone();
        Self { path, app, store, listeners, certificates, notifier, started, text: Mutex::new(text) }
    }

    /// Reads and applies the configuration. Fails with everything that is wrong with it, and has then changed nothing.
    pub(crate) async fn reload(&self) -> Result<Applied, Vec<String>> {
        let mut text = self.text.lock().await;
        self.notifier.reloading();
        let outcome = self.apply(&mut text).await;
        self.notifier.ready();
        match &outcome {
            Ok(Applied { applied, restart, warnings }) => {
                let (applied, restart) = (applied.join("; "), restart.join("; "));
                tracing::info!(applied, restart, "the configuration was read again");
                warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
            }
            Err(mistakes) => {
                mistakes.iter().for_each(|mistake| tracing::error!("{mistake}"));
                tracing::error!("the configuration was read again and has errors, so nothing is changed");
            }
        }
        outcome
    }

    /// Says what would come of a configuration. `folder` is where its file is.
    pub(crate) async fn check(&self, text: &str, folder: &Path) -> Result<Applied, Vec<String>> {
        let before = self.text.lock().await.clone();
        self.judge(&before, text, folder).await.map(|judged| judged.outcome)
    }

    /// Reads a configuration as far as it can be applied, and says what is different in it.
    async fn judge(&self, before: &str, text: &str, folder: &Path) -> Result<Judged, Vec<String>> {
        let reading = Config::parse(text, folder, std::env::var(MEDIA_SECRET_KEY).ok());
        let told = |severity: Severity| {
            let findings = reading.findings.iter().filter(move |finding| finding.severity == severity);
            findings.map(|finding| format!("{}: {finding}", self.path.display())).collect::<Vec<_>>()
        };
        let (mistakes, warnings) = (told(Severity::Error), told(Severity::Warning));
        let Some(mut config) = reading.config else { return Err(mistakes) };
        let stored = stored::judge_open(&self.store, &config).await.map_err(one)?;
        let (wrong, doubtful): (Vec<_>, Vec<_>) =
            stored.into_iter().partition(|finding| finding.severity == Severity::Error);
        if !wrong.is_empty() {
            return Err(wrong.into_iter().map(|finding| finding.message).collect());
        }
        let mut outcome = Applied::default();
        outcome.warnings.extend(doubtful.into_iter().map(|finding| finding.message));
        let left_out = self.leave_out_earlier(&mut config, &mut outcome).await.map_err(one)?;
        self.keep_until_restart(&mut config, &mut outcome);
        tell_changes(before, text, &left_out, &mut outcome);
        // What has waited for a restart since an earlier reload does so still.
        let mut since_start = Applied::default();
        tell_changes(&self.started, text, &left_out, &mut since_start);
        let restart: BTreeSet<_> = outcome.restart.drain(..).chain(since_start.restart).collect();
        outcome.restart = restart.into_iter().collect();
        Ok(Judged { config, warnings, outcome })
    }

    async fn apply(&self, before: &mut String) -> Result<Applied, Vec<String>> {
        let text = std::fs::read_to_string(&self.path)
            .map_err(|error| vec![format!("{} cannot be read: {error}", self.path.display())])?;
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let Judged { config, warnings, mut outcome } = self.judge(before, &text, folder).await?;
        outcome.warnings.extend(warnings);
        let bound = self.listeners.bind(&config).await.map_err(one)?;
        let platforms = &self.app.platforms;
        let failed = |error: PlatformsError| vec![format!("the platforms cannot be changed: {error}")];
        let read = ReadFiles::of(&config).map_err(|fault| one(fault.into()))?;
        outcome.applied.extend(self.certificates.prepare(&read));
        platforms.apply(&self.store, config.platforms.clone(), now_ts()).await.map_err(failed)?;
        self.certificates.replace(read);
        *before = text;
        // From here on it is done; what fails is told and does not undo it.
        if let Err(error) = self.app.matching.note_platforms(now_ts()).await {
            outcome.warnings.push(format!("the index of addresses was not told of the platforms: {error}"));
        }
        if let Err(error) = self.app.accounts.bind_demo_accounts().await {
            outcome.warnings.push(format!("the demo accounts could not be looked up: {error}"));
        }
        match self.listeners.open(&config, bound).await {
            Ok(told) => {
                // Whoever has started the server may not read any more what it says.
                for listening in told.iter().filter(|it| it.starts_with("listening")) {
                    let _ = writeln!(std::io::stdout(), "{listening}");
                }
                outcome.applied.extend(told);
            }
            Err(failure) => outcome.warnings.push(failure.to_string()),
        }
        Ok(outcome)
    }

    /// Leaves out platforms that are not served and that the store has accounts of: much that is in memory was put together
    /// without these.
    async fn leave_out_earlier(
        &self,
        config: &mut Config,
        outcome: &mut Applied,
    ) -> Result<BTreeSet<String>, Failure> {
        let mut earlier = BTreeSet::new();
        for settings in config.platforms.iter().filter(|it| !self.app.platforms.hosts(&it.server_name)) {
            let name = &settings.server_name;
            if !self.app.accounts.list_accounts(name, None, 1).await?.is_empty() {
                outcome.restart.push(format!("{name} has accounts from before, and is served again"));
                earlier.insert(name.to_string());
            }
        }
        config.platforms.retain(|it| !earlier.contains(it.server_name.as_str()));
        Ok(earlier)
    }

    /// Leaves as it is what cannot be changed while people use it.
    fn keep_until_restart(&self, config: &mut Config, outcome: &mut Applied) {
        let platforms = &self.app.platforms;
        let is_looked_up = platforms.iter().any(|platform| platform.settings.identity_lookup);
        for settings in &mut config.platforms {
            match platforms.get(&settings.server_name) {
                Some(hosted) => settings.keep_until_restart(&hosted.settings),
                None if settings.identity_lookup && !is_looked_up => {
                    settings.identity_lookup = false;
                    outcome.restart.push(format!("{}: `identity_lookup`", settings.server_name));
                }
                None => {}
            }
        }
        let named: BTreeSet<_> = config.platforms.iter().map(|it| &it.server_name).collect();
        for gone in platforms.iter().filter(|platform| !named.contains(platform.server_name())) {
            outcome.restart.push(format!("{} is served until then", gone.server_name()));
        }
    }
}

/// A configuration that can be applied.
struct Judged {
    config: Config,
    /// What may not be meant in it by itself.
    warnings: Vec<String>,
    /// What would come of it, with what may not be meant when it is compared with the store.
    outcome: Applied,
}

fn one(failure: Failure) -> Vec<String> {
    vec![failure.to_string()]
}

/// Notes which settings two configurations differ in, but for those of platforms that are left out.
fn tell_changes(before: &str, after: &str, left_out: &BTreeSet<String>, outcome: &mut Applied) {
    let (before, after) = (settings_of(before), settings_of(after));
    let restarts = Restarts::of_all();
    let mut new = BTreeSet::new();
    for (place @ (platform, key), value) in &after {
        let is_left_out = platform.as_ref().is_some_and(|platform| left_out.contains(platform));
        if is_left_out || before.get(place) == Some(value) {
            continue;
        }
        match platform {
            Some(platform) if !before.keys().any(|(other, _)| other.as_ref() == Some(platform)) => {
                if new.insert(platform) {
                    outcome.applied.push(format!("{platform} is a new platform"));
                }
            }
            _ => tell_change(platform.as_deref(), key, &restarts, outcome),
        }
    }
    for (platform, key) in before.keys().filter(|place| !after.contains_key(place)) {
        let stays = |name: &String| after.keys().any(|(other, _)| other.as_ref() == Some(name));
        if platform.as_ref().is_none_or(stays) {
            tell_change(platform.as_deref(), key, &restarts, outcome);
        }
    }
}

fn tell_change(platform: Option<&str>, key: &str, restarts: &Restarts, outcome: &mut Applied) {
    let (told, whole) = match platform {
        Some(platform) => (format!("{platform}: `{key}`"), format!("platform.{key}")),
        None => (format!("`{key}`"), key.to_owned()),
    };
    if restarts.needs(&whole) {
        outcome.restart.push(told);
    } else {
        outcome.applied.push(told);
    }
}

/// The settings of a configuration that was read before, by platform and name.
fn settings_of(text: &str) -> BTreeMap<(Option<String>, String), Value> {
    let mut settings = BTreeMap::new();
    for (key, value) in text.parse::<Table>().unwrap_or_default() {
        match value {
            Value::Array(platforms) if key == "platform" => {
                for platform in platforms.into_iter().filter_map(|it| it.try_into::<Table>().ok()) {
                    let name = platform.get("server_name").and_then(Value::as_str).map(str::to_owned);
                    platform
                        .into_iter()
                        .for_each(|(key, value)| add(&mut settings, name.clone(), key, value));
                }
            }
            value => add(&mut settings, None, key, value),
        }
    }
    settings
}

/// Adds a setting, or those of a table one by one.
fn add(
    settings: &mut BTreeMap<(Option<String>, String), Value>,
    platform: Option<String>,
    key: String,
    value: Value,
) {
    match value {
        Value::Table(inner) => {
            for (name, value) in inner {
                settings.insert((platform.clone(), format!("{key}.{name}")), value);
            }
        }
        value => drop(settings.insert((platform, key), value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_that_differs_is_told_with_what_it_needs() {
        let before = "data = \"a\"\nlisten.http = \"127.0.0.1:1\"\n[[platform]]\nserver_name = \"a.example\"\n\
            presence = true\ndiscovery.name = \"nobody\"\n[platform.limits]\nmessage = 1.0\n";
        let after = "data = \"b\"\nlisten.http = \"127.0.0.1:1\"\n[log]\nlevel = \"debug\"\n[[platform]]\n\
            server_name = \"a.example\"\ndiscovery.name = \"everyone\"\n[platform.limits]\nmessage = 2.0\njoin = 1.0\n\
            [[platform]]\nserver_name = \"b.example\"\nname = \"b\"\n";
        let mut outcome = Applied::default();
        tell_changes(before, after, &BTreeSet::new(), &mut outcome);
        let applied = [
            "a.example: `limits.join`",
            "a.example: `limits.message`",
            "b.example is a new platform",
            "a.example: `presence`",
        ];
        assert_eq!(outcome.applied, applied);
        assert_eq!(outcome.restart, ["`data`", "`log.level`", "a.example: `discovery.name`"]);
    }
}
