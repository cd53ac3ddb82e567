//! Showing that an e-mail address or a phone number is one's own: by a link or a code in a message to it.
//! <https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3registeremailrequesttoken>
//!
//! The answer is the same whether the address belongs to an account or not: only the message tells. A session is for
//! one purpose, is used once, and expires; of its token and its code the hashes are kept. A code is short, so it lasts
//! some minutes only, and a few wrong ones end it.

use std::net::IpAddr;

use linkspan_platforms::Platform;
use linkspan_storage::{
    Range, WriteSet,
    catalogue::{PlatformKey, ThirdPartyIds, Validations},
    records::ValidationRecord,
};
use ruma::{OwnedServerName, OwnedUserId, thirdparty::Medium};
use sha2::{Digest, Sha256};

use crate::{
    Accounts, AccountsError, Mail, Message, Sms, ThirdPartyId,
    third_party_ids::id_key,
    token::{TokenHash, hash_token, new_token, random_text},
};

/// How long a session lasts after its last message, and after it was validated, in milliseconds.
const SESSION_MS: u64 = 3_600_000;
/// How long a code lasts, in milliseconds.
const CODE_MS: u64 = 10 * 60_000;
const CODE_DIGITS: usize = 6;
/// How many wrong codes end a code.
const WRONG_CODES: u32 = 5;
/// The longest link to where somebody goes on, in bytes. Links with the requests of apps in them are long.
const NEXT_LINK_BYTES: usize = 8 << 10;
/// The longest id of a session that is looked for, in bytes. None is longer.
const SESSION_ID_BYTES: usize = 64;
/// How many sessions are looked at at a time when those that have expired are removed.
const PORTION: usize = 1_000;

/// What an address or a number is validated for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValidationPurpose {
    /// It is for making an account.
    Register,
    /// It is for setting a new password without the old one.
    ResetPassword,
    /// It is to be added to an account.
    Add,
    /// It is for logging in, or for making an account if it has none.
    LogIn,
}

impl ValidationPurpose {
    fn name(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::ResetPassword => "reset password",
            Self::Add => "add",
            Self::LogIn => "log in",
        }
    }

    fn of_name(name: &str) -> Option<Self> {
        let all = [Self::Register, Self::ResetPassword, Self::Add, Self::LogIn];
        all.into_iter().find(|purpose| purpose.name() == name)
    }
}

/// A request for a message.
#[derive(Clone)]
pub struct ValidationRequest {
    /// What the identifier is validated for.
    pub purpose: ValidationPurpose,
    /// Where the message goes.
    pub id: ThirdPartyId,
    /// The secret by which the client will show that the session is its own.
    pub client_secret: String,
    /// A number. The same or a smaller one sends no further message.
    pub send_attempt: u64,
    /// The address to go on to after the identifier was validated.
    pub next_link: Option<String>,
    /// The URL of the page that the link in a mail opens, without a query. SMS have no link, nor have mails for logging
    /// in.
    pub page: String,
    /// Whether a page asks: it begins anew if it asks again.
    pub by_page: bool,
    /// The address of whoever asks.
    pub from: IpAddr,
}

impl ValidationRequest {
    /// Whether there is nothing to send any more: the client asks again for what it was sent, or has shown already.
    fn is_answered(&self, known: &ValidationRecord, now_ts: u64) -> bool {
        let is_done = known.validated_ts.is_some() && !self.by_page;
        known.expires_ts > now_ts && (is_done || known.send_attempt >= self.send_attempt)
    }
}

/// What the link of a mail has in it.
#[derive(Clone)]
pub struct LinkToken {
    /// The session.
    pub sid: String,
    /// The token, which only the mail has.
    pub token: String,
}

/// A session, as whoever asked for the message names it.
#[derive(Clone)]
pub struct ValidationSession {
    /// Its id.
    pub sid: String,
    /// The secret that it was begun with.
    pub client_secret: String,
}

impl ValidationSession {
    /// The session in which somebody with this secret has an identifier confirmed.
    pub fn of(
        platform: &OwnedServerName,
        purpose: ValidationPurpose,
        id: &ThirdPartyId,
        client_secret: String,
    ) -> Self {
        Self { sid: session_key(platform, purpose, id, &client_secret).name, client_secret }
    }
}

/// What shows that an identifier is somebody's own.
#[derive(Clone)]
pub enum Evidence {
    /// They have the link of a mail, which is enough.
    Link(LinkToken),
    /// The session is theirs, and it was validated.
    Session(ValidationSession),
}

/// The link of a mail that is still good for something.
#[derive(Clone, Debug)]
pub struct ValidationLink {
    /// What it is for.
    pub purpose: ValidationPurpose,
    /// The address that it was sent to.
    pub id: ThirdPartyId,
    /// The address to go on to after that.
    pub next_link: Option<String>,
    client_secret: TokenHash,
}

impl ValidationLink {
    /// Whether the mail was asked for with this secret.
    pub fn was_asked_for_with(&self, client_secret: &str) -> bool {
        self.client_secret == hash_token(client_secret)
    }
}

/// An identifier that was validated, and the session that did it.
#[derive(Clone, Debug)]
pub(crate) struct Validated {
    pub(crate) id: ThirdPartyId,
    pub(crate) validated_ts: u64,
    pub(crate) session: PlatformKey,
    pub(crate) record: ValidationRecord,
}

/// What a message is to say.
struct Letter<'a> {
    platform: String,
    /// The user whose identifier it is.
    owner: Option<&'a OwnedUserId>,
    says: Says,
}

enum Says {
    /// How the reader confirms the identifier.
    Confirm { purpose: ValidationPurpose, code: String, link: Option<String> },
    /// No account has the identifier whose password was to be reset.
    Unknown,
    /// An account has the address that was to be another's. Numbers are never refused so.
    InUse,
}

impl Accounts {
    /// Sends a message with a link or a code. Returns the id of the session.
    pub async fn request_validation(
        &self,
        platform: &Platform,
        request: ValidationRequest,
        now_ts: u64,
    ) -> Result<String, AccountsError> {
        self.check_purpose(platform, &request)?;
        let way = self.begin_message(platform, &request.id)?;
        let key = session_key(platform.server_name(), request.purpose, &request.id, &request.client_secret);
        if self.store.get::<Validations>(&key).await?.is_some_and(|known| request.is_answered(&known, now_ts))
        {
            return Ok(key.name);
        }
        self.count_message(platform, &request.id, request.from, now_ts)?;
        let owner = self.owner_for(platform.server_name(), &request, now_ts).await?;
        // Otherwise there is nothing to confirm, and the message says why.
        let provable = match request.purpose {
            ValidationPurpose::LogIn => true,
            ValidationPurpose::ResetPassword => owner.is_some(),
            // Numbers change hands, so whoever has one now may prove it, whatever account has it.
            ValidationPurpose::Register | ValidationPurpose::Add => owner.is_none() || request.id.is_phone(),
        };
        // Nobody is to log a stranger in by opening the link of a mail that the stranger has asked for.
        let has_link = !request.id.is_phone() && request.purpose != ValidationPurpose::LogIn;
        let token = (provable && has_link).then(|| new_token(""));
        let code = provable.then(|| random_text(b"0123456789", CODE_DIGITS));
        let record = ValidationRecord {
            medium: request.id.medium().to_string(),
            address: request.id.address().to_owned(),
            purpose: request.purpose.name().to_owned(),
            client_secret: hash_token(&request.client_secret),
            send_attempt: request.send_attempt,
            token: token.as_deref().map(hash_token),
            code: code.as_deref().map(|code| hash_code(&key, code)),
            code_expires_ts: now_ts + CODE_MS,
            wrong_codes: 0,
            next_link: request.next_link.clone().filter(|link| is_web_link(link)),
            expires_ts: now_ts + SESSION_MS,
            validated_ts: None,
        };
        let is_new = self
            .store
            .update(async || {
                let mut writes = WriteSet::new();
                let known = self.store.get::<Validations>(&key).await?;
                // The same request may have come twice: one message is enough.
                let is_new = !known.as_ref().is_some_and(|known| request.is_answered(known, now_ts));
                if is_new {
                    writes.expect_read::<Validations>(&key, known.as_ref());
                    writes.put::<Validations>(&key, &record);
                }
                Ok::<_, AccountsError>((writes, is_new))
            })
            .await?;
        if !is_new {
            return Ok(key.name);
        }
        let link = token.map(|token| format!("{}?sid={}&token={token}", request.page, key.name));
        let says = match (code, request.purpose) {
            (Some(code), purpose) => Says::Confirm { purpose, code, link },
            (None, ValidationPurpose::ResetPassword) => Says::Unknown,
            (None, _) => Says::InUse,
        };
        let letter = Letter { platform: platform.display_name(), owner: owner.as_ref(), says };
        way.send(letter.write(&request.id));
        Ok(key.name)
    }

    /// Refuses a purpose that such an identifier does not serve on this platform.
    fn check_purpose(&self, platform: &Platform, request: &ValidationRequest) -> Result<(), AccountsError> {
        let known_by = self.known_by(platform);
        let serves = match request.purpose {
            ValidationPurpose::LogIn => known_by.as_ref() == Some(request.id.medium()),
            // Where people are known by their numbers, the password would be no second step otherwise.
            ValidationPurpose::ResetPassword => !request.id.is_phone() || known_by != Some(Medium::Msisdn),
            ValidationPurpose::Register | ValidationPurpose::Add => true,
        };
        if serves { Ok(()) } else { Err(AccountsError::NotSent) }
    }

    /// The user whose identifier a request is about, as far as the message may be about the user's account.
    async fn owner_for(
        &self,
        platform: &OwnedServerName,
        request: &ValidationRequest,
        now_ts: u64,
    ) -> Result<Option<OwnedUserId>, AccountsError> {
        let record = self.store.get::<ThirdPartyIds>(&id_key(platform, &request.id)).await?;
        let Some(record) = record else { return Ok(None) };
        let resets = request.purpose == ValidationPurpose::ResetPassword;
        let is_theirs = !resets || self.may_reset_by(&request.id, &record, now_ts).await?;
        Ok(is_theirs.then_some(record.user_id))
    }

    /// Takes the token of a mail, and returns where to go on. Doing it again gives the same.
    pub async fn validate_by_link(
        &self,
        platform: &OwnedServerName,
        link: &LinkToken,
        now_ts: u64,
    ) -> Result<Option<String>, AccountsError> {
        let key = key_of(platform, &link.sid)?;
        self.store
            .update(async || {
                let record = self.matching_session(&key, &link.token, now_ts).await?;
                let next_link = record.next_link.clone();
                let mut writes = WriteSet::new();
                if record.validated_ts.is_none() {
                    put_validated(&mut writes, &key, record, now_ts);
                }
                Ok((writes, next_link))
            })
            .await
    }

    /// Takes the code of a message, which works once. Whatever is wrong gets the same refusal,
    /// [`AccountsError::WrongCode`].
    pub async fn validate_by_code(
        &self,
        platform: &OwnedServerName,
        session: &ValidationSession,
        code: &str,
        now_ts: u64,
    ) -> Result<(), AccountsError> {
        let key = key_of(platform, &session.sid).map_err(|_| AccountsError::WrongCode)?;
        let right = self
            .store
            .update(async || {
                let record =
                    self.own_session(&key, session, now_ts).await?.ok_or(AccountsError::WrongCode)?;
                let hash = record.code.filter(|_| now_ts < record.code_expires_ts);
                let hash = hash.ok_or(AccountsError::WrongCode)?;
                let mut writes = WriteSet::new();
                let right = hash == hash_code(&key, code);
                if right {
                    put_validated(&mut writes, &key, record, now_ts);
                } else {
                    put_wrong_code(&mut writes, &key, record);
                }
                Ok::<_, AccountsError>((writes, right))
            })
            .await?;
        if right { Ok(()) } else { Err(AccountsError::WrongCode) }
    }

    /// What the link of a mail is for, before it is used.
    pub async fn validation_link(
        &self,
        platform: &OwnedServerName,
        link: &LinkToken,
        now_ts: u64,
    ) -> Result<ValidationLink, AccountsError> {
        let record = self.matching_session(&key_of(platform, &link.sid)?, &link.token, now_ts).await?;
        let purpose = ValidationPurpose::of_name(&record.purpose).ok_or(GONE)?;
        let ValidationRecord { medium, address, next_link, client_secret, .. } = record;
        Ok(ValidationLink { purpose, id: ThirdPartyId::stored(medium, address), next_link, client_secret })
    }

    /// The identifier that a session has validated for this purpose.
    pub async fn validated_id(
        &self,
        platform: &OwnedServerName,
        purpose: ValidationPurpose,
        session: &ValidationSession,
        now_ts: u64,
    ) -> Result<ThirdPartyId, AccountsError> {
        let evidence = Evidence::Session(session.clone());
        Ok(self.validated(platform, &[purpose], &evidence, now_ts).await?.id)
    }

    /// The identifier that somebody has shown to be theirs, for one of these purposes. Refuses a session with
    /// [`AccountsError::AddressNotValidated`], and a link that is good for nothing with [`AccountsError::NotFound`].
    pub(crate) async fn validated(
        &self,
        platform: &OwnedServerName,
        purposes: &[ValidationPurpose],
        evidence: &Evidence,
        now_ts: u64,
    ) -> Result<Validated, AccountsError> {
        let refused = |_| AccountsError::AddressNotValidated;
        let (key, record, validated_ts) = match evidence {
            Evidence::Link(link) => {
                let key = key_of(platform, &link.sid).map_err(refused)?;
                let record = self.matching_session(&key, &link.token, now_ts).await?;
                let validated_ts = record.validated_ts.unwrap_or(now_ts);
                (key, record, validated_ts)
            }
            Evidence::Session(session) => {
                let key = key_of(platform, &session.sid).map_err(refused)?;
                let record = self.own_session(&key, session, now_ts).await?;
                let record = record.ok_or(AccountsError::AddressNotValidated)?;
                let validated_ts = record.validated_ts.ok_or(AccountsError::AddressNotValidated)?;
                (key, record, validated_ts)
            }
        };
        if !purposes.iter().any(|purpose| record.purpose == purpose.name()) {
            return Err(AccountsError::AddressNotValidated);
        }
        let id = ThirdPartyId::stored(record.medium.clone(), record.address.clone());
        Ok(Validated { id, validated_ts, session: key, record })
    }

    /// Makes sure that a validation is used once.
    pub(crate) async fn use_up(
        &self,
        writes: &mut WriteSet,
        validated: &Validated,
    ) -> Result<(), AccountsError> {
        if self.store.get::<Validations>(&validated.session).await?.as_ref() != Some(&validated.record) {
            return Err(AccountsError::AddressNotValidated);
        }
        writes.expect::<Validations>(&validated.session, &validated.record);
        writes.delete::<Validations>(&validated.session);
        Ok(())
    }

    /// The session that a link is of.
    async fn matching_session(
        &self,
        key: &PlatformKey,
        token: &str,
        now_ts: u64,
    ) -> Result<ValidationRecord, AccountsError> {
        let record = self.store.get::<Validations>(key).await?;
        record
            .filter(|record| record.expires_ts > now_ts && record.token == Some(hash_token(token)))
            .ok_or(GONE)
    }

    /// A session of whoever knows its secret.
    async fn own_session(
        &self,
        key: &PlatformKey,
        session: &ValidationSession,
        now_ts: u64,
    ) -> Result<Option<ValidationRecord>, AccountsError> {
        let record = self.store.get::<Validations>(key).await?;
        let secret = hash_token(&session.client_secret);
        Ok(record.filter(|record| record.expires_ts > now_ts && record.client_secret == secret))
    }

    /// Removes sessions that have expired, in portions. It is to be called now and then.
    pub async fn forget_validations(
        &self,
        platform: &OwnedServerName,
        now_ts: u64,
    ) -> Result<(), AccountsError> {
        let mut after = None;
        loop {
            let next = self
                .store
                .update(async || {
                    let mut portion = Range::<Validations>::prefix((platform,)).limit(PORTION);
                    if let Some(after) = &after {
                        portion = portion.after(after);
                    }
                    let portion = self.store.range(portion).await?;
                    let mut writes = WriteSet::new();
                    for (key, record) in portion.iter().filter(|(_, record)| record.expires_ts <= now_ts) {
                        writes.expect::<Validations>(key, record);
                        writes.delete::<Validations>(key);
                    }
                    let last = portion.last().filter(|_| portion.len() == PORTION);
                    Ok::<_, AccountsError>((writes, last.map(|(key, _)| key.clone())))
                })
                .await?;
            if next.is_none() {
                return Ok(());
            }
            after = next;
        }
    }
}

/// Writes that a session has validated its identifier.
fn put_validated(writes: &mut WriteSet, key: &PlatformKey, record: ValidationRecord, now_ts: u64) {
    writes.expect::<Validations>(key, &record);
    let expires_ts = now_ts + SESSION_MS;
    let validated = ValidationRecord { validated_ts: Some(now_ts), code: None, expires_ts, ..record };
    writes.put::<Validations>(key, &validated);
}

/// Writes that a wrong code was tried. The last one that may be ends the right one, too.
fn put_wrong_code(writes: &mut WriteSet, key: &PlatformKey, record: ValidationRecord) {
    writes.expect::<Validations>(key, &record);
    let wrong_codes = record.wrong_codes + 1;
    let code = record.code.filter(|_| wrong_codes < WRONG_CODES);
    writes.put::<Validations>(key, &ValidationRecord { wrong_codes, code, ..record });
}

/// There is no such session, or none any more.
const GONE: AccountsError = AccountsError::NotFound("session");

/// The key of a session. The store would refuse a key that is much longer than any.
fn key_of(platform: &OwnedServerName, sid: &str) -> Result<PlatformKey, AccountsError> {
    if sid.len() > SESSION_ID_BYTES {
        return Err(GONE);
    }
    Ok(PlatformKey { platform: platform.clone(), name: sid.to_owned() })
}

/// The id of a session. The same request has the same session.
fn session_key(
    platform: &OwnedServerName,
    purpose: ValidationPurpose,
    id: &ThirdPartyId,
    client_secret: &str,
) -> PlatformKey {
    let mut hash = Sha256::new();
    for part in [purpose.name(), id.medium().as_str(), id.address(), client_secret] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let name = hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    PlatformKey { platform: platform.clone(), name }
}

/// The hash under which a code of a session is stored.
fn hash_code(session: &PlatformKey, code: &str) -> TokenHash {
    hash_token(&format!("{} {} {code}", session.platform, session.name))
}

fn is_web_link(link: &str) -> bool {
    link.len() <= NEXT_LINK_BYTES && (link.starts_with("https://") || link.starts_with("http://"))
}

impl Letter<'_> {
    fn write(&self, to: &ThirdPartyId) -> Message {
        if to.is_phone() {
            return Message::Sms(Sms { id: new_token(""), to: to.readable(), text: self.text_of_sms() });
        }
        let (subject, text) = self.text_of_mail();
        Message::Mail(Mail { to: to.address().to_owned(), subject, text })
    }

    /// One SMS has room for 160 characters, without accents.
    fn text_of_sms(&self) -> String {
        let platform = &self.platform;
        match &self.says {
            Says::Confirm { code, .. } => {
                format!(
                    "{code} is your code for {platform}. It works once, within 10 minutes. Don't share it."
                )
            }
            Says::Unknown | Says::InUse => format!(
                "Somebody asked to reset a password on {platform}, but no account there has this number. If it \
                 wasn't you, ignore this."
            ),
        }
    }

    fn text_of_mail(&self) -> (String, String) {
        let Self { platform, owner, .. } = self;
        let account =
            owner.map_or_else(|| "your account".to_owned(), |owner| format!("your account {owner}"));
        let ignore = "If you didn't ask for this, you can ignore this mail: nothing changes.";
        let (purpose, proofs) = match &self.says {
            Says::Confirm { purpose, code, link } => (purpose, proofs(code, link.as_deref())),
            Says::Unknown => {
                return (
                    format!("There is no account with this address on {platform}"),
                    format!(
                        "Somebody asked to reset a password on {platform}, but no account there has this address. \
                         If it was you, try another address. If it wasn't, you can ignore this mail.\n"
                    ),
                );
            }
            Says::InUse => {
                return (
                    format!("This address is already in use on {platform}"),
                    format!(
                        "Somebody wanted to use this address for an account on {platform}, but an account there \
                         has it already. If it was you, log in to that account; if you forgot the password, you \
                         can reset it. If it wasn't you, you can ignore this mail.\n"
                    ),
                );
            }
        };
        match purpose {
            ValidationPurpose::LogIn => (
                format!("Your code for {platform}"),
                format!("To log in to {platform}, or to sign up, {proofs} {ignore}\n"),
            ),
            ValidationPurpose::Register => (
                format!("Confirm your email address for {platform}"),
                format!("To create your account on {platform}, {proofs} {ignore}\n"),
            ),
            ValidationPurpose::Add => (
                format!("Confirm your email address for {platform}"),
                format!("To add this address to your account on {platform}, {proofs} {ignore}\n"),
            ),
            ValidationPurpose::ResetPassword => (
                format!("Reset your password on {platform}"),
                format!(
                    "Somebody asked to reset the password of {account}. If it was you, choose a new one: {proofs} \
                     {ignore}\n"
                ),
            ),
        }
    }
}

/// How the reader of a mail goes on.
fn proofs(code: &str, link: Option<&str>) -> String {
    let lasts = "works once, within 10 minutes: don't share it.";
    match link {
        Some(link) => format!(
            "open\n\n{link}\n\nor enter the code {code} if you were asked for one. The link works once, within an \
             hour. The code {lasts}"
        ),
        None => format!("enter the code\n\n{code}\n\nwhere you were asked for it. It {lasts}"),
    }
}
