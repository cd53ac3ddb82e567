//! Links by which people join a room: whoever may invite makes one, and the server invites in the maker's name whoever
//! brings its token. See docs/decisions/0024-join-links.md.
//!
//! `join.rs` shows what a link leads to, and has people join.

mod join;

pub use join::LinkPreview;

use std::{collections::BTreeMap, sync::Arc};

use linkspan_accounts::{AccountsError, hash_token, random_text};
use linkspan_domain::PowerLevels;
use linkspan_storage::{
    Range, WriteSet,
    catalogue::{JoinLinks, JoinTokens, Memberships, PlatformHashKey, RoomHashKey, UserRoomKey},
    records::{JoinLinkRecord, JoinTokenRecord},
};
use ruma::{
    OwnedRoomId, OwnedUserId,
    events::{StateEventType, room::member::MembershipState},
};

use crate::{
    Result, Rooms, RoomsError,
    append::Append,
    follow_upgrade::{MAX_UPGRADES, replacement_of},
};

/// The most links of a room, and the most of them that one person has made.
const MAX_PER_ROOM: usize = 100;
const MAX_PER_MAKER: usize = 10;
/// The longest time for which a link works, and the most times that one can be used, if either has a limit.
const MAX_LIFE_MS: u64 = 366 * 24 * 60 * 60 * 1000;
const MAX_USES: u64 = 100_000;
/// So many of these letters are 131 bits, which nobody guesses.
const TOKEN_LETTERS: usize = 22;
const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// How many rows are looked at in one step of a sweep.
const BATCH: usize = 1_000;

/// For how long, and how often, a link is to work.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinkTerms {
    /// The time for which it works, in milliseconds. None: until it is taken back.
    pub valid_for_ms: Option<u64>,
    /// How many people can join by it. None: as many as like.
    pub uses: Option<u64>,
}

/// A link by which people join a room.
#[derive(Clone, Debug)]
pub struct JoinLink {
    /// What is noted of it.
    pub record: JoinLinkRecord,
    /// Whether its maker may still invite, with an account that is in use. Otherwise it leads nowhere.
    pub works: bool,
}

impl LinkTerms {
    fn check(self) -> Result<()> {
        if self.valid_for_ms.is_some_and(|valid_for_ms| !(1..=MAX_LIFE_MS).contains(&valid_for_ms)) {
            return Err(RoomsError::Invalid("a link works for a year at most, or without an end".into()));
        }
        if self.uses.is_some_and(|uses| !(1..=MAX_USES).contains(&uses)) {
            return Err(RoomsError::Invalid(format!("a link can be used 1 to {MAX_USES} times, or always")));
        }
        Ok(())
    }
}

impl Rooms {
    /// Makes a link to a room that the user may invite to. Those that have ended make room for it.
    pub async fn make_join_link(
        &self,
        maker: &OwnedUserId,
        room_id: &OwnedRoomId,
        terms: LinkTerms,
        now_ts: u64,
    ) -> Result<JoinLinkRecord> {
        terms.check()?;
        let record = JoinLinkRecord {
            token: random_text(ALPHABET, TOKEN_LETTERS),
            maker: maker.clone(),
            made_ts: now_ts,
            expires_ts: terms.valid_for_ms.map(|valid_for_ms| now_ts.saturating_add(valid_for_ms)),
            uses_allowed: terms.uses,
            uses: 0,
        };
        self.again(async || self.put_join_link(room_id, &record, now_ts).await).await?;
        Ok(record)
    }

    /// Whoever makes a link holds the room's writer until it is on disk: so of several who make one at once each counts
    /// those of the others, and the room is not replaced meanwhile.
    async fn put_join_link(&self, room_id: &OwnedRoomId, record: &JoinLinkRecord, now_ts: u64) -> Result<()> {
        let maker = &record.maker;
        self.shared.accounts.check_not_suspended(maker).await?;
        let room = self.joined_room(maker, room_id).await?;
        let mut append = self.begin(&room, now_ts).await?;
        append.settle().await?;
        if !append.may_invite(maker).await? {
            return Err(may_not_invite());
        }
        self.check_not_replaced(&mut append).await?;
        let mut writes = WriteSet::new();
        let account = self.shared.accounts.expect_active(&mut writes, maker).await?;
        if account.is_some_and(|account| account.guest) {
            return Err(AccountsError::Guest("guests cannot invite anybody").into());
        }
        self.make_room_for_link(&mut writes, maker, room_id, now_ts).await?;
        put_link(&mut writes, room_id, record);
        append.settle_and(writes).await
    }

    /// The links to a room, for those who may invite to it.
    pub async fn list_join_links(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        now_ts: u64,
    ) -> Result<Vec<JoinLink>> {
        let levels = self.check_may_invite(user_id, room_id).await?;
        let mut links = Vec::new();
        let mut works: BTreeMap<OwnedUserId, bool> = BTreeMap::new();
        for (_, record) in self.stored_links(room_id).await? {
            if !has_ended(&record, now_ts) {
                let works = match works.get(&record.maker) {
                    Some(works) => *works,
                    None => {
                        let maker = &record.maker;
                        let membership = self.membership(room_id, maker).await?;
                        let works_for_all = self.link_works(maker, membership, &levels).await?;
                        works.insert(maker.clone(), works_for_all);
                        works_for_all
                    }
                };
                links.push(JoinLink { record, works });
            }
        }
        links.sort_by_key(|link| link.record.made_ts);
        Ok(links)
    }

    /// Takes a link back: one's own, or with the power to remove people anybody's.
    pub async fn revoke_join_link(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        token: &str,
    ) -> Result<()> {
        let key = RoomHashKey { room_id: room_id.clone(), hash: hash_token(token) };
        self.store()
            .update(async || {
                let room = self.joined_room(user_id, room_id).await?;
                let levels = self.power_levels(&room).await?;
                let record = self.store().get::<JoinLinks>(&key).await?;
                let record = record.ok_or_else(|| RoomsError::NotFound("there is no such link".into()))?;
                if record.maker != *user_id && levels.user(user_id) < levels.needed_to_kick() {
                    return Err(RoomsError::Forbidden("you may take back only your own links".into()));
                }
                let mut writes = WriteSet::new();
                delete_link(&mut writes, &key, &record);
                Ok((writes, ()))
            })
            .await
    }

    /// Has the links to a room lead to the one that replaces it, in `writes`.
    pub(crate) async fn move_join_links(
        &self,
        writes: &mut WriteSet,
        from: &OwnedRoomId,
        to: &OwnedRoomId,
    ) -> Result<()> {
        for (key, record) in self.stored_links(from).await? {
            delete_link(writes, &key, &record);
            put_link(writes, to, &record);
        }
        Ok(())
    }

    /// The links that somebody has made to a room. If it was replaced while they were away, they lead to the room that
    /// replaced it.
    pub(crate) async fn links_of(
        &self,
        maker: &OwnedUserId,
        room_id: &OwnedRoomId,
    ) -> Result<Vec<(RoomHashKey, JoinLinkRecord)>> {
        let mut links = Vec::new();
        let mut room_id = room_id.clone();
        for _ in 0..=MAX_UPGRADES {
            let of_room = self.stored_links(&room_id).await?.into_iter();
            links.extend(of_room.filter(|(_, record)| record.maker == *maker));
            let tombstone = self.state_event(&room_id, &StateEventType::RoomTombstone, "").await?;
            let Some(replacement) = tombstone.and_then(|event| replacement_of(&event)) else { break };
            let key = UserRoomKey { user_id: maker.clone(), room_id: replacement.clone() };
            if self.store().contains::<Memberships>(&key).await? {
                break;
            }
            room_id = replacement;
        }
        Ok(links)
    }

    /// Removes the links to a room that somebody made whose account is gone.
    pub(crate) async fn remove_links_of(&self, maker: &OwnedUserId, room_id: &OwnedRoomId) -> Result<()> {
        self.store()
            .update(async || {
                let mut writes = WriteSet::new();
                for (key, record) in self.links_of(maker, room_id).await? {
                    delete_link(&mut writes, &key, &record);
                }
                Ok::<_, RoomsError>((writes, ()))
            })
            .await
    }

    /// Forgets links that have ended, and those whose makers' accounts are gone. Fails with the last error, if there was
    /// one, once every link had its turn.
    pub async fn forget_join_links(&self, now_ts: u64) -> Result<()> {
        let mut outcome = Ok(());
        let mut last = None;
        loop {
            let range = match &last {
                Some(key) => Range::<JoinLinks>::all().after(key),
                None => Range::all(),
            };
            let keys = self.store().keys(range.limit(BATCH)).await?;
            for key in &keys {
                if let Some(record) = self.store().get_readable::<JoinLinks>(key).await?
                    && let Err(error) = self.forget_if_ended(key, &record, now_ts).await
                {
                    outcome = Err(error);
                }
            }
            last = keys.into_iter().last();
            if last.is_none() {
                return outcome;
            }
        }
    }

    async fn forget_if_ended(&self, key: &RoomHashKey, record: &JoinLinkRecord, now_ts: u64) -> Result<()> {
        let maker = self.shared.accounts.account(&record.maker).await?;
        let is_gone = maker.is_some_and(|maker| maker.deactivated);
        if !is_gone && !has_ended(record, now_ts) {
            return Ok(());
        }
        // Neither a deactivated account nor a link that has ended comes back.
        self.store()
            .update(async || {
                let mut writes = WriteSet::new();
                if let Some(record) = self.store().get::<JoinLinks>(key).await? {
                    delete_link(&mut writes, key, &record);
                }
                Ok::<_, RoomsError>((writes, ()))
            })
            .await
    }

    /// Whether the links of somebody work who has this membership in their room: they may still invite, with an account
    /// that is in use.
    async fn link_works(
        &self,
        maker: &OwnedUserId,
        membership: Option<MembershipState>,
        levels: &PowerLevels,
    ) -> Result<bool> {
        let may = membership == Some(MembershipState::Join) && may_invite(levels, maker);
        Ok(may && self.is_active(maker).await?)
    }

    /// Whether somebody's account is in use: neither gone, nor locked, nor suspended.
    async fn is_active(&self, maker: &OwnedUserId) -> Result<bool> {
        let accounts = &self.shared.accounts;
        match accounts.check_not_suspended(maker).await {
            Ok(()) => Ok(accounts.may_act(maker).await?),
            Err(AccountsError::Suspended) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn stored_links(&self, room_id: &OwnedRoomId) -> Result<Vec<(RoomHashKey, JoinLinkRecord)>> {
        let mut links = Vec::new();
        for key in self.store().keys::<JoinLinks>(Range::prefix((room_id,))).await? {
            if let Some(record) = self.store().get_readable::<JoinLinks>(&key).await? {
                links.push((key, record));
            }
        }
        Ok(links)
    }

    /// Refuses if the user may not invite to a room; else gives the room's power levels.
    async fn check_may_invite(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
    ) -> Result<Arc<PowerLevels>> {
        let room = self.joined_room(user_id, room_id).await?;
        let levels = self.power_levels(&room).await?;
        match may_invite(&levels, user_id) {
            true => Ok(levels),
            false => Err(may_not_invite()),
        }
    }

    /// Refuses if there are too many links already, once those that have ended are gone.
    async fn make_room_for_link(
        &self,
        writes: &mut WriteSet,
        maker: &OwnedUserId,
        room_id: &OwnedRoomId,
        now_ts: u64,
    ) -> Result<()> {
        let (mut all, mut own) = (0, 0);
        for (key, record) in self.stored_links(room_id).await? {
            if has_ended(&record, now_ts) {
                delete_link(writes, &key, &record);
            } else {
                all += 1;
                own += usize::from(record.maker == *maker);
            }
        }
        match own >= MAX_PER_MAKER || all >= MAX_PER_ROOM {
            true => Err(AccountsError::TooMany("links to this room").into()),
            false => Ok(()),
        }
    }
}

impl Append {
    /// Whether somebody is in the room and has the power to invite. The rules of rooms do not always ask that of the
    /// inviter.
    pub(crate) async fn may_invite(&mut self, inviter: &OwnedUserId) -> Result<bool> {
        let is_joined = self.membership(inviter).await? == Some(MembershipState::Join);
        Ok(is_joined && may_invite(&self.power_levels().await?, inviter))
    }
}

fn may_not_invite() -> RoomsError {
    RoomsError::Forbidden("you may not invite people to this room".into())
}

fn may_invite(levels: &PowerLevels, user_id: &OwnedUserId) -> bool {
    levels.user(user_id) >= levels.needed_to_invite()
}

/// Whether nobody can join by a link any more, whatever becomes of its maker.
fn has_ended(record: &JoinLinkRecord, now_ts: u64) -> bool {
    record.expires_ts.is_some_and(|expires_ts| expires_ts <= now_ts)
        || record.uses_allowed.is_some_and(|allowed| record.uses >= allowed)
}

/// The row by which a token is found. Looking for the hash tells nothing of tokens that are nearly right.
fn token_key(record: &JoinLinkRecord) -> PlatformHashKey {
    PlatformHashKey { platform: record.maker.server_name().to_owned(), hash: hash_token(&record.token) }
}

fn put_link(writes: &mut WriteSet, room_id: &OwnedRoomId, record: &JoinLinkRecord) {
    let key = RoomHashKey { room_id: room_id.clone(), hash: hash_token(&record.token) };
    writes.put::<JoinLinks>(&key, record);
    writes.put::<JoinTokens>(&token_key(record), &JoinTokenRecord { room_id: room_id.clone() });
}

pub(crate) fn delete_link(writes: &mut WriteSet, key: &RoomHashKey, record: &JoinLinkRecord) {
    writes.expect::<JoinLinks>(key, record);
    writes.delete::<JoinLinks>(key);
    writes.delete::<JoinTokens>(&token_key(record));
}
