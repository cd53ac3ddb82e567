//! Accounts, devices, tokens, profiles and account data.
//!
//! Each operation has a file of its name. Nothing here is shared between platforms: a user id names
//! its platform, and a token is found under its platform only.
//!
//! This crate does not know rooms: what a changed profile or a deactivated account means there is
//! the rooms service's part. Nor does it know keys, pushers or messages to devices: who owns those
//! learns from [`DeviceRemoved`] what to remove.

mod abilities;
mod account_data;
mod address_owners;
mod attempts;
mod begin_session;
mod change_password;
mod cross_signing_reset;
mod deactivate;
mod demo_session;
mod devices;
mod direct_chats;
mod discovery;
mod erasure;
mod export;
mod filters;
mod guests;
mod handle;
mod ignored_users;
mod interactive;
mod invitation_mail;
mod link;
mod linked_accounts;
mod list_accounts;
mod log_in;
mod log_in_by_code;
mod log_in_by_token;
mod log_out;
mod messages;
mod moderation;
mod notices_account;
mod openid;
mod password;
mod profile;
mod refresh;
mod register;
mod registration_token;
mod reset_password;
mod revoke_token;
mod session;
mod shared_secret;
mod sign_up;
mod stored_amounts;
mod tags;
mod take_handle;
mod third_party_id;
mod third_party_ids;
mod token;
mod typed_code;
mod username;
mod validation;

use std::{fmt, sync::Arc, time::Duration};

use linkspan_domain::{BadDiscovery, BadReachRules};
use linkspan_platforms::{Limited, MapLimits, NamedShares, Platforms, SharedMap};
use linkspan_storage::records::AccountRecord;
use linkspan_storage::{
    CacheSize, Limits, Rows, StorageError, Store, WriteSet,
    catalogue::{AccountLinks, Accounts as AccountsTable, UserKey},
};
use ruma::{OwnedServerName, OwnedUserId, api::client::uiaa::UiaaInfo};

pub use account_data::{AccountDataItem, put_account_data};
pub use address_owners::AddressOwners;
pub use attempts::Attempt;
pub use begin_session::ClientDevice;
pub use cross_signing_reset::{Approval, Proof};
pub use demo_session::DemoSession;
pub use devices::{DeviceInfo, DeviceRemoved};
pub use discovery::{AddressIndex, Indexing, NameIndex, found_by};
pub use erasure::Erasures;
pub use export::OwnAccountData;
pub use handle::Handle;
pub use ignored_users::IGNORED_USERS;
pub use interactive::Purpose;
pub use invitation_mail::InvitationMail;
pub use link::LINK_CODE_MS;
pub use linked_accounts::{LinkChoices, MAX_LINKED};
pub use list_accounts::AccountInfo;
pub use log_in::{Credentials, Identifier, LoggedIn, NewDevice};
pub use log_in_by_code::Standing;
pub use log_in_by_token::LoginToken;
pub use messages::{Courier, Mail, Message, Sending, Sms};
pub use moderation::Restriction;
pub use openid::OpenIdToken;
pub use password::{PasswordStamp, ProvedUser};
pub use profile::{Profile, check_profile_field};
pub use refresh::{RefreshOutcome, Refreshed};
pub use register::{ProofStep, Registered, Registration, RegistrationSteps};
pub use registration_token::RegistrationTokenInfo;
pub use session::Session;
pub use shared_secret::SharedSecretRegistration;
pub use sign_up::SignUp;
pub use stored_amounts::{Amount, Counted};
pub use take_handle::{HANDLE_FIELD, OwnHandle};
pub use third_party_id::ThirdPartyId;
pub use third_party_ids::AddedId;
pub use token::{TokenHash, hash_token, new_token, random_text};
pub use typed_code::{new_typed_code, read_typed_code, show_typed_code};
pub use validation::{
    Evidence, LinkToken, ValidationLink, ValidationPurpose, ValidationRequest, ValidationSession,
};

/// How many accounts are kept in memory.
const CACHED_ACCOUNTS: Limits = Limits { entries: 100_000, weight: 100_000 };
/// How many accounts are kept in memory with what is linked with them, those included with which nothing is.
const CACHED_LINKS: Limits = Limits { entries: 100_000, weight: 200_000 };

/// Something about an account failed.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// The access token or refresh token is not, or no longer, valid.
    #[error("unknown token")]
    UnknownToken {
        /// It has expired; the device is still there.
        soft_logout: bool,
    },
    /// More user-interactive authentication is needed.
    #[error("more authentication is needed")]
    Interactive(Box<UiaaInfo>),
    /// Refused; the text says why and may be shown to anybody.
    #[error("{0}")]
    Forbidden(&'static str),
    /// The account is locked.
    #[error("this account has been locked")]
    Locked,
    /// The account is suspended, and this is not among what it may still do.
    #[error("this account is suspended: it cannot do this")]
    Suspended,
    /// Anybody may use this account, so nobody does this to it but an operator.
    #[error("anybody may use this account, so its names, addresses and password stay as they are")]
    DemoAccount,
    /// Guests may not do this; the text says why and may be shown to anybody.
    #[error("{0}")]
    Guest(&'static str),
    /// The account was deactivated.
    #[error("this account has been deactivated")]
    Deactivated,
    /// What was kept for a device that is gone is just being removed, so nobody can log in as it yet.
    #[error("what is left of the device that had this id is being removed: try again")]
    DeviceDeparting,
    /// The name is not one that an account of this platform can have.
    #[error("{0}")]
    InvalidUsername(&'static str),
    /// The name is taken.
    #[error("this name is taken")]
    UserInUse,
    /// Somebody has a name that people would take for this one, or had it lately.
    #[error("this name looks too much like another one")]
    LooksLikeAnother,
    /// The handle was changed as often as it may be for now.
    #[error("the handle has been changed too often: try again later")]
    HandleChanges {
        /// When.
        retry_after: Duration,
    },
    /// The password is too easy to guess.
    #[error("{0}")]
    WeakPassword(&'static str),
    /// What was asked for does not exist.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// A value is not what it has to be.
    #[error("{0}")]
    InvalidParam(&'static str),
    /// A required value is missing.
    #[error("{0} is missing")]
    MissingParam(&'static str),
    /// A content is not a JSON object.
    #[error("the content is not a JSON object")]
    NotAnObject,
    /// Rules on who may reach somebody are none.
    #[error(transparent)]
    BadReachRules(#[from] BadReachRules),
    /// A choice about who may find somebody is none.
    #[error(transparent)]
    BadDiscovery(#[from] BadDiscovery),
    /// A value is greater than its limit.
    #[error("{0} is too large")]
    TooLarge(&'static str),
    /// The name of a profile field is longer than its limit.
    #[error("the name of this field is too long")]
    KeyTooLarge,
    /// The whole profile is greater than its limit.
    #[error("the profile is too large")]
    ProfileTooLarge,
    /// The user has as many of these as one may have. It is 403 `M_FORBIDDEN`, as the specification has it for a quota of
    /// uploads: `M_LIMIT_EXCEEDED` is for what is asked too often, and waiting makes no room here.
    /// <https://spec.matrix.org/v1.19/client-server-api/#post_matrixmediav3upload>
    #[error("there are too many {0}")]
    TooMany(&'static str),
    /// Nothing is sent here to such an address or number, or not for this purpose.
    #[error("this platform sends no such messages")]
    NotSent,
    /// The address or number belongs to an account already.
    #[error("this address or number belongs to an account already")]
    AddressInUse,
    /// Nobody has shown yet that the address or number is theirs.
    #[error("this address or number has not been confirmed yet")]
    AddressNotValidated,
    /// No account here has the address or number that was confirmed.
    #[error("no account here has this address or number")]
    NoAccount,
    /// The account has a second step: whoever logs in by a code gives the password, too.
    #[error("this account is protected by a password")]
    PasswordNeeded,
    /// The code is not the one that was sent, or not any more.
    #[error("this code is wrong or has expired: ask for a new one")]
    WrongCode,
    /// Too many messages to this address or number, from this network, or at this time.
    #[error("too many messages: try again later")]
    TooManyMessages {
        /// When.
        retry_after: Duration,
    },
    /// Too many passwords were tried for this account, or from this address.
    #[error(transparent)]
    Limited(#[from] Limited),
    /// Only the server writes this type of account data.
    #[error("this type of account data cannot be set here")]
    ServerControlled,
    /// A password could not be hashed.
    #[error("hashing a password failed: {0}")]
    Hashing(String),
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// What another service adds to the write-set that makes an account.
/// It is told the display name.
type OnCreate = dyn Fn(&mut WriteSet, &OwnedUserId, Option<&str>) + Send + Sync;

/// The accounts of all platforms. Clones are the same accounts.
#[derive(Clone)]
pub struct Accounts {
    store: Store,
    shared: Arc<Shared>,
    on_create: Option<Arc<OnCreate>>,
    courier: Option<Arc<dyn Courier>>,
    platforms: Option<Arc<Platforms>>,
    address_index: Option<Arc<dyn AddressIndex>>,
    address_owners: Option<Arc<dyn AddressOwners>>,
    name_index: Option<Arc<dyn NameIndex>>,
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Accounts")
    }
}

/// Sessions of interactive authentication. A network, such as that of an office, has a quarter at most.
const SESSIONS: MapLimits = MapLimits { per_who: 2_500, in_all: 10_000 };
/// Nonces of registrations by a shared secret. Only programs of operators ask for them, each for one at a time.
const NONCES: MapLimits = MapLimits { per_who: 100, in_all: 1_000 };
/// Tokens of each kind. Few clients ask for more than one before it is used.
const TOKENS: MapLimits = MapLimits { per_who: 20, in_all: 10_000 };
/// Approvals of replaced keys, of which a user has one.
const APPROVALS: MapLimits = MapLimits { per_who: 1, in_all: 10_000 };

/// What is kept in memory only.
struct Shared {
    token_uses: session::TokenUses,
    /// Accounts that were asked for lately; None for users who have none.
    accounts: Rows<AccountsTable>,
    /// What is linked with accounts that were asked for lately.
    links: Rows<AccountLinks>,
    passwords: password::Passwords,
    interactive: SharedMap<interactive::Interactive>,
    nonces: SharedMap<OwnedServerName>,
    openid: SharedMap<OwnedUserId>,
    identity_tokens: SharedMap<OwnedUserId>,
    login_tokens: SharedMap<ProvedUser>,
    cross_signing_resets: SharedMap<Approval>,
    outgoing: messages::Outgoing,
    erasures: Arc<Erasures>,
}

impl Accounts {
    /// What is kept in memory, by name, for operators.
    pub fn cache_sizes(&self) -> [(&'static str, CacheSize); 3] {
        let shared = &self.shared;
        [
            ("access_tokens", shared.token_uses.size()),
            ("accounts", shared.accounts.size()),
            ("account_links", shared.links.size()),
        ]
    }

    /// The places that its work shares, for operators.
    pub fn shares(&self) -> NamedShares {
        ("hashing", self.shared.passwords.places().clone())
    }

    /// The accounts in a store.
    pub fn new(store: Store) -> Self {
        let shared = Shared {
            token_uses: session::token_uses(&store),
            accounts: Rows::new(&store, CACHED_ACCOUNTS, |_| 1),
            links: Rows::<AccountLinks>::new(&store, CACHED_LINKS, |links| 1 + links.others.len() as u64),
            passwords: password::Passwords::new(),
            interactive: SharedMap::new(SESSIONS),
            nonces: SharedMap::new(NONCES),
            openid: SharedMap::new(TOKENS),
            identity_tokens: SharedMap::new(TOKENS),
            login_tokens: SharedMap::new(TOKENS),
            cross_signing_resets: SharedMap::new(APPROVALS),
            outgoing: messages::Outgoing::new(),
            erasures: Erasures::watch(&store),
        };
        let shared = Arc::new(shared);
        Self {
            store,
            shared,
            on_create: None,
            courier: None,
            platforms: None,
            address_index: None,
            address_owners: None,
            name_index: None,
        }
    }

    /// Has `add` add to every write-set that makes an account, so that a service above knows each account
    /// from its first moment. For the wiring, before the accounts are handed out.
    pub fn on_create(
        mut self,
        add: impl Fn(&mut WriteSet, &OwnedUserId, Option<&str>) + Send + Sync + 'static,
    ) -> Self {
        self.on_create = Some(Arc::new(add));
        self
    }

    /// Has people known as the settings of their platform say. For the wiring, as above.
    pub fn with_platforms(mut self, platforms: Arc<Platforms>) -> Self {
        self.platforms = Some(platforms);
        self
    }

    /// Has messages sent by `courier`. For the wiring, as above.
    pub fn with_courier(mut self, courier: Arc<dyn Courier>) -> Self {
        self.courier = Some(courier);
        self
    }

    /// The account of a user; None: there never was one.
    pub async fn account(&self, user_id: &OwnedUserId) -> Result<Option<AccountRecord>, AccountsError> {
        Ok(self.shared_account(user_id).await?.map(|account| (*account).clone()))
    }

    pub(crate) async fn shared_account(
        &self,
        user_id: &OwnedUserId,
    ) -> Result<Option<Arc<AccountRecord>>, AccountsError> {
        Ok(self.shared.accounts.get(&UserKey { user_id: user_id.clone() }).await?)
    }

    /// Refuses if the account of a user is deactivated, and has a write-set hold only while it stays as it is: so that
    /// nothing comes to be that deactivating the account has looked for and not found. None: there never was one.
    pub async fn expect_active(
        &self,
        writes: &mut WriteSet,
        user_id: &OwnedUserId,
    ) -> Result<Option<AccountRecord>, AccountsError> {
        let account = self.account(user_id).await?;
        if account.as_ref().is_some_and(|account| account.deactivated) {
            return Err(AccountsError::Deactivated);
        }
        writes.expect_read::<AccountsTable>(&UserKey { user_id: user_id.clone() }, account.as_ref());
        Ok(account)
    }

    /// Whether a user has an account that is not deactivated.
    pub async fn is_active(&self, user_id: &OwnedUserId) -> Result<bool, AccountsError> {
        Ok(self.account(user_id).await?.is_some_and(|account| !account.deactivated))
    }
}
