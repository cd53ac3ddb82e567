//! The e-mail addresses and phone numbers of accounts. They belong to a platform's account, and nobody else learns them.
//! <https://spec.matrix.org/v1.19/client-server-api/#adding-account-administrative-contact-information>
//!
//! They are aliases of the account: adding or removing one changes nothing else of it. A number that changes hands
//! moves to another account, and takes nothing along (docs/decisions/0014-phone-numbers.md).

use std::net::IpAddr;

use linkspan_platforms::Platform;
use linkspan_storage::{
    Range, WriteSet,
    catalogue::{ThirdPartyIdKey, ThirdPartyIds, UserThirdPartyIdKey, UserThirdPartyIds},
    records::ThirdPartyIdRecord,
};
use ruma::{OwnedServerName, OwnedUserId, ServerName, thirdparty::Medium};

use crate::{
    Accounts, AccountsError, Attempt, Evidence, LinkToken, PasswordStamp, ProvedUser, ThirdPartyId,
    ValidationPurpose, ValidationRequest, ValidationSession, interactive::Purpose, validation::Validated,
};

/// The most identifiers of a user.
const MAX_IDS: usize = 20;

/// An identifier of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddedId {
    /// The identifier.
    pub id: ThirdPartyId,
    /// When the user last showed that it is theirs.
    pub validated_ts: u64,
    /// When it was added to the account.
    pub added_ts: u64,
}

impl Accounts {
    /// The identifiers of a user.
    pub async fn third_party_ids(&self, user_id: &OwnedUserId) -> Result<Vec<AddedId>, AccountsError> {
        let range = Range::<UserThirdPartyIds>::prefix((user_id,)).limit(MAX_IDS);
        let mut added = Vec::new();
        for UserThirdPartyIdKey { medium, address, .. } in self.store.keys(range).await? {
            let id = ThirdPartyId::stored(medium, address);
            if let Some(record) = self.store.get::<ThirdPartyIds>(&id_key(user_id.server_name(), &id)).await?
            {
                let ThirdPartyIdRecord { validated_ts, added_ts, .. } = record;
                added.push(AddedId { id, validated_ts, added_ts });
            }
        }
        Ok(added)
    }

    /// Whether a user has an identifier of a medium.
    pub(crate) async fn has_id(&self, user_id: &OwnedUserId, medium: &Medium) -> Result<bool, AccountsError> {
        let id = Range::<UserThirdPartyIds>::prefix((user_id, &medium.to_string())).limit(1);
        Ok(!self.store.keys(id).await?.is_empty())
    }

    /// Whether a user has an identifier of a medium besides `but`. `writes` expect that one to stay.
    pub(crate) async fn keeps_id(
        &self,
        writes: &mut WriteSet,
        user_id: &OwnedUserId,
        medium: &Medium,
        but: Option<&ThirdPartyId>,
    ) -> Result<bool, AccountsError> {
        let ids = Range::<UserThirdPartyIds>::prefix((user_id, &medium.to_string())).limit(2);
        let ids = self.store.keys(ids).await?;
        let other = ids.iter().find(|id| but.is_none_or(|but| id.address != but.address()));
        if let Some(other) = other {
            writes.expect::<UserThirdPartyIds>(other, &());
        }
        Ok(other.is_some())
    }

    /// Finds the user of a platform whose identifier it is.
    pub async fn owner_of(
        &self,
        platform: &OwnedServerName,
        id: &ThirdPartyId,
    ) -> Result<Option<OwnedUserId>, AccountsError> {
        let record = self.store.get::<ThirdPartyIds>(&id_key(platform, id)).await?;
        Ok(record.map(|record| record.user_id))
    }

    /// Adds an identifier that was validated to the account of a user who proves the password.
    pub async fn add_third_party_id(
        &self,
        user_id: &OwnedUserId,
        session: ValidationSession,
        attempt: Attempt<'_>,
        now_ts: u64,
    ) -> Result<(), AccountsError> {
        self.check_not_demo(user_id).await?;
        let purpose = Purpose::of_user(user_id, "add an address");
        let proved = self.prove_password(&purpose, attempt, now_ts).await?;
        let evidence = Evidence::Session(session);
        self.put_proved_id(user_id, proved, &evidence, now_ts).await
    }

    /// Sends a message by which this user, who has just proved who it is, can add an identifier on the pages. `page` is
    /// what the link of a mail opens, as in [`ValidationRequest`].
    pub async fn request_own_id(
        &self,
        platform: &Platform,
        user_id: &OwnedUserId,
        id: ThirdPartyId,
        page: String,
        from: IpAddr,
        now_ts: u64,
    ) -> Result<(), AccountsError> {
        self.check_not_demo(user_id).await?;
        let request = ValidationRequest {
            purpose: ValidationPurpose::Add,
            id,
            client_secret: secret_of(user_id),
            send_attempt: now_ts,
            next_link: None,
            page,
            by_page: true,
            from,
        };
        self.request_validation(platform, request, now_ts).await.map(|_| ())
    }

    /// Adds the identifier whose code this user, who has asked for it on the pages, has got.
    pub async fn add_own_id_by_code(
        &self,
        user: &ProvedUser,
        id: &ThirdPartyId,
        code: &str,
        now_ts: u64,
    ) -> Result<(), AccountsError> {
        let (platform, secret) = (user.user_id.server_name().to_owned(), secret_of(&user.user_id));
        let session = ValidationSession::of(&platform, ValidationPurpose::Add, id, secret);
        let validated = self.validate_by_code(&platform, &session, code, now_ts).await;
        let evidence = Evidence::Session(session);
        // The code was taken before, if adding failed then, or the form is sent twice.
        let was_taken = matches!(validated, Err(AccountsError::WrongCode))
            && self.validated(&platform, &[ValidationPurpose::Add], &evidence, now_ts).await.is_ok();
        if !was_taken {
            validated?;
        }
        self.put_proved_id(&user.user_id, user.password_stamp, &evidence, now_ts).await
    }

    /// Adds the address that a link was sent to, which the same user has asked for. Nobody can have another add an
    /// address by sending them a link.
    pub async fn add_own_id_by_link(
        &self,
        user: &ProvedUser,
        link: LinkToken,
        now_ts: u64,
    ) -> Result<(), AccountsError> {
        let platform = user.user_id.server_name().to_owned();
        let opened = self.validation_link(&platform, &link, now_ts).await?;
        if !opened.was_asked_for_with(&secret_of(&user.user_id)) {
            return Err(AccountsError::Forbidden("this link was sent for another account"));
        }
        let evidence = Evidence::Link(link);
        self.put_proved_id(&user.user_id, user.password_stamp, &evidence, now_ts).await
    }

    /// Adds an identifier that was validated. `proved` is the stamp of the password of the user who adds it.
    async fn put_proved_id(
        &self,
        user_id: &OwnedUserId,
        proved: PasswordStamp,
        evidence: &Evidence,
        now_ts: u64,
    ) -> Result<(), AccountsError> {
        self.check_not_demo(user_id).await?;
        let platform = user_id.server_name().to_owned();
        let validated = self.validated(&platform, &[ValidationPurpose::Add], evidence, now_ts).await?;
        self.store
            .update(async || {
                let mut writes = WriteSet::new();
                if let Some(account) = self.expect_active(&mut writes, user_id).await? {
                    proved.check(&account)?;
                }
                let range = Range::<UserThirdPartyIds>::prefix((user_id,)).limit(MAX_IDS);
                if self.store.keys(range).await?.len() >= MAX_IDS {
                    return Err(AccountsError::TooMany("addresses and numbers"));
                }
                self.put_id(&mut writes, user_id, &validated, now_ts).await?;
                Ok((writes, ()))
            })
            .await
    }

    /// Gives a user an identifier in `writes`, and uses up its validation. A number is taken from another account if
    /// that may be; the account keeps everything else.
    pub(crate) async fn put_id(
        &self,
        writes: &mut WriteSet,
        user_id: &OwnedUserId,
        validated: &Validated,
        now_ts: u64,
    ) -> Result<(), AccountsError> {
        let key = id_key(user_id.server_name(), &validated.id);
        let before = self.store.get::<ThirdPartyIds>(&key).await?;
        if let Some(before) = &before {
            let is_own = before.user_id == *user_id;
            if is_own || !self.may_be_taken(writes, &validated.id, before, now_ts).await? {
                return Err(AccountsError::AddressInUse);
            }
            writes.delete::<UserThirdPartyIds>(&key_of_user(&before.user_id, &validated.id));
            self.take_from_index(writes, &before.user_id, &validated.id).await?;
            self.lose_address(writes, &before.user_id, &validated.id).await?;
        }
        let record = ThirdPartyIdRecord {
            user_id: user_id.clone(),
            validated_ts: validated.validated_ts,
            added_ts: now_ts,
        };
        writes.expect_read::<ThirdPartyIds>(&key, before.as_ref());
        writes.put::<ThirdPartyIds>(&key, &record);
        writes.put::<UserThirdPartyIds>(&key_of_user(user_id, &validated.id), &());
        self.put_into_index(writes, user_id, &validated.id).await?;
        self.gain_address(writes, user_id, &validated.id);
        self.use_up(writes, validated).await
    }

    /// Takes an identifier from a user. One that is not the user's is ignored. Nobody can remove the last one that is
    /// needed to log in: the number where people are known by it, and the address of a user who has no password.
    pub async fn delete_third_party_id(
        &self,
        platform: &Platform,
        user_id: &OwnedUserId,
        id: &ThirdPartyId,
    ) -> Result<(), AccountsError> {
        self.check_not_demo(user_id).await?;
        let logs_in = self.known_by(platform).as_ref() == Some(id.medium());
        let is_needed = logs_in && (id.is_phone() || !self.has_password(user_id).await?);
        self.remove_id(user_id, id, is_needed).await
    }

    async fn remove_id(
        &self,
        user_id: &OwnedUserId,
        id: &ThirdPartyId,
        needs_another: bool,
    ) -> Result<(), AccountsError> {
        let key = id_key(user_id.server_name(), id);
        self.store
            .update(async || {
                let mut writes = WriteSet::new();
                let record = self.store.get::<ThirdPartyIds>(&key).await?;
                if let Some(record) = record.filter(|record| record.user_id == *user_id) {
                    if needs_another && !self.keeps_id(&mut writes, user_id, id.medium(), Some(id)).await? {
                        return Err(AccountsError::Forbidden(
                            "you log in with this address or number: add another one first",
                        ));
                    }
                    writes.expect::<ThirdPartyIds>(&key, &record);
                    writes.delete::<ThirdPartyIds>(&key);
                    writes.delete::<UserThirdPartyIds>(&key_of_user(user_id, id));
                    self.take_from_index(&mut writes, user_id, id).await?;
                    self.lose_address(&mut writes, user_id, id).await?;
                }
                Ok((writes, ()))
            })
            .await
    }

    pub(crate) async fn delete_all_ids(&self, user_id: &OwnedUserId) -> Result<(), AccountsError> {
        for added in self.third_party_ids(user_id).await? {
            self.remove_id(user_id, &added.id, false).await?;
        }
        Ok(())
    }
}

/// The secret with which a user asks for messages on the pages. It is the same in all browsers of the user. No client
/// can send it, because it is none by the grammar of the specification.
fn secret_of(user_id: &OwnedUserId) -> String {
    format!("account {user_id}")
}

pub(crate) fn id_key(platform: &ServerName, id: &ThirdPartyId) -> ThirdPartyIdKey {
    ThirdPartyIdKey {
        platform: platform.to_owned(),
        medium: id.medium().to_string(),
        address: id.address().to_owned(),
    }
}

pub(crate) fn key_of_user(user_id: &OwnedUserId, id: &ThirdPartyId) -> UserThirdPartyIdKey {
    UserThirdPartyIdKey {
        user_id: user_id.clone(),
        medium: id.medium().to_string(),
        address: id.address().to_owned(),
    }
}
