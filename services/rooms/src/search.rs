//! Searching the unencrypted messages of a user's rooms.
//!
//! A room's timeline is indexed in chunks: the sorted words of each chunk of places, written when a
//! search first comes by and the chunk is full. A search reads the chunks' words, newest first, and
//! looks at the events of those that may match.
//! <https://spec.matrix.org/v1.19/client-server-api/#server-side-search>

use std::{collections::BTreeSet, sync::Arc};

use linkspan_domain::Pdu;
use linkspan_storage::{
    WriteSet,
    catalogue::{SearchChunks, TimelineKey},
    records::SearchChunkRecord,
};
use ruma::{OwnedRoomId, OwnedUserId};
use serde_json::Value;

use crate::{EventFilter, Result, Rooms, TimelineEvent};

/// Places of a chunk.
const CHUNK: i64 = 256;
/// Words of a search that count.
const MAX_WORDS: usize = 16;
/// Matches that are collected at most.
const MAX_MATCHES: usize = 500;

/// What is searched for.
#[derive(Clone, Debug)]
pub struct Search {
    /// All these words, in any order.
    pub words: String,
    /// In these rooms; none: all rooms of the user.
    pub rooms: Option<Vec<OwnedRoomId>>,
    /// In the body, the name, the topic.
    pub keys: Vec<SearchKey>,
    /// Best first instead of newest first.
    pub by_rank: bool,
    /// Skip so many.
    pub from: usize,
    /// At most so many.
    pub limit: usize,
}

/// Where words are searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchKey {
    /// `content.body` of messages.
    Body,
    /// `content.name` of room names.
    Name,
    /// `content.topic` of room topics.
    Topic,
}

/// What was found.
#[derive(Debug)]
pub struct Found {
    /// The events, in the order that was asked for, with their rank.
    pub results: Vec<(f64, Arc<TimelineEvent>)>,
    /// How many there are in all, as far as was looked.
    pub total: usize,
    /// How many to skip for the next page; None: there is none.
    pub next: Option<usize>,
    /// The words that were searched for.
    pub words: Vec<String>,
}

impl Rooms {
    /// Searches the messages of the rooms that a user is joined to.
    pub async fn search(
        &self,
        user_id: &OwnedUserId,
        search: &Search,
        filter: &EventFilter,
    ) -> Result<Found> {
        let wanted: Vec<String> = words(&search.words).into_iter().take(MAX_WORDS).collect();
        let mut rooms = self.joined_rooms(user_id).await?;
        if let Some(only) = &search.rooms {
            rooms.retain(|room_id| only.contains(room_id));
        }
        let mut matches = Vec::new();
        if !wanted.is_empty() {
            for room_id in rooms {
                self.search_room(user_id, &room_id, &wanted, search, filter, &mut matches).await?;
            }
        }
        if search.by_rank {
            matches.sort_by(|a: &(f64, Arc<TimelineEvent>), b| {
                b.0.total_cmp(&a.0).then(b.1.position.cmp(&a.1.position))
            });
        } else {
            matches.sort_by_key(|(_, event)| std::cmp::Reverse(event.position));
        }
        let total = matches.len();
        let results: Vec<_> = matches.into_iter().skip(search.from).take(search.limit).collect();
        let reached = search.from + results.len();
        Ok(Found {
            next: (reached < total && !results.is_empty()).then_some(reached),
            results,
            total,
            words: wanted,
        })
    }

    async fn search_room(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        wanted: &[String],
        search: &Search,
        filter: &EventFilter,
        matches: &mut Vec<(f64, Arc<TimelineEvent>)>,
    ) -> Result<()> {
        let mut view = self.view(user_id, room_id).await?;
        let head = self.head(room_id).await?.map_or(0, |head| head.seq);
        let mut chunk = head / CHUNK;
        while chunk >= 0 && matches.len() < MAX_MATCHES {
            let first = chunk * CHUNK;
            if self.chunk_may_match(room_id, first, head, wanted).await? {
                for event in self
                    .timeline_back(room_id, (first + CHUNK - 1).min(head), first - 1, CHUNK as usize)
                    .await?
                {
                    let Some(rank) = rank(&event.pdu, wanted, &search.keys) else { continue };
                    let is_found = self.keeps(&mut view, filter, &event.pdu).await?
                        && self.shows(&mut view, &event).await?
                        && self.is_whole(&mut view, &event).await?;
                    if is_found {
                        matches.push((rank, event));
                    }
                }
            }
            chunk -= 1;
        }
        Ok(())
    }

    /// Whether the chunk from this place on has all words, or is not full yet.
    async fn chunk_may_match(
        &self,
        room_id: &OwnedRoomId,
        first: i64,
        head: i64,
        wanted: &[String],
    ) -> Result<bool> {
        if first + CHUNK > head {
            return Ok(true);
        }
        let key = TimelineKey { room_id: room_id.clone(), seq: first };
        let chunk = match self.store().get::<SearchChunks>(&key).await? {
            Some(chunk) => chunk,
            None => {
                let mut found = BTreeSet::new();
                for event in self.timeline_back(room_id, first + CHUNK - 1, first - 1, CHUNK as usize).await?
                {
                    searchable(&event.pdu).into_iter().for_each(|(_, text)| found.extend(words(&text)));
                }
                let chunk = SearchChunkRecord { words: found.into_iter().collect() };
                let mut writes = WriteSet::new();
                writes.put::<SearchChunks>(&key, &chunk);
                self.store().commit(writes).await?;
                chunk
            }
        };
        Ok(wanted.iter().all(|word| chunk.words.binary_search(word).is_ok()))
    }
}

/// The texts of an event in which words are searched.
fn searchable(pdu: &Pdu) -> Vec<(SearchKey, String)> {
    let (key, field) = match pdu.event_type.to_string().as_str() {
        "m.room.message" => (SearchKey::Body, "body"),
        "m.room.name" => (SearchKey::Name, "name"),
        "m.room.topic" => (SearchKey::Topic, "topic"),
        _ => return Vec::new(),
    };
    let content: Option<Value> = pdu.content_as();
    let text = content.and_then(|content| content.get(field)?.as_str().map(str::to_owned));
    text.map(|text| (key, text)).into_iter().collect()
}

/// How well an event matches: the share of its words that were searched for; None: not at all.
fn rank(pdu: &Pdu, wanted: &[String], keys: &[SearchKey]) -> Option<f64> {
    searchable(pdu).into_iter().filter(|(key, _)| keys.contains(key)).find_map(|(_, text)| {
        let found = words(&text);
        let all = wanted.iter().all(|word| found.contains(word));
        all.then(|| wanted.len() as f64 / found.len().max(1) as f64)
    })
}

/// The words of a text: runs of letters and digits, lower-case.
fn words(text: &str) -> BTreeSet<String> {
    let runs = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    runs.map(str::to_lowercase).collect()
}
