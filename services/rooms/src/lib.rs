//! Rooms: the one place where events are made, allowed, stored and read.
//!
//! A room whose members are on several hosted platforms is stored, authorised and resolved once. Each
//! room has one writer at a time ([`room::Writer`]); an append is queued to the store's group commit and
//! acknowledged once it is on disk, while the next append already builds on it.
//!
//! This crate does not know HTTP, sync responses or push rules.

mod abilities;
mod append;
mod approaches;
mod audit;
mod awaited_redaction;
mod block_room;
mod blocked;
mod bundle;
mod counting;
mod create_room;
mod cross_platform;
mod delayed_events;
mod delete_alias;
mod delete_room;
mod disappearing;
mod door;
mod encryption;
mod erasure;
mod events;
mod federation_format;
mod filter;
mod finding;
mod follow_upgrade;
mod guests;
mod handle;
mod ignored;
mod insert;
mod join_links;
mod joined_rooms;
mod list_rooms;
mod member_changes;
mod membership;
mod notices;
mod own_data;
mod paginate;
mod permits;
mod policy;
mod presence;
mod profile;
mod public_rooms;
mod purge_room;
mod reach;
mod read;
mod read_reports;
mod receipts;
mod receive_to_device;
mod relation_filter;
mod remove_user;
mod render;
mod report;
mod requests;
mod room;
mod room_uploads;
mod search;
mod send;
mod send_to_device;
mod server_acl;
mod state;
mod state_walk;
mod suspension;
mod third_party_invites;
mod topic;
mod transactions;
mod upgrade;
mod upgraded_levels;
mod view;

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
    time::Duration,
};

use dashmap::DashMap;
use linkspan_accounts::{Accounts, AccountsError};
use linkspan_contacts::{Contacts, ContactsError};
use linkspan_directory::{Directory, DirectoryError};
use linkspan_domain::{DraftError, EncryptionRefusal, Forbidden, Malformed};
use linkspan_inbox::Inbox;
use linkspan_platforms::{Limited, NamedShares, Platforms};
use linkspan_policy::{Policy, Question};
use linkspan_storage::{
    CacheSize, Copies, Limits, Rows, StorageError, Store, Unchanged,
    catalogue::{
        CurrentState, Members, Memberships, ProvedAddresses, ReceiptLog, Relations, RoomHeads, StateLog,
    },
};
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};
use tokio::sync::Notify;

pub use abilities::{Unable, Unseen};
pub use block_room::BlockedRoom;
pub use bundle::can_root_thread;
pub use create_room::{CreateRoom, InitialState, Preset};
pub use delayed_events::{
    DelayAction, DelayOrder, DelayQuery, DelayStatus, DelayedEvent, MAX_DELAY_MS, MAX_SCHEDULED,
    NewDelayedEvent,
};
pub use delete_room::{DeleteRoom, NewRoom, RoomDeletion, Stage};
pub use events::TimelineEvent;
pub use filter::EventFilter;
pub use finding::stand_in;
pub use follow_upgrade::{Copying, RoomSettings};
pub use ignored::IgnoredUsers;
pub use insert::Inserted;
pub use join_links::{JoinLink, LinkPreview, LinkTerms};
pub use list_rooms::{
    ListedMember, ListedRoom, RoomDetails, RoomOrder, RoomPlace, RoomScope, RoomsPage, RoomsQuery,
};
pub use member_changes::MemberChanges;
pub use membership::{Removal, is_present};
pub use notices::NoticeTask;
pub use own_data::OwnEvents;
pub use paginate::{Boundary, Context, MAX_RECURSION, Page, RelationQuery};
pub use presence::QUIET;
pub use public_rooms::{HierarchyPage, HierarchyQuery, HierarchyRoom, RoomPage, RoomQuery, RoomSummary};
pub use read::JoinedMember;
pub use read_reports::Report;
pub use receipts::{Receipt, ReceiptKind};
pub use relation_filter::RelationFilter;
pub use render::Reader;
pub use report::{Disclosed, NewReport, Reported};
pub use requests::{MAX_PREVIEW, MessageRequest};
pub use room::Room;
pub use room_uploads::RoomUploads;
pub use search::{Found, Search, SearchKey, SearchPlace};
pub use send_to_device::{Target, ToDeviceMessage};
pub use state::StateEntry;
pub use state_walk::{StateWalk, WantedMembers};
pub use third_party_invites::{AddressInvitations, OfferedInvitation, ProvedIndex};
pub use view::{Standing, View, is_withheld};

/// Rows of a table that are kept in memory, and their bytes.
const ROWS: Limits = Limits { entries: 32 << 10, weight: 16 << 20 };
/// What a row takes at least, in bytes.
const ROW_BYTES: u64 = 384;
/// Members who are kept in memory, of about so many rooms.
const MEMBERS: Limits = Limits { entries: 50_000, weight: 1 << 20 };

/// Something about a room failed.
#[derive(Debug, thiserror::Error)]
pub enum RoomsError {
    /// The rules of the room, or of the platform, do not allow it.
    #[error("{0}")]
    Forbidden(String),
    /// A platform's rule on encryption does not allow it.
    #[error(transparent)]
    Encryption(#[from] EncryptionRefusal),
    /// There is no such thing, or the user may not know of it.
    #[error("{0}")]
    NotFound(String),
    /// A parameter makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// JSON that is no event, or not canonical, or has a form that the rules of its room never allow.
    #[error("{0}")]
    BadJson(String),
    /// An event, or a field of it, is too large.
    #[error("{0}")]
    TooLarge(String),
    /// There is as much of this as there may be. It is 403 `M_FORBIDDEN`, as for accounts.
    #[error("there are too many {0}")]
    TooMany(&'static str),
    /// The room version is not supported.
    #[error("room version {0} is not supported")]
    UnsupportedVersion(String),
    /// The alias is taken.
    #[error("the room alias is in use")]
    AliasInUse,
    /// The room has been replaced already.
    #[error("this room has been replaced by {by} already")]
    Replaced {
        /// The room that took its place.
        by: OwnedRoomId,
    },
    /// A canonical alias does not point at the room.
    #[error("{0}")]
    BadAlias(String),
    /// The same reaction was sent already.
    #[error("you have already sent this annotation")]
    DuplicateAnnotation,
    /// An event is to wait for too long.
    #[error("an event may wait for {max_delay_ms} ms at most")]
    DelayTooLong {
        /// The longest delay.
        max_delay_ms: u64,
    },
    /// The user has as many delayed events as one may have, or sends too many.
    #[error("there are too many delayed events")]
    TooManyDelayed {
        /// When there will be room for another.
        retry_after: Duration,
    },
    /// As much waits for the devices that messages were for as may wait of the sender's.
    #[error("these devices have not fetched what waits for them")]
    QueuesFull(Limited),
    /// The user has reported as much as is kept of one person.
    #[error("you have reported very much: ask the people who run your platform")]
    TooManyReports {
        /// When some of them may have been forgotten.
        retry_after: Duration,
    },
    /// The delayed event was sent or cancelled before.
    #[error("the delayed event has been sent or cancelled before")]
    Finalised,
    /// A platform does not let somebody into a room.
    #[error("{0}")]
    TurnedAway(String),
    /// The user takes no invitations.
    #[error("this user does not take invitations")]
    InviteBlocked,
    /// The user, or the user's platform, has invited too many people who do not know the user.
    #[error("too many people who do not know the sender were invited")]
    TooManyStrangers {
        /// When another may be invited.
        retry_after: Duration,
    },
    /// The user has sent as much as one may before anybody has answered.
    #[error(
        "wait until somebody has accepted the invitation: so much was sent before that nothing is added to it"
    )]
    Unanswered,
    /// An operator's hook does not allow it; in words of the hook, if it gives any.
    #[error("{}", .reason.as_deref().unwrap_or("the policy of a platform does not allow this"))]
    PolicyRefused {
        /// Why.
        reason: Option<String>,
    },
    /// Too much long work waits already.
    #[error(transparent)]
    Limited(#[from] Limited),
    /// Hooks have to be asked before it can be done.
    #[error("the policy of a platform was not asked")]
    Unasked(Vec<Question>),
    /// An operator's hook gives no answer, and nothing is allowed without one.
    #[error("the policy of a platform cannot be asked now")]
    PolicyUnavailable {
        /// When it may be tried again.
        retry_after: Duration,
    },
    /// An invitation to be told notices cannot be declined.
    #[error("this is where the people who run your platform reach you: you cannot decline it")]
    NoticeRoom,
    /// A room cannot be forgotten before it is left.
    #[error("you have not left this room")]
    NotLeft,
    /// The event relates to another one already, so it can be no thread root.
    #[error("a thread cannot start at an event that relates to another event")]
    NoThreadRoot,
    /// Creating a room with this initial state is impossible.
    #[error("{0}")]
    InvalidState(String),
    /// Accounts failed.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    /// Contacts failed.
    #[error(transparent)]
    Contacts(#[from] ContactsError),
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl From<Forbidden> for RoomsError {
    fn from(error: Forbidden) -> Self {
        Self::Forbidden(error.0)
    }
}

impl From<Malformed> for RoomsError {
    fn from(error: Malformed) -> Self {
        Self::BadJson(error.0)
    }
}

impl From<DraftError> for RoomsError {
    fn from(error: DraftError) -> Self {
        match error {
            DraftError::TooLarge(reason) => Self::TooLarge(reason),
            DraftError::Malformed(reason) => Self::BadJson(reason),
        }
    }
}

impl From<DirectoryError> for RoomsError {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::AliasTaken => Self::AliasInUse,
            DirectoryError::NoSuchAlias => Self::NotFound("there is no such alias".into()),
            DirectoryError::BadAlias => Self::Invalid(error.to_string()),
            DirectoryError::ForeignAlias => Self::Forbidden(error.to_string()),
            DirectoryError::TooManyAliases => Self::TooMany("aliases of this room"),
            DirectoryError::Storage(error) => Self::Storage(error),
        }
    }
}

impl From<linkspan_storage::CommitError> for RoomsError {
    fn from(error: linkspan_storage::CommitError) -> Self {
        Self::Storage(error.into())
    }
}

impl RoomsError {
    /// Whether the store failed, and nothing was refused.
    pub(crate) fn is_failure(&self) -> bool {
        matches!(
            self,
            Self::Storage(_)
                | Self::Accounts(AccountsError::Storage(_))
                | Self::Contacts(
                    ContactsError::Storage(_) | ContactsError::Accounts(AccountsError::Storage(_))
                )
        )
    }
}

pub(crate) type Result<T> = std::result::Result<T, RoomsError>;

/// All rooms. Clones are the same rooms.
#[derive(Clone, Debug)]
pub struct Rooms {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Store,
    platforms: Arc<Platforms>,
    accounts: Accounts,
    contacts: Contacts,
    directory: Directory,
    inbox: Inbox,
    /// Rooms that are, or were lately, used.
    live: Arc<DashMap<OwnedRoomId, Arc<Room>>>,
    /// Joined members of rooms who are on hosted platforms.
    members: Copies<OwnedRoomId, Arc<Vec<OwnedUserId>>>,
    heads: Rows<RoomHeads>,
    state_entries: Rows<CurrentState>,
    memberships: Rows<Memberships>,
    events: events::Events,
    state_changes: Unchanged<OwnedRoomId>,
    receipt_changes: Unchanged<OwnedRoomId>,
    /// By the event that others relate to.
    relation_changes: Unchanged<OwnedEventId>,
    deltas: state::DeltaCache,
    delays: delayed_events::Delays,
    ignored: ignored::IgnoredLists,
    remaining_joins: joined_rooms::Remaining,
    /// What services above keep about users in rooms.
    room_settings: OnceLock<Arc<dyn RoomSettings>>,
    /// Some room was closed to guests.
    closed_to_guests: Notify,
    /// Some room is to be deleted.
    deletion_asked: Notify,
    /// Whoever deletes rooms holds it.
    deleting: tokio::sync::Mutex<()>,
    /// Everybody of some platform is to be told something.
    notice_asked: Notify,
    /// Whoever tells everybody holds it.
    noticing: tokio::sync::Mutex<()>,
    /// Somebody has shown that an address is theirs.
    addresses_proved: Arc<Notify>,
    /// The hooks of operators.
    policy: Policy,
    /// Milliseconds since the Unix epoch.
    clock: fn() -> u64,
}

impl Rooms {
    /// The rooms in a store. `clock` says milliseconds since the Unix epoch: by it, messages disappear.
    pub fn new(
        store: Store,
        platforms: Arc<Platforms>,
        accounts: Accounts,
        contacts: Contacts,
        directory: Directory,
        inbox: Inbox,
        clock: fn() -> u64,
    ) -> Self {
        let (hosting, policy) = (platforms.clone(), Policy::new(platforms.clone()));
        let members =
            Copies::weighted(MEMBERS, |_, members: &Arc<Vec<OwnedUserId>>| 1 + members.len() as u64)
                .forget_on::<Members>(&store, move |key| {
                    hosting.hosts(key.user_id.server_name()).then_some(Cow::Borrowed(&key.room_id))
                });
        let addresses_proved = Arc::new(Notify::new());
        store.watch::<ProvedAddresses, _>(&addresses_proved, |proved, _, _| proved.notify_one());
        let shared = Shared {
            platforms,
            accounts,
            contacts,
            directory,
            inbox,
            live: Arc::default(),
            members,
            heads: Rows::<RoomHeads>::new(&store, ROWS, |head| {
                ROW_BYTES + 64 * head.extremities.len() as u64
            }),
            state_entries: Rows::new(&store, ROWS, |_| ROW_BYTES),
            memberships: Rows::<Memberships>::new(&store, ROWS, |membership| {
                let shown = membership.value.stripped_state.iter().map(String::len).sum::<usize>();
                ROW_BYTES + shown as u64
            }),
            events: events::new_events(&store),
            state_changes: Unchanged::of::<StateLog>(&store, |key| &key.room_id),
            receipt_changes: Unchanged::of::<ReceiptLog>(&store, |key| &key.room_id),
            relation_changes: Unchanged::of::<Relations>(&store, |key| &key.parent),
            deltas: state::new_cache(),
            delays: delayed_events::Delays::default(),
            ignored: ignored::new_lists(&store),
            remaining_joins: joined_rooms::Remaining::default(),
            room_settings: OnceLock::new(),
            closed_to_guests: Notify::new(),
            deletion_asked: Notify::new(),
            deleting: tokio::sync::Mutex::default(),
            notice_asked: Notify::new(),
            noticing: tokio::sync::Mutex::default(),
            addresses_proved,
            policy,
            clock,
            store,
        };
        // After the copies: a room that is loaded from here on finds none that are older than it.
        Self::forget_what_others_write(&shared.live, &shared.store);
        Self { shared: Arc::new(shared) }
    }

    /// What is kept in memory, by name, for operators.
    pub fn cache_sizes(&self) -> [(&'static str, CacheSize); 7] {
        let shared = &self.shared;
        [
            ("events", shared.events.size()),
            ("room_heads", shared.heads.size()),
            ("room_state", shared.state_entries.size()),
            ("room_members", shared.members.size()),
            ("memberships", shared.memberships.size()),
            ("ignored_users", shared.ignored.size()),
            ("state_deltas", CacheSize::of(&shared.deltas)),
        ]
    }

    /// The places that its work shares, for operators: one for each hook.
    pub fn shares(&self) -> impl Iterator<Item = NamedShares> {
        self.shared.policy.shares()
    }

    /// How many rooms are in memory because they are, or were lately, used.
    pub fn count_live(&self) -> usize {
        self.shared.live.len()
    }

    pub(crate) fn store(&self) -> &Store {
        &self.shared.store
    }
}
