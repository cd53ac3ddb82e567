//! The configuration file: what it may hold, and reading it so that everything wrong is said at once.
//!
//! Reading never stops at the first mistake: a wrong entry is noted with its line, set aside, and the
//! rest is read on. What single entries mean together is judged in `check.rs`. Only this crate reads
//! files of configuration and the environment.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
    ops::Range,
    path::{Path, PathBuf},
};

use linkspan_platforms::{Email, Settings};
use serde::{Deserialize, de::DeserializeOwned};
use toml::{
    Spanned,
    de::{DeTable, DeValue, ValueDeserializer},
};

/// The environment variable that stands in for `secret_key` of `[media]`.
pub(crate) const MEDIA_SECRET_KEY: &str = "LINKSPAN_MEDIA_SECRET_KEY";

/// A configuration in which nothing is wrong.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The folder of the store and of media.
    pub(crate) data: PathBuf,
    pub(crate) listen: Listen,
    pub(crate) platforms: Vec<Settings>,
    /// Media go to a bucket instead of the data folder.
    pub(crate) media: Option<MediaBucket>,
}

/// `[listen]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listen {
    /// An address for all platforms, told apart by `Host`.
    pub(crate) http: Option<SocketAddr>,
    /// Connections at the same time; None: as many as the limit of open files allows.
    pub(crate) max_connections: Option<u32>,
    /// Proxies whose `X-Forwarded-For` is believed, besides those on this machine.
    #[serde(default)]
    pub(crate) trusted_proxies: Vec<IpAddr>,
}

/// `[media]`: a bucket that is spoken to as to Amazon's S3.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MediaBucket {
    pub(crate) bucket: String,
    #[serde(default = "default_region")]
    pub(crate) region: String,
    /// None: Amazon's own.
    pub(crate) endpoint: Option<String>,
    pub(crate) access_key: String,
    /// The environment ([`MEDIA_SECRET_KEY`]) goes before the file.
    #[serde(default)]
    pub(crate) secret_key: String,
}

/// What servers that speak Amazon's protocol take for granted.
fn default_region() -> String {
    "us-east-1".to_owned()
}

impl fmt::Debug for MediaBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaBucket").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// The server does not start.
    Error,
    /// The server starts; it may not be what the operator wants.
    Warning,
}

/// Something about a configuration that its operator has to know.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    /// From 1.
    pub(crate) line: Option<usize>,
    pub(crate) message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        })?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// A configuration as it was read, and all that was found.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// None if there is any error.
    pub(crate) config: Option<Config>,
    /// By line.
    pub(crate) findings: Vec<Finding>,
}

/// A platform's settings, and where each stands.
#[derive(Clone, Debug)]
pub(crate) struct PlatformEntry {
    pub(crate) settings: Settings,
    line: usize,
    lines: BTreeMap<String, usize>,
}

impl PlatformEntry {
    /// Where a key stands; where the platform begins if it is not given.
    pub(crate) fn line_of(&self, key: &str) -> Option<usize> {
        Some(*self.lines.get(key).unwrap_or(&self.line))
    }
}

/// What could be read, before it is judged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft {
    pub(crate) data: Option<(PathBuf, Option<usize>)>,
    pub(crate) listen: Listen,
    pub(crate) listen_line: Option<usize>,
    pub(crate) platforms: Vec<PlatformEntry>,
    pub(crate) media: Option<MediaBucket>,
    pub(crate) media_line: Option<usize>,
    /// Of all platforms that have none of their own.
    pub(crate) email: Option<Email>,
    pub(crate) email_line: Option<usize>,
}

impl Config {
    /// Reads a file. The error: it cannot be opened.
    pub(crate) fn read(path: &Path) -> std::io::Result<Reading> {
        let text = std::fs::read_to_string(path)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Ok(Self::parse(&text, folder, std::env::var(MEDIA_SECRET_KEY).ok()))
    }

    /// Reads a text; a relative `data` is relative to `folder`.
    pub(crate) fn parse(text: &str, folder: &Path, media_secret_key: Option<String>) -> Reading {
        let mut reader = Reader { text, findings: Vec::new() };
        let mut draft = reader.read();
        if let (Some(media), Some(secret_key)) = (&mut draft.media, media_secret_key) {
            media.secret_key = secret_key;
        }
        if let Some((data, _)) = &mut draft.data {
            *data = folder.join(&*data);
        }
        let mut findings = reader.findings;
        findings.extend(crate::check::judge(&draft));
        for entry in &mut draft.platforms {
            entry.settings.email = entry.settings.email.take().or_else(|| draft.email.clone());
        }
        findings.sort_by_key(|finding| (finding.line.unwrap_or(usize::MAX), finding.severity));
        let good = !findings.iter().any(|finding| finding.severity == Severity::Error);
        let config = draft.data.filter(|_| good).map(|(data, _)| Self {
            data,
            listen: draft.listen,
            platforms: draft.platforms.into_iter().map(|entry| entry.settings).collect(),
            media: draft.media,
        });
        Reading { config, findings }
    }
}

struct Reader<'i> {
    text: &'i str,
    findings: Vec<Finding>,
}

impl<'i> Reader<'i> {
    fn read(&mut self) -> Draft {
        let mut draft = Draft::default();
        let (document, errors) = DeTable::parse_recoverable(self.text);
        let broken = !errors.is_empty();
        for error in errors {
            self.note(error.span(), error.message());
        }
        if broken {
            // What is left after a syntax error would only produce findings that are not true.
            return draft;
        }
        for (key, why) in [
            ("data", "`data` is missing: the folder of the store, such as data = \"data\""),
            ("platform", "there is no platform: at least one [[platform]] is needed"),
        ] {
            if !document.get_ref().contains_key(key) {
                self.note(None, why);
            }
        }
        for (key, value) in document.into_inner() {
            let line = Some(self.line(key.span()));
            match &**key.get_ref() {
                "data" => draft.data = self.value::<PathBuf>(value).map(|data| (data, line)),
                "listen" => {
                    draft.listen = self.value(value).unwrap_or_default();
                    draft.listen_line = line;
                }
                "email" => {
                    draft.email = self.value(value);
                    draft.email_line = line;
                }
                "media" => {
                    draft.media = self.value(value);
                    draft.media_line = line;
                }
                "platform" => draft.platforms = self.platforms(value),
                other => {
                    let known = "`data`, `email`, `listen`, `media`, `platform`";
                    self.note(Some(key.span()), &format!("unknown field `{other}`, expected one of {known}"));
                }
            }
        }
        draft
    }

    fn platforms(&mut self, value: Spanned<DeValue<'i>>) -> Vec<PlatformEntry> {
        let span = value.span();
        let DeValue::Array(array) = value.into_inner() else {
            self.note(Some(span), "a platform is written with double brackets: [[platform]]");
            return Vec::new();
        };
        let mut entries = Vec::new();
        for value in array {
            let line = self.line(value.span());
            let lines = value.get_ref().as_table().map_or_else(BTreeMap::new, |table| {
                table.keys().map(|key| (key.get_ref().to_string(), self.line(key.span()))).collect()
            });
            if let Some(settings) = self.value(value) {
                entries.push(PlatformEntry { settings, line, lines });
            }
        }
        entries
    }

    /// A value of the type; None, with findings, if anything in it is wrong.
    fn value<T: DeserializeOwned>(&mut self, mut value: Spanned<DeValue<'i>>) -> Option<T> {
        let mut removed: Vec<String> = Vec::new();
        loop {
            let error = match T::deserialize(ValueDeserializer::from(value.clone())) {
                Ok(read) => return removed.is_empty().then_some(read),
                Err(error) => error,
            };
            let missing =
                error.message().strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
            if let Some(missing) = missing {
                if !removed.iter().any(|name| name == missing) {
                    self.note(error.span().or(Some(value.span())), error.message());
                }
                return None;
            }
            let name = error.span().and_then(|span| remove_at(value.get_mut(), &span));
            let message = match &name {
                Some(name) if !error.message().contains(&format!("`{name}`")) => {
                    format!("`{name}`: {}", error.message())
                }
                _ => error.message().to_owned(),
            };
            self.note(error.span().or(Some(value.span())), &message);
            removed.push(name?);
        }
    }

    fn note(&mut self, span: Option<Range<usize>>, message: &str) {
        let line = span.map(|span| self.line(span));
        let message = message.trim_end().replace('\n', "; ");
        self.findings.push(Finding { severity: Severity::Error, line, message });
    }

    fn line(&self, span: Range<usize>) -> usize {
        let before = &self.text.as_bytes()[..span.start.min(self.text.len())];
        before.iter().filter(|&&byte| byte == b'\n').count() + 1
    }
}

/// Takes out the innermost entry whose key or value is at `span`, and says which.
fn remove_at(value: &mut DeValue<'_>, span: &Range<usize>) -> Option<String> {
    let DeValue::Table(table) = value else { return None };
    for (_, inner) in table.iter_mut() {
        if let Some(name) = remove_at(inner.get_mut(), span) {
            return Some(name);
        }
    }
    let at = |of: Range<usize>| of.start <= span.start && span.end <= of.end;
    let name = table
        .iter()
        .find(|(key, value)| at(key.span()) || at(value.span()))
        .map(|(key, _)| key.get_ref().to_string())?;
    table.remove(name.as_str());
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Reading {
        Config::parse(text, &std::env::temp_dir(), None)
    }

    fn errors(text: &str) -> Vec<(Option<usize>, String)> {
        let findings = read(text).findings.into_iter();
        findings
            .filter(|finding| finding.severity == Severity::Error)
            .map(|finding| (finding.line, finding.message))
            .collect()
    }

    const GOOD: &str = r#"
data = "linkspan-test-data"
[listen]
http = "127.0.0.1:8008"
[[platform]]
name = "one"
server_name = "one.localhost"
[platform.limits]
message = 2.5
[[platform]]
name = "two"
server_name = "two.localhost"
listen = "127.0.0.1:8102"
"#;

    #[test]
    fn a_good_configuration_is_read() {
        let config = read(GOOD).config.expect("the configuration is good");
        assert_eq!(config.data, std::env::temp_dir().join("linkspan-test-data"));
        assert_eq!(config.platforms.len(), 2);
        assert!((config.platforms[0].limits.message - 2.5).abs() < f64::EPSILON);
    }

    #[test]
    fn every_mistake_is_found_with_its_line() {
        let text = r#"
data = "linkspan-test-data"
colour = "green"
[listen]
http = "localhost"
[[platform]]
name = "one"
server_name = "not a name"
identity = "passport"
[platform.limits]
mesage = 1.0
[[platform]]
name = "two"
"#;
        let errors = errors(text);
        let lines: Vec<_> = errors.iter().map(|(line, _)| line.expect("each has a line")).collect();
        assert_eq!(lines, [3, 5, 8, 9, 11, 12], "{errors:?}");
        assert!(errors[0].1.contains("colour") && errors[4].1.contains("mesage"), "{errors:?}");
        assert!(errors[5].1.contains("server_name"), "{errors:?}");
    }

    #[test]
    fn a_syntax_error_is_told_alone() {
        let errors = errors("data = \"x\"\n[[platform]\nname = \"a\"\n");
        assert!(errors.iter().all(|(line, _)| *line == Some(2)) && !errors.is_empty(), "{errors:?}");
    }

    #[test]
    fn the_environment_overrides_the_secret_key() {
        let text = format!("{GOOD}\n[media]\nbucket = \"b\"\naccess_key = \"a\"\nsecret_key = \"file\"\n");
        let reading = Config::parse(&text, &std::env::temp_dir(), Some("environment".into()));
        let media = reading.config.and_then(|config| config.media).expect("there is a bucket");
        assert_eq!(media.secret_key, "environment");
    }
}
