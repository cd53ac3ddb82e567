//! The configuration file: what it may hold, and reading it so that everything wrong is said at once.
//!
//! Reading never stops at the first mistake: a wrong entry is noted with its line, set aside, and the
//! rest is read on. What single entries mean together is judged in `check.rs`. Only this crate reads
//! files of configuration and the environment.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, SocketAddr},
    ops::Range,
    path::{Path, PathBuf},
};

use linkspan_platforms::{Email, PolicyHook, Settings, Sms, TlsFiles, Turn};
use ruma::OwnedServerName;
use schemars::JsonSchema;
use serde::{Deserialize, de::DeserializeOwned};
use toml::{
    Spanned,
    de::{DeTable, DeValue, ValueDeserializer},
};

use crate::{log::Log, settings};

/// The environment variable that stands in for `secret_key` of `[media]`.
pub(crate) const MEDIA_SECRET_KEY: &str = "LINKSPAN_MEDIA_SECRET_KEY";

/// How alike two words are, from 0 to 1, of which one is probably the other with a slip.
const ALIKE: f64 = 0.75;

/// A configuration in which nothing is wrong.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The folder of the store and of media.
    pub(crate) data: PathBuf,
    pub(crate) listen: Listen,
    pub(crate) platforms: Vec<Settings>,
    /// Platforms that were taken out for good: their accounts stay in the store, and nobody can log in to them.
    pub(crate) retired: Vec<OwnedServerName>,
    /// The bucket that media go to, if they do not go to the data folder.
    pub(crate) media: Option<MediaBucket>,
    pub(crate) log: Log,
    pub(crate) storage: Storage,
    /// The certificate of all platforms that have none of their own.
    pub(crate) tls: Option<TlsFiles>,
}

/// The settings in `[storage]`.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Storage {
    /// How much of the disk is kept in reserve, in bytes: with less free space uploads are refused, then writes. Without it,
    /// it is what fits the disk.
    #[schemars(example = 2_000_000_000)]
    pub(crate) reserve_bytes: Option<u64>,
}

/// The settings in `[listen]`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listen {
    /// An address for all platforms, told apart by `Host`.
    #[schemars(example = &"127.0.0.1:8008")]
    pub(crate) http: Option<SocketAddr>,
    /// An address with TLS for all platforms, told apart by `Host`.
    #[schemars(example = &"0.0.0.0:443")]
    pub(crate) https: Option<SocketAddr>,
    /// An address for metrics and health, which people of the platforms should not reach.
    #[schemars(example = &"127.0.0.1:9108", extend("x-restart" = true))]
    pub(crate) metrics: Option<SocketAddr>,
    /// The most connections at the same time. Without it there may be as many as the limit of open files
    /// allows.
    #[schemars(example = 10_000, extend("x-restart" = true))]
    pub(crate) max_connections: Option<u32>,
    /// Proxies whose `X-Forwarded-For` is believed, besides those on this machine.
    #[serde(default)]
    #[schemars(example = ["10.0.0.5"])]
    pub(crate) trusted_proxies: Vec<IpAddr>,
}

/// The settings in `[media]`: a bucket with the protocol of Amazon's S3.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MediaBucket {
    /// The name of the bucket.
    #[schemars(example = &"media")]
    pub(crate) bucket: String,
    /// The region of the bucket.
    #[serde(default = "default_region")]
    pub(crate) region: String,
    /// The address of the bucket's server. Without one it is Amazon's.
    #[schemars(example = &"https://s3.example")]
    pub(crate) endpoint: Option<String>,
    /// The name of the key.
    pub(crate) access_key: String,
    /// The secret key. The environment variable `LINKSPAN_MEDIA_SECRET_KEY` goes before the file.
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
    /// The line, counted from 1.
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
    /// The configuration. None if there is any error.
    pub(crate) config: Option<Config>,
    /// The findings, ordered by line.
    pub(crate) findings: Vec<Finding>,
}

/// A platform's settings, and where each stands.
#[derive(Clone, Debug)]
pub(crate) struct PlatformEntry {
    pub(crate) settings: Settings,
    line: usize,
    lines: BTreeMap<String, usize>,
    /// The keys in which something could not be read. Their values in `settings` are not the operator's.
    set_aside: BTreeSet<String>,
}

impl PlatformEntry {
    /// The line of a key, which may be in a table of the platform, such as `limits.message`. For a key that
    /// is not given it is the line where its table begins, or else the platform.
    pub(crate) fn line_of(&self, key: &str) -> Option<usize> {
        let outer = key.split('.').next().unwrap_or(key);
        Some(*self.lines.get(key).or(self.lines.get(outer)).unwrap_or(&self.line))
    }

    /// Whether what stands under a key was read, so that it can be judged.
    pub(crate) fn was_read(&self, key: &str) -> bool {
        !self.set_aside.contains(key)
    }
}

/// What could be read, before it is judged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft {
    pub(crate) data: Option<(PathBuf, Option<usize>)>,
    pub(crate) listen: Listen,
    pub(crate) listen_line: Option<usize>,
    /// Whether something in `[listen]` could not be read.
    pub(crate) listen_is_wrong: bool,
    pub(crate) platforms: Vec<PlatformEntry>,
    pub(crate) retired: Vec<OwnedServerName>,
    pub(crate) retired_line: Option<usize>,
    pub(crate) media: Option<MediaBucket>,
    pub(crate) media_line: Option<usize>,
    /// Whether something in `[media]` could not be read.
    pub(crate) media_is_wrong: bool,
    pub(crate) storage: Storage,
    pub(crate) log: Log,
    /// The mail settings of all platforms that have none of their own.
    pub(crate) email: Option<Email>,
    pub(crate) email_line: Option<usize>,
    /// The SMS settings of all platforms that have none of their own.
    pub(crate) sms: Option<Sms>,
    pub(crate) sms_line: Option<usize>,
    /// The policy hook of all platforms that have none of their own.
    pub(crate) policy: Option<PolicyHook>,
    pub(crate) policy_line: Option<usize>,
    /// The servers that carry calls of all platforms that have none of their own.
    pub(crate) turn: Option<Turn>,
    pub(crate) turn_line: Option<usize>,
    /// The certificate of all platforms that have none of their own.
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) tls_line: Option<usize>,
}

impl Config {
    /// Reads a file. The error says that it cannot be opened.
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
        let own = draft.platforms.iter_mut().filter_map(|entry| entry.settings.tls.as_mut());
        for files in own.chain(draft.tls.as_mut()) {
            files.certificate = folder.join(&files.certificate);
            files.key = folder.join(&files.key);
        }
        let mut findings = reader.findings;
        findings.extend(crate::check::judge(&draft));
        for entry in &mut draft.platforms {
            entry.settings.email = entry.settings.email.take().or_else(|| draft.email.clone());
            entry.settings.sms = entry.settings.sms.take().or_else(|| draft.sms.clone());
            entry.settings.policy = entry.settings.policy.take().or_else(|| draft.policy.clone());
            entry.settings.turn = entry.settings.turn.take().or_else(|| draft.turn.clone());
            // With a slash at its end, paths would begin with two.
            if let Some(url) = &mut entry.settings.public_url {
                url.truncate(url.trim_end_matches('/').len());
            }
        }
        findings.sort_by_key(|finding| (finding.line.unwrap_or(usize::MAX), finding.severity));
        let good = !findings.iter().any(|finding| finding.severity == Severity::Error);
        let config = draft.data.filter(|_| good).map(|(data, _)| Self {
            data,
            listen: draft.listen,
            platforms: draft.platforms.into_iter().map(|entry| entry.settings).collect(),
            retired: draft.retired,
            media: draft.media,
            storage: draft.storage,
            tls: draft.tls,
            log: draft.log,
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
                    let (listen, set_aside) = self.value_in_part(value).unzip();
                    draft.listen = listen.unwrap_or_default();
                    draft.listen_is_wrong = set_aside.is_none_or(|set_aside| !set_aside.is_empty());
                    draft.listen_line = line;
                }
                "email" => {
                    draft.email = self.value(value);
                    draft.email_line = line;
                }
                "sms" => {
                    draft.sms = self.value(value);
                    draft.sms_line = line;
                }
                "policy" => {
                    draft.policy = self.value(value);
                    draft.policy_line = line;
                }
                "turn" => {
                    draft.turn = self.value(value);
                    draft.turn_line = line;
                }
                "tls" => {
                    draft.tls = self.value(value);
                    draft.tls_line = line;
                }
                "log" => draft.log = self.value(value).unwrap_or_default(),
                "media" => {
                    let (media, set_aside) = self.value_in_part(value).unzip();
                    draft.media = media;
                    draft.media_is_wrong = set_aside.is_none_or(|set_aside| !set_aside.is_empty());
                    draft.media_line = line;
                }
                "storage" => draft.storage = self.value(value).unwrap_or_default(),
                "retired" => {
                    draft.retired = self.value(value).unwrap_or_default();
                    draft.retired_line = line;
                }
                "platform" => draft.platforms = self.platforms(value),
                other => {
                    let known = settings::list_outermost().join("`, `");
                    let message = format!("unknown field `{other}`, expected one of `{known}`");
                    self.note(Some(key.span()), &plain(&message));
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
            let lines = self.lines_of(value.get_ref());
            if let Some((settings, set_aside)) = self.value_in_part(value) {
                entries.push(PlatformEntry { settings, line, lines, set_aside });
            }
        }
        entries
    }

    /// The line of each key in a table. Keys of the tables in it are written `table.key`.
    fn lines_of(&self, value: &DeValue<'_>) -> BTreeMap<String, usize> {
        let mut lines = BTreeMap::new();
        for (key, value) in value.as_table().into_iter().flatten() {
            let name = key.get_ref();
            lines.insert(name.to_string(), self.line(key.span()));
            let inner = value.get_ref().as_table().into_iter().flatten();
            lines.extend(
                inner.map(|(inner, _)| (format!("{name}.{}", inner.get_ref()), self.line(inner.span()))),
            );
        }
        lines
    }

    /// A value of the type. None, with findings, if anything in it is wrong.
    fn value<T: DeserializeOwned>(&mut self, value: Spanned<DeValue<'i>>) -> Option<T> {
        self.value_in_part(value).filter(|(_, set_aside)| set_aside.is_empty()).map(|(read, _)| read)
    }

    /// A value of the type without what is wrong in it, and the keys that were wrong. Everything that is
    /// wrong becomes findings. None if nothing is left that can be judged.
    fn value_in_part<T: DeserializeOwned>(
        &mut self,
        mut value: Spanned<DeValue<'i>>,
    ) -> Option<(T, BTreeSet<String>)> {
        let (mut set_aside, mut removed, mut stood_in) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        loop {
            let error = match T::deserialize(ValueDeserializer::from(value.clone())) {
                Ok(read) => return Some((read, set_aside)),
                Err(error) => error,
            };
            let span = error.span().unwrap_or(value.span());
            let missing = missing_field(error.message());
            let place = remove_at(value.get_mut(), &span);
            let message = match (&missing, &place) {
                (Some(missing), Some(place)) => format!("`{missing}` is missing in `{}`", place.key),
                (Some(missing), None) => format!("`{missing}` is missing"),
                (None, Some(place)) => in_words(&place.key, error.message()),
                (None, None) => plain(error.message()),
            };
            // A key that was wrong is missing once it is removed.
            if missing.as_ref().is_none_or(|missing| !removed.contains(missing)) {
                self.note(Some(span), &message);
            }
            match (missing, place) {
                (_, Some(Place { key, outermost })) => {
                    removed.insert(key);
                    set_aside.insert(outermost);
                }
                // With something in its place, other errors are found, too.
                (Some(missing), None) if stood_in.insert(missing.clone()) => {
                    self.stand_in(&mut value, &missing)?;
                    set_aside.insert(missing);
                }
                _ => return None,
            }
        }
    }

    /// Puts a text in the place of a required value.
    fn stand_in(&self, value: &mut Spanned<DeValue<'i>>, key: &str) -> Option<()> {
        let text = format!("line-{}.invalid", self.line(value.span()));
        let DeValue::Table(table) = value.get_mut() else { return None };
        let nowhere = 0..0;
        table.insert(
            Spanned::new(nowhere.clone(), Cow::Owned(key.to_owned())),
            Spanned::new(nowhere, DeValue::String(Cow::Owned(text))),
        );
        Some(())
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

/// The name of a required field, if an error says that it is missing.
fn missing_field(message: &str) -> Option<String> {
    Some(message.strip_prefix("missing field `")?.split('`').next()?.to_owned())
}

/// An error about a key, which may be named in it already.
fn in_words(key: &str, message: &str) -> String {
    let message = plain(message);
    if message.contains(&format!("`{key}`")) { message } else { format!("`{key}`: {message}") }
}

/// An error without the words of the programming language.
fn plain(message: &str) -> String {
    const WORDS: [(&str, &str); 23] = [
        ("invalid type: string", "this is text"),
        ("invalid type: sequence", "this is a list"),
        ("invalid type: map", "this is a table"),
        ("invalid type: integer", "this is"),
        ("invalid type: floating point", "this is"),
        ("invalid type: boolean", "this is"),
        ("invalid value: string", "this is text"),
        ("invalid value: integer", "this is"),
        ("invalid length 0", "this is an empty list"),
        ("unknown variant ", "there is no "),
        ("unknown field ", "there is no setting "),
        ("expected one of ", "only "),
        ("invalid socket address syntax", "an address is written with a port, as \"127.0.0.1:8101\""),
        ("invalid IP address syntax", "an address is written without a port, as \"10.0.0.5\""),
        ("expected socket address", "but should be an address with a port in quotes, as \"127.0.0.1:8101\""),
        ("expected u32", "but should be a whole number from 0 to 4294967295"),
        ("expected u64", "but should be a whole number from 0"),
        ("expected f64", "but should be a number"),
        ("expected path string", "but should be a path, in quotes"),
        ("expected a sequence", "but should be a list in square brackets"),
        ("expected a boolean", "but should be true or false"),
        ("expected a string", "but should be text in quotes"),
        ("leading sigil is incorrect or missing", "an account is written as \"@anna:photos.example\""),
    ];
    // What follows is the name of a type.
    if let Some((start, _)) = message.split_once("expected struct ") {
        return plain(start) + "but should be a table of settings";
    }
    if let Some(likely) = likely(message) {
        let (start, _) = message.split_once(", expected").unwrap_or((message, ""));
        return format!("{}; did you mean `{likely}`?", plain(start));
    }
    WORDS.into_iter().fold(message.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// What somebody has probably meant who wrote something that there is not.
fn likely(message: &str) -> Option<&str> {
    let (start, known) = message.split_once(", expected")?;
    if !start.starts_with("unknown ") {
        return None;
    }
    let wrong = start.split('`').nth(1)?;
    let known = known.split('`').skip(1).step_by(2);
    let alike = known.map(|word| (strsim::jaro(wrong, word), word)).filter(|(alike, _)| *alike >= ALIKE);
    alike.max_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, word)| word)
}

/// The place of an entry that was removed: its key, and the key of the outermost table that it was in, or its
/// own.
struct Place {
    key: String,
    outermost: String,
}

/// Removes the innermost entry whose key or value is at `span`. Returns its place.
fn remove_at(value: &mut DeValue<'_>, span: &Range<usize>) -> Option<Place> {
    let DeValue::Table(table) = value else { return None };
    for (key, inner) in table.iter_mut() {
        if let Some(place) = remove_at(inner.get_mut(), span) {
            return Some(Place { outermost: key.get_ref().to_string(), ..place });
        }
    }
    let at = |of: Range<usize>| of.start <= span.start && span.end <= of.end;
    let key = table
        .iter()
        .find(|(key, value)| at(key.span()) || at(value.span()))
        .map(|(key, _)| key.get_ref().to_string())?;
    table.remove(key.as_str());
    Some(Place { outermost: key.clone(), key })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Format, Level};

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
    fn slips_are_told_with_what_to_write_instead() {
        let platform = |more: &str| format!("{GOOD}{more}\n");
        for (text, told) in [
            (
                platform("registraton = \"open\""),
                "there is no setting `registraton`; did you mean `registration`?",
            ),
            (platform("registration = \"opne\""), "there is no `opne`; did you mean `open`?"),
            (
                platform("encryption = \"always\""),
                "there is no `always`, only `optional`, `required`, `forbidden`",
            ),
            (platform("identity = true"), "`identity`"),
            (platform("presence = \"yes\""), "this is text \"yes\", but should be true or false"),
            (platform("hosts = \"a.example\""), "but should be a list in square brackets"),
            (platform("limits.join = \"fast\""), "but should be a number"),
            (platform("limits.joined_rooms = -1"), "but should be a whole number from 0"),
            (GOOD.replace("\"127.0.0.1:8102\"", "8102"), "but should be an address with a port"),
            (GOOD.replace("127.0.0.1:8102", "localhost:8102"), "an address is written with a port"),
            (GOOD.replace("[listen]", "[lisen]"), "there is no setting `lisen`; did you mean `listen`?"),
            (
                GOOD.replace("[listen]", "[listen]\ntrusted_proxies = [\"10.0.0.5:80\"]"),
                "an address is written without a port",
            ),
        ] {
            let errors = errors(&text);
            assert!(errors.iter().any(|(_, message)| message.contains(told)), "{told}: {errors:?}");
        }
    }

    #[test]
    fn the_log_is_as_it_is_asked_for() {
        let log = read(GOOD).config.expect("the configuration is good").log;
        assert_eq!((log.format, log.level), (Format::Text, Level::Info));
        let text = format!("{GOOD}\n[log]\nformat = \"json\"\nlevel = \"debug\"\n");
        let log = read(&text).config.expect("the configuration is good").log;
        assert_eq!((log.format, log.level), (Format::Json, Level::Debug));
        let errors = errors(&format!("{GOOD}\n[log]\nlevel = \"loud\"\n"));
        assert!(errors.len() == 1 && errors[0].1.contains("loud"), "{errors:?}");
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
