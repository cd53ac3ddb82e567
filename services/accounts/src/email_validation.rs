//! Showing that an e-mail address is one's own: by a link in a mail to it.
//! <https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3registeremailrequesttoken>
//!
//! The answer is the same whether the address belongs to an account or not: only the mail tells. A session
//! is for one purpose, is used once, and expires; of its token the hash is kept.

use linkspan_platforms::Platform;
use linkspan_storage::{
    Range, WriteSet,
    catalogue::{EmailValidations, PlatformKey},
    records::EmailValidationRecord,
};
use ruma::{OwnedServerName, OwnedUserId};
use sha2::{Digest, Sha256};

use crate::{
    Accounts, AccountsError, Mail,
    email_addresses::check_address,
    token::{TokenHash, hash_token, new_token},
};

/// How long a session lasts after its last mail, and after it was validated, in milliseconds.
const SESSION_MS: u64 = 3_600_000;
/// The longest link to where somebody goes on, in bytes. Links with the requests of apps in them are long.
const NEXT_LINK_BYTES: usize = 8 << 10;
/// The longest id of a session that is looked for, in bytes. None is longer.
const SESSION_ID_BYTES: usize = 64;
/// How many sessions are looked at in one sweep.
const SWEEP: usize = 10_000;

/// What an address is validated for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmailPurpose {
    /// The address is for making an account.
    Register,
    /// The address is for setting a new password without the old one.
    ResetPassword,
    /// The address is to be added to an account.
    Add,
}

impl EmailPurpose {
    fn name(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::ResetPassword => "reset password",
            Self::Add => "add",
        }
    }

    fn of_name(name: &str) -> Option<Self> {
        [Self::Register, Self::ResetPassword, Self::Add].into_iter().find(|purpose| purpose.name() == name)
    }
}

/// A request for a mail.
#[derive(Clone)]
pub struct EmailRequest {
    /// What the address is validated for.
    pub purpose: EmailPurpose,
    /// The address.
    pub address: String,
    /// The secret by which the client will show that the session is its own.
    pub client_secret: String,
    /// A number. The same or a smaller one sends no further mail.
    pub send_attempt: u64,
    /// The address to go on to after the link was opened.
    pub next_link: Option<String>,
    /// The URL of the page that the link opens, without a query.
    pub page: String,
}

/// What the link of a mail has in it.
#[derive(Clone)]
pub struct EmailLinkToken {
    /// The session.
    pub sid: String,
    /// The token, which only the mail has.
    pub token: String,
}

/// The link of a mail that is still good for something.
#[derive(Clone, Debug)]
pub struct EmailLink {
    /// What it is for.
    pub purpose: EmailPurpose,
    /// The address that it was sent to.
    pub address: String,
    /// The address to go on to after that.
    pub next_link: Option<String>,
    client_secret: TokenHash,
}

impl EmailLink {
    /// Whether the mail was asked for with this secret.
    pub fn was_asked_for_with(&self, client_secret: &str) -> bool {
        self.client_secret == hash_token(client_secret)
    }
}

/// An address that was validated, and the session that did it.
#[derive(Clone, Debug)]
pub(crate) struct ValidatedEmail {
    pub(crate) address: String,
    pub(crate) validated_ts: u64,
    pub(crate) session: PlatformKey,
    pub(crate) record: EmailValidationRecord,
}

impl Accounts {
    /// Sends a mail with a link. Returns the id of the session.
    pub async fn request_email_validation(
        &self,
        platform: &Platform,
        request: EmailRequest,
        now_ts: u64,
    ) -> Result<String, AccountsError> {
        if !self.sends_mails(platform) {
            return Err(AccountsError::NoEmail);
        }
        let address = check_address(&request.address)?;
        let key = session_key(platform.server_name(), &request, &address);
        let known = self.store.get::<EmailValidations>(&key).await?;
        let known = known.filter(|known| known.expires_ts > now_ts);
        if known
            .as_ref()
            .is_some_and(|known| known.validated_ts.is_some() || known.send_attempt >= request.send_attempt)
        {
            return Ok(key.name);
        }
        self.count_mail(platform.server_name(), &address, now_ts)?;
        let owner = self.owner_of_email(platform.server_name(), &address).await?;
        // Otherwise there is nothing to confirm, and the mail says why.
        let has_link = owner.is_some() == (request.purpose == EmailPurpose::ResetPassword);
        let token = has_link.then(|| new_token(""));
        let record = EmailValidationRecord {
            address: address.clone(),
            purpose: request.purpose.name().to_owned(),
            client_secret: hash_token(&request.client_secret),
            send_attempt: request.send_attempt,
            token: token.as_deref().map(hash_token),
            next_link: request.next_link.clone().filter(|link| is_web_link(link)),
            expires_ts: now_ts + SESSION_MS,
            validated_ts: None,
        };
        self.store
            .update(async || {
                let mut writes = WriteSet::new();
                writes.put::<EmailValidations>(&key, &record);
                Ok::<_, AccountsError>((writes, ()))
            })
            .await?;
        let link = token.map(|token| format!("{}?sid={}&token={token}", request.page, key.name));
        let text = write_mail(&platform.display_name(), request.purpose, owner.as_ref(), link.as_deref());
        let mail = Mail { to: address, ..text };
        self.send_mail(platform.server_name(), mail)?;
        Ok(key.name)
    }

    /// Takes the token of a mail, and returns where to go on. Doing it again gives the same.
    pub async fn validate_email(
        &self,
        platform: &OwnedServerName,
        sid: &str,
        token: &str,
        now_ts: u64,
    ) -> Result<Option<String>, AccountsError> {
        let key = key_of(platform, sid)?;
        self.store
            .update(async || {
                let mut record = self.matching_session(&key, token, now_ts).await?;
                let next_link = record.next_link.clone();
                let mut writes = WriteSet::new();
                if record.validated_ts.is_none() {
                    writes.expect::<EmailValidations>(&key, &record);
                    record.validated_ts = Some(now_ts);
                    record.expires_ts = now_ts + SESSION_MS;
                    writes.put::<EmailValidations>(&key, &record);
                }
                Ok((writes, next_link))
            })
            .await
    }

    /// What the link of a mail is for, before it is used.
    pub async fn email_link(
        &self,
        platform: &OwnedServerName,
        link: &EmailLinkToken,
        now_ts: u64,
    ) -> Result<EmailLink, AccountsError> {
        let record = self.matching_session(&key_of(platform, &link.sid)?, &link.token, now_ts).await?;
        let purpose = EmailPurpose::of_name(&record.purpose).ok_or(GONE)?;
        let EmailValidationRecord { address, next_link, client_secret, .. } = record;
        Ok(EmailLink { purpose, address, next_link, client_secret })
    }

    /// The address that the link of a mail proves. Having the link is proof enough.
    pub(crate) async fn email_of_link(
        &self,
        platform: &OwnedServerName,
        purpose: EmailPurpose,
        link: &EmailLinkToken,
        now_ts: u64,
    ) -> Result<ValidatedEmail, AccountsError> {
        let session = key_of(platform, &link.sid)?;
        let record = self.matching_session(&session, &link.token, now_ts).await?;
        if record.purpose != purpose.name() {
            return Err(GONE);
        }
        let validated_ts = record.validated_ts.unwrap_or(now_ts);
        Ok(ValidatedEmail { address: record.address.clone(), validated_ts, session, record })
    }

    async fn matching_session(
        &self,
        key: &PlatformKey,
        token: &str,
        now_ts: u64,
    ) -> Result<EmailValidationRecord, AccountsError> {
        let record = self.store.get::<EmailValidations>(key).await?;
        record
            .filter(|record| record.expires_ts > now_ts && record.token == Some(hash_token(token)))
            .ok_or(GONE)
    }

    /// The address that a session has validated.
    pub(crate) async fn validated_email(
        &self,
        platform: &OwnedServerName,
        purpose: EmailPurpose,
        sid: &str,
        client_secret: &str,
        now_ts: u64,
    ) -> Result<ValidatedEmail, AccountsError> {
        let session = key_of(platform, sid).map_err(|_| AccountsError::AddressNotValidated)?;
        let record = self.store.get::<EmailValidations>(&session).await?;
        let record = record.filter(|record| {
            record.expires_ts > now_ts
                && record.purpose == purpose.name()
                && record.client_secret == hash_token(client_secret)
        });
        let record = record.ok_or(AccountsError::AddressNotValidated)?;
        let validated_ts = record.validated_ts.ok_or(AccountsError::AddressNotValidated)?;
        Ok(ValidatedEmail { address: record.address.clone(), validated_ts, session, record })
    }

    /// Removes sessions that have expired. It is to be called now and then.
    pub async fn forget_email_validations(
        &self,
        platform: &OwnedServerName,
        now_ts: u64,
    ) -> Result<(), AccountsError> {
        let range = Range::<EmailValidations>::prefix((platform,)).limit(SWEEP);
        let mut writes = WriteSet::new();
        for (key, record) in self.store.range(range).await? {
            if record.expires_ts <= now_ts {
                writes.delete::<EmailValidations>(&key);
            }
        }
        self.store.commit(writes).await.map_err(linkspan_storage::StorageError::from)?;
        Ok(())
    }
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
fn session_key(platform: &OwnedServerName, request: &EmailRequest, address: &str) -> PlatformKey {
    let mut hash = Sha256::new();
    for part in [request.purpose.name(), address, &request.client_secret] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let name = hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    PlatformKey { platform: platform.clone(), name }
}

fn is_web_link(link: &str) -> bool {
    link.len() <= NEXT_LINK_BYTES && (link.starts_with("https://") || link.starts_with("http://"))
}

/// Writes what a mail says, without the address that it goes to. `owner` is the user whose address it is.
/// `link` is None if there is nothing to confirm.
fn write_mail(
    platform: &str,
    purpose: EmailPurpose,
    owner: Option<&OwnedUserId>,
    link: Option<&str>,
) -> Mail {
    let account = owner.map_or_else(|| "your account".to_owned(), |owner| format!("your account {owner}"));
    let lasts = "The link works once, within an hour.";
    let ignore = "If you didn't ask for this, you can ignore this mail: nothing changes.";
    let (subject, text) = match (purpose, link) {
        (EmailPurpose::Register, Some(link)) => (
            format!("Confirm your email address for {platform}"),
            format!("To create your account on {platform}, open\n\n{link}\n\n{lasts} {ignore}\n"),
        ),
        (EmailPurpose::Add, Some(link)) => (
            format!("Confirm your email address for {platform}"),
            format!(
                "To add this address to your account on {platform}, open\n\n{link}\n\n{lasts} {ignore}\n"
            ),
        ),
        (EmailPurpose::ResetPassword, Some(link)) => (
            format!("Reset your password on {platform}"),
            format!(
                "Somebody asked to reset the password of {account}. If it was you, open\n\n{link}\n\n\
                 and choose a new one. {lasts} {ignore}\n"
            ),
        ),
        (EmailPurpose::ResetPassword, None) => (
            format!("There is no account with this address on {platform}"),
            format!(
                "Somebody asked to reset a password on {platform}, but no account there has this address. \
                 If it was you, try another address. If it wasn't, you can ignore this mail.\n"
            ),
        ),
        (EmailPurpose::Register | EmailPurpose::Add, None) => (
            format!("This address is already in use on {platform}"),
            format!(
                "Somebody wanted to use this address for an account on {platform}, but an account there \
                 has it already. If it was you, log in to that account; if you forgot the password, you can \
                 reset it. If it wasn't you, you can ignore this mail.\n"
            ),
        ),
    };
    Mail { to: String::new(), subject, text }
}
