//! Signed JSON, as clients sign their keys.
//! <https://spec.matrix.org/v1.19/appendices/#signing-json>

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedUserId, SigningKeyAlgorithm,
    canonical_json::try_from_json_map,
    serde::Base64,
    signatures::{to_canonical_json_string_for_signing, verify_canonical_json_bytes},
};

use crate::{KeysError, Result};

/// The algorithm of every signature there is, as key ids begin.
pub(crate) const ED25519: &str = "ed25519:";

/// The algorithm of the keys with which devices agree on others, as their ids begin.
pub(crate) const CURVE25519: &str = "curve25519:";
/// The length of a public key of either algorithm, in bytes.
const PUBLIC_KEY_BYTES: usize = 32;

/// Whether a text is a public key, in the one way to write it: unpadded Base64.
pub(crate) fn is_public_key(text: &str) -> bool {
    let key: Option<Base64> = Base64::parse(text).ok();
    key.is_some_and(|key| key.as_bytes().len() == PUBLIC_KEY_BYTES && key.encode() == text)
}

/// An object that may be signed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SignedJson(CanonicalJsonObject);

impl SignedJson {
    /// Reads JSON, an object without numbers that canonical JSON does not know.
    pub(crate) fn parse(json: &str) -> Result<Self> {
        let object = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(json).ok();
        let object = object.and_then(|object| try_from_json_map(object).ok());
        object.map(Self).ok_or_else(|| KeysError::Invalid("a key is not a canonical JSON object".into()))
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

    /// Refuses unless the user has signed it with the key whose public part is `public_key`.
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

    /// What its owner says and others sign: all but `signatures` and `unsigned`, in the one way to write it.
    pub(crate) fn said(&self) -> String {
        to_canonical_json_string_for_signing(&self.0).expect("canonical JSON can be signed")
    }

    /// Whether it says the same as another: all but who has signed it.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        self.said() == other.said()
    }

    /// Without what its owner does not say (`unsigned`), and with those signatures only that are wanted.
    pub(crate) fn keep_signatures(&mut self, wanted: impl Fn(&str, &str) -> bool) {
        self.0.remove("unsigned");
        let Some(CanonicalJsonValue::Object(signatures)) = self.0.get_mut("signatures") else { return };
        for (user_id, of_user) in signatures.iter_mut() {
            if let CanonicalJsonValue::Object(of_user) = of_user {
                of_user.retain(|key_id, _| wanted(user_id, key_id));
            }
        }
        signatures.retain(|_, of_user| of_user.as_object().is_some_and(|of_user| !of_user.is_empty()));
    }

    /// Adds a signature that was made later.
    pub(crate) fn add_signature(&mut self, signer: &OwnedUserId, key_id: &str, signature: &str) {
        let empty = || CanonicalJsonValue::Object(CanonicalJsonObject::new());
        let signatures = self.0.entry("signatures".to_owned()).or_insert_with(empty);
        let CanonicalJsonValue::Object(signatures) = signatures else { return };
        let of_signer = signatures.entry(signer.to_string()).or_insert_with(empty);
        if let CanonicalJsonValue::Object(of_signer) = of_signer {
            of_signer.insert(key_id.to_owned(), CanonicalJsonValue::String(signature.to_owned()));
        }
    }

    /// Says what its owner does not say about itself.
    pub(crate) fn set_unsigned(&mut self, field: &str, value: String) {
        let unsigned = [(field.to_owned(), CanonicalJsonValue::String(value))].into();
        self.0.insert("unsigned".to_owned(), CanonicalJsonValue::Object(unsigned));
    }

    /// As JSON.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(&self.0).expect("canonical JSON is JSON")
    }
}
