//! The catalogue: every table there is, in one place.
//!
//! A number is never used twice; a table that goes leaves its line as a tombstone. Tables of a
//! platform's own data have keys that start with the platform (user ids and aliases are written
//! platform first); the room tables are the only shared ones.

use ruma::{OwnedDeviceId, OwnedEventId, OwnedRoomAliasId, OwnedRoomId, OwnedServerName, OwnedUserId};

use crate::{Json, Position, Stamped, Table, TableId, Trailing, key, records::*};

/// A line of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct TableInfo {
    /// Its number.
    pub id: TableId,
    /// Its name.
    pub name: &'static str,
    /// The service that writes it.
    pub owner: &'static str,
    /// What it is for.
    pub purpose: &'static str,
}

/// A table whose line says `watched` before the key: the stream of commits tells which of its keys change.
macro_rules! catalogue {
    ($(
        $(#[doc = $purpose:literal])+
        $number:literal $owner:ident $name:ident $text:literal $($watched:ident)?: $key:ty => $value:ty;
    )*) => {
        $(
            $(#[doc = $purpose])+
            #[derive(Clone, Copy, Debug)]
            pub struct $name;

            impl Table for $name {
                type Key = $key;
                type Value = $value;
                const ID: TableId = TableId($number);
                const NAME: &'static str = $text;
                const OWNER: &'static str = stringify!($owner);

                $(fn to_watched(key: &$key) -> Option<WatchedKey> {
                    Some(WatchedKey::$name { $watched: key.clone() })
                })?
            }

            $(impl crate::table::Watched for $name {
                fn watched_key(key: &WatchedKey) -> Option<&$key> {
                    match key {
                        WatchedKey::$name { $watched } => Some($watched),
                        _ => None,
                    }
                }
            })?
        )*

        /// A key of a watched table.
        #[doc(hidden)]
        #[derive(Clone, Debug)]
        pub enum WatchedKey {
            $($($name { $watched: $key },)?)*
        }

        /// All tables, in the order of the catalogue.
        pub const TABLES: &[TableInfo] = &[$(TableInfo {
            id: TableId($number),
            name: $text,
            owner: stringify!($owner),
            purpose: concat!($($purpose),+),
        }),*];

        /// A function for each table, which decodes bytes as a key and as a value, and says whether it could.
        #[cfg(test)]
        const DECODERS: &[fn(&[u8]) -> (bool, bool)] = &[$(|bytes| (
            <$key as crate::Key>::from_bytes(bytes).is_ok(),
            <$value as crate::Value>::read(bytes).is_ok(),
        )),*];
    };
}

/// Where the newest position stands in [`Meta`].
pub(crate) const META_POSITION_KEY: [u8; 1] = [0];
/// Where the format of the store stands in [`Meta`].
pub(crate) const META_FORMAT_KEY: MetaKey = MetaKey { item: 1 };

key! {
    /// The key of a row of [`Meta`].
    MetaKey { item: u8 }
}
key! {
    /// A row of one platform under a name.
    PlatformKey { platform: OwnedServerName, name: String }
}
key! {
    /// A row of one platform under a SHA-256 hash.
    PlatformHashKey { platform: OwnedServerName, hash: [u8; 32] }
}
key! {
    /// A row of a user.
    UserKey { user_id: OwnedUserId }
}
key! {
    /// A row of a user under a name.
    UserNameKey { user_id: OwnedUserId, name: String }
}
key! {
    /// A third-party identifier on a platform: its medium, `email` or `msisdn`, and its address.
    ThirdPartyIdKey { platform: OwnedServerName, medium: String, address: String }
}
key! {
    /// A third-party identifier of a user, as above.
    UserThirdPartyIdKey { user_id: OwnedUserId, medium: String, address: String }
}
key! {
    /// A row of a device.
    DeviceKey { user_id: OwnedUserId, device_id: OwnedDeviceId }
}
key! {
    /// Account data: of the user, or of the user in a room.
    AccountDataKey { user_id: OwnedUserId, room_id: Option<OwnedRoomId>, event_type: String }
}
key! {
    /// A pusher.
    PusherKey { user_id: OwnedUserId, app_id: String, pushkey: String }
}
key! {
    /// A word by which a user is found. The list says whether it is a handle's or a name's, and who may find by it.
    DirectoryTermKey { platform: OwnedServerName, list: u8, term: String, user_id: OwnedUserId }
}
key! {
    /// A redaction at a place of a room's timeline, by what it redacts.
    RedactionKey { room_id: OwnedRoomId, redacts: OwnedEventId, seq: i64 }
}
key! {
    /// A pointer in an inbox.
    InboxKey { user_id: OwnedUserId, position: Position, pointer: InboxPointer }
}
key! {
    /// A message to a device, in the order of the queue. `index` is its number within the commit.
    ToDeviceKey {
        user_id: OwnedUserId,
        device_id: OwnedDeviceId,
        position: Position,
        index: u32,
        label: Trailing<ToDeviceLabel>,
    }
}
key! {
    /// What several messages to devices of a user say, by the commit that sent them and the number of the first of them
    /// within it.
    ToDeviceBodyKey { user_id: OwnedUserId, position: Position, index: u32 }
}
key! {
    /// A row of a room.
    RoomKey { room_id: OwnedRoomId }
}
key! {
    /// A row of a user in a room, found by user.
    UserRoomKey { user_id: OwnedUserId, room_id: OwnedRoomId }
}
key! {
    /// A row of a user in a room, found by room, platform by platform.
    RoomUserKey { room_id: OwnedRoomId, user_id: OwnedUserId }
}
key! {
    /// An event's place in a room.
    TimelineKey { room_id: OwnedRoomId, seq: i64 }
}
key! {
    /// An event.
    EventKey { event_id: OwnedEventId }
}
key! {
    /// An entry of a room's state.
    StateKey { room_id: OwnedRoomId, event_type: String, state_key: String }
}
key! {
    /// A change of a room's current state.
    StateLogKey { room_id: OwnedRoomId, position: Position, event_type: String, state_key: String }
}
key! {
    /// A state of a room, by number.
    StateIdKey { room_id: OwnedRoomId, state_id: u64 }
}
key! {
    /// A relation from one event to its parent.
    RelationKey { room_id: OwnedRoomId, parent: OwnedEventId, rel_type: String, seq: i64 }
}
key! {
    /// A row of a room under a SHA-256 hash.
    RoomHashKey { room_id: OwnedRoomId, hash: [u8; 32] }
}
key! {
    /// An event under another event.
    RoomEventKey { room_id: OwnedRoomId, event_id: OwnedEventId }
}
key! {
    /// A row of a user about an event.
    UserRoomEventKey { user_id: OwnedUserId, room_id: OwnedRoomId, event_id: OwnedEventId }
}
key! {
    /// A change of a user's subscription to a thread.
    ThreadLogKey { user_id: OwnedUserId, position: Position, room_id: OwnedRoomId, root: OwnedEventId }
}
key! {
    /// A transaction id. It counts within one device and one path: the room, and the endpoint with its other
    /// parameters, such as `send/m.room.message`.
    TransactionKey {
        user_id: OwnedUserId,
        device_id: OwnedDeviceId,
        room_id: Option<OwnedRoomId>,
        endpoint: String,
        txn_id: String,
    }
}
key! {
    /// A receipt. `kind` is 0 for public, 1 for private; `thread` is empty for an unthreaded one.
    ReceiptKey { room_id: OwnedRoomId, user_id: OwnedUserId, kind: u8, thread: String }
}
key! {
    /// A change of a receipt.
    ReceiptLogKey { room_id: OwnedRoomId, position: Position, user_id: OwnedUserId, kind: u8, thread: String }
}
key! {
    /// A room alias.
    AliasKey { alias: OwnedRoomAliasId }
}
key! {
    /// An alias of a room, found by room.
    RoomAliasKey { room_id: OwnedRoomId, alias: OwnedRoomAliasId }
}
key! {
    /// A room that a platform lists.
    PublicRoomKey { platform: OwnedServerName, room_id: OwnedRoomId }
}
key! {
    /// A room that is blocked for a platform; for all platforms without one.
    BlockedRoomKey { platform: Option<OwnedServerName>, room_id: OwnedRoomId }
}
key! {
    /// A released handle in the order in which handles become free; handles that look alike are one.
    ReleasedHandleKey { platform: OwnedServerName, free_ts: u64, skeleton: String }
}
key! {
    /// A report, in the order in which reports came in.
    ReportKey { platform: OwnedServerName, position: Position }
}
key! {
    /// An action of an operator of a platform, in the order in which they were begun.
    OperatorActionKey { platform: OwnedServerName, position: Position }
}
key! {
    /// A report that a user has made.
    UserReportKey { user_id: OwnedUserId, position: Position }
}
key! {
    /// A delayed event in the order in which they are due.
    DelayQueueKey { platform: OwnedServerName, due_ts: u64, delay_id: String }
}
key! {
    /// A message that is to disappear, by the time at which it is to.
    DisappearingKey { disappears_ts: u64, room_id: OwnedRoomId, seq: i64 }
}
key! {
    /// An upload that is to go, by the time at which it is to.
    ExpiringMediaKey { platform: OwnedServerName, expires_ts: u64, media_id: String }
}
key! {
    /// A thumbnail; the size in pixels.
    ThumbnailKey { platform: OwnedServerName, media_id: String, width: u32, height: u32, method: String }
}
key! {
    /// A one-time key of a device, in the order in which it was uploaded; `index` within the upload.
    OneTimeKeyKey { user_id: OwnedUserId, device_id: OwnedDeviceId, algorithm: String, position: Position, index: u32 }
}
key! {
    /// The id under which a device uploaded a one-time key.
    OneTimeKeyIdKey { user_id: OwnedUserId, device_id: OwnedDeviceId, algorithm: String, key_id: String }
}
key! {
    /// A fallback key of a device.
    FallbackKeyKey { user_id: OwnedUserId, device_id: OwnedDeviceId, algorithm: String }
}
key! {
    /// A signature on a key of a user: on a device (`target` is its id) or on the master key (its public part).
    KeySignatureKey { user_id: OwnedUserId, target: String, signer: OwnedUserId, signing_key_id: String }
}
key! {
    /// A version of a user's key backup.
    KeyBackupKey { user_id: OwnedUserId, version: u64 }
}
key! {
    /// A room key in a backup.
    BackedUpKeyKey { user_id: OwnedUserId, version: u64, room_id: OwnedRoomId, session_id: String }
}
key! {
    /// An invitation of a user to somebody who did not know the user, by the day: days since the Unix epoch.
    ApproachKey { user_id: OwnedUserId, day: u64, other: OwnedUserId, room_id: OwnedRoomId }
}
key! {
    /// Somebody whom a user knows.
    ContactKey { user_id: OwnedUserId, other: OwnedUserId }
}
key! {
    /// A sliding-sync connection of a device.
    SlidingConnectionKey { user_id: OwnedUserId, device_id: OwnedDeviceId, conn_id: String }
}
key! {
    /// An entry by which somebody is found by an address: the slot that follows from the address, and the entry's own
    /// tag.
    MatchingEntryKey { platform: OwnedServerName, slot: u64, tag: u64 }
}
key! {
    /// A room on a sliding-sync connection.
    SlidingRoomKey { user_id: OwnedUserId, device_id: OwnedDeviceId, conn_id: String, room_id: OwnedRoomId }
}

catalogue! {
    /// The store's own rows.
    0 storage Meta "meta": MetaKey => Json;

    /// The signing keys of each platform, by key id; old ones stay for verification.
    10 platforms SigningKeys "signing_keys": PlatformKey => SigningKeyRecord;
    /// Tokens that allow registration.
    11 platforms RegistrationTokens "registration_tokens": PlatformKey => RegistrationTokenRecord;
    /// The keys by which push services know the platforms.
    174 platforms VapidKeys "vapid_keys": PlatformKey => VapidKeyRecord;

    /// The accounts.
    20 accounts Accounts "accounts" watched: UserKey => AccountRecord;
    /// The devices of each account, with the hashes of their tokens.
    21 accounts Devices "devices" watched: DeviceKey => DeviceRecord;
    /// Access tokens, by SHA-256 hash.
    22 accounts AccessTokens "access_tokens" watched: PlatformHashKey => AccessTokenRecord;
    /// Refresh tokens, by SHA-256 hash.
    23 accounts RefreshTokens "refresh_tokens": PlatformHashKey => RefreshTokenRecord;
    /// Profile fields, as JSON values.
    24 accounts Profiles "profiles": UserNameKey => Json;
    /// Account data of users, and of users in rooms; the content, as JSON. Tags, push rules and read markers too.
    25 accounts AccountData "account_data" watched: AccountDataKey => Stamped<Json>;
    /// How much each user has stored of what is counted as it is written, by the name of the kind.
    182 accounts StoredAmounts "stored_amounts": UserNameKey => StoredAmountRecord;
    /// Stored filters, as JSON.
    26 accounts Filters "filters": UserNameKey => Json;

    // 27 "email_addresses", 28 "user_email_addresses" and 29 "email_validations" were tables 140 to 142 for e-mail alone.

    /// Words by which users of a platform are found.
    30 directory DirectoryTerms "directory_terms": DirectoryTermKey => ();
    /// Room aliases.
    31 directory Aliases "aliases": AliasKey => AliasRecord;
    /// The aliases of each room.
    32 directory RoomAliases "room_aliases": RoomAliasKey => ();
    /// The rooms that each platform lists.
    33 directory PublicRooms "public_rooms": PublicRoomKey => ();
    /// The users who can be found, and all words by which.
    34 directory DirectoryUsers "directory_users": UserKey => DirectoryUserRecord;

    /// What concerns each user, in order; see services/inbox.
    40 inbox Inbox "inbox" watched: InboxKey => ();
    /// The rooms with so many members that they are read instead of fanned out to, by member.
    41 inbox BigRooms "big_rooms" watched: UserRoomKey => ();
    /// Messages to devices, until the device acknowledges them. A message whose label names a body is empty here.
    42 inbox ToDevice "to_device" watched: ToDeviceKey => Json;
    /// What several of these messages say, until the last of them is gone.
    190 inbox ToDeviceBodies "to_device_bodies": ToDeviceBodyKey => Json;
    /// How many messages say it.
    191 inbox ToDeviceBodyUses "to_device_body_uses": ToDeviceBodyKey => u64;

    /// The rooms.
    50 rooms Rooms "rooms": RoomKey => RoomRecord;
    /// The head of each room: the one row that every append expects.
    51 rooms RoomHeads "room_heads" watched: RoomKey => RoomHeadRecord;
    /// The events of each room in the order in which they were accepted.
    52 rooms Timeline "timeline" watched: TimelineKey => Stamped<EventRecord>;
    /// Where each event is.
    53 rooms EventIds "event_ids": EventKey => EventPlaceRecord;
    /// Events of the graph that clients do not see: rejected, or soft-failed.
    54 rooms HiddenEvents "hidden_events": RoomEventKey => EventRecord;
    /// The current state of each room.
    55 rooms CurrentState "current_state" watched: StateKey => StateEntryRecord;
    /// The changes of each room's current state, in order.
    56 rooms StateLog "state_log" watched: StateLogKey => StateEntryRecord;
    /// The states that rooms have had, as differences from an earlier one.
    57 rooms StateDeltas "state_deltas": StateIdKey => StateDeltaRecord;
    /// The users of each room and their membership.
    58 rooms Members "members" watched: RoomUserKey => MemberRecord;
    /// The rooms of each hosted user and the user's membership.
    59 rooms Memberships "memberships" watched: UserRoomKey => Stamped<MembershipRecord>;
    /// Relations between events (edits, reactions, threads, references), by parent.
    60 rooms Relations "relations" watched: RelationKey => RelationRecord;
    /// The threads of each room, by root.
    61 rooms Threads "threads": RoomEventKey => ThreadRecord;
    /// Transaction ids that were used, and what they made.
    62 rooms Transactions "transactions": TransactionKey => TransactionRecord;
    /// The newest receipt of each user.
    63 rooms Receipts "receipts" watched: ReceiptKey => Stamped<ReceiptRecord>;
    /// The changes of receipts, in order; only the newest of each receipt.
    64 rooms ReceiptLog "receipt_log" watched: ReceiptLogKey => ReceiptRecord;
    /// Words of unencrypted messages, by chunks of the timeline (`seq` is the first of the chunk).
    65 rooms SearchChunks "search_chunks": TimelineKey => SearchChunkRecord;
    /// Reports of rooms, events and users, as the operators of each platform were told of them.
    66 rooms Reports "reports": ReportKey => ReportRecord;

    /// Events that are, or were, to be sent later, by id.
    68 rooms DelayedEvents "delayed_events": PlatformKey => DelayedEventRecord;
    /// Those of them that wait, in the order in which they are due.
    69 rooms DelayedEventQueue "delayed_event_queue": DelayQueueKey => ();

    /// Pushers.
    70 push Pushers "pushers" watched: PusherKey => PusherRecord;
    /// Counts of unread messages, as far as they were counted.
    71 push UnreadCounts "unread_counts": UserRoomKey => UnreadCountsRecord;

    /// Media that were uploaded.
    80 media Media "media": PlatformKey => MediaRecord;
    /// Thumbnails that were made.
    81 media Thumbnails "thumbnails": ThumbnailKey => ThumbnailRecord;
    /// How many bytes each user has stored.
    82 media MediaUsage "media_usage": UserKey => u64;
    /// What each user has uploaded: the ids of their media.
    180 media UserMedia "user_media": UserNameKey => ();
    /// Media ids that each user was given and has not used yet.
    83 media PendingMedia "pending_media": UserKey => PendingMediaRecord;

    /// The identity keys of devices, as uploaded.
    90 keys DeviceKeys "device_keys": DeviceKey => Json;
    /// One-time keys that nobody was given yet.
    91 keys OneTimeKeys "one_time_keys" watched: OneTimeKeyKey => OneTimeKeyRecord;
    /// The ids of all one-time keys that a device ever uploaded, those that were given out too, with hashes of the keys.
    92 keys OneTimeKeyIds "one_time_key_ids": OneTimeKeyIdKey => OneTimeKeyIdRecord;
    /// How many of these ids are kept of each device.
    183 keys OneTimeKeyIdCounts "one_time_key_id_counts": DeviceKey => u64;
    /// Keys that are given out when one-time keys have run out.
    93 keys FallbackKeys "fallback_keys" watched: FallbackKeyKey => FallbackKeyRecord;
    /// Cross-signing keys by usage (`master`, `self_signing`, `user_signing`), as uploaded.
    94 keys CrossSigningKeys "cross_signing_keys": UserNameKey => Json;
    /// Signatures that were made after the keys that they are on were uploaded.
    95 keys KeySignatures "key_signatures": KeySignatureKey => KeySignatureRecord;
    /// Versions of key backups.
    96 keys KeyBackups "key_backups": KeyBackupKey => KeyBackupRecord;
    /// The room keys in backups, encrypted by clients.
    97 keys BackedUpKeys "backed_up_keys": BackedUpKeyKey => BackedUpKeyRecord;
    /// Devices that receive while no client is logged in.
    98 keys DehydratedDevices "dehydrated_devices": UserKey => DehydratedDeviceRecord;
    /// Devices that are gone, until the services above have removed what they keep for them.
    99 accounts DepartedDevices "departed_devices": DeviceKey => ();

    /// The OAuth clients of each platform, by id.
    100 oauth OAuthClients "oauth_clients": PlatformKey => OAuthClientRecord;
    /// Authorisation codes, by SHA-256 hash.
    101 oauth AuthorizationCodes "authorization_codes": PlatformHashKey => AuthorizationCodeRecord;
    /// What devices without a browser wait for, by the SHA-256 hash of their device code.
    102 oauth DeviceGrants "device_grants": PlatformHashKey => DeviceGrantRecord;
    /// The device grants (their hashes) by the code that people type.
    103 oauth UserCodes "user_codes": PlatformKey => UserCodeRecord;
    /// Who has logged in with a browser, by the SHA-256 hash of the cookie.
    104 oauth BrowserSessions "browser_sessions": PlatformHashKey => BrowserSessionRecord;

    /// The sliding-sync connections of each device.
    110 sync SlidingConnections "sliding_connections" watched: SlidingConnectionKey => SlidingConnectionRecord;
    /// What was sent of each room on a sliding-sync connection.
    111 sync SlidingRooms "sliding_rooms": SlidingRoomKey => SlidingRoomRecord;
    // 115 "user_delayed_events" had a row for each delayed event of a user.
    /// Rooms that guests may no longer join, until the guests who are in them have been removed.
    118 rooms ClosedToGuests "closed_to_guests": RoomKey => ();
    /// The threads to which each user has subscribed, or has not any more.
    116 push ThreadSubscriptions "thread_subscriptions": UserRoomEventKey => Stamped<ThreadSubscriptionRecord>;
    /// These subscriptions in the order in which they changed; only the newest change of each.
    117 push ThreadSubscriptionLog "thread_subscription_log": ThreadLogKey => ();

    /// Accounts that are deactivated and not yet out of everything.
    130 accounts DepartingAccounts "departing_accounts": UserKey => DepartingAccountRecord;
    /// Redactions of events that are not known yet, by their places.
    131 rooms AwaitedRedactions "awaited_redactions": RedactionKey => ();
    /// Accounts whose users wanted what they said to be erased; the position says since when it is.
    134 accounts ErasedAccounts "erased_accounts" watched: UserKey => Stamped<()>;
    /// The ids of the delayed events of each user.
    135 rooms UserDelayedEvents "delayed_events_of_users": UserKey => UserDelayedEventsRecord;
    /// The e-mail addresses and phone numbers of each platform's users; never shown to others.
    140 accounts ThirdPartyIds "third_party_ids": ThirdPartyIdKey => ThirdPartyIdRecord;
    /// The e-mail addresses and phone numbers of each user.
    141 accounts UserThirdPartyIds "user_third_party_ids": UserThirdPartyIdKey => ();
    /// E-mail addresses and phone numbers that are being validated, by the session's id.
    142 accounts Validations "validations": PlatformKey => ValidationRecord;

    /// How many people who do not know them each user has approached on the last day of it, and how that went before.
    143 rooms ApproachCounts "approach_counts": UserKey => ApproachCountsRecord;
    /// These approaches of the last weeks: by them it is known later who has come.
    144 rooms Approaches "approaches": ApproachKey => ();

    /// The handles of each platform that somebody has or has released, by their skeletons: handles that look alike are one.
    145 accounts Handles "handles": PlatformKey => HandleRecord;
    /// The handle of each user.
    146 accounts UserHandles "user_handles": UserKey => UserHandleRecord;
    /// Released handles, in the order in which others can have them.
    147 accounts ReleasedHandles "released_handles": ReleasedHandleKey => ();
    /// The reports that each user has made, with the platforms that were told.
    165 rooms UserReports "user_reports": UserReportKey => UserReportRecord;

    /// Rooms that operators have blocked.
    193 rooms BlockedRooms "blocked_rooms": BlockedRoomKey => BlockedRoomRecord;
    /// Rooms that operators have deleted, or that are being deleted, by the ids of the deletions.
    194 rooms RoomDeletions "room_deletions": PlatformKey => RoomDeletionRecord;
    /// The accounts that the notices of each platform come from.
    195 accounts NoticesAccounts "notices_accounts": PlatformKey => NoticesAccountRecord;
    /// The rooms in which people are told notices of their platform.
    196 rooms NoticeRooms "notice_rooms": UserKey => NoticeRoomRecord;
    /// Notices to everybody of a platform, by their ids.
    197 rooms NoticeTasks "notice_tasks": PlatformKey => NoticeTaskRecord;

    /// What operators did, by platform.
    192 operators OperatorActions "operator_actions": OperatorActionKey => OperatorActionRecord;

    /// The accounts that are linked with each user's; every account of a person has a row of its own.
    166 accounts AccountLinks "account_links" watched: UserKey => AccountLinksRecord;
    /// Codes by which an account is linked with another, by SHA-256 hash, on the platform of who was given them.
    167 accounts LinkCodes "link_codes": PlatformHashKey => LinkCodeRecord;
    /// Who was given a code to be linked by, and who has entered it.
    168 accounts LinkOffers "link_offers": UserKey => LinkOfferRecord;
    /// Whose account each demo account is, by the name that the configuration has for it.
    181 accounts DemoAccounts "demo_accounts": PlatformKey => DemoAccountRecord;

    /// The key by which addresses are matched, and how many buckets there are. There is one row, at item 0.
    160 matching MatchingKeys "matching_keys" watched: MetaKey => MatchingKeyRecord;
    /// Who is found by an address, sealed: see services/matching. The rows name nobody.
    161 matching MatchingEntries "matching_entries": MatchingEntryKey => SealedEntry;
    // 162 was "matching_choices": whether somebody is found by their addresses.
    /// How much each user has asked for today.
    163 matching MatchingUses "matching_uses": UserKey => MatchingUseRecord;
    /// Who is found by an address, by its SHA-256 hash with the pepper of the present key; only if a platform has people
    /// looked up so.
    164 matching MatchingHashes "matching_hashes": PlatformHashKey => MatchingHashRecord;

    /// Invitations to addresses that wait for somebody, by the platforms of their inviters and by their tokens.
    156 rooms WaitingInvitations "waiting_invitations": PlatformKey => WaitingInvitationRecord;
    /// The invitations to addresses that each user has made, and how many of them today.
    157 rooms UserInvitations "user_invitations": UserKey => UserInvitationsRecord;
    /// The invitations that wait for each address, by the platforms of their inviters.
    158 rooms AddressInvitations "address_invitations": ThirdPartyIdKey => AddressInvitationsRecord;
    /// Who has just shown that an address is theirs, until the invitations to it were looked at.
    159 rooms ProvedAddresses "proved_addresses" watched: UserThirdPartyIdKey => ();

    /// Messages that are to disappear, in the order in which they do.
    170 rooms DisappearingMessages "disappearing_messages": DisappearingKey => ();
    /// Uploads that go with such messages, in the order in which they do.
    171 media ExpiringMedia "expiring_media": ExpiringMediaKey => ();
    /// Links by which people join a room, by the SHA-256 hashes of their tokens.
    178 rooms JoinLinks "join_links": RoomHashKey => JoinLinkRecord;
    /// The rooms of these links, by the platforms of their makers and the same hashes.
    179 rooms JoinTokens "join_tokens": PlatformHashKey => JoinTokenRecord;

    /// The people whom each user has accepted or written to.
    150 contacts Contacts "contacts" watched: ContactKey => ContactRecord;
    /// The same the other way round: by each user, the people whose contact the user is.
    151 contacts ContactOf "contact_of": ContactKey => ();
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{DECODERS, TABLES};
    use crate::memory::SplitMix64;

    #[test]
    fn numbers_and_names_are_unique() {
        let numbers: HashSet<_> = TABLES.iter().map(|table| table.id).collect();
        let names: HashSet<_> = TABLES.iter().map(|table| table.name).collect();
        assert_eq!((numbers.len(), names.len()), (TABLES.len(), TABLES.len()));
    }

    #[test]
    fn no_bytes_make_a_decoder_panic() {
        let mut random = SplitMix64(3);
        let mut decoded = (0, 0);
        for _ in 0..4000 {
            let len = random.below(120);
            let mut bytes: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
            // Many begin as records do, or are short texts and small numbers.
            match random.below(3) {
                0 if len > 0 => bytes[0] = 0x90 | (bytes[0] & 0x0F),
                1 => bytes
                    .iter_mut()
                    .for_each(|byte| *byte = [0, 1, 2, b'a', b':', 0xA1, 0x93, 0xC0][usize::from(*byte % 8)]),
                _ => {}
            }
            for decode in DECODERS {
                let (key, value) = decode(&bytes);
                decoded.0 += usize::from(key);
                decoded.1 += usize::from(value);
            }
        }
        assert!(decoded.0 > 0 && decoded.1 > 0, "the bytes are too wild to test anything");
    }
}
