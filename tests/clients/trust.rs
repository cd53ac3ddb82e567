//! How people come to trust each other's devices: by identities, and by comparing emoji.

use std::time::Duration;

use serde_json::{Value, json};

use linkspan_tests::PASSWORD;

use crate::{driver::Library, person::Person};

/// How often people compare emoji until they give up.
const TRIES: usize = 3;
/// How long secrets may take to come once they are asked for.
const SECRETS_COME: Duration = Duration::from_secs(10);

/// A verification that both sides take part in.
pub(crate) struct Verification<'a> {
    flow: String,
    asking: &'a Person,
    answering: &'a Person,
}

impl Person {
    /// Makes an identity that signs this device.
    pub(crate) fn gets_identity(&self) {
        self.does("bootstrap_cross_signing", json!({ "password": PASSWORD }));
        self.has_whole_identity();
    }

    /// Waits until this device is signed and has all private keys of the identity.
    pub(crate) fn has_whole_identity(&self) {
        self.driver.wait_until("a whole identity", || self.lacks_of_identity());
    }

    fn lacks_of_identity(&self) -> Option<String> {
        let status = self.does("cross_signing", json!({}));
        (status != json!({ "private": true, "signed": true })).then(|| status.to_string())
    }

    /// Gets the identity's private keys from another device of its owner, by comparing emoji. Like a person,
    /// it does that again if nothing comes: matrix-sdk asks for the keys at the same time as it ends the
    /// verification, and is not heard if its question comes first.
    pub(crate) fn gets_identity_from(&self, other: &Self) {
        for _ in 0..TRIES {
            Verification::begin(self, other, None).succeed();
            if self.driver.wrong_after(SECRETS_COME, || self.lacks_of_identity()).is_none() {
                return;
            }
        }
        self.has_whole_identity();
    }

    /// Whether the library knows identities that sign devices. matrix-nio does not.
    pub(crate) fn knows_identities(&self) -> bool {
        self.library != Library::Nio
    }

    /// What this device says about its trust in another device and in its owner.
    fn trust_in(&self, other: &Self) -> Value {
        self.does("is_verified", json!({ "user": other.id, "device": other.device }))
    }

    /// Waits until this device trusts the other, and its owner too where both libraries know identities.
    pub(crate) fn trusts(&self, other: &Self) {
        let identities = self.knows_identities() && other.knows_identities();
        self.driver.wait_until(&format!("trust in {}", other.name), || {
            let trust = self.trust_in(other);
            let is_whole = trust["device"] == true && (!identities || trust["user"] == true);
            (!is_whole).then(|| trust.to_string())
        });
    }

    pub(crate) fn does_not_trust(&self, other: &Self) {
        let trust = self.trust_in(other);
        assert!(
            trust["device"] == false && trust["user"] != true,
            "{} in {}: {trust}",
            self.name,
            other.name
        );
    }

    fn sees_verification(&self, flow: &str, state: &str) -> Value {
        self.driver.wait(&format!("the verification {flow} to be {state}"), |heard| {
            let steps = heard.events.iter().filter(|said| said["event"] == "verification");
            let mut steps = steps.filter(|said| said["flow"] == flow);
            steps.find(|said| said["state"] == state).cloned()
        })
    }

    fn answers(&self, name: &str, verification: &Verification<'_>) {
        let other = if self.id == verification.asking.id && self.device == verification.asking.device {
            verification.answering
        } else {
            verification.asking
        };
        self.does(name, json!({ "user": other.id, "flow": verification.flow }));
    }
}

impl<'a> Verification<'a> {
    /// Begins a verification, of a device or of a person in a direct chat, until both people see emoji.
    pub(crate) fn begin(asking: &'a Person, answering: &'a Person, room: Option<&str>) -> Self {
        let words = match room {
            Some(room) => json!({ "user": answering.id, "room": room }),
            None => json!({ "user": answering.id, "device": answering.device }),
        };
        asking.finds_device(answering);
        let flow = asking.sends("verify", words);
        let verification = Self { flow, asking, answering };
        let requested = verification.sees(answering, "requested");
        assert_eq!((&requested["user"], &requested["device"]), (&json!(asking.id), &json!(asking.device)));
        answering.answers("verification_accept", &verification);
        for person in [asking, answering] {
            verification.sees(person, "ready");
        }
        asking.answers("verification_start", &verification);
        verification
    }

    fn sees(&self, person: &Person, state: &str) -> Value {
        person.sees_verification(&self.flow, state)
    }

    fn emoji(&self, person: &Person) -> Vec<String> {
        let seen = self.sees(person, "emoji")["emoji"].take();
        let emoji: Vec<String> = serde_json::from_value(seen).expect("emoji have names");
        assert_eq!(emoji.len(), 7, "{emoji:?}");
        emoji
    }

    /// Both compare what they see, and trust each other from then on.
    pub(crate) fn succeed(&self) {
        let (asking, answering) = (self.asking, self.answering);
        assert_eq!(self.emoji(asking), self.emoji(answering));
        asking.answers("sas_confirm", self);
        answering.answers("sas_confirm", self);
        for person in [asking, answering] {
            self.sees(person, "done");
        }
        asking.trusts(answering);
        answering.trusts(asking);
    }

    /// One person says that the emoji differ, and nobody trusts anybody.
    pub(crate) fn fail(&self) {
        let (asking, answering) = (self.asking, self.answering);
        assert_eq!(self.emoji(asking), self.emoji(answering));
        answering.answers("sas_mismatch", self);
        assert_eq!(self.sees(asking, "cancelled")["reason"], "m.mismatched_sas");
        self.sees(answering, "cancelled");
        asking.does_not_trust(answering);
        answering.does_not_trust(asking);
    }
}
