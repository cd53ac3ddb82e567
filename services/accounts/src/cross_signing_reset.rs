//! Approving, on a page of the platform, that the cross-signing keys are replaced.
//! <https://spec.matrix.org/v1.19/client-server-api/#oauth-authentication>
//!
//! An approval is kept in memory. It lasts some minutes, is good for one replacement, and can be given again.

use linkspan_platforms::Holder;
use ruma::OwnedUserId;

use crate::{Accounts, AccountsError, Attempt, PasswordStamp, ProvedUser, Purpose};

/// How long an approval lasts, in milliseconds.
const APPROVAL_MS: u64 = 10 * 60_000;

/// An approval: whoever has it may replace the keys once.
#[derive(Clone, Debug)]
pub struct Approval {
    by: ProvedUser,
    expires_ts: u64,
}

/// How users prove who they are.
#[derive(Clone, Copy, Debug)]
pub enum Proof<'a> {
    /// They give the password.
    Password,
    /// They have approved it on the platform's pages. That is what sessions of the OAuth 2.0 API do.
    Approval {
        /// The address at which that is done.
        url: &'a str,
    },
}

impl Accounts {
    /// Allows a user to replace the cross-signing keys, for some minutes and while the password is the one by which
    /// that was proved.
    pub fn allow_cross_signing_reset(
        &self,
        user_id: &OwnedUserId,
        password_stamp: PasswordStamp,
        now_ts: u64,
    ) {
        let by = ProvedUser { user_id: user_id.clone(), password_stamp };
        self.give_back_approval(Approval { by, expires_ts: now_ts + APPROVAL_MS }, now_ts);
    }

    /// Takes the approval of a user. If several want it, one gets it.
    pub(crate) async fn take_approval(
        &self,
        user_id: &OwnedUserId,
        now_ts: u64,
    ) -> Result<Option<Approval>, AccountsError> {
        let Some(approval) = self.shared.cross_signing_resets.take(user_id.as_str(), now_ts) else {
            return Ok(None);
        };
        let account = self.account(user_id).await?;
        Ok(account
            .filter(|account| approval.by.password_stamp == PasswordStamp::of(account))
            .map(|_| approval))
    }

    /// Gives back an approval with which the keys were not replaced after all. It is good as before.
    pub fn give_back_approval(&self, approval: Approval, now_ts: u64) {
        let (name, expires_ts) = (approval.by.user_id.to_string(), approval.expires_ts);
        let holder = Holder::user(&approval.by.user_id);
        self.shared.cross_signing_resets.put(holder, name, approval, expires_ts, now_ts);
    }

    /// Refuses with [`AccountsError::Interactive`] until the user of `purpose` has given proof in this way.
    /// An approval is used up. It is returned so that it can be given back if what it was for fails.
    pub async fn prove_user(
        &self,
        purpose: &Purpose,
        proof: Proof<'_>,
        attempt: Attempt<'_>,
        now_ts: u64,
    ) -> Result<Option<Approval>, AccountsError> {
        match proof {
            Proof::Password => self.prove_password(purpose, attempt, now_ts).await.map(|_| None),
            Proof::Approval { url } => {
                self.prove_approval(purpose, url, attempt.auth, now_ts).await.map(Some)
            }
        }
    }
}
