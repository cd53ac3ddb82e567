//! Cross-signing keys: a user's identity, which signs the user's devices and other users' identities.
//! <https://spec.matrix.org/v1.19/client-server-api/#cross-signing>

use std::collections::BTreeMap;

use linkspan_storage::{
    Json, Range, WriteSet,
    catalogue::{CrossSigningKeys, DeviceKey, Devices, KeySignatureKey, KeySignatures, UserNameKey},
    records::KeySignatureRecord,
};
use ruma::OwnedUserId;

use crate::{
    Keys, KeysError, Result,
    device_keys::fingerprint,
    signed_json::{ED25519, SignedJson, is_public_key},
};

/// The most keys that one request may sign.
const MAX_SIGNED: usize = 1_000;

/// What a cross-signing key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    Master,
    SelfSigning,
    UserSigning,
}

impl Usage {
    fn name(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::SelfSigning => "self_signing",
            Self::UserSigning => "user_signing",
        }
    }
}

/// The cross-signing keys of a user, as JSON. Those that are None stay as they are.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// The key that stands for the user.
    pub master_key: Option<String>,
    /// The key that signs the user's devices.
    pub self_signing_key: Option<String>,
    /// The key that signs other users' master keys.
    pub user_signing_key: Option<String>,
}

/// Why signatures were not taken, by user and by device or key.
pub type SignatureFailures = BTreeMap<OwnedUserId, BTreeMap<String, KeysError>>;

impl Keys {
    /// Publishes cross-signing keys of a user. If that changes an identity that the user has already, it is
    /// refused with [`KeysError::ReplacesIdentity`] unless the user has given further proof.
    pub async fn upload_identity(
        &self,
        user_id: &OwnedUserId,
        identity: &Identity,
        proved: bool,
    ) -> Result<()> {
        let before = self.master_name(user_id).await?;
        self.store
            .update(async || {
                let mut writes = WriteSet::new();
                self.accounts.expect_active(&mut writes, user_id).await?;
                let changed = self.put_identity(&mut writes, user_id, identity, proved).await?;
                if changed {
                    self.tell_sharers(&mut writes, user_id).await?;
                }
                Ok::<_, KeysError>((writes, ()))
            })
            .await?;
        match before {
            Some(before) if self.master_name(user_id).await?.as_ref() != Some(&before) => {
                // The signatures of all who had verified the identity that is gone.
                Ok(self.store.delete_range::<KeySignatures>(Range::prefix((user_id, &before))).await?)
            }
            _ => Ok(()),
        }
    }

    /// The public part of a user's master key, under which signatures on it are kept.
    async fn master_name(&self, user_id: &OwnedUserId) -> Result<Option<String>> {
        let key = self.cross_signing_key(user_id, Usage::Master).await?;
        Ok(key.map(|key| public_key(&key)).transpose()?.map(|(_, public)| public))
    }

    async fn put_identity(
        &self,
        writes: &mut WriteSet,
        user_id: &OwnedUserId,
        identity: &Identity,
        proved: bool,
    ) -> Result<bool> {
        let row = identity_row(user_id, Usage::Master);
        let stored_master = self.store.get::<CrossSigningKeys>(&row).await?;
        writes.expect_read::<CrossSigningKeys>(&row, stored_master.as_ref());
        let master = match (identity.master_key.as_deref(), &stored_master) {
            (Some(uploaded), _) => SignedJson::parse(uploaded)?,
            (None, Some(stored)) => SignedJson::parse(&stored.0)?,
            (None, None) => return Err(KeysError::Missing("a master key has to come first")),
        };
        let (master_id, master_key) = public_key(&master)?;
        let mut changed = false;
        for (usage, json) in identity.by_usage() {
            let Some(json) = json else { continue };
            let key = self.check_cross_signing_key(writes, user_id, usage, json).await?;
            let row = identity_row(user_id, usage);
            let stored = match usage {
                Usage::Master => stored_master.clone(),
                Usage::SelfSigning | Usage::UserSigning => self.store.get::<CrossSigningKeys>(&row).await?,
            };
            let known = stored.as_ref().map(|Json(json)| SignedJson::parse(json)).transpose()?;
            let stays = known.as_ref().is_some_and(|known| known.says_the_same(&key));
            // This is judged by the rows that the commit expects, so that of two who come at once one has to
            // give the proof.
            if stored_master.is_some() && !proved && !stays {
                return Err(KeysError::ReplacesIdentity);
            }
            if usage != Usage::Master {
                key.check_signature(user_id, &master_id, &master_key)?;
            }
            let new = Json(key.with_signatures_of(known.as_ref())?.to_json());
            if stored.as_ref() == Some(&new) {
                continue;
            }
            writes.expect_read::<CrossSigningKeys>(&row, stored.as_ref());
            writes.put::<CrossSigningKeys>(&row, &new);
            changed = true;
        }
        Ok(changed)
    }

    async fn check_cross_signing_key(
        &self,
        writes: &mut WriteSet,
        user_id: &OwnedUserId,
        usage: Usage,
        json: &str,
    ) -> Result<SignedJson> {
        let key = SignedJson::parse_upload(json)?;
        if key.text("user_id") != Some(user_id.as_str()) {
            return Err(KeysError::BadJson("user_id must be the caller's".into()));
        }
        let usages = key.array("usage").unwrap_or_default();
        if !usages.iter().any(|named| named.as_str() == Some(usage.name())) {
            return Err(KeysError::BadJson(format!("usage does not say {}", usage.name())));
        }
        let (key_id, public) = public_key(&key)?;
        if key_id.strip_prefix(ED25519) != Some(&public) || !is_public_key(&public) {
            return Err(KeysError::BadJson("the id of the key is not its public part".into()));
        }
        let as_device = DeviceKey { user_id: user_id.clone(), device_id: public.into() };
        if self.accounts.device(user_id, &as_device.device_id).await?.is_some() {
            return Err(KeysError::NamedLikeDevice);
        }
        writes.expect_absent::<Devices>(&as_device);
        Ok(key)
    }

    /// Refuses a device whose id is a cross-signing key of its user, because a signature names either in the
    /// same way. The write-set holds only while the user's cross-signing keys stay as they are.
    pub(crate) async fn check_no_identity(&self, writes: &mut WriteSet, device: &DeviceKey) -> Result<()> {
        for usage in [Usage::Master, Usage::SelfSigning, Usage::UserSigning] {
            let row = identity_row(&device.user_id, usage);
            let stored = self.store.get::<CrossSigningKeys>(&row).await?;
            writes.expect_read::<CrossSigningKeys>(&row, stored.as_ref());
            let key = stored.map(|Json(json)| SignedJson::parse(&json)).transpose()?;
            let public = key.map(|key| public_key(&key)).transpose()?.map(|(_, public)| public);
            if public.is_some_and(|public| device.device_id == *public) {
                return Err(KeysError::Invalid(
                    "the id of the device is the same as a cross-signing key".into(),
                ));
            }
        }
        Ok(())
    }

    /// Whether the named key is one of the user's devices, and has made a right signature.
    async fn is_signed_by_device(
        &self,
        user_id: &OwnedUserId,
        key: &SignedJson,
        key_id: &str,
    ) -> Result<bool> {
        let Some(device_id) = key_id.strip_prefix(ED25519) else { return Ok(false) };
        let device = DeviceKey { user_id: user_id.clone(), device_id: device_id.into() };
        let Some(device_keys) = self.signed_device_keys(&device, user_id).await? else { return Ok(false) };
        let fingerprint = fingerprint(&device_keys, &device.device_id);
        Ok(fingerprint.is_some_and(|public| key.check_signature(user_id, key_id, public).is_ok()))
    }

    /// Takes signatures that a user has made on own devices and identity, and on other users' identities. The
    /// answer names those that are refused, and the others are taken. If anything is no signed object,
    /// nothing is taken.
    pub async fn upload_signatures(
        &self,
        signer: &OwnedUserId,
        signed: &BTreeMap<OwnedUserId, BTreeMap<String, String>>,
    ) -> Result<SignatureFailures> {
        if signed.values().map(BTreeMap::len).sum::<usize>() > MAX_SIGNED {
            return Err(KeysError::TooLarge(format!("more than {MAX_SIGNED} keys")));
        }
        // Of whom the signer may not know there is nothing to sign, as if they were not there.
        let known = self.rooms.known_among(signed.keys(), signer).await?;
        self.store
            .update(async || {
                let mut writes = WriteSet::new();
                self.accounts.expect_active(&mut writes, signer).await?;
                let mut failures = SignatureFailures::new();
                for (user_id, objects) in signed {
                    let is_known = known.contains(user_id);
                    for (target, json) in objects {
                        let put = self.put_signatures(&mut writes, signer, user_id, target, json, is_known);
                        match put.await {
                            Ok(()) => {}
                            Err(error @ (KeysError::Storage(_) | KeysError::BadJson(_))) => {
                                return Err(error);
                            }
                            Err(error) => {
                                failures.entry(user_id.clone()).or_default().insert(target.clone(), error);
                            }
                        }
                    }
                }
                self.tell_of_signatures(&mut writes, signer, signed).await?;
                Ok((writes, failures))
            })
            .await
    }

    async fn tell_of_signatures(
        &self,
        writes: &mut WriteSet,
        signer: &OwnedUserId,
        signed: &BTreeMap<OwnedUserId, BTreeMap<String, String>>,
    ) -> Result<()> {
        if writes.is_empty() {
            return Ok(());
        }
        for user_id in signed.keys() {
            if user_id == signer {
                self.tell_sharers(writes, signer).await?;
            } else {
                // Other users may not know whom somebody has verified.
                let pointer = linkspan_storage::records::InboxPointer::DeviceList(user_id.clone());
                linkspan_inbox::point(writes, signer, pointer);
            }
        }
        Ok(())
    }

    async fn put_signatures(
        &self,
        writes: &mut WriteSet,
        signer: &OwnedUserId,
        user_id: &OwnedUserId,
        target: &String,
        json: &str,
        is_known: bool,
    ) -> Result<()> {
        let uploaded = SignedJson::parse_upload(json)?;
        let stored = match is_known {
            true => self.signable_key(user_id, target, signer).await?,
            false => None,
        };
        let stored = stored.ok_or(KeysError::NotFound("there is no such key"))?;
        if !stored.says_the_same(&uploaded) {
            return Err(KeysError::BadSignature("the signed key is not the one that is published".into()));
        }
        if uploaded.signatures_of(signer).next().is_none() {
            return Err(KeysError::BadSignature("there is no signature of the caller".into()));
        }
        let is_new = |signature: &(&str, &str)| stored.signatures_of(signer).all(|known| known != *signature);
        let new: Vec<_> = uploaded.signatures_of(signer).filter(is_new).collect();
        let mut signed = stored.clone();
        for (key_id, signature) in &new {
            self.check_signer(signer, user_id, target, &uploaded, key_id).await?;
            signed.add_signature(signer, key_id, signature);
        }
        signed.check_size()?;
        if signer != user_id && !new.is_empty() {
            // Earlier ones are by user-signing keys that the signer has replaced: nobody looks at them any more.
            let earlier = Range::<KeySignatures>::prefix((user_id, target, signer));
            self.store.keys(earlier).await?.iter().for_each(|row| writes.delete::<KeySignatures>(row));
        }
        for (key_id, signature) in new {
            let row = KeySignatureKey {
                user_id: user_id.clone(),
                target: target.clone(),
                signer: signer.clone(),
                signing_key_id: key_id.to_owned(),
            };
            writes.put::<KeySignatures>(&row, &KeySignatureRecord { signature: signature.to_owned() });
        }
        Ok(())
    }

    /// Checks who may sign what. The self-signing key signs the user's devices, the user's devices and the
    /// master key itself sign the own master key, and the user-signing key signs other users' master keys.
    /// Signatures of own keys by algorithms that the server does not know are left to clients that know them.
    async fn check_signer(
        &self,
        signer: &OwnedUserId,
        user_id: &OwnedUserId,
        target: &str,
        signed: &SignedJson,
        key_id: &str,
    ) -> Result<()> {
        let refused = || KeysError::BadSignature(format!("{key_id} may not sign this key, or has not"));
        let is_device = signed.text("device_id") == Some(target);
        let is_own = signer == user_id;
        if is_device && !is_own {
            return Err(refused());
        }
        if !key_id.starts_with(ED25519) {
            // Of other people's keys the server keeps one signature, and no more than it can check.
            return if is_own { Ok(()) } else { Err(refused()) };
        }
        if is_own && !is_device && self.is_signed_by_device(signer, signed, key_id).await? {
            return Ok(());
        }
        let usage = match (is_own, is_device) {
            (true, true) => Usage::SelfSigning,
            (true, false) => Usage::Master,
            (false, _) => Usage::UserSigning,
        };
        let key = self.cross_signing_key(signer, usage).await?.ok_or_else(refused)?;
        let (own_id, public) = public_key(&key)?;
        if own_id != key_id {
            return Err(refused());
        }
        signed.check_signature(signer, key_id, &public)
    }

    /// Finds the device or master key of a user that is signed under this name.
    async fn signable_key(
        &self,
        user_id: &OwnedUserId,
        target: &String,
        viewer: &OwnedUserId,
    ) -> Result<Option<SignedJson>> {
        let device = DeviceKey { user_id: user_id.clone(), device_id: target.as_str().into() };
        if let Some(device_keys) = self.signed_device_keys(&device, viewer).await? {
            return Ok(Some(device_keys));
        }
        let master = self.signed_master_key(user_id, viewer).await?;
        Ok(master.filter(|master| public_key(master).is_ok_and(|(_, public)| public == *target)))
    }

    /// A user's master key with the signatures that `viewer` may see.
    pub(crate) async fn signed_master_key(
        &self,
        user_id: &OwnedUserId,
        viewer: &OwnedUserId,
    ) -> Result<Option<SignedJson>> {
        let Some(mut key) = self.cross_signing_key(user_id, Usage::Master).await? else { return Ok(None) };
        let (_, public) = public_key(&key)?;
        self.show_signatures(&mut key, user_id, &public, viewer).await?;
        Ok(Some(key))
    }

    pub(crate) async fn cross_signing_key(
        &self,
        user_id: &OwnedUserId,
        usage: Usage,
    ) -> Result<Option<SignedJson>> {
        let stored = self.store.get::<CrossSigningKeys>(&identity_row(user_id, usage)).await?;
        stored.map(|Json(json)| SignedJson::parse(&json)).transpose()
    }

    /// Removes a user's identity, because the account is gone.
    pub async fn remove_identity(&self, user_id: &OwnedUserId) -> Result<()> {
        let mut writes = WriteSet::new();
        for key in self.store.keys(Range::<CrossSigningKeys>::prefix((user_id,))).await? {
            writes.delete::<CrossSigningKeys>(&key);
        }
        for key in self.store.keys(Range::<KeySignatures>::prefix((user_id,))).await? {
            writes.delete::<KeySignatures>(&key);
        }
        if !writes.is_empty() {
            self.tell_sharers(&mut writes, user_id).await?;
            self.store.commit(writes).await.map_err(linkspan_storage::StorageError::from)?;
        }
        Ok(())
    }
}

impl Identity {
    fn by_usage(&self) -> [(Usage, Option<&str>); 3] {
        [
            (Usage::Master, self.master_key.as_deref()),
            (Usage::SelfSigning, self.self_signing_key.as_deref()),
            (Usage::UserSigning, self.user_signing_key.as_deref()),
        ]
    }
}

fn identity_row(user_id: &OwnedUserId, usage: Usage) -> UserNameKey {
    UserNameKey { user_id: user_id.clone(), name: usage.name().to_owned() }
}

/// The id and the public part of the only key in a cross-signing key.
fn public_key(key: &SignedJson) -> Result<(String, String)> {
    let mut keys = key.public_keys().filter(|(key_id, _)| key_id.starts_with(ED25519));
    match (keys.next(), keys.next()) {
        (Some((key_id, public)), None) => Ok((key_id.to_owned(), public.to_owned())),
        _ => Err(KeysError::BadJson("a cross-signing key has one Ed25519 key".into())),
    }
}
