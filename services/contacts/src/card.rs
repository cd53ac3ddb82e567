//! Contact cards: who somebody is, and, for those whom the person lets see it, which other accounts are theirs.

use linkspan_accounts::{HANDLE_FIELD, Profile};
use ruma::OwnedUserId;
use serde_json::Value;

use crate::{Contacts, Result};

/// An account as a card shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardAccount {
    /// The user.
    pub user_id: OwnedUserId,
    /// The name that people see.
    pub displayname: Option<String>,
    /// The picture, an `mxc://` URI.
    pub avatar_url: Option<String>,
    /// The handle, where people have one.
    pub handle: Option<String>,
}

/// What somebody sees of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// The account that was asked for.
    pub account: CardAccount,
    /// Those that are linked with it, as far as the reader may know.
    pub linked: Vec<CardAccount>,
    /// The one of them at which direct chats arrive, too.
    pub arrive_at: Option<OwnedUserId>,
}

impl Contacts {
    /// The card of somebody for a reader, who may see this profile of theirs.
    pub async fn card(&self, reader: &OwnedUserId, user_id: &OwnedUserId, profile: Profile) -> Result<Card> {
        let mut card = Card { account: on_card(user_id, profile), linked: Vec::new(), arrive_at: None };
        // Both are asked of everybody, so that time tells nothing.
        let shows = self.shows_links(reader, user_id).await?;
        let links = self.shared.accounts.account_links(user_id).await?;
        if let Some(links) = links.filter(|_| shows) {
            for (linked, _) in &links.others {
                let profile = self.shared.accounts.profile(linked).await?;
                card.linked.push(on_card(linked, profile));
            }
            card.arrive_at.clone_from(&links.arrive_at);
        }
        Ok(card)
    }

    /// Whether a reader is shown what is linked with somebody's account: it is the reader's own, or a link with it is; or
    /// the reader is a contact whom its user does not ignore, and the user shows links to contacts.
    async fn shows_links(&self, reader: &OwnedUserId, user_id: &OwnedUserId) -> Result<bool> {
        let is_contact = self.is_contact(user_id, reader).await?;
        let is_ignored = self.shared.accounts.is_ignored(user_id, reader).await?;
        let links = self.shared.accounts.account_links(user_id).await?;
        let is_own = |other: &OwnedUserId| other == reader;
        Ok(links.is_some_and(|links| {
            is_own(user_id)
                || links.others.iter().any(|(other, _)| is_own(other))
                || (links.shown && is_contact && !is_ignored)
        }))
    }

    /// The account at which a direct chat with a hosted user arrives, too, if the user has chosen one and shows it to who
    /// begins the chat.
    pub async fn arrives_at(
        &self,
        user_id: &OwnedUserId,
        sender: &OwnedUserId,
    ) -> Result<Option<OwnedUserId>> {
        let links = self.shared.accounts.account_links(user_id).await?;
        let Some(links) = links.filter(|links| links.shown && links.arrive_at.is_some()) else {
            return Ok(None);
        };
        let is_own = links.others.iter().any(|(other, _)| other == sender);
        match !is_own && self.shows_links(sender, user_id).await? {
            true => Ok(links.arrive_at.clone()),
            false => Ok(None),
        }
    }
}

fn on_card(user_id: &OwnedUserId, mut profile: Profile) -> CardAccount {
    let mut text = |field| match profile.remove(field) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    CardAccount {
        user_id: user_id.clone(),
        displayname: text("displayname"),
        avatar_url: text("avatar_url"),
        handle: text(HANDLE_FIELD),
    }
}
