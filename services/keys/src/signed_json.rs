//! Signed JSON, as clients sign their keys.
//! <https://spec.matrix.org/v1.19/appendices/#signing-json>

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedUserId, SigningKeyAlgorithm,
    canonical_json::try_from_json_map,
    serde::Base64,
    signatures::{to_canonical_json_string_for_signing, verify_canonical_json_bytes},
};

use crate::{KeysError, Result};

/// The beginning of the ids of keys that sign.
pub(crate) const ED25519: &str = "ed25519:";

/// The beginning of the ids of the keys with which devices agree on others.
pub(crate) const CURVE25519: &str = "curve25519:";
/// The length of a public key of either algorithm, in bytes.
const PUBLIC_KEY_BYTES: usize = 32;

/// Whether a text is a public key, in unpadded Base64 that is written in the only right way.
pub(crate) fn is_public_key(text: &str) -> bool {
    let key: Option<Base64> = Base64::parse(text).ok();
    key.is_some_and(|key| key.as_bytes().len() == PUBLIC_KEY_BYTES && key.encode() == text)
}

/// The greatest JSON of a key of a device or of a user with its signatures, in bytes.
const MAX_JSON_BYTES: usize = 16_384;

/// An object that may be signed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SignedJson(CanonicalJsonObject);

impl SignedJson {
    /// Parses a JSON object. Numbers that canonical JSON does not know are refused.
    pub(crate) fn parse(json: &str) -> Result<Self> {
        let object = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(json).ok();
        let object = object.and_then(|object| try_from_json_map(object).ok());
        object.map(Self).ok_or_else(|| KeysError::BadJson("a key is not a canonical JSON object".into()))
    }

    /// Reads a key of a device or a user as it is uploaded. `unsigned`, which its owner does not sign, is
    /// left out. All signatures are kept, whether the server can check them or not.
    pub(crate) fn parse_upload(json: &str) -> Result<Self> {
        check_size(json)?;
        let mut uploaded = Self::parse(json)?;
        uploaded.0.remove("unsigned");
        let are_texts = |of_signer: &CanonicalJsonValue| {
            of_signer.as_object().is_some_and(|texts| texts.values().all(|text| text.as_str().is_some()))
        };
        let are_signatures = |signatures: &CanonicalJsonValue| {
            signatures.as_object().is_some_and(|signatures| signatures.values().all(are_texts))
        };
        if uploaded.0.get("signatures").is_none_or(are_signatures) {
            Ok(uploaded)
        } else {
            Err(KeysError::BadJson("signatures are texts by user and by key".into()))
        }
    }

    pub(crate) fn text(&self, field: &str) -> Option<&str> {
        self.0.get(field).and_then(CanonicalJsonValue::as_str)
    }

    pub(crate) fn object(&self, field: &str) -> Option<&CanonicalJsonObject> {
        self.0.get(field).and_then(CanonicalJsonValue::as_object)
    }

    pub(crate) fn array(&self, field: &str) -> Option<&[CanonicalJsonValue]> {
        self.0.get(field).and_then(CanonicalJsonValue::as_array)
    }

    /// The keys that it publishes, with their ids.
    pub(crate) fn public_keys(&self) -> impl Iterator<Item = (&str, &str)> {
        let keys = self.object("keys").into_iter().flatten();
        keys.filter_map(|(key_id, key)| Some((key_id.as_str(), key.as_str()?)))
    }

    /// The key that it publishes under an id.
    pub(crate) fn public_key(&self, key_id: &str) -> Option<&str> {
        self.object("keys")?.get(key_id)?.as_str()
    }

    /// The signatures of a user, with the ids of the keys that made them.
    pub(crate) fn signatures_of(&self, user_id: &OwnedUserId) -> impl Iterator<Item = (&str, &str)> {
        let of_all = self.object("signatures");
        let of_user = of_all.and_then(|all| all.get(user_id.as_str())?.as_object());
        let texts = of_user.into_iter().flatten();
        texts.filter_map(|(key_id, signature)| Some((key_id.as_str(), signature.as_str()?)))
    }

    /// Checks that the user has signed it with the key whose public part is `public_key`.
    pub(crate) fn check_signature(
        &self,
        user_id: &OwnedUserId,
        key_id: &str,
        public_key: &str,
    ) -> Result<()> {
        let found = self.signatures_of(user_id).find(|(signed_with, _)| *signed_with == key_id);
        let missing = || KeysError::BadSignature(format!("there is no signature of {key_id}"));
        let (_, signature) = found.ok_or_else(missing)?;
        let wrong = || KeysError::BadSignature(format!("the signature of {key_id} is wrong"));
        let signature: Base64 = Base64::parse(signature).map_err(|_| wrong())?;
        let public_key: Base64 = Base64::parse(public_key).map_err(|_| wrong())?;
        let signed = self.said();
        let algorithm = SigningKeyAlgorithm::Ed25519;
        verify_canonical_json_bytes(
            &algorithm,
            public_key.as_bytes(),
            signature.as_bytes(),
            signed.as_bytes(),
        )
        .map_err(|_| wrong())
    }

    /// The part that its owner states and others sign, which is everything but `signatures` and `unsigned`,
    /// as canonical JSON.
    pub(crate) fn said(&self) -> String {
        to_canonical_json_string_for_signing(&self.0).expect("canonical JSON can be signed")
    }

    /// Whether it says the same as another. Signatures do not matter.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        self.said() == other.said()
    }

    /// The key as it is to be stored in the place of `earlier`. If the earlier one says the same, its
    /// signatures are kept, unless there are new ones by the same keys.
    pub(crate) fn with_signatures_of(mut self, earlier: Option<&Self>) -> Result<Self> {
        let earlier = earlier.filter(|earlier| earlier.says_the_same(&self));
        for (signer, of_signer) in
            earlier.and_then(|earlier| earlier.object("signatures")).into_iter().flatten()
        {
            for (key_id, signature) in of_signer.as_object().into_iter().flatten() {
                if let Some(known) = self.signatures_mut(signer) {
                    known.entry(key_id.clone()).or_insert_with(|| signature.clone());
                }
            }
        }
        self.check_size()?;
        Ok(self)
    }

    /// Removes the signatures that `viewer` may not see. These are those of other users, unless `viewer` owns
    /// the key or has made them. Other users may not know whom somebody has verified.
    /// <https://spec.matrix.org/v1.19/client-server-api/#key-and-signature-security>
    pub(crate) fn hide_signatures(&mut self, owner: &OwnedUserId, viewer: &OwnedUserId) {
        if owner == viewer {
            return;
        }
        if let Some(CanonicalJsonValue::Object(signatures)) = self.0.get_mut("signatures") {
            signatures.retain(|signer, _| [owner, viewer].iter().any(|shown| *shown == signer));
        }
    }

    /// Adds a signature that was made later.
    pub(crate) fn add_signature(&mut self, signer: &OwnedUserId, key_id: &str, signature: &str) {
        if let Some(of_signer) = self.signatures_mut(signer.as_str()) {
            of_signer.insert(key_id.to_owned(), CanonicalJsonValue::String(signature.to_owned()));
        }
    }

    /// The signatures of a user, to which others can be added.
    fn signatures_mut(&mut self, signer: &str) -> Option<&mut CanonicalJsonObject> {
        let empty = || CanonicalJsonValue::Object(CanonicalJsonObject::new());
        let signatures = self.0.entry("signatures".to_owned()).or_insert_with(empty).as_object_mut()?;
        signatures.entry(signer.to_owned()).or_insert_with(empty).as_object_mut()
    }

    /// Sets a field of `unsigned`, which its owner does not sign.
    pub(crate) fn set_unsigned(&mut self, field: &str, value: String) {
        let unsigned = [(field.to_owned(), CanonicalJsonValue::String(value))].into();
        self.0.insert("unsigned".to_owned(), CanonicalJsonValue::Object(unsigned));
    }

    /// Refuses a key that has grown too large to be given to everybody who asks.
    pub(crate) fn check_size(&self) -> Result<()> {
        check_size(&self.to_json())
    }

    /// Writes it as JSON.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(&self.0).expect("canonical JSON is JSON")
    }
}

fn check_size(json: &str) -> Result<()> {
    if json.len() > MAX_JSON_BYTES {
        return Err(KeysError::TooLarge(format!(
            "a key with its signatures has more than {MAX_JSON_BYTES} bytes"
        )));
    }
    Ok(())
}
