//! Creating, upgrading and listing rooms, and what rooms show of themselves.
//! <https://spec.matrix.org/v1.19/client-server-api/#rooms-1>

use axum::response::Response;
use linkspan_domain::parse_content;
use linkspan_rooms::{CreateRoom, HierarchyQuery, InitialState, Preset, RoomSummary as Shown, RoomsError};
use linkspan_wire::{ApiError, App, MaybeUser, User, WholeRequest, now_ts, respond};
use ruma::{
    CanonicalJsonObject, RoomVersionId, UInt,
    api::{
        IncomingRequest,
        client::{
            membership::{get_mutual_rooms, joined_rooms},
            room::{
                Visibility, aliases,
                create_room::{self, v3::RoomPreset},
                get_summary, upgrade_room,
            },
            space::{SpaceHierarchyRoomsChunk, get_hierarchy},
        },
    },
    events::{AnyInitialStateEvent, room::member::MembershipState},
    room::{JoinRuleSummary, RestrictedSummary, RoomSummary},
    serde::Raw,
};
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use crate::{
    endpoints::{
        membership::{by_address, find_room},
        paged_list::PagedList,
    },
    events::raw_events,
};

/// How many rooms a page of a space's hierarchy has if the client does not say it.
const HIERARCHY_PAGE: usize = 50;
/// How much of an unknown version the refusal repeats, in characters. The names of versions are not longer.
const VERSION_CHARS: usize = 32;

pub(crate) async fn create_room(app: App, caller: User, request: WholeRequest) -> Result<Response, ApiError> {
    let headers = request.parts.headers.clone();
    let mut request: create_room::v3::Request = read_with_version(request, "room_version")?;
    let invited = std::mem::take(&mut request.invite_3pid);
    let invitations = by_address(&app, &caller, &headers, invited, request.is_direct).await?;
    let command = create_command(request)?;
    let room_id = app.rooms.create_room_inviting(&caller.user_id, command, &invitations, now_ts()).await?;
    respond(create_room::v3::Response::new(room_id))
}

/// Reads a request that names a room version in a field of its body. What cannot be the name of a version is
/// a version that is not supported, too: ruma's type would have it that the JSON is malformed.
fn read_with_version<R: IncomingRequest>(request: WholeRequest, field: &str) -> Result<R, ApiError> {
    check_version(&request.body, field)?;
    request.parse()
}

fn check_version(body: &[u8], field: &str) -> Result<(), ApiError> {
    let fields: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
    match fields.get(field) {
        None | Some(Value::Null) => Ok(()),
        Some(version) if RoomVersionId::deserialize(version).is_ok() => Ok(()),
        Some(version) => {
            let named = version.to_string().chars().take(VERSION_CHARS).collect();
            Err(RoomsError::UnsupportedVersion(named).into())
        }
    }
}

fn create_command(request: create_room::v3::Request) -> Result<CreateRoom, ApiError> {
    let published = request.visibility == Visibility::Public;
    let preset = match request.preset {
        Some(RoomPreset::PublicChat) => Preset::PublicChat,
        Some(RoomPreset::PrivateChat) => Preset::PrivateChat,
        Some(RoomPreset::TrustedPrivateChat) => Preset::TrustedPrivateChat,
        Some(_) => return Err(ApiError::invalid_param("there is no such preset")),
        None if published => Preset::PublicChat,
        None => Preset::PrivateChat,
    };
    Ok(CreateRoom {
        version: request.room_version,
        preset,
        published,
        alias_name: request.room_alias_name,
        name: request.name,
        topic: request.topic,
        invite: request.invite,
        is_direct: request.is_direct,
        initial_state: request.initial_state.iter().map(initial_state).collect::<Result<_, _>>()?,
        creation_content: content(request.creation_content.as_ref().map(Raw::json))?,
        power_levels: content(request.power_level_content_override.as_ref().map(Raw::json))?,
    })
}

fn content(json: Option<&RawValue>) -> Result<CanonicalJsonObject, ApiError> {
    let Some(json) = json else { return Ok(CanonicalJsonObject::new()) };
    Ok(parse_content(json.get()).map_err(RoomsError::from)?)
}

fn initial_state(event: &Raw<AnyInitialStateEvent>) -> Result<InitialState, ApiError> {
    #[derive(Deserialize)]
    struct Event {
        #[serde(rename = "type")]
        event_type: String,
        #[serde(default)]
        state_key: String,
        content: Box<RawValue>,
    }
    let json = event.json().get();
    let event: Event =
        serde_json::from_str(json).map_err(|error| ApiError::from_json(&error, json.as_bytes()))?;
    Ok(InitialState {
        event_type: event.event_type,
        state_key: event.state_key,
        content: content(Some(&event.content))?,
    })
}

pub(crate) async fn upgrade_room(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let request: upgrade_room::v3::Request = read_with_version(request, "new_version")?;
    let upgraded = app.rooms.upgrade_room(
        &caller.user_id,
        &request.room_id,
        request.new_version,
        request.additional_creators,
        now_ts(),
    );
    respond(upgrade_room::v3::Response::new(upgraded.await?))
}

pub(crate) async fn get_joined_rooms(
    app: App,
    caller: User,
    _: joined_rooms::v3::Request,
) -> Result<joined_rooms::v3::Response, ApiError> {
    Ok(joined_rooms::v3::Response::new(app.rooms.joined_rooms(&caller.user_id).await?))
}

pub(crate) async fn get_aliases(
    app: App,
    caller: User,
    request: aliases::v3::Request,
) -> Result<aliases::v3::Response, ApiError> {
    Ok(aliases::v3::Response::new(app.rooms.aliases(&caller.user_id, &request.room_id).await?))
}

pub(crate) async fn get_room_summary(
    app: App,
    caller: MaybeUser,
    request: get_summary::v1::Request,
) -> Result<get_summary::v1::Response, ApiError> {
    let room_id = find_room(&app, request.room_id_or_alias).await?;
    let user_id = caller.user.as_ref().map(|user| &user.user_id);
    let (shown, membership) = app.rooms.summary(caller.platform.server_name(), user_id, &room_id).await?;
    let summary = summary(shown)
        .ok_or_else(|| ApiError::not_found("there is no such room, or it does not show itself"))?;
    let mut response = get_summary::v1::Response::new(summary);
    response.membership = user_id.map(|_| membership.unwrap_or(MembershipState::Leave));
    Ok(response)
}

pub(crate) async fn get_hierarchy(
    app: App,
    caller: User,
    request: get_hierarchy::v1::Request,
) -> Result<get_hierarchy::v1::Response, ApiError> {
    let list = PagedList::of((&request.room_id, request.suggested_only, request.max_depth));
    let query = HierarchyQuery {
        suggested_only: request.suggested_only,
        max_depth: request.max_depth.map(to_usize),
        from: list.place(request.from.as_deref())?.unwrap_or(0),
        limit: page_size(request.limit, HIERARCHY_PAGE)?,
    };
    let page = app.rooms.hierarchy(&caller.user_id, &request.room_id, query).await?;
    let mut response = get_hierarchy::v1::Response::new();
    response.next_batch = page.next.map(|next| list.token(next));
    response.rooms = page
        .rooms
        .into_iter()
        .filter_map(|room| {
            let children = room.children.into_iter().filter_map(|json| RawValue::from_string(json).ok());
            Some(SpaceHierarchyRoomsChunk::new(summary(room.summary)?, raw_events(children.collect())))
        })
        .collect();
    Ok(response)
}

pub(crate) async fn get_mutual_rooms(
    app: App,
    caller: User,
    request: get_mutual_rooms::v1::Request,
) -> Result<get_mutual_rooms::v1::Response, ApiError> {
    if caller.user_id == request.user_id {
        let message = "the rooms that you have in common with yourself are all of your rooms";
        return Err(ApiError::invalid_param(message));
    }
    check_no_page(request.from.as_deref())?;
    let rooms = app.rooms.mutual_rooms(&caller.user_id, &request.user_id).await?;
    Ok(get_mutual_rooms::v1::Response::new(to_uint(rooms.len()), rooms))
}

/// Answers the earlier form of the same request.
pub(crate) async fn get_mutual_rooms_unstable(
    app: App,
    caller: User,
    request: get_mutual_rooms::unstable::Request,
) -> Result<get_mutual_rooms::unstable::Response, ApiError> {
    check_no_page(request.from.as_deref())?;
    let rooms = app.rooms.mutual_rooms(&caller.user_id, &request.user_id).await?;
    Ok(get_mutual_rooms::unstable::Response::new(rooms))
}

/// Tells all mutual rooms at once, so no token is one of a page of theirs.
fn check_no_page(from: Option<&str>) -> Result<(), ApiError> {
    match from {
        Some(_) => Err(ApiError::invalid_param("this list has one page only")),
        None => Ok(()),
    }
}

/// What a room shows of itself, or `None` if the room has no id.
pub(crate) fn summary(shown: Shown) -> Option<RoomSummary> {
    let allowed = shown.allowed_room_ids;
    let join_rule = match shown.join_rule.as_str() {
        "public" => JoinRuleSummary::Public,
        "knock" => JoinRuleSummary::Knock,
        "restricted" => JoinRuleSummary::Restricted(RestrictedSummary::new(allowed)),
        "knock_restricted" => JoinRuleSummary::KnockRestricted(RestrictedSummary::new(allowed)),
        "private" => JoinRuleSummary::Private,
        // Under a rule that nobody knows, nobody joins without being invited.
        _ => JoinRuleSummary::Invite,
    };
    let mut summary = RoomSummary::new(
        shown.room_id?,
        join_rule,
        shown.guest_can_join,
        UInt::new_saturating(shown.joined),
        shown.world_readable,
    );
    summary.canonical_alias = shown.canonical_alias.and_then(|alias| alias.try_into().ok());
    summary.name = shown.name;
    summary.topic = shown.topic;
    summary.avatar_url = shown.avatar_url.map(Into::into);
    summary.room_type = shown.room_type.map(Into::into);
    summary.encryption = shown.encryption.map(Into::into);
    summary.room_version = shown.version.try_into().ok();
    Some(summary)
}

/// A number of a request, for a service that has limits of its own.
pub(crate) fn to_usize(number: UInt) -> usize {
    usize::try_from(u64::from(number)).unwrap_or(usize::MAX)
}

/// How many entries a page has at most, where the specification wants a number greater than zero.
pub(crate) fn page_size(limit: Option<UInt>, unless_said: usize) -> Result<usize, ApiError> {
    match limit {
        Some(UInt::MIN) => Err(ApiError::invalid_param("limit is greater than zero")),
        limit => Ok(limit.map_or(unless_said, to_usize)),
    }
}

/// A count as answers have it.
pub(crate) fn to_uint(count: usize) -> UInt {
    UInt::new_saturating(u64::try_from(count).unwrap_or(u64::MAX))
}
