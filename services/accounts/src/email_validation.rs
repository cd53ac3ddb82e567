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
use ruma::OwnedServerName;
use sha2::{Digest, Sha256};

use crate::{
    Accounts, AccountsError, Mail,
    email_addresses::check_address,
    token::{hash_token, new_token},
};

/// How long a session lasts after its last mail, and after it was validated, in milliseconds.
const SESSION_MS: u64 = 3_600_000;
/// The longest link that the page shows, in bytes.
const NEXT_LINK_BYTES: usize = 2_048;
/// Sessions that are looked at in one sweep.
const SWEEP: usize = 10_000;

/// What an address is validated for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmailPurpose {
    /// Making an account.
    Register,
    /// Setting a new password without the old one.
    ResetPassword,
    /// Adding it to an account.
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

/// Somebody wants a mail.
#[derive(Clone)]
pub struct EmailRequest {
    /// What for.
    pub purpose: EmailPurpose,
    /// The address.
    pub address: String,
    /// What the client will show that the session is its own by.
    pub client_secret: String,
    /// The same or a smaller number sends no further mail.
    pub send_attempt: u64,
    /// Where to go on after the link was opened.
    pub next_link: Option<String>,
    /// The URL of the page that the link opens, without a query.
    pub page: String,
}

/// How far somebody has come who asked for a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmailProgress {
    /// The session's id.
    pub sid: String,
    /// Whether the link in the mail was opened, and confirmed.
    pub is_validated: bool,
}

/// An address that was validated, and the session in which.
#[derive(Clone, Debug)]
pub(crate) struct ValidatedEmail {
    pub(crate) address: String,
    pub(crate) validated_ts: u64,
    pub(crate) session: PlatformKey,
    pub(crate) record: EmailValidationRecord,
}

impl Accounts {
    /// Sends a mail with a link; gives the session's id.
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
        let key = session_key(platform.server_name(), request.purpose, &address, &request.client_secret);
        let known = self.store.get::<EmailValidations>(&key).await?;
        let known = known.filter(|known| known.expires_ts > now_ts);
        if known
            .as_ref()
            .is_some_and(|known| known.validated_ts.is_some() || known.send_attempt >= request.send_attempt)
        {
            return Ok(key.name);
        }
        self.count_mail(platform.server_name(), &address, now_ts)?;
        let is_owned = self.owner_of_email(platform.server_name(), &address).await?.is_some();
        // Else there is nothing to confirm; the mail says why.
        let token = (is_owned == (request.purpose == EmailPurpose::ResetPassword)).then(|| new_token(""));
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
        let mail = write_mail(&platform.settings.display_name(), request.purpose, address, link.as_deref());
        self.send_mail(platform.server_name(), mail)?;
        Ok(key.name)
    }

    /// How far the session of this request has come; None: nobody has asked with this secret, or it has expired.
    pub async fn email_progress(
        &self,
        platform: &OwnedServerName,
        purpose: EmailPurpose,
        address: &str,
        client_secret: &str,
        now_ts: u64,
    ) -> Result<Option<EmailProgress>, AccountsError> {
        let Ok(address) = check_address(address) else { return Ok(None) };
        let key = session_key(platform, purpose, &address, client_secret);
        let record = self.store.get::<EmailValidations>(&key).await?;
        let record = record.filter(|record| record.expires_ts > now_ts);
        Ok(record.map(|record| EmailProgress { sid: key.name, is_validated: record.validated_ts.is_some() }))
    }

    /// Takes the token of a mail; gives where to go on. Again is the same.
    pub async fn validate_email(
        &self,
        platform: &OwnedServerName,
        sid: &str,
        token: &str,
        now_ts: u64,
    ) -> Result<Option<String>, AccountsError> {
        let key = PlatformKey { platform: platform.clone(), name: sid.to_owned() };
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

    /// What a token of a mail is for, and for which address, before it is taken.
    pub async fn email_to_validate(
        &self,
        platform: &OwnedServerName,
        sid: &str,
        token: &str,
        now_ts: u64,
    ) -> Result<(EmailPurpose, String), AccountsError> {
        let key = PlatformKey { platform: platform.clone(), name: sid.to_owned() };
        let record = self.matching_session(&key, token, now_ts).await?;
        let purpose = EmailPurpose::of_name(&record.purpose).ok_or(AccountsError::NotFound("session"))?;
        Ok((purpose, record.address))
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
            .ok_or(AccountsError::NotFound("session"))
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
        let session = PlatformKey { platform: platform.clone(), name: sid.to_owned() };
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

    /// Removes sessions that have expired; to be called now and then.
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

/// The same request has the same session.
fn session_key(
    platform: &OwnedServerName,
    purpose: EmailPurpose,
    address: &str,
    client_secret: &str,
) -> PlatformKey {
    let mut hash = Sha256::new();
    for part in [purpose.name(), address, client_secret] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let name = hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    PlatformKey { platform: platform.clone(), name }
}

fn is_web_link(link: &str) -> bool {
    link.len() <= NEXT_LINK_BYTES && (link.starts_with("https://") || link.starts_with("http://"))
}

/// `link` is None if there is nothing to confirm.
fn write_mail(platform: &str, purpose: EmailPurpose, to: String, link: Option<&str>) -> Mail {
    let (subject, text) = match (purpose, link) {
        (EmailPurpose::Register, Some(link)) => (
            format!("Confirm your e-mail address for {platform}"),
            format!(
                "Hello,\n\nto finish signing up for {platform}, please confirm your e-mail address:\n\n{link}\n\n\
                 The link works for one hour. If you did not sign up for {platform}, you can ignore this e-mail.\n"
            ),
        ),
        (EmailPurpose::Add, Some(link)) => (
            format!("Confirm your e-mail address for {platform}"),
            format!(
                "Hello,\n\nto add this e-mail address to your account on {platform}, please confirm it:\n\n\
                 {link}\n\n\
                 The link works for one hour. If you did not ask for this, you can ignore this e-mail.\n"
            ),
        ),
        (EmailPurpose::ResetPassword, Some(link)) => (
            format!("Reset your password for {platform}"),
            format!(
                "Hello,\n\nsomebody asked to reset the password of your account on {platform}. If it was you, \
                 choose a new one here:\n\n{link}\n\n\
                 The link works for one hour. If it was not you, you can ignore this e-mail: your password stays \
                 as it is.\n"
            ),
        ),
        (EmailPurpose::ResetPassword, None) => (
            format!("No account on {platform} has this e-mail address"),
            format!(
                "Hello,\n\nsomebody asked to reset a password on {platform}, but no account there has this e-mail \
                 address. If it was you, try another address that you may have signed up with. If it was not \
                 you, you can ignore this e-mail.\n"
            ),
        ),
        (EmailPurpose::Register | EmailPurpose::Add, None) => (
            format!("This e-mail address is already in use on {platform}"),
            format!(
                "Hello,\n\nsomebody wanted to use this e-mail address on {platform}, but it already belongs to an \
                 account there. If it was you, log in to that account; if you have forgotten its password, you \
                 can reset it. If it was not you, you can ignore this e-mail.\n"
            ),
        ),
    };
    Mail { to, subject, text }
}
