//! Finding rooms and people: aliases, lists of public rooms, the user directory.
//! <https://spec.matrix.org/v1.19/client-server-api/#room-aliases>

use http::StatusCode;
use linkspan_finding::FoundPerson;
use linkspan_rooms::{RoomPage, RoomQuery, RoomsError};
use linkspan_wire::{Anybody, ApiError, App, User, now_ts};
use ruma::{
    OwnedServerName, UInt,
    api::{
        client::{
            alias::{create_alias, delete_alias, get_alias},
            directory::{
                get_public_rooms, get_public_rooms_filtered, get_room_visibility, set_room_visibility,
            },
            room::Visibility,
            user_directory::search_users,
        },
        error::ErrorKind,
    },
    directory::{PublicRoomsChunk, RoomNetwork},
};

use crate::endpoints::{
    paged_list::PagedList,
    rooms::{summary, to_uint, to_usize},
};

/// How many public rooms a page has if the client does not say it.
const ROOMS_PAGE: usize = 100;

pub(crate) async fn get_alias(
    app: App,
    _: Anybody,
    request: get_alias::v3::Request,
) -> Result<get_alias::v3::Response, ApiError> {
    let room_id = app.rooms.resolve_alias(&request.room_alias).await?;
    let mut servers = app.rooms.servers_in(&room_id).await?;
    servers.insert(request.room_alias.server_name().to_owned());
    Ok(get_alias::v3::Response::new(room_id, servers.into_iter().collect()))
}

pub(crate) async fn create_alias(
    app: App,
    caller: User,
    request: create_alias::v3::Request,
) -> Result<create_alias::v3::Response, ApiError> {
    let created = app.rooms.create_alias(&caller.user_id, &request.room_alias, &request.room_id).await;
    created.map_err(|error| match error {
        RoomsError::AliasInUse => ApiError::new(StatusCode::CONFLICT, ErrorKind::Unknown, error.to_string()),
        error => error.into(),
    })?;
    Ok(create_alias::v3::Response::new())
}

pub(crate) async fn delete_alias(
    app: App,
    caller: User,
    request: delete_alias::v3::Request,
) -> Result<delete_alias::v3::Response, ApiError> {
    app.rooms.delete_alias(&caller.user_id, caller.admin, &request.room_alias, now_ts()).await?;
    Ok(delete_alias::v3::Response::new())
}

pub(crate) async fn get_public_rooms(
    app: App,
    caller: Anybody,
    request: get_public_rooms::v3::Request,
) -> Result<get_public_rooms::v3::Response, ApiError> {
    let mut query = RoomQuery {
        asker: Some(caller.platform.server_name().clone()),
        platform: hosted(&app, request.server)?,
        limit: page_limit(request.limit),
        ..RoomQuery::default()
    };
    let list = room_list(&query);
    query.from = list.place(request.since.as_deref())?.unwrap_or(0);
    let page = app.rooms.published_rooms(&query).await?;
    let mut response = get_public_rooms::v3::Response::new(Vec::new());
    response.total_room_count_estimate = Some(to_uint(page.total));
    response.next_batch = page.next.map(|next| list.token(next));
    response.prev_batch = page.previous.map(|previous| list.token(previous));
    response.chunk = chunk(page);
    Ok(response)
}

pub(crate) async fn search_public_rooms(
    app: App,
    caller: User,
    request: get_public_rooms_filtered::v3::Request,
) -> Result<get_public_rooms_filtered::v3::Response, ApiError> {
    let mut response = get_public_rooms_filtered::v3::Response::new();
    if matches!(request.room_network, RoomNetwork::ThirdParty(_)) {
        // No bridged network lists rooms here.
        return Ok(response);
    }
    let types = request.filter.room_types.iter().map(|room_type| room_type.as_str().map(str::to_owned));
    let types: Vec<_> = types.collect();
    let mut query = RoomQuery {
        asker: Some(caller.platform.server_name().clone()),
        platform: hosted(&app, request.server)?,
        search: request.filter.generic_search_term.filter(|term| !term.is_empty()),
        room_types: (!types.is_empty()).then_some(types),
        from: 0,
        limit: page_limit(request.limit),
    };
    let list = room_list(&query);
    query.from = list.place(request.since.as_deref())?.unwrap_or(0);
    let page = app.rooms.published_rooms(&query).await?;
    response.total_room_count_estimate = Some(to_uint(page.total));
    response.next_batch = page.next.map(|next| list.token(next));
    response.prev_batch = page.previous.map(|previous| list.token(previous));
    response.chunk = chunk(page);
    Ok(response)
}

fn room_list(query: &RoomQuery) -> PagedList {
    PagedList::of((&query.platform, &query.search, &query.room_types))
}

/// The platform whose list is asked for, or `None` if the lists of all are.
fn hosted(app: &App, server: Option<OwnedServerName>) -> Result<Option<OwnedServerName>, ApiError> {
    match server {
        Some(server) if !app.platforms.hosts(&server) => {
            Err(ApiError::not_found(format!("{server} cannot be reached: outside servers are not connected")))
        }
        server => Ok(server),
    }
}

fn page_limit(limit: Option<UInt>) -> usize {
    limit.filter(|limit| *limit > UInt::MIN).map_or(ROOMS_PAGE, to_usize)
}

fn chunk(page: RoomPage) -> Vec<PublicRoomsChunk> {
    page.rooms.into_iter().filter_map(summary).map(PublicRoomsChunk::from).collect()
}

pub(crate) async fn get_room_visibility(
    app: App,
    caller: Anybody,
    request: get_room_visibility::v3::Request,
) -> Result<get_room_visibility::v3::Response, ApiError> {
    let published = app.rooms.is_published(caller.platform.server_name(), &request.room_id).await?;
    let visibility = if published { Visibility::Public } else { Visibility::Private };
    Ok(get_room_visibility::v3::Response::new(visibility))
}

pub(crate) async fn set_room_visibility(
    app: App,
    caller: User,
    request: set_room_visibility::v3::Request,
) -> Result<set_room_visibility::v3::Response, ApiError> {
    let published = match request.visibility {
        Visibility::Public => true,
        Visibility::Private => false,
        _ => return Err(ApiError::invalid_param("there is no such visibility")),
    };
    app.rooms.set_published(&caller.user_id, &request.room_id, published).await?;
    Ok(set_room_visibility::v3::Response::new())
}

pub(crate) async fn search_users(
    app: App,
    caller: User,
    request: search_users::v3::Request,
) -> Result<search_users::v3::Response, ApiError> {
    let limit = to_usize(request.limit);
    let (found, limited) = app.finding.search(&caller.user_id, &request.search_term, limit, now_ts()).await?;
    let user = |person: FoundPerson| {
        let mut user = search_users::v3::User::new(person.user_id);
        user.display_name = person.display_name;
        user.avatar_url = person.avatar_url.map(Into::into);
        user
    };
    Ok(search_users::v3::Response::new(found.into_iter().map(user).collect(), limited))
}
