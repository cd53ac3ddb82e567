//! The values of the catalogue's tables.
//!
//! They are stored as MessagePack arrays: a new field goes to the end, with `#[serde(default)]`.

use std::collections::BTreeMap;

use ruma::{
    OwnedDeviceId, OwnedEventId, OwnedMxcUri, OwnedRoomId, OwnedServerName, OwnedUserId,
    events::room::member::MembershipState,
};
use serde::{Deserialize, Serialize};

use crate::{KeyError, KeyField, KeyReader, KeyWriter, Record, Value};

macro_rules! records {
    ($($(#[$meta:meta])* $name:ident { $($(#[$fmeta:meta])* $field:ident: $type:ty),* $(,)? })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[allow(missing_docs)]
        pub struct $name { $($(#[$fmeta])* pub $field: $type),* }
        impl Record for $name {}
    )*};
}

records! {
    /// An Ed25519 signing key of a platform.
    SigningKeyRecord {
        /// This is a PKCS#8 document in DER.
        der: Vec<u8>,
        created_ts: u64,
        /// From this time on it signs nothing new.
        expired_ts: Option<u64>,
    }
    /// A key by which push services know a platform.
    VapidKeyRecord {
        /// This is a PKCS#8 document in DER.
        der: Vec<u8>,
    }
    /// A registration token.
    RegistrationTokenRecord {
        uses_allowed: Option<u64>,
        completed: u64,
        expires_ts: Option<u64>,
    }
    /// An account.
    AccountRecord {
        /// This is a PHC string; without one, nobody can log in by password.
        password_hash: Option<String>,
        created_ts: u64,
        deactivated: bool,
        admin: bool,
        /// The account may only read, leave, and take back what it said.
        #[serde(default)]
        suspended: bool,
        /// The account may do nothing but log out.
        #[serde(default)]
        locked: bool,
        /// Its user has not registered, and may do only what guests may.
        #[serde(default)]
        guest: bool,
    }
    /// What is still to be done for an account that is deactivated.
    DepartingAccountRecord {
        /// Its profile is to be removed, too.
        erase: bool,
    }
    /// A device: one log-in of a user.
    DeviceRecord {
        display_name: Option<String>,
        created_ts: u64,
        last_seen_ts: u64,
        last_seen_ip: Option<String>,
        access_token: [u8; 32],
        refresh_token: Option<[u8; 32]>,
        /// The access token before the last refresh; it goes once the new one is used.
        #[serde(default)]
        previous_access_token: Option<[u8; 32]>,
        /// The refresh token before the last refresh; it goes with the access token of its time.
        #[serde(default)]
        previous_refresh_token: Option<[u8; 32]>,
        /// The OAuth client that the session belongs to; None if it began by logging in directly.
        #[serde(default)]
        client_id: Option<String>,
        /// This is common to all refresh tokens of an OAuth session, hashed: it tells a spent one.
        #[serde(default)]
        refresh_family: Option<[u8; 32]>,
        /// It is a dehydrated device: no client is logged in as it.
        #[serde(default)]
        dehydrated: bool,
        /// The kinds of content that its app shows, by their names. None if the app has not said it.
        #[serde(default)]
        shows: Option<Vec<String>>,
        /// It is a visitor's who uses a demo account.
        #[serde(default)]
        is_visitors: bool,
    }
    /// Whose account a demo account of the configuration is.
    DemoAccountRecord { user_id: OwnedUserId }
    /// The key by which addresses are matched.
    MatchingKeyRecord {
        /// This is a scalar of the group.
        secret: [u8; 32],
        /// It is one more than that of the key before.
        version: u32,
        created_ts: u64,
        /// The first bits of a slot, as many as this, name a bucket.
        bucket_bits: u8,
        /// All who are to be found have their entries.
        is_filled: bool,
        /// They are found by hashes of their addresses as well.
        has_hashes: bool,
        /// What each platform, by server name, said of who is found when all had their entries.
        #[serde(default)]
        usual: BTreeMap<String, String>,
    }
    /// Who is found by the hash of an address.
    MatchingHashRecord {
        user_id: OwnedUserId,
        /// The address is a phone number; else it is an e-mail address.
        #[serde(default)]
        is_phone: bool,
    }
    /// What a user has asked for on a day.
    MatchingUseRecord {
        /// The days since the Unix epoch.
        day: u64,
        elements: u32,
        buckets: u32,
    }
    /// The approaches of a user on the last day on which there were any.
    ApproachCountsRecord {
        /// The days since the Unix epoch.
        day: u64,
        count: u32,
        /// The people approached in the weeks before that day who have come, or had time to.
        approached: u32,
        /// Those of them who have come.
        accepted: u32,
    }
    /// The owner of a third-party identifier.
    ThirdPartyIdRecord {
        user_id: OwnedUserId,
        validated_ts: u64,
        added_ts: u64,
    }
    /// The owner of a handle, and of all that look like it.
    HandleRecord {
        user_id: OwnedUserId,
        /// The one of them that the user has, or had last.
        handle: String,
        /// The time at which the user gave it up.
        released_ts: Option<u64>,
    }
    /// The handle of a user.
    UserHandleRecord {
        handle: String,
        /// The times of the last changes, the newest last; services/accounts says how many count.
        changes_ts: Vec<u64>,
    }
    /// Somebody is asked to show that a third-party identifier is theirs.
    ValidationRecord {
        medium: String,
        address: String,
        /// What this is asked for; services/accounts says what there is.
        purpose: String,
        client_secret: [u8; 32],
        /// The client's number for the last message.
        send_attempt: u64,
        /// The hash of the token in the link of the last mail. None if it had no link.
        token: Option<[u8; 32]>,
        /// The hash of the code in the last message. None if it had no code, or that is used up.
        code: Option<[u8; 32]>,
        code_expires_ts: u64,
        /// How many wrong codes were tried since the last message.
        wrong_codes: u32,
        next_link: Option<String>,
        expires_ts: u64,
        validated_ts: Option<u64>,
    }
    /// The accounts that are linked with a user's, and what the user has chosen about them.
    AccountLinksRecord {
        /// The others of the same person in the order of their ids, and since when each is linked with the user's.
        others: Vec<(OwnedUserId, u64)>,
        /// Whether the user's contacts are shown them.
        shown: bool,
        /// The one of them at which direct chats with the user arrive, too.
        arrive_at: Option<OwnedUserId>,
    }
    /// The account that a code is to link.
    LinkCodeRecord { user_id: OwnedUserId }
    /// An account that offers itself to be linked.
    LinkOfferRecord {
        /// The hash of the code.
        code: [u8; 32],
        expires_ts: u64,
        /// Who has entered the code, and waits to be confirmed.
        entered_by: Option<OwnedUserId>,
    }
    /// The session of an access token.
    AccessTokenRecord {
        user_id: OwnedUserId,
        device_id: OwnedDeviceId,
        expires_ts: Option<u64>,
    }
    /// The session of a refresh token.
    RefreshTokenRecord {
        user_id: OwnedUserId,
        device_id: OwnedDeviceId,
        /// It was exchanged already. Until the new access token is used, it gives that pair's successor.
        used: bool,
    }
    /// A one-time key.
    OneTimeKeyRecord {
        /// The key's id within its algorithm.
        key_id: String,
        /// The key as JSON.
        key: String,
    }
    /// A one-time key id that is used up.
    OneTimeKeyIdRecord {
        /// This is the SHA-256 hash of what the key says: its canonical JSON without signatures.
        hash: [u8; 32],
    }
    /// A fallback key.
    FallbackKeyRecord {
        key_id: String,
        /// The key as JSON.
        key: String,
        /// It was given to somebody.
        used: bool,
        /// The SHA-256 hashes of what the keys said whose place it took, the newest last.
        #[serde(default)]
        replaced: Vec<[u8; 32]>,
    }
    /// How much somebody has stored of something.
    StoredAmountRecord {
        entries: u64,
        size_bytes: u64,
    }
    /// A signature.
    KeySignatureRecord {
        /// The signature as it was uploaded; it is unpadded base64 if the server knows the algorithm.
        signature: String,
    }
    /// A version of a key backup.
    KeyBackupRecord {
        algorithm: String,
        /// This is a JSON object.
        auth_data: String,
        /// This number rises with every change of the keys.
        etag: u64,
        /// How many keys are in it.
        count: u64,
        /// The version was deleted; its number is not used again.
        deleted: bool,
        /// How many bytes the keys have. None if they were counted by number only when they were written.
        #[serde(default)]
        size_bytes: Option<u64>,
    }
    /// A room key in a backup.
    BackedUpKeyRecord {
        first_message_index: u64,
        forwarded_count: u64,
        is_verified: bool,
        /// This is a JSON object.
        session_data: String,
    }
    /// A dehydrated device.
    DehydratedDeviceRecord {
        device_id: OwnedDeviceId,
        /// This is a JSON object.
        device_data: String,
    }
    /// A sliding-sync connection.
    SlidingConnectionRecord {
        /// By this number it is told from earlier connections of the same name.
        generation: u64,
        /// The day on which it was last used, in milliseconds since the Unix epoch.
        used_ts: u64,
    }
    /// What a device has been sent of a room on a connection. The answers of a connection are numbered.
    SlidingRoomRecord {
        generation: u64,
        /// The number of the answer that first had the room.
        sent_from: u64,
        /// The number of the answer since which every answer has had all news of the room. The greatest
        /// number says that it fell behind.
        live_from: u64,
        /// The position up to which the room had been sent when the device last fell behind.
        behind: Option<u64>,
        /// How many events a timeline had, each with the number of its answer.
        timelines: Vec<(u64, u64)>,
        /// The hashes of the sets of state that were sent, each with the number of its answer.
        states: Vec<(u64, u64)>,
    }
    /// A client that was registered with a platform.
    OAuthClientRecord {
        client_name: Option<String>,
        client_uri: String,
        logo_uri: Option<String>,
        tos_uri: Option<String>,
        policy_uri: Option<String>,
        redirect_uris: Vec<String>,
        grant_types: Vec<String>,
        /// The kind of the application, `web` or `native`.
        application_type: String,
        created_ts: u64,
        /// The day on which somebody last allowed it something; None if nobody ever did.
        used_ts: Option<u64>,
    }
    /// An authorisation code.
    AuthorizationCodeRecord {
        client_id: String,
        redirect_uri: String,
        /// The challenge of PKCE, by the method S256.
        code_challenge: String,
        user_id: OwnedUserId,
        device_id: OwnedDeviceId,
        /// The scope as it was granted.
        scope: String,
        expires_ts: u64,
        /// It was exchanged for tokens. Whoever comes with it again has stolen it, or had it stolen.
        redeemed: bool,
        /// The SHA-256 hash of the stored hash of the password that the user proved; None if there is none.
        /// With another password, the code is worth nothing.
        #[serde(default)]
        password_stamp: Option<[u8; 32]>,
    }
    /// What a device without a browser waits for.
    DeviceGrantRecord {
        client_id: String,
        device_id: OwnedDeviceId,
        /// The scope as it will be granted.
        scope: String,
        user_code: String,
        expires_ts: u64,
        /// The user who allowed it, if somebody has.
        allowed_by: Option<OwnedUserId>,
        denied: bool,
        /// The SHA-256 hash of the stored hash of that user's password, as in an authorisation code.
        #[serde(default)]
        password_stamp: Option<[u8; 32]>,
    }
    /// The device grant of a code that people type.
    UserCodeRecord {
        /// The SHA-256 hash of its device code.
        device_code: [u8; 32],
        expires_ts: u64,
    }
    /// Somebody who has logged in to the pages of a platform with a browser.
    BrowserSessionRecord {
        user_id: OwnedUserId,
        /// The SHA-256 hash of the account's stored password hash, if it has a password: with another one, the
        /// session ends.
        password_stamp: Option<[u8; 32]>,
        /// The time at which the password was last proved.
        proved_ts: u64,
        expires_ts: u64,
    }
    /// The room that an alias points at.
    AliasRecord {
        room_id: OwnedRoomId,
        creator: OwnedUserId,
    }
    /// The words by which a user is found.
    DirectoryUserRecord {
        /// The words of the display name, folded and each once.
        name_words: Vec<String>,
        /// The words of the handle or, where it may be searched, the localpart. A handle that is not the localpart is
        /// among them as a whole, after an `@`.
        handle_words: Vec<String>,
        /// Who may find the user by name, if the user has said it; services/directory has the numbers.
        name_said: u8,
        /// The same of the handle.
        handle_said: u8,
    }
    /// The facts about a room that never change, and whether its news are fanned out to its members.
    RoomRecord {
        version: String,
        creator: OwnedUserId,
        create_event_id: OwnedEventId,
        created_ts: u64,
        room_type: Option<String>,
        /// Its members look at the room itself for news; they get no pointers in their inboxes.
        big: bool,
    }
    /// The end of a room's graph.
    RoomHeadRecord {
        /// The place of the newest event in the timeline. The first place is 1.
        seq: i64,
        /// The events that no other event names as previous.
        extremities: Vec<OwnedEventId>,
        /// The greatest depth of an event.
        depth: u64,
        /// The number of the current state.
        state_id: u64,
        /// The greatest state number given out.
        last_state_id: u64,
        /// How many members have the membership `join`.
        joined: u64,
        /// How many members have the membership `invite`.
        invited: u64,
        /// What the only member has sent while others had not answered: how many events.
        #[serde(default)]
        unanswered: u32,
        /// How many bytes their contents have.
        #[serde(default)]
        unanswered_bytes: u64,
        /// How much state people have put into the room beside their own memberships. None if it was not counted yet.
        #[serde(default)]
        state_size: Option<StoredAmountRecord>,
    }
    /// An entry of a room's state.
    StateEntryRecord {
        /// The entry's event. None stands in the log only: state resolution took the entry away.
        event_id: Option<OwnedEventId>,
        /// The event's place in the timeline; 0 when it is hidden.
        seq: i64,
    }
    /// A state as changes to an earlier state.
    StateDeltaRecord {
        /// The number of the earlier state. None if the changes are the whole state.
        parent: Option<u64>,
        /// How many states may still be told as differences before one is told whole.
        until_whole: u32,
        changes: Vec<(String, String, Option<OwnedEventId>)>,
    }
    /// A user's membership of a room.
    MemberRecord {
        /// One of `join`, `invite`, `leave`, `ban` and `knock`.
        membership: MembershipState,
        event_id: OwnedEventId,
        seq: i64,
    }
    /// A hosted user's membership, with what the user may see of the room without being in it.
    MembershipRecord {
        membership: MembershipState,
        event_id: OwnedEventId,
        seq: i64,
        sender: OwnedUserId,
        /// The stripped state events that come with an invitation or a knock.
        stripped_state: Vec<String>,
        /// The user has forgotten the room.
        forgotten: bool,
        /// The invitation waits among the user's requests. Of whoever is not in the room any more and was told nothing:
        /// an invitation was kept from them, or deleted by them.
        #[serde(default)]
        is_request: bool,
        /// The invitation is kept from the user, or was deleted by the user; its sender learns neither. Of whoever is
        /// not in the room any more: they were told nothing of it.
        #[serde(default)]
        is_hidden: bool,
        /// The invitation is to a direct chat.
        #[serde(default)]
        is_direct: bool,
    }
    /// Somebody whom a user has accepted or written to.
    ContactRecord {
        since_ts: u64,
        /// How they became a contact; services/contacts says what there is.
        how: String,
    }
    /// The child's side of a relation.
    RelationRecord {
        event_id: OwnedEventId,
        event_type: String,
        sender: OwnedUserId,
        /// The key, if it is an annotation.
        key: Option<String>,
        /// Whether the event is withheld from all but its sender.
        #[serde(default)]
        withheld: bool,
        /// The time at which the event disappears, if it does.
        #[serde(default)]
        disappears_ts: Option<u64>,
    }
    /// A thread.
    ThreadRecord {
        latest_seq: i64,
        count: u64,
        /// Those who have replied, and how often each has.
        participants: Vec<(OwnedUserId, u64)>,
        /// Whether a reply was withheld from all but its sender.
        #[serde(default)]
        has_withheld: bool,
        /// How many replies disappear.
        #[serde(default)]
        disappearing: u64,
        /// The earliest time at which one of them does.
        #[serde(default)]
        disappears_ts: Option<u64>,
    }
    /// The outcome of a transaction.
    TransactionRecord {
        /// The event, if the endpoint makes one.
        event_id: Option<OwnedEventId>,
        ts: u64,
    }
    /// A receipt.
    ReceiptRecord {
        event_id: OwnedEventId,
        seq: i64,
        ts: u64,
        /// The room's access list denied the user's platform, so nobody of another platform is told of it.
        #[serde(default)]
        own_platform: bool,
        /// Nobody but the user is told of it.
        #[serde(default)]
        own_only: bool,
    }
    /// The words of a chunk of a room's timeline.
    SearchChunkRecord {
        /// They are in lower case and sorted, and each is there once.
        words: Vec<String>,
    }
    /// A report, as a platform was told of it.
    ReportRecord {
        /// This is None if the platform is not to know, or the account is gone.
        reporter: Option<OwnedUserId>,
        room_id: Option<OwnedRoomId>,
        event_id: Option<OwnedEventId>,
        /// The user who is reported, or the sender of the event.
        user_id: Option<OwnedUserId>,
        reason: Option<String>,
        score: Option<i64>,
        ts: u64,
        /// The event as JSON, in the clear.
        #[serde(default)]
        content: Option<String>,
        /// The content is what the reporter's client says, and nobody can check it.
        #[serde(default)]
        is_claimed: bool,
        /// The time at which an operator of the platform closed it.
        #[serde(default)]
        closed_ts: Option<u64>,
        /// What the operator noted.
        #[serde(default)]
        note: Option<String>,
    }
    /// What an operator did.
    OperatorActionRecord {
        /// When it was begun.
        ts: u64,
        /// The administrator. This is None if it was the operator of the whole back-end.
        operator: Option<OwnedUserId>,
        /// The name of the operation, such as `lock_user`.
        action: String,
        /// On whom or what, as the request named it.
        subjects: Vec<String>,
        /// How it ended: the status of the answer. It is None while the action is under way, and if the program was
        /// stopped meanwhile.
        status: Option<u16>,
    }
    /// The account that a platform's notices come from.
    NoticesAccountRecord { user_id: OwnedUserId }
    /// The room in which a user is told notices.
    NoticeRoomRecord { room_id: OwnedRoomId }
    /// A notice to everybody of a platform.
    NoticeTaskRecord {
        /// The content as JSON, as the operator sent it.
        content: String,
        requested_ts: u64,
        /// The last user who was told, or could not be.
        told_to: Option<OwnedUserId>,
        /// How many people were told.
        sent: u64,
        /// How many people could not be told.
        failed: u64,
        ended_ts: Option<u64>,
    }
    /// A room that is blocked.
    BlockedRoomRecord { blocked_ts: u64 }
    /// The deletion of a room.
    RoomDeletionRecord {
        room_id: OwnedRoomId,
        requested_ts: u64,
        /// The people of all platforms are removed. Else it is those of the platform that was asked.
        of_all: bool,
        /// What is said to those who are removed.
        message: Option<String>,
        /// What nobody may read any more is removed from the store.
        purge: bool,
        /// The room to which those who are removed are brought, and who brings them.
        new_room: Option<(OwnedRoomId, OwnedUserId)>,
        /// How far it is; services/rooms says what there is.
        stage: u8,
        /// How many people were removed.
        removed: u64,
        /// The room was removed from the store.
        purged: bool,
        ended_ts: Option<u64>,
        /// Why it could not be finished.
        error: Option<String>,
    }
    /// The platforms that were told of a report.
    UserReportRecord {
        platforms: Vec<OwnedServerName>,
        /// The report itself, if no platform was told of it.
        #[serde(default)]
        untold: Option<ReportRecord>,
    }
    /// An invitation to an address that waits for somebody who has the address.
    WaitingInvitationRecord {
        inviter: OwnedUserId,
        room_id: OwnedRoomId,
        /// It is `email` or `msisdn`.
        medium: String,
        /// It is empty if the invitation can reach nobody any more.
        address: String,
        is_direct: bool,
        /// The key that signs who the invitee is: a PKCS#8 document in DER.
        secret_key: Vec<u8>,
        made_ts: u64,
    }
    /// What a user has invited by address.
    UserInvitationsRecord {
        /// The tokens of those that waited when the last one was made.
        tokens: Vec<String>,
        /// The day on which the last ones were counted, in days since the Unix epoch.
        day: u64,
        /// How many there were on that day.
        today: u32,
    }
    /// The invitations that wait for an address.
    AddressInvitationsRecord {
        /// Their tokens, the oldest first.
        tokens: Vec<String>,
    }
    /// A link by which people join a room.
    JoinLinkRecord {
        /// Whoever has it can join, in the name of the maker.
        token: String,
        maker: OwnedUserId,
        made_ts: u64,
        expires_ts: Option<u64>,
        uses_allowed: Option<u64>,
        uses: u64,
    }
    /// The room that a link leads to.
    JoinTokenRecord { room_id: OwnedRoomId }
    /// An event that is, or was, to be sent later.
    DelayedEventRecord {
        user_id: OwnedUserId,
        device_id: OwnedDeviceId,
        room_id: OwnedRoomId,
        event_type: String,
        state_key: Option<String>,
        /// The content as JSON, as the client sent it.
        content: String,
        /// The endpoint that scheduled it: a transaction id counts within it.
        endpoint: String,
        txn_id: Option<String>,
        delay_ms: u64,
        /// The time at which it was scheduled or last restarted.
        running_since_ts: u64,
        /// The time at which it was sent, cancelled, or failed.
        finalised_ts: Option<u64>,
        /// Somebody's action ended it, and not time.
        by_action: bool,
        /// The event that it became.
        event_id: Option<OwnedEventId>,
        /// The code and the message of the error for which it could not be sent.
        error: Option<(String, String)>,
        /// The uploads that its sender says it carries.
        #[serde(default)]
        attached: Vec<OwnedMxcUri>,
    }
    /// The delayed events of a user, with those that have ended and are not forgotten yet.
    UserDelayedEventsRecord {
        /// Their ids, in no particular order.
        ids: Vec<String>,
    }
    /// A pusher.
    PusherRecord {
        /// The pusher as JSON, as the client set it.
        json: String,
        device_id: OwnedDeviceId,
        failing_since_ts: Option<u64>,
        /// What the app gives back that was pushed to it, and so shows that this reaches it. None if it has been given
        /// back, or the pusher is of a kind that is not asked for it.
        #[serde(default)]
        ack_token: Option<String>,
        /// From this time on the token is worth nothing.
        #[serde(default)]
        ack_expires_ts: u64,
    }
    /// Counts of unread messages in a room, of the main timeline and of each thread.
    UnreadCountsRecord {
        /// Events up to this place are counted.
        counted_to: i64,
        /// Events up to this place were read when they were counted.
        read_to: i64,
        notify: u64,
        highlight: u64,
        /// For each thread: its root, its own read mark, and how many replies notify and highlight.
        threads: Vec<(OwnedEventId, i64, u64, u64)>,
        /// The earliest time at which one of the counted events disappears, if any does.
        #[serde(default)]
        disappears_ts: Option<u64>,
    }
    /// A user's subscription to a thread, or the end of it.
    ThreadSubscriptionRecord {
        /// A client subscribed by itself, without being told to.
        automatic: bool,
        /// If the user has ended it: the place of the room's newest event at that time.
        ended_at: Option<i64>,
    }
    /// An upload.
    MediaRecord {
        user_id: OwnedUserId,
        content_type: Option<String>,
        filename: Option<String>,
        size_bytes: u64,
        created_ts: u64,
        /// The content's name in the object store; None if the content has not come yet.
        object: Option<String>,
        /// The time at which the last message that is known to carry it disappears. It is the greatest there is if such
        /// a message stays.
        #[serde(default)]
        expires_ts: Option<u64>,
        /// Operators have taken it out of use: nobody is given it.
        #[serde(default)]
        quarantined: bool,
        /// Operators keep it from what removes or quarantines many at a time.
        #[serde(default)]
        protected: bool,
    }
    /// The media ids of a user that were given out and are not used yet.
    PendingMediaRecord {
        /// The ids, each with the time at which it expires.
        ids: Vec<(String, u64)>,
    }
}

/// An entry that tells who is found by an address, to those who know the address. It is kept as it is handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedEntry(pub Vec<u8>);

impl Value for SealedEntry {
    fn write(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.0);
    }
    fn read(from: &[u8]) -> Result<Self, String> {
        Ok(Self(from.to_owned()))
    }
}

/// The outcome of making a thumbnail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ThumbnailRecord {
    /// The thumbnail was made.
    Made {
        /// The content type of the thumbnail.
        content_type: String,
        /// The size of the thumbnail.
        size_bytes: u64,
    },
    /// The original is so small that it is its own thumbnail.
    Original,
    /// No thumbnail can be made.
    Impossible,
}
impl Record for ThumbnailRecord {}

/// The place of an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum EventPlaceRecord {
    /// The event is in the timeline of a room, at this place.
    Timeline(OwnedRoomId, i64),
    /// The event is among the hidden events of a room.
    Hidden(OwnedRoomId),
}
impl Record for EventPlaceRecord {}

/// An event as it is stored: its id, the states around it, and the PDU's JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRecord {
    /// The state before it.
    pub state_before: u64,
    /// The state after it.
    pub state_after: u64,
    /// The `FLAG_` constants that hold, as bits.
    pub flags: u8,
    /// The device that sent it and its transaction id, if it was sent here: "device\0txn"; or the id that it had
    /// while it was delayed: "\0\0delay_id".
    pub sent_by: String,
    /// The id of the event.
    pub event_id: OwnedEventId,
    /// The PDU as canonical JSON, without the id; signatures may be missing.
    pub pdu: String,
    /// The time at which the event disappears, if it does, in milliseconds since the Unix epoch.
    pub disappears_ts: Option<u64>,
}

/// The event failed authorisation.
pub const FLAG_REJECTED: u8 = 1;
/// The event passed authorisation where it stands, but not against the current state.
pub const FLAG_SOFT_FAILED: u8 = 2;
/// The event was redacted; `pdu` is the redacted form.
pub const FLAG_REDACTED: u8 = 4;
/// The event is withheld from all but its sender.
pub const FLAG_WITHHELD: u8 = 8;
/// The row has the time at which the event disappears. It is set where the row is written, and by nobody else.
const FLAG_DISAPPEARS: u8 = 16;

impl Value for EventRecord {
    fn write(&self, to: &mut Vec<u8>) {
        let text = |text: &str, to: &mut Vec<u8>| {
            to.extend_from_slice(&(text.len() as u32).to_be_bytes());
            to.extend_from_slice(text.as_bytes());
        };
        to.reserve(self.pdu.len() + self.sent_by.len() + 80);
        to.push(self.flags | if self.disappears_ts.is_some() { FLAG_DISAPPEARS } else { 0 });
        to.extend(self.disappears_ts.into_iter().flat_map(u64::to_be_bytes));
        to.extend_from_slice(&self.state_before.to_be_bytes());
        to.extend_from_slice(&self.state_after.to_be_bytes());
        text(&self.sent_by, to);
        text(self.event_id.as_str(), to);
        to.extend_from_slice(self.pdu.as_bytes());
    }

    fn read(from: &[u8]) -> Result<Self, String> {
        fn text<'a>(from: &mut &'a [u8]) -> Result<&'a str, String> {
            let (len, rest) = from.split_first_chunk::<4>().ok_or("too short")?;
            let len = u32::from_be_bytes(*len) as usize;
            let (text, rest) = rest.split_at_checked(len).ok_or("too short")?;
            *from = rest;
            std::str::from_utf8(text).map_err(|error| error.to_string())
        }
        let (&[flags], mut from) = from.split_first_chunk::<1>().ok_or("too short")?;
        let mut disappears_ts = None;
        if flags & FLAG_DISAPPEARS != 0 {
            let (ts, rest) = from.split_first_chunk::<8>().ok_or("too short")?;
            (disappears_ts, from) = (Some(u64::from_be_bytes(*ts)), rest);
        }
        let (before, from) = from.split_first_chunk::<8>().ok_or("too short")?;
        let (after, mut from) = from.split_first_chunk::<8>().ok_or("too short")?;
        let sent_by = text(&mut from)?.to_owned();
        let event_id = text(&mut from)?;
        Ok(Self {
            state_before: u64::from_be_bytes(*before),
            state_after: u64::from_be_bytes(*after),
            flags: flags & !FLAG_DISAPPEARS,
            sent_by,
            event_id: event_id.try_into().map_err(|_| "not an event id")?,
            pdu: String::from_utf8(from.to_vec()).map_err(|error| error.to_string())?,
            disappears_ts,
        })
    }
}

/// What the key of a message to a device says of the message: how much waits for a device, and from whom, is known
/// without reading any of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ToDeviceLabel {
    /// The user who sent it.
    pub sender: OwnedUserId,
    /// The length of the event as JSON.
    pub size_bytes: u32,
    /// The index of the body of the same commit that has the event. None if the row itself has it.
    pub body: Option<u32>,
}

impl KeyField for ToDeviceLabel {
    fn write(&self, to: &mut KeyWriter) {
        self.sender.write(to);
        self.size_bytes.write(to);
        self.body.write(to);
    }

    fn read(from: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        Ok(Self {
            sender: KeyField::read(from)?,
            size_bytes: KeyField::read(from)?,
            body: KeyField::read(from)?,
        })
    }
}

/// The news that a pointer in an inbox points at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum InboxPointer {
    /// New events, or the user's own changed membership, in a room.
    Room(OwnedRoomId),
    /// Changed receipts in a room.
    Receipts(OwnedRoomId),
    /// Changed account data of the user (None) or of the user in a room.
    AccountData(Option<OwnedRoomId>),
    /// A user whose devices or keys have changed.
    DeviceList(OwnedUserId),
    /// A changed profile of a user.
    Profile(OwnedUserId),
    /// Changed subscriptions of the user to threads.
    ThreadSubscriptions,
}

impl KeyField for InboxPointer {
    // 4 was in use once.
    fn write(&self, to: &mut KeyWriter) {
        match self {
            Self::Room(room_id) => {
                0u8.write(to);
                room_id.write(to);
            }
            Self::Receipts(room_id) => {
                1u8.write(to);
                room_id.write(to);
            }
            Self::AccountData(room_id) => {
                2u8.write(to);
                room_id.write(to);
            }
            Self::DeviceList(user_id) => {
                3u8.write(to);
                user_id.write(to);
            }
            Self::Profile(user_id) => {
                5u8.write(to);
                user_id.write(to);
            }
            Self::ThreadSubscriptions => 6u8.write(to),
        }
    }

    fn read(from: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        Ok(match u8::read(from)? {
            0 => Self::Room(KeyField::read(from)?),
            1 => Self::Receipts(KeyField::read(from)?),
            2 => Self::AccountData(KeyField::read(from)?),
            3 => Self::DeviceList(KeyField::read(from)?),
            5 => Self::Profile(KeyField::read(from)?),
            6 => Self::ThreadSubscriptions,
            _ => return Err(KeyError("unknown inbox pointer")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Stamped, memory::SplitMix64};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct OldRecord {
        count: u64,
    }
    impl Record for OldRecord {}

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct NewRecord {
        count: u64,
        #[serde(default)]
        names: Vec<String>,
        #[serde(default)]
        limit: Option<u64>,
    }
    impl Record for NewRecord {}

    fn encoded(value: &impl Value) -> Vec<u8> {
        let mut bytes = Vec::new();
        value.write(&mut bytes);
        bytes
    }

    #[test]
    fn fields_may_be_added_at_the_end() {
        let old = encoded(&OldRecord { count: 5 });
        assert_eq!(NewRecord::read(&old), Ok(NewRecord { count: 5, names: vec![], limit: None }));
    }

    #[test]
    fn damaged_events_are_errors() {
        let event = Stamped::pending(EventRecord {
            state_before: 1,
            state_after: 2,
            flags: FLAG_REDACTED,
            sent_by: "DEVICE\0txn".into(),
            event_id: format!("${}", "A".repeat(43)).try_into().expect("an event id"),
            pdu: r#"{"type":"m.room.message","content":{"body":"é"}}"#.into(),
            disappears_ts: Some(1_700_000_000_000),
        });
        let bytes = encoded(&event);
        assert_eq!(Stamped::<EventRecord>::read(&bytes), Ok(event.clone()));
        let stays = EventRecord { disappears_ts: None, ..event.value };
        assert_eq!(EventRecord::read(&encoded(&stays)), Ok(stays));
        let end_of_fixed_part = bytes.len() - 49;
        for len in 0..end_of_fixed_part {
            assert!(Stamped::<EventRecord>::read(&bytes[..len]).is_err());
        }
        let mut random = SplitMix64(5);
        for _ in 0..5000 {
            let mut damaged = bytes.clone();
            for _ in 0..=random.below(4) {
                let at = random.below(damaged.len() as u64) as usize;
                damaged[at] = random.next() as u8;
            }
            // Whatever it says, it does not panic, and what can be read can be written.
            if let Ok(event) = Stamped::<EventRecord>::read(&damaged) {
                assert_eq!(encoded(&event), damaged);
            }
        }
    }
}
