//! Mails to people who were invited by an address with which they have no account yet.
//!
//! Whoever invites chooses nothing of what such a mail says, and an address gets few of them: it must be no means of
//! writing to strangers.

use linkspan_platforms::Platform;
use ruma::OwnedUserId;

use crate::{Accounts, Mail, Message, ThirdPartyId};

/// How many of these mails an address gets in [`WINDOW_MS`], from whichever platform they are.
const MAX_PER_ADDRESS: u32 = 1;
/// How many of them somebody has sent in that time.
const MAX_PER_INVITER: u32 = 10;
/// How many of them a platform sends in that time.
const MAX_PER_PLATFORM: u32 = 5_000;
/// A day, in milliseconds.
const WINDOW_MS: u64 = 24 * 60 * 60 * 1000;

/// A mail that tells somebody of an invitation.
#[derive(Clone, Debug)]
pub struct InvitationMail {
    /// Who has invited them.
    pub inviter: OwnedUserId,
    /// The address. One that is no e-mail address gets none.
    pub to: ThirdPartyId,
    /// The page on which one can register.
    pub page: String,
}

impl Accounts {
    /// Sends a mail, if the platform sends any and there were not too many. Somebody who has an account with the
    /// address gets none, but all is counted as if: the inviter does not learn it from the next mail.
    pub fn send_invitation(
        &self,
        platform: &Platform,
        invitation: InvitationMail,
        has_account: bool,
        now_ts: u64,
    ) {
        let InvitationMail { inviter, to, page } = invitation;
        if to.is_phone() {
            return;
        }
        let mut limits = vec![(format!("invitations to {}", to.address()), MAX_PER_ADDRESS)];
        if platform.settings.rate_limits {
            limits.push((format!("invitations of {inviter}"), MAX_PER_INVITER));
            limits.push((format!("invitations by {}", platform.server_name()), MAX_PER_PLATFORM));
        }
        let Ok(way) = self.begin_message(platform, &to) else { return };
        let is_counted =
            self.shared.outgoing.count(platform.server_name(), limits, WINDOW_MS, now_ts).is_ok();
        if is_counted && !has_account {
            let platform = platform.display_name();
            let subject = format!("You have been invited to a chat on {platform}");
            let text = format!(
                "{inviter} has invited you to a chat on {platform}.\n\nTo answer, create an account with this email \
                 address:\n\n{page}\n\nThe invitation waits for 90 days. If you don't know who this is, you can \
                 ignore this mail: nothing happens.\n"
            );
            way.send(Message::Mail(Mail { to: to.address().to_owned(), subject, text }));
        }
    }
}
