//! What users have chosen about who may reach and who may find them, over what their platform says. It is account data, which
//! clients can read and write too, and is kept in memory, because everybody who invites has it asked.

use std::{borrow::Cow, sync::Arc};

use linkspan_domain::{
    Approach, Audience, DISCOVERY_TYPE, Discovery, FoundBy, INVITE_LISTS_TYPE, INVITE_PERMISSION_TYPES,
    InvitePermission, REACH_TYPE, Reach, ReachRule, decide_reach, parse_discovery, parse_reach_rules,
    write_discovery, write_reach_rules,
};
use linkspan_platforms::Settings;
use linkspan_storage::{Copies, Limits, Store, catalogue::AccountData};
use ruma::{OwnedUserId, UserId};

use crate::{Contacts, Result};

/// About how many users' choices are kept.
const CACHED_USERS: usize = 100_000;
/// The sum of their rules.
const CACHED_RULES: u64 = 1 << 21;

/// Who may reach a user, and who may find the user.
#[derive(Clone, Debug)]
pub struct Choices {
    /// The platform's rules, and after them the user's own.
    rules: Vec<ReachRule>,
    /// How many of them are the platform's.
    of_platform: usize,
    /// Whose invitations the user wants, as clients have said it.
    permission: InvitePermission,
    /// Who may find the user, as far as the user has said it.
    own_discovery: Discovery,
    /// What the platform says of that.
    platform_discovery: Discovery,
    /// How often settings of platforms had changed when this was put together.
    generation: u64,
}

/// The choices of users who were asked about lately.
pub(crate) type KeptChoices = Copies<OwnedUserId, Arc<Choices>>;

/// No choices yet. Those of a user are read anew after each change of the account data that they are kept as.
pub(crate) fn new_choices(store: &Store) -> KeptChoices {
    let limits = Limits { entries: CACHED_USERS, weight: CACHED_RULES };
    let kept = Copies::weighted(limits, |_, choices: &Arc<Choices>| 1 + choices.rules.len() as u64);
    kept.forget_on::<AccountData>(store, |key| {
        let event_type = key.event_type.as_str();
        let is_choice = key.room_id.is_none()
            && (event_type == REACH_TYPE
                || event_type == DISCOVERY_TYPE
                || event_type == INVITE_LISTS_TYPE
                || INVITE_PERMISSION_TYPES.contains(&event_type));
        is_choice.then_some(Cow::Borrowed(&key.user_id))
    })
}

impl Choices {
    /// How an attempt reaches the user by the rules.
    pub fn by_rules(&self, approach: &Approach<'_>) -> Reach {
        decide_reach(&self.rules, approach)
    }

    /// How invitations of somebody reach the user as far as `m.invite_permission_config` goes, and what is
    /// like it.
    pub fn by_permission(&self, sender: &UserId) -> Reach {
        self.permission.reach(sender)
    }

    /// Who may find the user by this.
    pub fn audience(&self, by: FoundBy) -> Audience {
        self.own_discovery.over(self.platform_discovery).audience(by)
    }

    /// Who may find the user, as far as the user has said it.
    pub fn own_discovery(&self) -> Discovery {
        self.own_discovery
    }

    /// Who may find those of the user's platform who have not said it.
    pub fn platform_discovery(&self) -> Discovery {
        self.platform_discovery
    }

    /// The rules of the user's platform.
    pub fn platform_rules(&self) -> &[ReachRule] {
        &self.rules[..self.of_platform]
    }

    /// The user's own rules, which come after them.
    pub fn own_rules(&self) -> &[ReachRule] {
        &self.rules[self.of_platform..]
    }
}

impl Contacts {
    /// The choices of a hosted user.
    pub async fn choices(&self, user_id: &OwnedUserId) -> Result<Arc<Choices>> {
        let read = async || self.stored_choices(user_id).await.map(Arc::new);
        let kept = self.shared.choices.get_or_read(user_id, read).await?;
        if kept.generation == self.shared.platforms.generation() {
            return Ok(kept);
        }
        let heard = self.shared.store.heard();
        let fresh = Arc::new(self.stored_choices(user_id).await?);
        self.shared.choices.offer(user_id.clone(), fresh.clone(), heard);
        Ok(fresh)
    }

    async fn stored_choices(&self, user_id: &OwnedUserId) -> Result<Choices> {
        let generation = self.shared.platforms.generation();
        let platform = self.shared.platforms.get(user_id.server_name());
        let settings = platform.as_ref().map(|platform| &platform.settings);
        let mut rules = settings.map(Settings::reach_rules).unwrap_or_default();
        let of_platform = rules.len();
        let own = self.account_data(user_id, REACH_TYPE).await?;
        rules.extend(own.and_then(|own| parse_reach_rules(&own).ok()).unwrap_or_default());
        let [stable, unstable] = INVITE_PERMISSION_TYPES;
        let stable = self.account_data(user_id, stable).await?;
        let unstable = self.account_data(user_id, unstable).await?;
        let lists = self.account_data(user_id, INVITE_LISTS_TYPE).await?;
        let permission = InvitePermission::parse([stable.as_deref(), unstable.as_deref()], lists.as_deref());
        let own = self.account_data(user_id, DISCOVERY_TYPE).await?;
        let own_discovery = own.and_then(|own| parse_discovery(&own).ok()).unwrap_or_default();
        let platform_discovery = settings.map(Settings::discovery).unwrap_or_default();
        Ok(Choices { rules, of_platform, permission, own_discovery, platform_discovery, generation })
    }

    async fn account_data(&self, user_id: &OwnedUserId, event_type: &str) -> Result<Option<String>> {
        Ok(self.shared.accounts.account_data(user_id, None, event_type).await?)
    }

    /// Sets a user's own rules.
    pub async fn set_own_rules(&self, user_id: &OwnedUserId, rules: Vec<ReachRule>) -> Result<()> {
        let content = write_reach_rules(rules);
        Ok(self.shared.accounts.set_account_data(user_id, None, REACH_TYPE, &content).await?)
    }

    /// Sets who may find a user. What it leaves open is as the platform says.
    pub async fn set_own_discovery(&self, user_id: &OwnedUserId, own: &Discovery) -> Result<()> {
        let content = write_discovery(own);
        Ok(self.shared.accounts.set_account_data(user_id, None, DISCOVERY_TYPE, &content).await?)
    }
}
