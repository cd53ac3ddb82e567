//! What an operator sets for a platform.

use std::{collections::BTreeSet, fmt, net::SocketAddr, path::PathBuf};

use linkspan_domain::{Audience, ContentKind, Discovery, EncryptionRule, ReachRule, default_reach_rules};
use ruma::{OwnedServerName, OwnedUserId, RoomVersionId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the people of a platform are known to each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Identity {
    /// People have a public @handle.
    Handle,
    /// People have a phone number.
    Phone,
    /// People have an account with a name and an e-mail address.
    #[default]
    Account,
}

impl Identity {
    /// Who may find people that are known in this way, as far as nobody says anything else.
    pub fn discovery(self) -> Discovery {
        use Audience::{Contacts, Everyone, Nobody};
        let [handle, phone, email, name] = match self {
            Self::Handle | Self::Account => [Everyone, Nobody, Nobody, Everyone],
            Self::Phone => [Nobody, Everyone, Nobody, Contacts],
        };
        Discovery { handle: Some(handle), phone: Some(phone), email: Some(email), name: Some(name) }
    }
}

/// Who may register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Registration {
    /// Anybody may register.
    Open,
    /// Those who have a registration token may register.
    Token,
    /// Nobody may register.
    #[default]
    Closed,
}

/// What a platform demands of the encryption of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encryption {
    /// Messages may be encrypted.
    #[default]
    Optional,
    /// Messages must be encrypted.
    Required,
    /// Messages must not be encrypted.
    Forbidden,
}

impl Encryption {
    /// The rule that holds in the rooms of the platform's people, if there is one.
    pub fn rule(self) -> Option<EncryptionRule> {
        match self {
            Self::Optional => None,
            Self::Required => Some(EncryptionRule::Required),
            Self::Forbidden => Some(EncryptionRule::Forbidden),
        }
    }
}

fn yes() -> bool {
    true
}

fn default_room_version() -> RoomVersionId {
    RoomVersionId::V12
}

/// The settings of a `[[platform]]` in the configuration.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The operator's short name.
    #[schemars(example = &"photos")]
    pub name: String,
    /// The Matrix server name.
    #[schemars(with = "String", example = &"photos.example")]
    pub server_name: OwnedServerName,
    /// Host names that mean this platform. Its server name always does.
    #[serde(default)]
    #[schemars(example = ["chat.photos.example"])]
    pub hosts: Vec<String>,
    /// An address that is this platform's alone.
    #[schemars(example = &"127.0.0.1:8102")]
    pub listen: Option<SocketAddr>,
    /// An address with TLS that is this platform's alone.
    #[schemars(example = &"203.0.113.7:443")]
    pub listen_https: Option<SocketAddr>,
    /// What its people's clients and browsers reach it by: a URL without a path. Without it, it is what each request came by.
    #[schemars(example = &"https://chat.photos.example")]
    pub public_url: Option<String>,
    /// The certificate that the platform shows where TLS is spoken.
    pub tls: Option<TlsFiles>,
    /// How its people are known.
    #[serde(default)]
    #[schemars(extend("x-restart" = true))]
    pub identity: Identity,
    /// Who may register.
    #[serde(default)]
    pub registration: Registration,
    /// Whether people may use the platform as guests, without registering. Guests prove nothing, whatever registration
    /// asks for; they may do what the specification lists, and join the rooms that allow guests.
    /// <https://spec.matrix.org/v1.19/client-server-api/#guest-access>
    #[serde(default)]
    pub guests: bool,
    /// The secret of the admin registration API. If it is empty, there is no such API.
    #[serde(default)]
    #[schemars(example = &"a secret of at least sixteen characters")]
    pub registration_shared_secret: String,
    /// Whether sign-up proves a number or an address.
    #[serde(default = "yes")]
    pub verify: bool,
    /// Whether clients can log in by OAuth 2.0 on the platform's own pages. They can always log in by
    /// password.
    #[serde(default = "yes")]
    pub oauth: bool,
    /// What people call the platform. Without it, it is the short name with a capital letter.
    #[schemars(example = &"Photos")]
    pub display_name: Option<String>,
    /// A short line that is shown beside the platform's name, to say what kind of app it is.
    #[schemars(example = &"For pictures")]
    pub label: Option<String>,
    /// The colour of the platform's app and pages, as `#rrggbb`. Without it the colour is derived from the platform's
    /// name.
    #[schemars(example = &"#1f5f8b")]
    pub colour: Option<String>,
    /// Whether the chat app is served at the platform's address. Without it, a page there says how to use others.
    #[serde(default = "yes")]
    pub app: bool,
    /// Accounts that anybody may use, for trying the platform out: `[[platform.demo_account]]`.
    #[serde(default)]
    pub demo_account: Vec<DemoAccount>,
    /// Whether messages are encrypted in the rooms that this platform's people are in, whoever sends them.
    #[serde(default)]
    pub encryption: Encryption,
    /// The version of new rooms.
    #[serde(default = "default_room_version")]
    #[schemars(with = "String")]
    pub room_version: RoomVersionId,
    /// Whether the media paths from before authenticated media are served without an access token.
    #[serde(default)]
    pub legacy_media: bool,
    /// Whether the server fetches pages that people link to, to show what they are.
    #[serde(default)]
    pub url_previews: bool,
    /// Whether its people's clients may look others up by hashes of addresses, as the Identity Service API has it. The
    /// server then learns their address books: hashes of phone numbers are as good as the numbers.
    /// <https://spec.matrix.org/v1.19/identity-service-api/#association-lookup>
    #[serde(default)]
    #[schemars(extend("x-restart" = true))]
    pub identity_lookup: bool,
    /// Whether presence is shown.
    #[serde(default)]
    pub presence: bool,
    /// The kinds of content that the platform's app does not have. Others are told before they send them; nothing is
    /// refused: docs/decisions/0023-abilities.md.
    #[serde(default)]
    #[schemars(example = ["poll", "voice"])]
    pub without: BTreeSet<ContentKind>,
    /// Whether the platform is fenced: what would change something is refused for a while, with the answer 503, and reading
    /// goes on. `linkspan platform fence` sets it.
    #[serde(default)]
    pub fenced: bool,
    /// Whether anything is limited by rate.
    #[serde(default = "yes")]
    pub rate_limits: bool,
    /// Accounts of the platform that may approach anybody as often as they like, besides its administrators: they greet
    /// newcomers, or carry messages that people have asked for.
    #[serde(default)]
    #[schemars(with = "Vec<String>", example = ["@welcome:photos.example"])]
    pub greeters: Vec<OwnedUserId>,
    /// Who may reach the platform's people, as far as they choose nothing else: `[[platform.reach]]`. These rules come
    /// after those that every platform begins with.
    #[serde(default)]
    pub reach: Vec<ReachRule>,
    /// Who may find the platform's people, as far as they choose nothing else: `[platform.discovery]`. What it leaves
    /// open follows from how the people are known.
    #[serde(default)]
    #[schemars(extend("x-restart" = true))]
    pub discovery: Discovery,
    /// How mails are sent. Without it no mails are sent.
    pub email: Option<Email>,
    /// How SMS are sent. Without it none are sent.
    pub sms: Option<Sms>,
    /// A program of the operator that is asked before strangers are reached. Without it none is.
    pub policy: Option<PolicyHook>,
    /// The servers that carry calls of two people who cannot reach each other. Without it there are none.
    pub turn: Option<Turn>,
    /// Where calls of several people take place.
    #[serde(default)]
    pub rtc: Rtc,
    /// Whom users, and administrators of other servers, can ask for help.
    #[serde(default)]
    pub support: Support,
    /// The platform's limits.
    #[serde(default)]
    pub limits: Limits,
}

impl Settings {
    /// The limits by rate, if there are any.
    pub(crate) fn limits_that_hold(&self) -> Option<Limits> {
        self.rate_limits.then(|| self.limits.clone())
    }

    /// Takes over from the settings with which the process has started what cannot be changed while it runs: what
    /// people can be found by has been written down for each of them.
    pub fn keep_until_restart(&mut self, started: &Self) {
        self.identity = started.identity;
        self.discovery = started.discovery;
        self.identity_lookup = started.identity_lookup;
    }

    /// All rules on who may reach the platform's people that they have not chosen themselves.
    pub fn reach_rules(&self) -> Vec<ReachRule> {
        [default_reach_rules(), self.reach.clone()].concat()
    }

    /// Who may find the platform's people as far as they have chosen nothing themselves.
    pub fn discovery(&self) -> Discovery {
        self.discovery.over(self.identity.discovery())
    }

    /// The name that people read: the one that is configured, or the short name with a capital letter.
    pub fn shown_name(&self) -> String {
        if let Some(name) = &self.display_name {
            return name.clone();
        }
        let mut characters = self.name.chars();
        characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
    }
}

/// An account that anybody may use, without any proof.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DemoAccount {
    /// Whose account it is, as somebody would say who logs in: a handle or a user name, an e-mail address, or a phone
    /// number. It is looked up once: whoever has it later is not meant.
    #[schemars(example = &"anna")]
    pub user: String,
    /// The recovery key of its secret storage, with which a new device reads what was said before it was there.
    pub recovery_key: Option<String>,
}

impl fmt::Debug for DemoAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The recovery key is not printed.
        f.debug_struct("DemoAccount").field("user", &self.user).finish_non_exhaustive()
    }
}

/// How mails are sent: `[email]` for all platforms, or `[platform.email]` for one.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Email {
    /// The server that takes mails: an `smtp://` or `smtps://` URL, with user and password if it asks for them.
    #[schemars(example = &"smtps://user:password@mail.example")]
    pub smtp: String,
    /// The sender, an address with or without a name.
    #[schemars(example = &"Photos <robot@photos.example>")]
    pub from: String,
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password, so it is not printed.
        f.debug_struct("Email").field("from", &self.from).finish_non_exhaustive()
    }
}

/// A certificate and its key: `[tls]` for all platforms, or `[platform.tls]` for one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// A PEM file with the certificate, and after it those that lead to an authority; relative to the configuration file.
    #[schemars(example = &"/etc/linkspan/tls/fullchain.pem")]
    pub certificate: PathBuf,
    /// A PEM file with the private key of the certificate; relative to the configuration file.
    #[schemars(example = &"/etc/linkspan/tls/privkey.pem")]
    pub key: PathBuf,
}

/// Servers that carry calls: `[turn]` for all platforms, or `[platform.turn]` for one.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// The URIs of the servers.
    #[schemars(example = ["turn:turn.example.org?transport=udp"])]
    pub uris: Vec<String>,
    /// The secret that these servers share with this one. Clients get passwords that are made of it.
    pub shared_secret: String,
    /// How long a password holds, in seconds.
    #[serde(default = "default_turn_lifetime_s")]
    pub lifetime_s: u64,
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The secret is not printed.
        f.debug_struct("Turn").field("uris", &self.uris).finish_non_exhaustive()
    }
}

fn default_turn_lifetime_s() -> u64 {
    86_400
}

/// How SMS are sent: `[sms]` for all platforms, or `[platform.sms]` for one. docs/guides/sms-gateway.md says what the
/// gateway is asked.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sms {
    /// The URL of the gateway that takes them.
    #[schemars(example = &"https://sms.example/send")]
    pub gateway: String,
    /// The secret that requests to it are signed with.
    #[schemars(example = &"a secret of at least sixteen characters")]
    pub secret: String,
}

impl fmt::Debug for Sms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password, so neither is printed.
        f.debug_struct("Sms").finish_non_exhaustive()
    }
}

/// A program of the operator that is asked before strangers are reached: `[policy]` for all platforms, or
/// `[platform.policy]` for one. docs/guides/policy-hook.md says what it is asked.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyHook {
    /// Its URL.
    #[schemars(example = &"https://policy.example/check")]
    pub url: String,
    /// The secret that requests to it are signed with.
    #[schemars(example = &"a secret of at least sixteen characters")]
    pub secret: String,
    /// The answer that is taken if it gives none.
    pub on_failure: OnFailure,
    /// How long it may take for one answer, in milliseconds.
    #[serde(default = "default_policy_timeout_ms")]
    pub timeout_ms: u64,
    /// What it is asked about.
    #[serde(default = "PolicyCheck::all")]
    pub checks: Vec<PolicyCheck>,
    /// Whether it is shown what events say, as far as the server can read it.
    #[serde(default)]
    pub content: bool,
}

impl fmt::Debug for PolicyHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password, so neither it nor the secret is printed.
        f.debug_struct("PolicyHook").field("on_failure", &self.on_failure).finish_non_exhaustive()
    }
}

fn default_policy_timeout_ms() -> u64 {
    1_500
}

/// The answer that is taken for that of a hook that gives none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// It goes on as if there were no hook.
    Allow,
    /// Whoever wants to reach a stranger is told to try later.
    Refuse,
}

/// What a hook is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PolicyCheck {
    /// Invitations to people who do not know the sender.
    Invitation,
    /// What is sent to people who have not answered an invitation.
    FirstMessage,
}

impl PolicyCheck {
    /// Everything that a hook can be asked about.
    fn all() -> Vec<Self> {
        vec![Self::Invitation, Self::FirstMessage]
    }
}

/// Calls of several people: `[platform.rtc]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rtc {
    /// The services that carry sound and picture. The preferred one comes first.
    #[serde(default)]
    pub transports: Vec<RtcTransport>,
}

/// A service that carries sound and picture, as clients are told of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum RtcTransport {
    /// A LiveKit server.
    Livekit {
        /// The URL of the service that gives out its tokens.
        livekit_service_url: String,
    },
}

/// Whom to ask for help: `[platform.support]`, in the shape in which everybody can read it.
/// <https://spec.matrix.org/v1.19/client-server-api/#getwell-knownmatrixsupport>
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Support {
    /// People, each with at least one way to reach them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<Contact>,
    /// The URL of a page for people who need help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub support_page: Option<String>,
}

impl Support {
    /// Whether nobody can be asked for help.
    pub fn is_empty(&self) -> bool {
        self.contacts.is_empty() && self.support_page.is_none()
    }
}

/// Somebody who can be asked for help.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// What the contact is for: `m.role.admin`, `m.role.security`, or a name that begins with a domain.
    #[schemars(example = &"m.role.admin")]
    pub role: String,
    /// Their Matrix account.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", example = &"@anna:photos.example")]
    pub matrix_id: Option<OwnedUserId>,
    /// Their e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"a@photos.example")]
    pub email_address: Option<String>,
}

/// Limits of a platform. Rates are actions per second, with a burst.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// How many messages, and other events, somebody may send in a second.
    pub message: f64,
    /// How much of it may come at once (`message`).
    pub message_burst: u32,
    /// How often somebody may log in, or prove a password elsewhere, in a second.
    pub login: f64,
    /// How much of it may come at once (`login`).
    pub login_burst: u32,
    /// How many wrong passwords can be tried for an account in a day: by all strangers together, and by whoever is in
    /// a network in which its person is logged in. Zero is no limit.
    pub password_guesses_per_day: u32,
    /// How many people of one network may register in a second.
    pub registration: f64,
    /// How much of it may come at once (`registration`).
    pub registration_burst: u32,
    /// How many rooms somebody may join in a second, or ask to be let into.
    pub join: f64,
    /// How much of it may come at once (`join`).
    pub join_burst: u32,
    /// How many people somebody may invite in a second.
    pub invite: f64,
    /// How much of it may come at once (`invite`).
    pub invite_burst: u32,
    /// How many rooms somebody may create in a second.
    pub create_room: f64,
    /// How much of it may come at once (`create_room`).
    pub create_room_burst: u32,
    /// How many rooms a person can create in a day. Zero is no limit.
    pub rooms_created_per_day: u32,
    /// How many rooms a person can be joined to. Zero is no limit.
    pub joined_rooms: u32,
    /// How often somebody may search in a second.
    pub search: f64,
    /// How much of it may come at once (`search`).
    pub search_burst: u32,
    /// How much a user, or a network of clients without a user, may read in a second. A row of the store is one, and so is
    /// each KiB that is read or answered; a request is five besides.
    pub read: f64,
    /// How much of it may come at once (`read`).
    pub read_burst: u32,
    /// How many files somebody may upload in a second.
    pub upload: f64,
    /// How much of it may come at once (`upload`).
    pub upload_burst: u32,
    /// How often somebody may say that they type, in a second. Apps say it every few seconds, and at once that it has
    /// ended.
    pub typing: f64,
    /// How much of it may come at once (`typing`).
    pub typing_burst: u32,
    /// How many reports somebody may make in a second.
    pub report: f64,
    /// How much of it may come at once (`report`).
    pub report_burst: u32,
    /// How many archives of everything that there is of a person that person can have in a day. Zero is no limit.
    pub exports_per_day: u32,
    /// The rate of everything else that changes something.
    pub other: f64,
    /// How much of it may come at once (`other`).
    pub other_burst: u32,
    /// How many mails and SMS that confirm addresses and numbers a network of clients can ask for in an hour.
    pub codes_of_network: u32,
    /// How many SMS go to numbers that begin alike in an hour: some earn money with each one that they get.
    pub codes_of_range: u32,
    /// How many of these mails the platform sends in an hour, and how many of these SMS.
    pub codes_of_platform: u32,
    /// How many times a new account may approach people who do not know it in a day. Others may do it more often, or
    /// more rarely, by how old they are and how they were answered. Zero is no limit.
    pub strangers_per_day: u32,
    /// How many times any account may do it.
    pub strangers_per_day_max: u32,
    /// How many times the people of one other platform may approach people of this one in an hour. Zero is no limit.
    pub strangers_of_platform: u32,
    /// How many events somebody may send to people who have not answered an invitation. Zero is no limit.
    pub unanswered_messages: u32,
    /// How large the contents of these events may be together, in bytes. Zero is no limit.
    pub unanswered_bytes: u64,
    /// The greatest size of an upload, in bytes.
    pub upload_bytes: u64,
    /// How much a user may store, in bytes. An upload counts for 4 KiB at least.
    pub media_quota_bytes: u64,
    /// How much account data a user may have, in bytes.
    pub account_data_bytes: u64,
    /// How many bytes of room keys a user may have in key backups, all versions together.
    pub key_backup_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message: 10.0,
            message_burst: 100,
            login: 0.2,
            login_burst: 10,
            password_guesses_per_day: 200,
            registration: 0.2,
            registration_burst: 10,
            join: 1.0,
            join_burst: 20,
            invite: 1.0,
            invite_burst: 50,
            create_room: 0.5,
            create_room_burst: 20,
            rooms_created_per_day: 500,
            joined_rooms: 10_000,
            search: 2.0,
            search_burst: 20,
            // The first sync of an account with thousands of chats is some 200,000.
            read: 10_000.0,
            read_burst: 1_000_000,
            upload: 2.0,
            upload_burst: 20,
            typing: 1.0,
            typing_burst: 20,
            report: 0.02,
            report_burst: 20,
            exports_per_day: 3,
            other: 20.0,
            other_burst: 200,
            codes_of_network: 30,
            codes_of_range: 300,
            codes_of_platform: 5_000,
            strangers_per_day: 10,
            strangers_per_day_max: 200,
            strangers_of_platform: 5_000,
            unanswered_messages: 20,
            unanswered_bytes: 64 << 10,
            upload_bytes: 50 << 20,
            media_quota_bytes: 5 << 30,
            account_data_bytes: 10 << 20,
            key_backup_bytes: 128 << 20,
        }
    }
}
