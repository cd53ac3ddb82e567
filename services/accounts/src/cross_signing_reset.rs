//! Approving, on a page of the platform, that the cross-signing keys are replaced.
//! <https://spec.matrix.org/v1.19/client-server-api/#oauth-authentication>
//!
//! An approval is kept in memory: it lasts some minutes, and can be given again.

use ruma::{OwnedUserId, api::client::uiaa::AuthData};

use crate::{Accounts, AccountsError, Purpose};

/// How long an approval lasts, in milliseconds.
const APPROVAL_MS: u64 = 10 * 60_000;

/// How a user proves to be the user.
#[derive(Clone, Copy, Debug)]
pub enum Proof<'a> {
    /// By the password.
    Password,
    /// By having approved it on the platform's pages: what sessions of the OAuth 2.0 API do.
    Approval {
        /// Where that is done.
        url: &'a str,
    },
}

impl Accounts {
    /// Allows a user to replace the cross-signing keys, for some minutes.
    pub fn allow_cross_signing_reset(&self, user_id: &OwnedUserId, now_ts: u64) {
        self.shared.cross_signing_resets.put(user_id.to_string(), (), now_ts + APPROVAL_MS);
    }

    /// Whether a user may replace the cross-signing keys without further proof.
    pub fn may_reset_cross_signing(&self, user_id: &OwnedUserId, now_ts: u64) -> bool {
        self.shared.cross_signing_resets.get(user_id.as_str(), now_ts).is_some()
    }

    /// The keys were replaced: the approval is used up.
    pub fn end_cross_signing_reset(&self, user_id: &OwnedUserId) {
        self.shared.cross_signing_resets.take(user_id.as_str(), 0);
    }

    /// Refuses with [`AccountsError::Interactive`] until the user of `purpose` has proved it in this way.
    pub async fn prove_user(
        &self,
        purpose: &Purpose,
        proof: Proof<'_>,
        auth: Option<&AuthData>,
        now_ts: u64,
    ) -> Result<(), AccountsError> {
        match proof {
            Proof::Password => self.prove_password(purpose, auth, now_ts).await,
            Proof::Approval { url } => self.prove_approval(purpose, url, auth, now_ts),
        }
    }
}
