//! Reading events, state, members and history.
//! <https://spec.matrix.org/v1.19/client-server-api/#getting-events-for-a-room>

use std::{collections::VecDeque, sync::Arc};

use axum::response::Response;
use futures_util::{StreamExt, stream};
use linkspan_domain::SharedPdu;
use linkspan_rooms::{
    Boundary, EventFilter, MAX_RECURSION, Page, RelationFilter, RelationQuery, Standing, StateWalk,
    TimelineEvent, WantedMembers,
};
use linkspan_wire::{
    ApiError, App, User, WholeRequest, check_object, json_response, respond, streamed_json_response,
};
use ruma::{
    OwnedEventId, OwnedRoomId, UInt,
    api::{
        Direction, IncomingRequest,
        client::{
            context::get_context,
            filter::{EventFormat, RoomEventFilter},
            membership::{get_member_events, joined_members},
            message::get_message_events,
            peeking::get_current_state,
            relations::{
                get_relating_events, get_relating_events_with_rel_type,
                get_relating_events_with_rel_type_and_event_type,
            },
            room::{Visibility, get_event_by_timestamp, get_room_event},
            state::{
                get_state_event_for_key::{self, v3::StateEventFormat},
                get_state_events,
            },
            threads::get_threads::{self, v1::IncludeThreads},
        },
    },
    events::{TimelineEventType, room::member::MembershipState},
    serde::Raw,
};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use crate::{
    endpoints::rooms::{page_size, to_uint, to_usize},
    events::raw_events,
};

/// How large a piece of an answer is that is made while it is sent, in bytes.
const PIECE_BYTES: usize = 32 << 10;
/// How many relations a page has if the client does not say it.
const RELATIONS_PAGE: usize = 30;
/// The parameters of relations by the names that they had before they were specified.
pub(crate) const EARLIER_RELATIONS_PARAMETERS: &[(&str, &str)] =
    &[("org.matrix.msc3715.dir", "dir"), ("org.matrix.msc3981.recurse", "recurse")];

/// How many threads a page has if the client does not say it.
const THREADS_PAGE: usize = 30;
/// How many events the snapshot of a room has.
const SNAPSHOT_EVENTS: usize = 20;

pub(crate) async fn get_event(
    app: App,
    caller: User,
    request: get_room_event::v3::Request,
) -> Result<get_room_event::v3::Response, ApiError> {
    let (room_id, event_id) = (&request.room_id, &request.event_id);
    let event = app.rooms.get_event(&caller.user_id, room_id, event_id, caller.reader()).await?;
    Ok(get_room_event::v3::Response::new(Raw::from_json(event)))
}

pub(crate) async fn get_state(app: App, caller: User, request: WholeRequest) -> Result<Response, ApiError> {
    let request: get_state_events::v3::Request = request.parse()?;
    let walk = app.rooms.walk_state(&caller.user_id, &request.room_id).await?;
    EventStream::new(app, caller, walk).into_response("[", "]").await
}

pub(crate) async fn get_state_event(
    app: App,
    caller: User,
    request: get_state_event_for_key::v3::Request,
) -> Result<get_state_event_for_key::v3::Response, ApiError> {
    let event = app
        .rooms
        .get_state_event(&caller.user_id, &request.room_id, &request.event_type, &request.state_key)
        .await?;
    let json = match request.format {
        StateEventFormat::Event => app.rooms.render_state([&event], caller.reader()).remove(0),
        _ => event.content.clone(),
    };
    Ok(get_state_event_for_key::v3::Response::new(json))
}

pub(crate) async fn get_members(app: App, caller: User, request: WholeRequest) -> Result<Response, ApiError> {
    let request: get_member_events::v3::Request = request.parse()?;
    let at = boundary(&app, &request.room_id, request.at.as_deref()).await?;
    let wanted = WantedMembers {
        membership: request.membership.map(|membership| membership.as_str().into()),
        not_membership: request.not_membership.map(|membership| membership.as_str().into()),
    };
    let walk = app.rooms.walk_members(&caller.user_id, &request.room_id, at.map(|at| at.0), wanted).await?;
    EventStream::new(app, caller, walk).into_response("{\"chunk\":[", "]}").await
}

/// The events of a state on their way to a client.
struct EventStream {
    app: App,
    caller: User,
    walk: StateWalk,
    /// Events that were read and not written yet.
    read: VecDeque<SharedPdu>,
    is_first: bool,
    is_over: bool,
}

impl EventStream {
    fn new(app: App, caller: User, walk: StateWalk) -> Self {
        Self { app, caller, walk, read: VecDeque::new(), is_first: true, is_over: false }
    }

    /// A JSON answer with the list of events between two pieces of text. What is small is answered at once.
    async fn into_response(mut self, before: &str, after: &'static str) -> Result<Response, ApiError> {
        let mut first = before.as_bytes().to_vec();
        self.write_more(&mut first).await?;
        if self.is_over {
            first.extend_from_slice(after.as_bytes());
            return Ok(json_response(first));
        }
        let held_bytes = self.walk.size_bytes();
        let rest = stream::try_unfold(Some(self), move |events| async move {
            let Some(mut events) = events else { return Ok(None) };
            let mut piece = Vec::new();
            events.write_more(&mut piece).await?;
            if events.is_over {
                piece.extend_from_slice(after.as_bytes());
                return Ok(Some((piece, None)));
            }
            Ok(Some((piece, Some(events))))
        });
        streamed_json_response(stream::once(async { Ok(first) }).chain(rest), held_bytes)
    }

    /// Writes events until the piece is large enough or all are written.
    async fn write_more(&mut self, piece: &mut Vec<u8>) -> Result<(), ApiError> {
        while piece.len() < PIECE_BYTES {
            let Some(event) = self.read.pop_front() else {
                match self.app.rooms.next_state(&mut self.walk).await? {
                    Some(events) => self.read.extend(events),
                    None => {
                        self.is_over = true;
                        return Ok(());
                    }
                }
                continue;
            };
            if !std::mem::take(&mut self.is_first) {
                piece.push(b',');
            }
            for event in self.app.rooms.render_state([&event], self.caller.reader()) {
                piece.extend_from_slice(event.get().as_bytes());
            }
        }
        Ok(())
    }
}

pub(crate) async fn get_joined_members(
    app: App,
    caller: User,
    request: joined_members::v3::Request,
) -> Result<joined_members::v3::Response, ApiError> {
    let members = app.rooms.get_joined_members(&caller.user_id, &request.room_id).await?;
    let joined = members.into_iter().map(|member| {
        let mut shown = joined_members::v3::RoomMember::new();
        shown.display_name = member.displayname;
        shown.avatar_url = member.avatar_url.map(Into::into);
        (member.user_id, shown)
    });
    Ok(joined_members::v3::Response::new(joined.collect()))
}

pub(crate) async fn get_messages(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let (request, more): (get_message_events::v3::Request, _) = with_more_filter(request)?;
    let room_id = &request.room_id;
    let mut view = app.rooms.view(&caller.user_id, room_id).await?;
    let from = boundary(&app, room_id, request.from.as_deref()).await?;
    let to = boundary(&app, room_id, request.to.as_deref()).await?;
    let forwards = request.dir == Direction::Forward;
    let limit = page_limit(request.limit, &request.filter);
    let filter = EventFilter::new(&request.filter).with_relations(more.relations);
    let page = app.rooms.messages(&mut view, from, to, forwards, limit, &filter).await?;
    let mut response = get_message_events::v3::Response::new();
    if !request.filter.lazy_load_options.is_disabled() {
        let members = app.rooms.members_of(&mut view, &page.events, forwards).await?;
        let members = app.rooms.render_state(&members, caller.reader());
        response.state = raw_events(formatted(&app, &more.event_format, room_id, members).await?);
    }
    response.start = request.from.or(page.start.map(|start| start.to_string())).unwrap_or_default();
    response.end = page.end.map(|end| end.to_string());
    let chunk = app.rooms.render_all(&mut view, &page.events, caller.reader()).await?;
    response.chunk = raw_events(formatted(&app, &more.event_format, room_id, chunk).await?);
    respond(response)
}

/// The parts of a filter that ruma's type leaves out.
#[derive(Default, Deserialize)]
struct MoreFilter {
    #[serde(flatten)]
    relations: RelationFilter,
    /// The specification has this in filters of syncs only, but clients ask for it here as well.
    #[serde(default)]
    event_format: EventFormat,
}

/// Brings rendered events into the format that the client wants.
async fn formatted(
    app: &App,
    format: &EventFormat,
    room_id: &OwnedRoomId,
    events: Vec<Box<RawValue>>,
) -> Result<Vec<Box<RawValue>>, ApiError> {
    match format {
        EventFormat::Federation => Ok(app.rooms.in_federation_format(room_id, events).await?),
        _ => Ok(events),
    }
}

/// Reads a request, and the parts of its filter that ruma's type leaves out.
fn with_more_filter<R: IncomingRequest>(request: WholeRequest) -> Result<(R, MoreFilter), ApiError> {
    #[derive(Deserialize)]
    struct WithFilter {
        filter: Option<String>,
    }
    let filter = request.query::<WithFilter>().ok().and_then(|query| query.filter);
    let more = match filter {
        Some(filter) => {
            check_object(filter.as_bytes())?;
            serde_json::from_str(&filter).map_err(|error| ApiError::invalid_param(error.to_string()))?
        }
        None => MoreFilter::default(),
    };
    Ok((request.parse()?, more))
}

pub(crate) async fn get_context(app: App, caller: User, request: WholeRequest) -> Result<Response, ApiError> {
    let (request, more): (get_context::v3::Request, _) = with_more_filter(request)?;
    let room_id = &request.room_id;
    let mut view = app.rooms.view(&caller.user_id, room_id).await?;
    let limit = page_limit(request.limit, &request.filter);
    let filter = EventFilter::new(&request.filter).with_relations(more.relations);
    let context = app.rooms.context(&mut view, &request.event_id, limit, &filter).await?;
    let mut state = context.state;
    if !request.filter.lazy_load_options.is_disabled() {
        let shown = context.before.iter().chain([&context.event]).chain(&context.after);
        keep_members_of(&mut state, shown);
    }
    let reader = caller.reader();
    let mut response = get_context::v3::Response::new();
    response.start = Some(context.start.to_string());
    response.end = Some(context.end.to_string());
    let in_format = async |events| formatted(&app, &more.event_format, room_id, events).await;
    let before = app.rooms.render_all(&mut view, &context.before, reader).await?;
    response.events_before = raw_events(in_format(before).await?);
    let event = app.rooms.render(&mut view, &context.event, reader).await?;
    response.event = raw_events(in_format(vec![event]).await?).pop();
    let after = app.rooms.render_all(&mut view, &context.after, reader).await?;
    response.events_after = raw_events(in_format(after).await?);
    response.state = raw_events(in_format(app.rooms.render_state(&state, reader)).await?);
    respond(response)
}

/// Leaves out of a state the members who sent none of the events.
fn keep_members_of<'e>(state: &mut Vec<SharedPdu>, events: impl Iterator<Item = &'e Arc<TimelineEvent>>) {
    let senders: std::collections::HashSet<_> = events.map(|event| event.pdu.sender.as_str()).collect();
    state.retain(|event| {
        event.event_type != TimelineEventType::RoomMember
            || event.state_key.as_deref().is_some_and(|member| senders.contains(member))
    });
}

pub(crate) async fn get_relations(
    app: App,
    caller: User,
    request: get_relating_events::v1::Request,
) -> Result<get_relating_events::v1::Response, ApiError> {
    let asked = Relations {
        room_id: request.room_id,
        event_id: request.event_id,
        rel_type: None,
        event_type: None,
        from: request.from,
        to: request.to,
        dir: request.dir,
        limit: request.limit,
        recurse: request.recurse,
    };
    let found = asked.find(&app, &caller).await?;
    let mut response = get_relating_events::v1::Response::new(found.chunk);
    response.next_batch = found.next_batch;
    response.prev_batch = found.prev_batch;
    response.recursion_depth = found.recursion_depth;
    Ok(response)
}

pub(crate) async fn get_relations_of_type(
    app: App,
    caller: User,
    request: get_relating_events_with_rel_type::v1::Request,
) -> Result<get_relating_events_with_rel_type::v1::Response, ApiError> {
    let asked = Relations {
        room_id: request.room_id,
        event_id: request.event_id,
        rel_type: Some(request.rel_type.to_string()),
        event_type: None,
        from: request.from,
        to: request.to,
        dir: request.dir,
        limit: request.limit,
        recurse: request.recurse,
    };
    let found = asked.find(&app, &caller).await?;
    let mut response = get_relating_events_with_rel_type::v1::Response::new(found.chunk);
    response.next_batch = found.next_batch;
    response.prev_batch = found.prev_batch;
    response.recursion_depth = found.recursion_depth;
    Ok(response)
}

pub(crate) async fn get_relations_of_types(
    app: App,
    caller: User,
    request: get_relating_events_with_rel_type_and_event_type::v1::Request,
) -> Result<get_relating_events_with_rel_type_and_event_type::v1::Response, ApiError> {
    let asked = Relations {
        room_id: request.room_id,
        event_id: request.event_id,
        rel_type: Some(request.rel_type.to_string()),
        event_type: Some(request.event_type.to_string()),
        from: request.from,
        to: request.to,
        dir: request.dir,
        limit: request.limit,
        recurse: request.recurse,
    };
    let found = asked.find(&app, &caller).await?;
    let mut response = get_relating_events_with_rel_type_and_event_type::v1::Response::new(found.chunk);
    response.next_batch = found.next_batch;
    response.prev_batch = found.prev_batch;
    response.recursion_depth = found.recursion_depth;
    Ok(response)
}

/// What the three endpoints for relations ask for.
struct Relations {
    room_id: OwnedRoomId,
    event_id: OwnedEventId,
    rel_type: Option<String>,
    event_type: Option<String>,
    from: Option<String>,
    to: Option<String>,
    dir: Direction,
    limit: Option<UInt>,
    recurse: bool,
}

/// What the three endpoints for relations answer.
struct FoundRelations<T> {
    chunk: Vec<Raw<T>>,
    next_batch: Option<String>,
    prev_batch: Option<String>,
    recursion_depth: Option<UInt>,
}

impl Relations {
    async fn find<T>(self, app: &App, caller: &User) -> Result<FoundRelations<T>, ApiError> {
        let mut view = app.rooms.view(&caller.user_id, &self.room_id).await?;
        let query = RelationQuery {
            rel_type: self.rel_type,
            event_type: self.event_type,
            recurse: self.recurse,
            from: boundary(app, &self.room_id, self.from.as_deref()).await?,
            to: boundary(app, &self.room_id, self.to.as_deref()).await?,
            forwards: self.dir == Direction::Forward,
            limit: self.limit.map_or(RELATIONS_PAGE, to_usize),
        };
        let page = app.rooms.relations(&mut view, &self.event_id, &query).await?;
        Ok(FoundRelations {
            chunk: raw_events(app.rooms.render_all(&mut view, &page.events, caller.reader()).await?),
            next_batch: page.end.map(|end| end.to_string()),
            prev_batch: self.from,
            recursion_depth: self.recurse.then(|| to_uint(MAX_RECURSION)),
        })
    }
}

pub(crate) async fn get_threads(
    app: App,
    caller: User,
    request: get_threads::v1::Request,
) -> Result<get_threads::v1::Response, ApiError> {
    let mut view = app.rooms.view(&caller.user_id, &request.room_id).await?;
    let participated = request.include == IncludeThreads::Participated;
    let from = boundary(&app, &request.room_id, request.from.as_deref()).await?;
    let limit = page_size(request.limit, THREADS_PAGE)?;
    let page = app.rooms.threads(&mut view, participated, from, limit).await?;
    let roots = app.rooms.render_all(&mut view, &page.events, caller.reader()).await?;
    let mut response = get_threads::v1::Response::new(raw_events(roots));
    response.next_batch = page.end.map(|end| end.to_string());
    Ok(response)
}

pub(crate) async fn get_event_near(
    app: App,
    caller: User,
    request: get_event_by_timestamp::v1::Request,
) -> Result<get_event_by_timestamp::v1::Response, ApiError> {
    let forwards = request.dir == Direction::Forward;
    let event =
        app.rooms.event_near(&caller.user_id, &request.room_id, request.ts.get().into(), forwards).await?;
    let (event_id, ts) = (event.pdu.event_id.clone(), event.pdu.origin_server_ts);
    Ok(get_event_by_timestamp::v1::Response::new(event_id, ts))
}

/// A snapshot of a room: its state and its newest events.
pub(crate) async fn get_snapshot(
    app: App,
    caller: User,
    request: get_current_state::v3::Request,
) -> Result<get_current_state::v3::Response, ApiError> {
    let room_id = &request.room_id;
    let reader = caller.reader();
    let mut view = app.rooms.view(&caller.user_id, room_id).await?;
    let Page { events, start, end } =
        app.rooms.messages(&mut view, None, None, false, SNAPSHOT_EVENTS, &EventFilter::default()).await?;
    let state = app.rooms.get_state(&caller.user_id, room_id).await?;
    let mut chunk = app.rooms.render_all(&mut view, &events, reader).await?;
    chunk.reverse();
    let token = |boundary: Option<Boundary>| boundary.unwrap_or(Boundary(0)).to_string();
    let mut messages = get_current_state::v3::PaginationChunk::new(raw_events(chunk), token(start));
    messages.start = Some(token(end));
    let account_data = app.accounts.list_account_data(&caller.user_id, Some(room_id)).await?;
    let account_data = account_data.into_iter().filter(|item| !item.deleted).filter_map(|item| {
        let content: serde_json::Value = serde_json::from_str(&item.content).ok()?;
        serde_json::value::to_raw_value(&json!({ "type": item.event_type, "content": content })).ok()
    });
    let mut response = get_current_state::v3::Response::new(request.room_id.clone());
    response.account_data = raw_events(account_data.collect());
    response.membership = match view.standing {
        Standing::Joined => Some(MembershipState::Join),
        Standing::Left { .. } => Some(MembershipState::Leave),
        Standing::Outside => None,
    };
    response.messages = Some(messages);
    response.state = raw_events(app.rooms.render_state(&state, reader));
    let published = app.rooms.is_published(caller.platform.server_name(), room_id).await?;
    response.visibility = Some(if published { Visibility::Public } else { Visibility::Private });
    Ok(response)
}

async fn boundary(
    app: &App,
    room_id: &OwnedRoomId,
    token: Option<&str>,
) -> Result<Option<Boundary>, ApiError> {
    match token.filter(|token| !token.is_empty()) {
        Some(token) => Ok(Some(app.rooms.boundary(room_id, token).await?)),
        None => Ok(None),
    }
}

/// The smaller of a request's own limit and its filter's.
fn page_limit(limit: UInt, filter: &RoomEventFilter) -> usize {
    to_usize(filter.limit.map_or(limit, |most| most.min(limit)))
}
