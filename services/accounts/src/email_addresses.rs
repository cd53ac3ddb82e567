//! The e-mail addresses of accounts. They belong to a platform's account, and nobody else learns them.
//! <https://spec.matrix.org/v1.19/client-server-api/#adding-account-administrative-contact-information>

use linkspan_platforms::Platform;
use linkspan_storage::{
    Range, WriteSet,
    catalogue::{EmailAddresses, EmailValidations, PlatformKey, UserEmailAddresses, UserNameKey},
    records::EmailAddressRecord,
};
use ruma::{OwnedServerName, OwnedUserId, ServerName, thirdparty::Medium};

use crate::{
    Accounts, AccountsError, Attempt, EmailLinkToken, EmailPurpose, EmailRequest, PasswordStamp, ProvedUser,
    email_validation::ValidatedEmail, interactive::Purpose,
};

/// The most addresses of a user.
const MAX_ADDRESSES: usize = 20;
/// The longest address, in bytes: RFC 5321, section 4.5.3.1.
const ADDRESS_BYTES: usize = 254;
const LOCAL_PART_BYTES: usize = 64;

/// An address of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmailAddress {
    /// The address, in small letters.
    pub address: String,
    /// When the user showed that it is theirs.
    pub validated_ts: u64,
    /// When it was added to the account.
    pub added_ts: u64,
}

/// An address in small letters, as addresses are compared. Refuses text that is no address.
pub fn check_address(address: &str) -> Result<String, AccountsError> {
    let wrong = || AccountsError::InvalidParam("this is not an e-mail address");
    let (local, domain) = address.rsplit_once('@').ok_or_else(wrong)?;
    let atom = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&byte);
    let host = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    let dots_are_inside = |part: &str| part.split('.').all(|label| !label.is_empty());
    let right = address.len() <= ADDRESS_BYTES
        && local.len() <= LOCAL_PART_BYTES
        && local.bytes().all(atom)
        && domain.bytes().all(host)
        && dots_are_inside(local)
        && dots_are_inside(domain);
    if right { Ok(address.to_ascii_lowercase()) } else { Err(wrong()) }
}

impl Accounts {
    /// The addresses of a user.
    pub async fn email_addresses(&self, user_id: &OwnedUserId) -> Result<Vec<EmailAddress>, AccountsError> {
        let range = Range::<UserEmailAddresses>::prefix((user_id,)).limit(MAX_ADDRESSES);
        let mut addresses = Vec::new();
        for UserNameKey { name, .. } in self.store.keys(range).await? {
            let key = email_key(user_id.server_name(), &name);
            if let Some(record) = self.store.get::<EmailAddresses>(&key).await? {
                let EmailAddressRecord { validated_ts, added_ts, .. } = record;
                addresses.push(EmailAddress { address: name, validated_ts, added_ts });
            }
        }
        Ok(addresses)
    }

    /// Finds the user of a platform whose address it is.
    pub(crate) async fn owner_of_email(
        &self,
        platform: &OwnedServerName,
        address: &str,
    ) -> Result<Option<OwnedUserId>, AccountsError> {
        let record = self.store.get::<EmailAddresses>(&email_key(platform, address)).await?;
        Ok(record.map(|record| record.user_id))
    }

    /// Adds an address that was validated to the account of a user who proves the password.
    pub async fn add_email_address(
        &self,
        user_id: &OwnedUserId,
        (sid, client_secret): (&str, &str),
        attempt: Attempt<'_>,
        now_ts: u64,
    ) -> Result<(), AccountsError> {
        let purpose = Purpose::of_user(user_id, "add an address");
        let proved = self.prove_password(&purpose, attempt, now_ts).await?;
        let platform = user_id.server_name().to_owned();
        let email = self.validated_email(&platform, EmailPurpose::Add, sid, client_secret, now_ts).await?;
        self.put_email(user_id, proved, &email, now_ts).await
    }

    /// Sends a mail with a link by which this user, who has just proved the password, can add an address.
    /// `page` is what the link opens, as in [`EmailRequest`].
    pub async fn request_email_address(
        &self,
        platform: &Platform,
        user: &ProvedUser,
        address: String,
        page: String,
        now_ts: u64,
    ) -> Result<(), AccountsError> {
        let client_secret = secret_of(user)?;
        let purpose = EmailPurpose::Add;
        let request =
            EmailRequest { purpose, address, client_secret, send_attempt: now_ts, next_link: None, page };
        self.request_email_validation(platform, request, now_ts).await.map(|_| ())
    }

    /// Adds the address that a link was sent to, which the same user has asked for. Nobody can have another add an
    /// address by sending them a link.
    pub async fn add_email_address_by_link(
        &self,
        user: &ProvedUser,
        link: &EmailLinkToken,
        now_ts: u64,
    ) -> Result<(), AccountsError> {
        let platform = user.user_id.server_name().to_owned();
        if !self.email_link(&platform, link, now_ts).await?.was_asked_for_with(&secret_of(user)?) {
            return Err(AccountsError::Forbidden("this link was sent for another account"));
        }
        let email = self.email_of_link(&platform, EmailPurpose::Add, link, now_ts).await?;
        self.put_email(&user.user_id, user.password_stamp, &email, now_ts).await
    }

    /// Adds an address that was validated. `proved` is the stamp of the password that the user has proved.
    async fn put_email(
        &self,
        user_id: &OwnedUserId,
        proved: PasswordStamp,
        email: &ValidatedEmail,
        now_ts: u64,
    ) -> Result<(), AccountsError> {
        self.store
            .update(async || {
                let mut writes = WriteSet::new();
                if let Some(account) = self.expect_active(&mut writes, user_id).await? {
                    proved.check(&account)?;
                }
                let range = Range::<UserEmailAddresses>::prefix((user_id,)).limit(MAX_ADDRESSES);
                if self.store.keys(range).await?.len() >= MAX_ADDRESSES {
                    return Err(AccountsError::TooMany("e-mail addresses"));
                }
                self.add_email(&mut writes, user_id, email, now_ts).await?;
                Ok((writes, ()))
            })
            .await
    }

    /// Gives a user an address in `writes`, and uses up its validation.
    pub(crate) async fn add_email(
        &self,
        writes: &mut WriteSet,
        user_id: &OwnedUserId,
        email: &ValidatedEmail,
        now_ts: u64,
    ) -> Result<(), AccountsError> {
        let key = email_key(user_id.server_name(), &email.address);
        if self.store.contains::<EmailAddresses>(&key).await? {
            return Err(AccountsError::AddressInUse);
        }
        self.put_into_index(writes, user_id, Medium::Email, &email.address).await?;
        let user_id = user_id.clone();
        let of_user = UserNameKey { user_id: user_id.clone(), name: email.address.clone() };
        let record = EmailAddressRecord { user_id, validated_ts: email.validated_ts, added_ts: now_ts };
        writes.expect_absent::<EmailAddresses>(&key);
        writes.put::<EmailAddresses>(&key, &record);
        writes.put::<UserEmailAddresses>(&of_user, &());
        self.use_up(writes, email).await
    }

    /// Makes sure that a validation is used once.
    pub(crate) async fn use_up(
        &self,
        writes: &mut WriteSet,
        email: &ValidatedEmail,
    ) -> Result<(), AccountsError> {
        if self.store.get::<EmailValidations>(&email.session).await?.as_ref() != Some(&email.record) {
            return Err(AccountsError::AddressNotValidated);
        }
        writes.expect::<EmailValidations>(&email.session, &email.record);
        writes.delete::<EmailValidations>(&email.session);
        Ok(())
    }

    /// Takes an address from a user. One that is not the user's is ignored.
    pub async fn delete_email_address(
        &self,
        user_id: &OwnedUserId,
        address: &str,
    ) -> Result<(), AccountsError> {
        let address = check_address(address)?;
        let key = email_key(user_id.server_name(), &address);
        self.store
            .update(async || {
                let mut writes = WriteSet::new();
                let record = self.store.get::<EmailAddresses>(&key).await?;
                if let Some(record) = record.filter(|record| record.user_id == *user_id) {
                    writes.expect::<EmailAddresses>(&key, &record);
                    writes.delete::<EmailAddresses>(&key);
                    let of_user = UserNameKey { user_id: user_id.clone(), name: address.clone() };
                    writes.delete::<UserEmailAddresses>(&of_user);
                    self.take_from_index(&mut writes, user_id, Medium::Email, &address).await?;
                }
                Ok((writes, ()))
            })
            .await
    }

    pub(crate) async fn delete_all_emails(&self, user_id: &OwnedUserId) -> Result<(), AccountsError> {
        for address in self.email_addresses(user_id).await? {
            self.delete_email_address(user_id, &address.address).await?;
        }
        Ok(())
    }
}

/// The secret with which a user asks for a link. It is the same in all browsers of the user, and nobody can
/// guess it, because the stamp of a password never leaves the server.
fn secret_of(user: &ProvedUser) -> Result<String, AccountsError> {
    let stamp = user.password_stamp.0.ok_or(AccountsError::Forbidden("this account has no password"))?;
    let stamp: String = stamp.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{} {stamp}", user.user_id))
}

pub(crate) fn email_key(platform: &ServerName, address: &str) -> PlatformKey {
    PlatformKey { platform: platform.to_owned(), name: address.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::check_address;

    #[test]
    fn addresses_are_recognised() {
        assert_eq!(check_address("Anna.Berg+x@Example.ORG").expect("an address"), "anna.berg+x@example.org");
        for wrong in [
            "",
            "@",
            "anna",
            "anna@",
            "@example.org",
            "a b@example.org",
            "a@b@example.org",
            "a@exa mple.org",
            "anna@example..org",
            ".anna@example.org",
            "anna@example.org\r\nBcc: b@example.org",
            "\"anna\"@example.org",
            "anna@[127.0.0.1]",
            "änna@example.org",
            "anna@example.org>",
        ] {
            assert!(check_address(wrong).is_err(), "{wrong:?}");
        }
        assert!(check_address(&format!("{}@example.org", "a".repeat(65))).is_err());
        assert!(check_address(&format!("a@{}", "b.".repeat(130) + "org")).is_err());
    }
}
