//! Searching messages.
//! <https://spec.matrix.org/v1.19/client-server-api/#server-side-search>

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use axum::response::Response;
use linkspan_rooms::{EventFilter, Search, SearchKey, TimelineEvent, View};
use linkspan_wire::{ApiError, App, User, WholeRequest, respond};
use ruma::{
    OwnedUserId, UInt,
    api::client::search::search_events::{
        self,
        v3::{
            Criteria, EventContext, EventContextResult, GroupingKey, OrderBy, ResultCategories, ResultGroup,
            ResultGroupMap, ResultRoomEvents, SearchKeys, SearchResult, UserProfile,
        },
    },
    serde::Raw,
};
use serde::Deserialize;

use crate::{
    endpoints::{
        filters::search_relations,
        paged_list::PagedList,
        rooms::{to_uint, to_usize},
    },
    events::raw_events,
};

/// How many results a page has if the client does not say it.
const RESULTS: usize = 10;
/// How many results a page has at most.
const MAX_RESULTS: usize = 100;
/// How many events of context there are at most on each side of a result.
const MAX_CONTEXT: usize = 20;

pub(crate) async fn search(app: App, caller: User, request: WholeRequest) -> Result<Response, ApiError> {
    let body = request.body.clone();
    let request: search_events::v3::Request = request.parse()?;
    let mut categories = ResultCategories::new();
    if let Some(criteria) = request.search_categories.room_events {
        let filter = EventFilter::new(&criteria.filter).with_relations(search_relations(&body)?);
        categories.room_events =
            search_room_events(&app, &caller, criteria, &filter, request.next_batch.as_deref()).await?;
    }
    respond(search_events::v3::Response::new(categories))
}

async fn search_room_events(
    app: &App,
    caller: &User,
    criteria: Criteria,
    filter: &EventFilter,
    from: Option<&str>,
) -> Result<ResultRoomEvents, ApiError> {
    let mut search = Search {
        words: criteria.search_term,
        rooms: criteria.filter.rooms.clone(),
        keys: keys(criteria.keys.as_deref())?,
        by_rank: is_by_rank(criteria.order_by.as_ref())?,
        from: None,
        limit: criteria.filter.limit.map_or(RESULTS, to_usize).clamp(1, MAX_RESULTS),
    };
    let list = PagedList::of((&search.words, &search.rooms, &search.keys, search.by_rank, filter));
    search.from = list.place(from)?;
    let found = app.rooms.search(&caller.user_id, &search, filter).await?;

    let mut views = BTreeMap::new();
    let mut results = ResultRoomEvents::new();
    for (rank, event) in &found.results {
        let room_id = &event.pdu.room_id;
        if !views.contains_key(room_id) {
            views.insert(room_id.clone(), app.rooms.view(&caller.user_id, room_id).await?);
        }
        let Some(view) = views.get_mut(room_id) else { continue };
        let mut result = SearchResult::new();
        result.rank = Some(*rank);
        result.result = Some(Raw::from_json(app.rooms.render(view, event, caller.reader()).await?));
        result.context = context(app, caller, view, event, &criteria.event_context).await?;
        results.results.push(result);
    }
    if criteria.include_state == Some(true) {
        for room_id in views.into_keys() {
            let state = app.rooms.get_state(&caller.user_id, &room_id).await?;
            results.state.insert(room_id, raw_events(app.rooms.render_state(&state, caller.reader())));
        }
    }
    for grouping in criteria.groupings.group_by {
        match grouping.key {
            Some(GroupingKey::RoomId) => {
                let groups = groups(&found.results, |event| event.pdu.room_id.clone());
                results.groups.insert(ResultGroupMap::RoomId(groups));
            }
            Some(GroupingKey::Sender) => {
                let groups = groups(&found.results, |event| event.pdu.sender.clone());
                results.groups.insert(ResultGroupMap::Sender(groups));
            }
            _ => {}
        }
    }
    results.count = Some(to_uint(found.total));
    results.next_batch = found.next.map(|next| list.token(next));
    results.highlights = found.words;
    Ok(results)
}

fn is_by_rank(order: Option<&OrderBy>) -> Result<bool, ApiError> {
    match order {
        None | Some(OrderBy::Rank) => Ok(true),
        Some(OrderBy::Recent) => Ok(false),
        Some(_) => Err(ApiError::invalid_param("results are in the order of rank or of time (recent)")),
    }
}

fn keys(keys: Option<&[SearchKeys]>) -> Result<Vec<SearchKey>, ApiError> {
    let Some(keys) = keys else { return Ok(vec![SearchKey::Body, SearchKey::Name, SearchKey::Topic]) };
    let keys = keys.iter().map(|key| match key {
        SearchKeys::ContentBody => Ok(SearchKey::Body),
        SearchKeys::ContentName => Ok(SearchKey::Name),
        SearchKeys::ContentTopic => Ok(SearchKey::Topic),
        _ => Err(ApiError::invalid_param("this key cannot be searched")),
    });
    keys.collect()
}

async fn context(
    app: &App,
    caller: &User,
    view: &mut View,
    event: &TimelineEvent,
    asked: &EventContext,
) -> Result<EventContextResult, ApiError> {
    let limit = |limit: UInt| to_usize(limit).min(MAX_CONTEXT);
    let (before, after) = (limit(asked.before_limit), limit(asked.after_limit));
    let (before, after) = app.rooms.surroundings(view, event, before, after, &EventFilter::default()).await?;
    let mut context = EventContextResult::new();
    let place = |event: &TimelineEvent, back: i64| linkspan_rooms::Boundary(event.seq - back).to_string();
    context.start = Some(before.last().map_or_else(|| place(event, 1), |first| place(first, 1)));
    context.end = Some(after.last().map_or_else(|| place(event, 0), |last| place(last, 0)));
    if asked.include_profile {
        let senders = before.iter().chain(&after).map(|event| event.pdu.sender.clone());
        let senders = senders.chain([event.pdu.sender.clone()]).collect();
        context.profile_info = profiles(app, view, senders).await?;
    }
    context.events_before = raw_events(app.rooms.render_all(view, &before, caller.reader()).await?);
    context.events_after = raw_events(app.rooms.render_all(view, &after, caller.reader()).await?);
    Ok(context)
}

/// Names and pictures of users, as the room shows them.
async fn profiles(
    app: &App,
    view: &mut View,
    users: BTreeSet<OwnedUserId>,
) -> Result<BTreeMap<OwnedUserId, UserProfile>, ApiError> {
    #[derive(Default, Deserialize)]
    struct Content {
        displayname: Option<String>,
        avatar_url: Option<String>,
    }
    let mut profiles = BTreeMap::new();
    for user_id in users {
        let member = app.rooms.member_for(view, &user_id).await?;
        let content: Content = member.and_then(|member| member.content_as()).unwrap_or_default();
        let mut profile = UserProfile::new();
        profile.displayname = content.displayname;
        profile.avatar_url = content.avatar_url.map(Into::into);
        profiles.insert(user_id, profile);
    }
    Ok(profiles)
}

/// Groups the results by something they have in common. The groups stand in the order of their first results.
fn groups<K: Ord>(
    results: &[(f64, Arc<TimelineEvent>)],
    key: impl Fn(&TimelineEvent) -> K,
) -> BTreeMap<K, ResultGroup> {
    let mut groups: BTreeMap<K, ResultGroup> = BTreeMap::new();
    for (_, event) in results {
        let next = to_uint(groups.len());
        let group = groups.entry(key(event)).or_insert_with(|| {
            let mut group = ResultGroup::new();
            group.order = Some(next);
            group
        });
        group.results.push(event.pdu.event_id.clone());
    }
    groups
}
