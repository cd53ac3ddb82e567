//! What is wrong with a configuration, or not what an operator wants: rules over all of it together.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::SystemTime,
};

use linkspan_domain::{MAX_REACH_RULES, versions};
use linkspan_platforms::{
    Colour, Contact, Encryption, Identity, Limits, PolicyHook, Registration, RtcTransport, Settings,
    TlsFiles, Turn,
};
use linkspan_policy::MAX_TIMEOUT;
use url::Url;

use crate::config::{Draft, Finding, MEDIA_SECRET_KEY, PlatformEntry, Severity};
use crate::{mail, sms, tls::Loaded};

/// The shortest shared secret without a warning, in bytes.
const SECRET_BYTES: usize = 16;
/// The roles of contacts that the specification knows.
const ROLES: [&str; 4] = ["m.role.admin", "m.role.dpo", "m.role.moderator", "m.role.security"];
/// The longest short name of a platform, in bytes.
const NAME_BYTES: usize = 32;
/// The longest name that people read, in characters: it stands in titles, on buttons and below icons.
const DISPLAY_NAME_CHARS: usize = 32;
/// The longest line beside it, in characters.
const LABEL_CHARS: usize = 60;
/// The most demo accounts of a platform. All of them are looked up whenever somebody asks what the platform is.
const MAX_DEMO_ACCOUNTS: usize = 20;

/// How long a password for servers that carry calls may hold, in seconds. Clients ask for another one when it ends, and in
/// a shorter time than this a call may end before it has begun.
const TURN_LIFETIME_S: RangeInclusive<u64> = 60..=30 * 86_400;

/// Findings about a configuration whose single entries could be read.
pub(crate) fn judge(draft: &Draft) -> Vec<Finding> {
    let mut findings = Findings(Vec::new());
    for entry in &draft.platforms {
        judge_platform(entry, draft, &mut findings);
    }
    find_shared_names(&draft.platforms, &mut findings);
    find_shared_display_names(&draft.platforms, &mut findings);
    find_shared_addresses(draft, &mut findings);
    find_excluding_rules(&draft.platforms, &mut findings);
    find_served_though_retired(draft, &mut findings);
    judge_media(draft, &mut findings);
    judge_email(draft, &mut findings);
    judge_sms(draft, &mut findings);
    judge_policy(draft, &mut findings);
    judge_turn(draft, &mut findings);
    judge_tls(draft, &mut findings);
    if draft.listen.max_connections == Some(0) {
        findings.error(draft.listen_line, "max_connections is 0: nobody could connect".into());
    }
    if let Some((data, line)) = &draft.data
        && let Err(reason) = check_writable(data)
    {
        findings.error(*line, format!("the data folder {} cannot be written: {reason}", data.display()));
    }
    findings.0
}

struct Findings(Vec<Finding>);

impl Findings {
    fn error(&mut self, line: Option<usize>, message: String) {
        self.0.push(Finding { severity: Severity::Error, line, message });
    }

    fn warning(&mut self, line: Option<usize>, message: String) {
        self.0.push(Finding { severity: Severity::Warning, line, message });
    }
}

fn judge_platform(entry: &PlatformEntry, draft: &Draft, findings: &mut Findings) {
    let settings = &entry.settings;
    let name = &settings.name;
    let name_byte = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    let is_name = (1..=NAME_BYTES).contains(&name.len()) && name.bytes().all(name_byte);
    if entry.was_read("name") && !is_name {
        let message =
            format!("the name {name:?} is not 1 to {NAME_BYTES} of the characters a-z, 0-9, - and _");
        findings.error(entry.line_of("name"), message);
    }
    if versions::rules(&settings.room_version).is_none() {
        let known: Vec<_> = versions::SUPPORTED.iter().map(ToString::to_string).collect();
        let version = &settings.room_version;
        let message =
            format!("room version \"{version}\" is not supported; supported are {}", known.join(", "));
        findings.error(entry.line_of("room_version"), message);
    }
    for host in &settings.hosts {
        let host_byte = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        if host.is_empty() || !host.bytes().all(host_byte) {
            let message = format!("{host:?} is not a host name: no scheme, path or space, only name[:port]");
            findings.error(entry.line_of("hosts"), message);
        }
    }
    if let Some(colour) = settings.colour.as_ref().filter(|colour| Colour::parse(colour).is_none()) {
        let message = format!("the colour {colour:?} is not written as \"#1f5f8b\"");
        findings.error(entry.line_of("colour"), message);
    }
    judge_words(entry, findings);
    let may_listen = draft.listen_is_wrong || !entry.was_read("listen") || !entry.was_read("listen_https");
    if addresses(entry, draft).next().is_none() && !may_listen {
        let message = format!(
            "nobody can reach {}: it has no `listen` of its own, and [listen] has no `http` or `https`",
            title(entry)
        );
        findings.error(entry.line_of("server_name"), message);
    }
    for RtcTransport::Livekit { livekit_service_url: url } in &settings.rtc.transports {
        if !is_web_address(url) {
            let message = format!("`livekit_service_url` {url:?} is not an http:// or https:// URL");
            findings.error(entry.line_of("rtc"), message);
        }
    }
    if settings.reach.len() > MAX_REACH_RULES {
        findings.error(entry.line_of("reach"), format!("`reach` has more than {MAX_REACH_RULES} rules"));
    }
    for greeter in settings.greeters.iter().filter(|it| it.server_name() != settings.server_name) {
        if entry.was_read("server_name") {
            let message = format!("`greeters` has {greeter}, who is not of {}", title(entry));
            findings.error(entry.line_of("greeters"), message);
        }
    }
    judge_support(entry, findings);
    judge_demo(entry, findings);
    judge_limits(entry, findings);
    judge_openness(entry, draft, findings);
    if let Some(url) = &settings.public_url {
        // What stands behind the host would be a part of every address that clients make of it.
        let parsed = Url::parse(url).ok().filter(|_| is_web_address(url));
        let is_base = parsed.is_some_and(|url| {
            url.path() == "/"
                && url.query().is_none()
                && url.fragment().is_none()
                && url.username().is_empty()
        });
        if !is_base {
            let message = format!("`public_url` {url:?} is not an http:// or https:// URL of a host alone");
            findings.error(entry.line_of("public_url"), message);
        }
    }
}

/// Where a platform is reached.
fn addresses(entry: &PlatformEntry, draft: &Draft) -> impl Iterator<Item = SocketAddr> {
    let (of_all, own) = (&draft.listen, &entry.settings);
    [of_all.http, of_all.https, own.listen, own.listen_https].into_iter().flatten()
}

/// Judges what people read beside everything of the platform.
fn judge_words(entry: &PlatformEntry, findings: &mut Findings) {
    let Settings { display_name, label, .. } = &entry.settings;
    for (key, words, most) in
        [("display_name", display_name, DISPLAY_NAME_CHARS), ("label", label, LABEL_CHARS)]
    {
        let Some(words) = words else { continue };
        let is_one_line = !words.chars().any(char::is_control) && words.trim() == words;
        if !is_one_line || !(1..=most).contains(&words.chars().count()) {
            let message = format!(
                "`{key}` {words:?} is not one line of 1 to {most} characters, without space around it"
            );
            findings.error(entry.line_of(key), message);
        }
    }
}

fn judge_demo(entry: &PlatformEntry, findings: &mut Findings) {
    let line = entry.line_of("demo_account");
    let accounts = &entry.settings.demo_account;
    if accounts.len() > MAX_DEMO_ACCOUNTS {
        findings.error(line, format!("there are more than {MAX_DEMO_ACCOUNTS} of `demo_account`"));
    }
    if accounts.iter().any(|account| account.user.is_empty()) {
        findings.error(line, "`user` of a `demo_account` is empty".to_owned());
    }
    if !accounts.is_empty() {
        let names: Vec<_> = accounts.iter().map(|account| account.user.as_str()).collect();
        let message = format!(
            "anybody can log in to {} as {}, without a password: `demo_account` is for trying a platform out",
            title(entry),
            names.join(", ")
        );
        findings.warning(line, message);
    }
}

/// The name of a platform in findings.
fn title(entry: &PlatformEntry) -> String {
    match (entry.was_read("server_name"), entry.was_read("name")) {
        (true, _) => entry.settings.server_name.to_string(),
        (false, true) => format!("the platform {:?}", entry.settings.name),
        (false, false) => "this platform".to_owned(),
    }
}

fn is_web_address(url: &str) -> bool {
    ["https://", "http://"].iter().any(|scheme| url.len() > scheme.len() && url.starts_with(scheme))
}

fn judge_support(entry: &PlatformEntry, findings: &mut Findings) {
    let line = entry.line_of("support");
    let support = &entry.settings.support;
    for Contact { role, matrix_id, email_address } in &support.contacts {
        let is_own = !role.starts_with("m.") && role.contains('.');
        if !is_own && !ROLES.contains(&role.as_str()) {
            let known = ROLES.join(", ");
            let message = format!(
                "the role {role:?} of a contact is none of {known}, nor a name of your own such as \
                 \"org.example.role\""
            );
            findings.error(line, message);
        }
        if matrix_id.is_none() && email_address.is_none() {
            findings
                .error(line, format!("a contact of role {role:?} has no `matrix_id` and no `email_address`"));
        }
        if let Some(address) = email_address.as_ref().filter(|address| !mail::is_address(address)) {
            findings.error(line, format!("`email_address` {address:?} of a contact is no e-mail address"));
        }
    }
    if let Some(page) = support.support_page.as_ref().filter(|page| !is_web_address(page)) {
        findings.error(line, format!("`support_page` {page:?} is not an http:// or https:// URL"));
    }
}

fn judge_limits(entry: &PlatformEntry, findings: &mut Findings) {
    let line_of = |name: &str| entry.line_of(&format!("limits.{name}"));
    let Limits { upload_bytes, media_quota_bytes, .. } = entry.settings.limits;
    for (name, rate, burst) in rates(&entry.settings.limits) {
        if rate.is_nan() || rate < 0.0 {
            let message = format!("the limit `{name}` is {rate}; it is a number of actions per second");
            findings.error(line_of(name), message);
        } else if rate == 0.0 {
            findings.warning(line_of(name), format!("the limit `{name}` is 0, which means no limit"));
        }
        if burst == 0 {
            let line = line_of(&format!("{name}_burst"));
            findings.warning(line, format!("the limit `{name}_burst` is 0, which is taken for 1"));
        }
    }
    let Limits { strangers_per_day: first, strangers_per_day_max: most, .. } = entry.settings.limits;
    if first > most {
        let message = format!(
            "a new account may approach more people in a day (`strangers_per_day` {first}) than any account \
             (`strangers_per_day_max` {most})"
        );
        findings.warning(line_of("strangers_per_day"), message);
    }
    if upload_bytes > media_quota_bytes {
        let message = format!(
            "an upload may be greater (`upload_bytes` {upload_bytes}) than what a user may store \
             (`media_quota_bytes` {media_quota_bytes})"
        );
        findings.warning(line_of("upload_bytes"), message);
    }
}

fn rates(limits: &Limits) -> [(&'static str, f64, u32); 12] {
    [
        ("message", limits.message, limits.message_burst),
        ("login", limits.login, limits.login_burst),
        ("registration", limits.registration, limits.registration_burst),
        ("join", limits.join, limits.join_burst),
        ("invite", limits.invite, limits.invite_burst),
        ("create_room", limits.create_room, limits.create_room_burst),
        ("search", limits.search, limits.search_burst),
        ("read", limits.read, limits.read_burst),
        ("upload", limits.upload, limits.upload_burst),
        ("typing", limits.typing, limits.typing_burst),
        ("report", limits.report, limits.report_burst),
        ("other", limits.other, limits.other_burst),
    ]
}

/// Judges what strangers could do to a platform that more than this machine can reach.
fn judge_openness(entry: &PlatformEntry, draft: &Draft, findings: &mut Findings) {
    let settings = &entry.settings;
    let secret = &settings.registration_shared_secret;
    if !secret.is_empty() && secret.len() < SECRET_BYTES {
        let message = format!(
            "`registration_shared_secret` has fewer than {SECRET_BYTES} characters: who guesses it makes \
             administrators of {}",
            title(entry)
        );
        findings.warning(entry.line_of("registration_shared_secret"), message);
    }
    let public = addresses(entry, draft).any(|address| !address.ip().is_loopback());
    if public && settings.registration == Registration::Open && !settings.rate_limits {
        let message = format!(
            "anybody can register on {} as often as they like: registration is open and `rate_limits` is false",
            title(entry)
        );
        findings.warning(entry.line_of("registration"), message);
    }
    if public && settings.guests && !settings.rate_limits {
        let message = format!(
            "anybody can become a guest of {} as often as they like: `guests` is true and `rate_limits` is false",
            title(entry)
        );
        findings.warning(entry.line_of("guests"), message);
    }
}

fn find_shared_names(platforms: &[PlatformEntry], findings: &mut Findings) {
    let mut names = BTreeSet::new();
    let mut lines = BTreeMap::new();
    let mut hosts: BTreeMap<String, &Settings> = BTreeMap::new();
    for entry in platforms {
        let settings = &entry.settings;
        if !names.insert(&settings.name) {
            findings.error(entry.line_of("name"), format!("two platforms have the name {:?}", settings.name));
        }
        let server_name = settings.server_name.as_str().to_ascii_lowercase();
        if let Some(first) = lines.insert(server_name.clone(), entry.line_of("server_name"))
            && entry.was_read("server_name")
        {
            let line = first.map(|line| format!(", as in line {line}")).unwrap_or_default();
            let message = format!(
                "two platforms have the server_name {server_name:?}{line}: each needs one of its own"
            );
            findings.error(entry.line_of("server_name"), message);
            continue;
        }
        let mut own: Vec<_> = settings.hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        if let Some(twice) = own.iter().enumerate().find(|(at, host)| own[..*at].contains(host)) {
            findings.error(entry.line_of("hosts"), format!("`hosts` names {:?} twice", twice.1));
        }
        if !own.contains(&server_name) {
            own.push(server_name.clone());
        }
        for host in own {
            let Some(other) = hosts.insert(host.clone(), settings) else { continue };
            if other.name == settings.name && other.server_name == settings.server_name {
                continue;
            }
            let key = if host == server_name { "server_name" } else { "hosts" };
            let (one, two) = (&other.server_name, &settings.server_name);
            let message = format!("the host {host:?} means both {one} and {two}");
            findings.error(entry.line_of(key), message);
        }
    }
}

fn find_shared_display_names(platforms: &[PlatformEntry], findings: &mut Findings) {
    let mut names = BTreeSet::new();
    for entry in platforms {
        let name = entry.settings.shown_name();
        if !names.insert(name.to_lowercase()) {
            let message = format!("another platform is called {name:?}, too: people cannot tell them apart");
            let key = if entry.settings.display_name.is_some() { "display_name" } else { "name" };
            findings.warning(entry.line_of(key), message);
        }
    }
}

fn find_shared_addresses(draft: &Draft, findings: &mut Findings) {
    let mut taken: Vec<(SocketAddr, &str)> = Vec::new();
    let shared = [
        (draft.listen.http, "[listen] http"),
        (draft.listen.https, "[listen] https"),
        (draft.listen.metrics, "[listen] metrics"),
    ];
    let shared = shared.into_iter().filter_map(|(address, name)| Some((address?, name, draft.listen_line)));
    let own = draft.platforms.iter().flat_map(|entry| {
        let settings = &entry.settings;
        let own = [("listen", settings.listen), ("listen_https", settings.listen_https)];
        own.into_iter()
            .filter_map(|(key, address)| Some((address?, settings.name.as_str(), entry.line_of(key))))
    });
    for (address, name, line) in shared.chain(own) {
        if let Some((_, other)) = taken.iter().find(|(other, _)| collide(*other, address)) {
            findings.error(line, format!("{name} listens on {address}, which {other} has taken"));
        }
        taken.push((address, name));
    }
}

/// Whether two listeners cannot both have their address. Port 0 is any free port.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port()
        && one.port() != 0
        && (one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified())
}

fn find_excluding_rules(platforms: &[PlatformEntry], findings: &mut Findings) {
    let with = |rule: Encryption| platforms.iter().filter(move |entry| entry.settings.encryption == rule);
    for requiring in with(Encryption::Required) {
        for forbidding in with(Encryption::Forbidden) {
            let message = format!(
                "people of {} and {} cannot chat with each other: the one requires encryption, the other \
                 forbids it",
                title(requiring),
                title(forbidding)
            );
            findings.warning(forbidding.line_of("encryption"), message);
        }
    }
}

fn find_served_though_retired(draft: &Draft, findings: &mut Findings) {
    for name in &draft.retired {
        if draft.platforms.iter().any(|entry| entry.settings.server_name == *name) {
            let message = format!("{name} is in `retired`, but a [[platform]] has it as `server_name`");
            findings.error(draft.retired_line, message);
        }
    }
}

fn judge_media(draft: &Draft, findings: &mut Findings) {
    let Some(media) = &draft.media else { return };
    if media.bucket.is_empty() {
        findings.error(draft.media_line, "`bucket` of [media] is empty".into());
    }
    if let Some(endpoint) = &media.endpoint
        && !is_web_address(endpoint)
    {
        findings
            .error(draft.media_line, format!("`endpoint` {endpoint:?} is not an http:// or https:// URL"));
    }
    if media.secret_key.is_empty() && !draft.media_is_wrong {
        let message =
            format!("[media] has no `secret_key`; it may also come from the environment, {MEDIA_SECRET_KEY}");
        findings.error(draft.media_line, message);
    }
}

fn judge_email(draft: &Draft, findings: &mut Findings) {
    for entry in &draft.platforms {
        for (key, reason) in entry.settings.email.iter().flat_map(mail::check) {
            findings.error(entry.line_of(&format!("email.{key}")), format!("[platform.email]: {reason}"));
        }
    }
    for (_, reason) in draft.email.iter().flat_map(mail::check) {
        findings.error(draft.email_line, format!("[email]: {reason}"));
    }
}

fn judge_sms(draft: &Draft, findings: &mut Findings) {
    for entry in &draft.platforms {
        let settings = &entry.settings;
        for (key, reason) in settings.sms.iter().flat_map(sms::check) {
            findings.error(entry.line_of(&format!("sms.{key}")), format!("[platform.sms]: {reason}"));
        }
        if let Some(doubt) = settings.sms.as_ref().and_then(sms::doubt) {
            findings.warning(entry.line_of("sms.secret"), format!("[platform.sms]: {doubt}"));
        }
        let proves = settings.identity == Identity::Phone && settings.verify && entry.was_read("sms");
        if proves && settings.sms.is_none() && draft.sms.is_none() && draft.sms_line.is_none() {
            let message = format!(
                "people of {} cannot prove their phone numbers, because there is no [sms]: they get a name that is \
                 made up, and a password; `verify = false` lets them choose the name",
                title(entry)
            );
            findings.warning(entry.line_of("identity"), message);
        }
    }
    for (_, reason) in draft.sms.iter().flat_map(sms::check) {
        findings.error(draft.sms_line, format!("[sms]: {reason}"));
    }
    if let Some(doubt) = draft.sms.as_ref().and_then(sms::doubt) {
        findings.warning(draft.sms_line, format!("[sms]: {doubt}"));
    }
}

fn judge_policy(draft: &Draft, findings: &mut Findings) {
    for entry in &draft.platforms {
        for (key, severity, reason) in entry.settings.policy.iter().flat_map(check_policy) {
            let (line, message) =
                (entry.line_of(&format!("policy.{key}")), format!("[platform.policy]: {reason}"));
            findings.0.push(Finding { severity, line, message });
        }
    }
    for (_, severity, reason) in draft.policy.iter().flat_map(check_policy) {
        let message = format!("[policy]: {reason}");
        findings.0.push(Finding { severity, line: draft.policy_line, message });
    }
}

/// What is wrong with the settings of a policy hook, each with the key that it is about. The URL may hold a password, so
/// it is not repeated.
fn check_policy(hook: &PolicyHook) -> Vec<(&'static str, Severity, String)> {
    let most = MAX_TIMEOUT.as_millis();
    let is_short = (1..SECRET_BYTES).contains(&hook.secret.len());
    let rules = [
        (
            Url::parse(&hook.url).is_err() || !is_web_address(&hook.url),
            ("url", Severity::Error, "`url` is not an http:// or https:// URL".to_owned()),
        ),
        (
            hook.secret.is_empty(),
            ("secret", Severity::Error, "`secret` is empty: the hook could not tell who asks it".to_owned()),
        ),
        (
            is_short,
            (
                "secret",
                Severity::Warning,
                format!("`secret` has fewer than {SECRET_BYTES} characters: who guesses it can ask the hook"),
            ),
        ),
        (
            hook.timeout_ms == 0 || u128::from(hook.timeout_ms) > most,
            (
                "timeout_ms",
                Severity::Error,
                format!("`timeout_ms` is {}; it is 1 to {most}", hook.timeout_ms),
            ),
        ),
        (
            hook.checks.is_empty(),
            ("checks", Severity::Warning, "`checks` is empty: the hook is asked about nothing".to_owned()),
        ),
    ];
    rules.into_iter().filter_map(|(is_wrong, finding)| is_wrong.then_some(finding)).collect()
}

fn judge_turn(draft: &Draft, findings: &mut Findings) {
    for entry in &draft.platforms {
        for (key, reason) in entry.settings.turn.iter().flat_map(check_turn) {
            findings.error(entry.line_of(&format!("turn.{key}")), format!("[platform.turn]: {reason}"));
        }
    }
    for (_, reason) in draft.turn.iter().flat_map(check_turn) {
        findings.error(draft.turn_line, format!("[turn]: {reason}"));
    }
}

/// What is wrong with the servers that carry calls, each with the key that it is about.
fn check_turn(turn: &Turn) -> Vec<(&'static str, String)> {
    let schemes = ["turn:", "turns:", "stun:", "stuns:"];
    let is_uri = |uri: &str| schemes.iter().any(|scheme| uri.len() > scheme.len() && uri.starts_with(scheme));
    let mut wrong = Vec::new();
    if turn.uris.is_empty() {
        wrong.push(("uris", "`uris` is empty: there is no server that carries calls".to_owned()));
    }
    if let Some(uri) = turn.uris.iter().find(|uri| !is_uri(uri)) {
        wrong.push(("uris", format!("{uri:?} of `uris` is not written as \"turn:turn.example.org\"")));
    }
    if turn.shared_secret.is_empty() {
        let reason = "`shared_secret` is empty: anybody could have their calls carried";
        wrong.push(("shared_secret", reason.to_owned()));
    }
    if !TURN_LIFETIME_S.contains(&turn.lifetime_s) {
        let (least, most) = (TURN_LIFETIME_S.start(), TURN_LIFETIME_S.end());
        wrong.push(("lifetime_s", format!("`lifetime_s` is {}; it is {least} to {most}", turn.lifetime_s)));
    }
    wrong
}

/// Judges the certificates that are shown where TLS is spoken.
fn judge_tls(draft: &Draft, findings: &mut Findings) {
    let shared = draft.listen.https.is_some();
    // The names of those who have no certificate of their own.
    let mut without = Vec::new();
    for entry in draft.platforms.iter().filter(|entry| entry.was_read("tls")) {
        let settings = &entry.settings;
        let with_tls = shared || settings.listen_https.is_some();
        match &settings.tls {
            Some(files) => {
                judge_files(files, "[platform.tls]", entry.line_of("tls"), &tls_names(settings), findings);
                if !with_tls && !draft.listen_is_wrong {
                    let message = "[platform.tls]: no listener speaks TLS: there is no `https` in [listen], and no \
                                   `listen_https`";
                    findings.warning(entry.line_of("tls"), message.to_owned());
                }
            }
            None if !with_tls => {}
            None if draft.tls_line.is_some() => without.extend(tls_names(settings)),
            None => {
                let message = format!(
                    "{} has no certificate for TLS, neither in [tls] nor in [platform.tls]",
                    title(entry)
                );
                findings.error(entry.line_of("server_name"), message);
            }
        }
    }
    if let Some(files) = &draft.tls {
        judge_files(files, "[tls]", draft.tls_line, &without, findings);
    }
}

/// The names by which clients ask for a platform's certificate: its hosts, or its server name if there are none.
fn tls_names(settings: &Settings) -> Vec<&str> {
    let of_server = [settings.server_name.as_str()];
    let hosts: Vec<_> = settings.hosts.iter().map(String::as_str).collect();
    let named = if hosts.is_empty() { of_server.to_vec() } else { hosts };
    // A port is no part of what a certificate names.
    let length = |name: &str| match name.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host.len(),
        _ => name.len(),
    };
    named.into_iter().map(|name| &name[..length(name)]).collect()
}

fn judge_files(files: &TlsFiles, table: &str, line: Option<usize>, names: &[&str], findings: &mut Findings) {
    match Loaded::read(files) {
        Ok(loaded) => {
            for doubt in loaded.doubts(names.iter().copied(), SystemTime::now()) {
                findings.warning(line, format!("{table}: {doubt}"));
            }
        }
        Err(fault) => findings.error(line, format!("{table}: {fault}")),
    }
}

/// Checks that the folder, or the nearest one above it that exists, can be written to. Leaves nothing behind.
fn check_writable(data: &Path) -> Result<(), String> {
    let mut folder = PathBuf::from(data);
    loop {
        match std::fs::metadata(&folder) {
            Ok(metadata) if metadata.is_dir() => break,
            Ok(_) => return Err(format!("{} is not a folder", folder.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.to_string()),
        }
        if !folder.pop() || folder.as_os_str().is_empty() {
            folder = PathBuf::from(".");
        }
    }
    tempfile::tempfile_in(&folder).map(drop).map_err(|error| format!("{}: {error}", folder.display()))
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Severity};

    fn findings(text: &str, severity: Severity) -> Vec<String> {
        let reading = Config::parse(text, &std::env::temp_dir(), None);
        let findings = reading.findings.into_iter();
        findings.filter(|finding| finding.severity == severity).map(|finding| finding.message).collect()
    }

    fn assert_finds(text: &str, severity: Severity, words: &str) {
        let text = format!("data = \"linkspan-test-data\"\nlisten.http = \"127.0.0.1:8008\"\n{text}");
        let found = findings(&text, severity);
        assert!(found.iter().any(|message| message.contains(words)), "{words:?} is not in {found:?}");
    }

    fn platform(name: &str, more: &str) -> String {
        format!("[[platform]]\nname = \"{name}\"\nserver_name = \"{name}.localhost\"\n{more}\n")
    }

    #[test]
    fn errors_are_found() {
        let two = |more: &str| platform("a", "") + &platform("b", more);
        let contact = |contact: &str| platform("a", &format!("support.contacts = [{{ {contact} }}]"));
        for (text, words) in [
            (String::new(), "there is no platform"),
            (platform("a", "") + &platform("a", ""), "two platforms have the name"),
            (two("hosts = [\"A.localhost\"]"), "means both"),
            (two("hosts = [\"c.localhost\", \"c.localhost\"]"), "twice"),
            (two("hosts = [\"https://b.localhost\"]"), "not a host name"),
            (two("listen = \"127.0.0.1:8008\""), "has taken"),
            (two("listen = \"0.0.0.0:8008\""), "has taken"),
            (two("room_version = \"5\""), "room version \"5\" is not supported"),
            (two("email = { smtp = \"x\", from = \"y\" }"), "[platform.email]: `from`"),
            (two("sms = { gateway = \"x\", secret = \"y\" }"), "[platform.sms]: `gateway`"),
            (two("") + "[sms]\ngateway = \"https://a.example\"\nsecret = \"\"", "[sms]: `secret`"),
            (
                two("policy = { url = \"x\", secret = \"y\", on_failure = \"allow\" }"),
                "[platform.policy]: `url`",
            ),
            (
                two("") + "[policy]\nurl = \"https://a.example\"\nsecret = \"\"\non_failure = \"refuse\"",
                "[policy]: `secret`",
            ),
            (two("") + "[policy]\nurl = \"https://a.example\"\nsecret = \"\"", "`on_failure` is missing"),
            (
                two(
                    "policy = { url = \"https://a.example\", secret = \"y\", on_failure = \"allow\", timeout_ms = 60000 }",
                ),
                "1 to 10000",
            ),
            (two("listen_https = \"127.0.0.1:8443\""), "b.localhost has no certificate for TLS"),
            (
                two("") + "[tls]\ncertificate = \"no-file.pem\"\nkey = \"no-file.key\"",
                "no-file.pem cannot be read",
            ),
            (two("tls = { certificate = \"no-file.pem\" }"), "`key` is missing"),
            (two("public_url = \"https://b.example/chat\""), "URL of a host alone"),
            (two("public_url = \"b.example\""), "URL of a host alone"),
            (two("turn = { uris = [], shared_secret = \"s\" }"), "[platform.turn]: `uris` is empty"),
            (two("turn = { uris = [\"a\"], shared_secret = \"s\" }"), "\"a\" of `uris`"),
            (two("turn = { uris = [\"turn:a\"], shared_secret = \"\" }"), "`shared_secret` is empty"),
            (two("") + "[turn]\nuris = [\"turn:a\"]\nshared_secret = \"s\"\nlifetime_s = 1", "60 to 2592000"),
            (two("display_name = \"\""), "`display_name` \"\" is not one line"),
            (two("display_name = \" Lumen\""), "without space around it"),
            (two(&format!("label = \"{}\"", "a".repeat(61))), "1 to 60 characters"),
            (two("label = \"two\\nlines\""), "is not one line"),
            (two("colour = \"#+1+2+3\""), "is not written as"),
            (two("demo_account = [{ user = \"\" }]"), "is empty"),
            (two(&format!("demo_account = [{}]", "{ user = \"anna\" },".repeat(21))), "more than 20"),
            (two("demo_account = [{ recovery_key = \"anna\" }]"), "`user` is missing"),
            (two("greeters = [\"@anna:a.localhost\"]"), "who is not of b.localhost"),
            (two("limits.message = -1.0"), "actions per second"),
            (two("support.support_page = \"help\""), "`support_page`"),
            (contact("role = \"admin\", email_address = \"a@b.example\""), "the role \"admin\""),
            (contact("role = \"m.role.admin\""), "no `matrix_id` and no `email_address`"),
            (contact("role = \"m.role.admin\", email_address = \"A <a@b.example>\""), "no e-mail address"),
            (contact("role = \"m.role.admin\", matrix_id = \"anna\""), "@anna:photos.example"),
            (platform("a", "").replace("\"a\"", "\"A b\""), "characters a-z"),
            (platform("a", "") + "[media]\nbucket = \"b\"\naccess_key = \"k\"", "no `secret_key`"),
            (
                platform("a", "") + "[media]\nbucket = \"b\"\naccess_key = \"k\"\nendpoint = \"here\"",
                "not an http://",
            ),
        ] {
            assert_finds(&text, Severity::Error, words);
        }
    }

    #[test]
    fn what_could_not_be_read_hides_nothing_else() {
        let text =
            "data = \"linkspan-test-data\"\nretired = [\"two.localhost\"]\n[[platform]]\ncolour = \"red\"
hosts = \"x\"\nroom_version = \"99\"\n[platform.email]\nsmtp = \"x\"\nfrom = \"y\"\n[[platform]]
name = \"two\"\nserver_name = \"two.localhost\"\nlisten = \"here\"\n[platform.limits]\nmessage = -1.0\n[media]
endpoint = \"x\"\n";
        let reading = Config::parse(text, &std::env::temp_dir(), None);
        let errors: Vec<_> = reading.findings.iter().map(ToString::to_string).collect();
        let expected = [
            (2, "two.localhost is in `retired`"),
            (3, "`name` is missing"),
            (3, "`server_name` is missing"),
            (3, "nobody can reach this platform"),
            (4, "the colour \"red\""),
            (5, "`hosts`: this is text \"x\", but should be a list"),
            (6, "room version \"99\" is not supported"),
            (8, "[platform.email]: `smtp`"),
            (9, "[platform.email]: `from`"),
            (13, "`listen`"),
            (15, "the limit `message` is -1"),
            (16, "`bucket` is missing"),
            (16, "`access_key` is missing"),
            (16, "`endpoint` \"x\""),
        ];
        assert_eq!(errors.len(), expected.len(), "{errors:#?}");
        for (error, (line, words)) in errors.iter().zip(expected) {
            let start = format!("error, line {line}: {words}");
            assert!(error.starts_with(&start), "{error:?} does not start with {start:?}");
        }
    }

    #[test]
    fn warnings_are_found() {
        let rules = platform("a", "encryption = \"required\"") + &platform("b", "encryption = \"forbidden\"");
        let open = "listen = \"0.0.0.0:8009\"\nregistration = \"open\"\nrate_limits = false";
        let guests = "listen = \"0.0.0.0:8009\"\nguests = true\nrate_limits = false";
        for (text, words) in [
            (rules, "cannot chat with each other"),
            (platform("a", "registration_shared_secret = \"short\""), "guesses"),
            (platform("a", open), "anybody can register"),
            (platform("a", guests), "anybody can become a guest"),
            (
                platform("a", "display_name = \"Lumen\"") + &platform("b", "display_name = \"lumen\""),
                "another platform is called",
            ),
            // What is not configured is the short name with a capital letter.
            (
                platform("lumen", "") + &platform("b", "display_name = \"Lumen\""),
                "another platform is called",
            ),
            (
                platform("b", "display_name = \"Lumen\"") + &platform("lumen", ""),
                "another platform is called",
            ),
            (
                platform("a", "demo_account = [{ user = \"anna\" }]"),
                "anybody can log in to a.localhost as anna",
            ),
            (platform("a", "identity = \"phone\""), "cannot prove their phone numbers"),
            (
                platform("a", "sms = { gateway = \"https://a.example\", secret = \"short\" }"),
                "sends SMS at your cost",
            ),
            (
                platform(
                    "a",
                    "policy = { url = \"https://a.example\", secret = \"y\", on_failure = \"allow\" }",
                ),
                "can ask the hook",
            ),
            (platform("a", "limits.strangers_per_day = 300"), "may approach more people"),
            (platform("a", "limits.upload_bytes = 10\nlimits.media_quota_bytes = 5"), "may be greater"),
        ] {
            assert_finds(&text, Severity::Warning, words);
        }
    }

    #[test]
    fn contacts_that_can_be_reached_are_good() {
        let contacts = "support.support_page = \"https://a.example/help\"\nsupport.contacts = [
            { role = \"m.role.admin\", matrix_id = \"@anna:a.localhost\" },
            { role = \"org.example.press\", email_address = \"press@a.example\" },
        ]";
        let text = platform("a", &format!("listen = \"127.0.0.1:0\"\n{contacts}"));
        let found = findings(&format!("data = \"linkspan-test-data\"\n{text}"), Severity::Error);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn any_free_port_is_no_conflict() {
        let text = platform("a", "listen = \"127.0.0.1:0\"") + &platform("b", "listen = \"127.0.0.1:0\"");
        let text = format!("data = \"linkspan-test-data\"\n{text}");
        assert_eq!(findings(&text, Severity::Error), Vec::<String>::new());
    }

    #[test]
    fn a_data_folder_that_is_a_file_is_found() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
        let text =
            format!("data = {:?}\nlisten.http = \"127.0.0.1:8008\"\n", file.path().display().to_string());
        let found = findings(&(text + &platform("a", "")), Severity::Error);
        assert!(found.iter().any(|message| message.contains("is not a folder")), "{found:?}");
    }

    #[test]
    fn a_platform_without_a_listener_is_found() {
        let text = format!("data = \"linkspan-test-data\"\n{}", platform("a", ""));
        let found = findings(&text, Severity::Error);
        assert!(found.iter().any(|message| message.contains("nobody can reach")), "{found:?}");
    }
}
