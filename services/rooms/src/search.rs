//! Searching the unencrypted messages of a user's rooms.
//!
//! A room's timeline is indexed in chunks: the sorted words of each chunk of places, written when a
//! search first comes by and the chunk is full. A search reads the chunks' words, newest first, and
//! looks at the events of those that may match.
//! <https://spec.matrix.org/v1.19/client-server-api/#server-side-search>

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
    fmt,
    str::FromStr,
    sync::Arc,
};

use linkspan_domain::Pdu;
use linkspan_platforms::give_way;
use linkspan_storage::{
    CommitError, Position, WriteSet,
    catalogue::{SearchChunks, TimelineKey},
    records::SearchChunkRecord,
};
use ruma::{OwnedRoomId, OwnedUserId};
use serde_json::Value;

use crate::{EventFilter, Result, Rooms, RoomsError, TimelineEvent, View, topic::represented};

/// The number of places in a chunk.
const CHUNK: i64 = 256;
/// The most words of a search that count.
const MAX_WORDS: usize = 16;
/// The most matches that are collected for one page. They are the newest ones.
const MAX_MATCHES: usize = 500;
/// The most chunks that one search checks.
const MAX_CHUNKS: usize = 4_096;
/// The most events that a search reads before it answers with what it has found.
const MAX_LOOKED: usize = 100_000;

/// What is searched for.
#[derive(Clone, Debug)]
pub struct Search {
    /// The words, which may be in any order. All of them must be there.
    pub words: String,
    /// The rooms that are searched. None stands for all rooms of the user.
    pub rooms: Option<Vec<OwnedRoomId>>,
    /// The parts of events that are searched.
    pub keys: Vec<SearchKey>,
    /// Whether the best match comes first, instead of the newest.
    pub by_rank: bool,
    /// The place where an earlier page ended.
    pub from: Option<SearchPlace>,
    /// The most results. It is at least one.
    pub limit: usize,
}

/// A part of an event in which words are searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// How many results there are in all, as far as was looked.
    pub total: usize,
    /// The place where the next page begins. None if there is none.
    pub next: Option<SearchPlace>,
    /// The words that were searched for.
    pub words: Vec<String>,
}

/// Where an event is among those of all rooms. Two rooms have events of one commit only where one of them is
/// upgraded to the other, and none of these events is searched in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    position: Position,
    seq: i64,
}

/// A place between two results of a search. What is said or redacted meanwhile does not move it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchPlace {
    /// Only what is before this place is searched.
    before: Place,
    /// How many results were found after that place.
    passed: usize,
    /// The last match of the page before, if the best matches come first. Those after it follow.
    after: Option<Rank>,
}

/// How well an event matches. The best one is the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// How many words it has.
    words: usize,
    newest_first: Reverse<Place>,
}

impl fmt::Display for SearchPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { before, passed, after } = self;
        write!(f, "{}.{}.{passed}", before.position.get(), before.seq)?;
        match after {
            Some(Rank { words, newest_first: Reverse(place) }) => {
                write!(f, ".{words}.{}.{}", place.position.get(), place.seq)
            }
            None => Ok(()),
        }
    }
}

impl FromStr for SearchPlace {
    type Err = RoomsError;

    fn from_str(text: &str) -> Result<Self> {
        let parts: Vec<_> = text.split('.').collect();
        let place = |position: &str, seq: &str| {
            Some(Place { position: Position::from_u64(position.parse().ok()?), seq: seq.parse().ok()? })
        };
        let start = |position, seq, passed: &str, after| {
            Some(Self { before: place(position, seq)?, passed: passed.parse().ok()?, after })
        };
        let parsed = match parts[..] {
            [position, seq, passed] => start(position, seq, passed, None),
            [position, seq, passed, words, last_position, last_seq] => {
                place(last_position, last_seq).zip(words.parse().ok()).and_then(|(last, words)| {
                    start(position, seq, passed, Some(Rank { words, newest_first: Reverse(last) }))
                })
            }
            _ => None,
        };
        parsed.ok_or_else(|| RoomsError::Invalid("this is no token of a search".into()))
    }
}

/// An event that matches.
#[derive(Debug)]
struct Match {
    event: Arc<TimelineEvent>,
    /// How many words it has.
    words: usize,
}

impl Match {
    fn place(&self) -> Place {
        place(&self.event)
    }

    fn rank(&self) -> Rank {
        Rank { words: self.words, newest_first: Reverse(self.place()) }
    }
}

fn place(event: &TimelineEvent) -> Place {
    Place { position: event.position, seq: event.seq }
}

/// The newest matches before a place, newest first.
#[derive(Debug, Default)]
struct Batch {
    matches: Vec<Match>,
    /// The place before which older matches are, if there may be any.
    next: Option<Place>,
}

impl Batch {
    fn add(&mut self, more: Vec<Match>) {
        if more.is_empty() {
            return;
        }
        self.matches.extend(more);
        self.matches.sort_by_key(|found| Reverse(found.place()));
        if self.matches.len() > MAX_MATCHES {
            self.matches.truncate(MAX_MATCHES);
            self.next = self.matches.last().map(Match::place);
        }
    }

    /// Whether the batch is full, and nothing up to `newest` comes before any of its matches.
    fn is_full(&self, newest: Place) -> bool {
        self.matches.len() == MAX_MATCHES && self.matches.last().is_some_and(|last| last.place() > newest)
    }

    /// Leaves out matches that are as old as events that nobody has looked at.
    fn end_above(&mut self, newest: Place) {
        self.matches.retain(|found| found.place() > newest);
        self.next = Some(Place { seq: newest.seq + 1, ..newest });
    }

    /// A page in the order of time.
    fn by_time(mut self, limit: usize, passed: usize) -> (Vec<Match>, Option<SearchPlace>) {
        if self.matches.len() > limit {
            self.matches.truncate(limit);
            self.next = self.matches.last().map(Match::place);
        }
        let passed = passed + self.matches.len();
        (self.matches, self.next.map(|before| SearchPlace { before, passed, after: None }))
    }

    /// A page with the best first.
    fn by_rank(mut self, limit: usize, from: SearchPlace) -> (Vec<Match>, Option<SearchPlace>) {
        let passed = from.passed + self.matches.len();
        self.matches.sort_by_key(Match::rank);
        self.matches.retain(|found| from.after.is_none_or(|last| found.rank() > last));
        let next = if self.matches.len() > limit {
            self.matches.truncate(limit);
            self.matches.last().map(|last| SearchPlace { after: Some(last.rank()), ..from })
        } else {
            self.next.map(|before| SearchPlace { before, passed, after: None })
        };
        (self.matches, next)
    }
}

/// A search of one user.
struct Searching<'a> {
    user_id: &'a OwnedUserId,
    words: &'a [String],
    keys: &'a [SearchKey],
    filter: &'a EventFilter,
    before: Place,
    /// The user's views of the rooms in which something matches.
    views: HashMap<OwnedRoomId, View>,
}

impl Rooms {
    /// Searches the messages of the rooms that a user is joined to. If there are very many matches, the
    /// newest are ranked first, and older ones follow on later pages.
    pub async fn search(
        &self,
        user_id: &OwnedUserId,
        search: &Search,
        filter: &EventFilter,
    ) -> Result<Found> {
        let wanted: Vec<String> = words(&search.words).into_iter().take(MAX_WORDS).collect();
        let now = Place { position: self.store().position().next(), seq: 0 };
        let from = search.from.unwrap_or(SearchPlace { before: now, passed: 0, after: None });
        if wanted.is_empty() {
            return Ok(Found { results: Vec::new(), total: 0, next: None, words: wanted });
        }
        let mut rooms = self.joined_rooms(user_id).await?;
        if let Some(only) = &search.rooms {
            rooms.retain(|room_id| only.contains(room_id));
        }
        let mut searching = Searching {
            user_id,
            words: &wanted,
            keys: &search.keys,
            filter,
            before: from.before,
            views: HashMap::new(),
        };
        let batch = self.newest_matches(&mut searching, rooms).await?;
        let total = from.passed + batch.matches.len();
        let limit = search.limit.max(1);
        let (page, next) = match search.by_rank {
            true => batch.by_rank(limit, from),
            false => batch.by_time(limit, from.passed),
        };
        let share = |found: Match| (wanted.len() as f64 / found.words.max(1) as f64, found.event);
        Ok(Found { results: page.into_iter().map(share).collect(), total, next, words: wanted })
    }

    /// Walks back through all rooms at once, a chunk at a time, always in the room with the newest event that was not
    /// looked at.
    async fn newest_matches(&self, searching: &mut Searching<'_>, rooms: Vec<OwnedRoomId>) -> Result<Batch> {
        let mut batch = Batch::default();
        let mut walks = BTreeSet::new();
        for room_id in rooms {
            give_way().await?;
            let last = self.last_before(&room_id, searching.before).await?;
            walks.extend(self.newest_place(&room_id, last).await?.map(|newest| (newest, room_id)));
        }
        let (mut chunks, mut looked) = (0, 0);
        while let Some((newest, room_id)) = walks.pop_last() {
            give_way().await?;
            if batch.is_full(newest) {
                batch.next = batch.matches.last().map(Match::place);
                break;
            }
            if chunks == MAX_CHUNKS || looked >= MAX_LOOKED {
                batch.end_above(newest);
                break;
            }
            let first = newest.seq.div_euclid(CHUNK) * CHUNK;
            let head = self.head(&room_id).await?.map_or(0, |head| head.seq);
            if self.chunk_may_match(&room_id, first, head, searching.words).await? {
                let events = self.timeline_back(&room_id, newest.seq, first - 1, CHUNK as usize).await?;
                looked += events.len();
                batch.add(self.matches_among(searching, &room_id, events).await?);
            }
            chunks += 1;
            walks.extend(self.newest_place(&room_id, first - 1).await?.map(|newest| (newest, room_id)));
        }
        Ok(batch)
    }

    /// The last place of a room's timeline that may be before a place among all rooms.
    async fn last_before(&self, room_id: &OwnedRoomId, before: Place) -> Result<i64> {
        let head = self.head(room_id).await?.map_or(0, |head| head.seq);
        let newest = self.newest_place(room_id, head).await?;
        match newest.is_some_and(|newest| newest >= before) {
            true => self.seq_at(room_id, before.position).await,
            false => Ok(head),
        }
    }

    /// The place, among all rooms, of the newest event of a room that is not after `last`.
    async fn newest_place(&self, room_id: &OwnedRoomId, last: i64) -> Result<Option<Place>> {
        let newest = self.timeline_back(room_id, last, 0, 1).await?;
        Ok(newest.first().map(|event| place(event)))
    }

    async fn matches_among(
        &self,
        searching: &mut Searching<'_>,
        room_id: &OwnedRoomId,
        events: Vec<Arc<TimelineEvent>>,
    ) -> Result<Vec<Match>> {
        let mut matches = Vec::new();
        for event in events {
            if place(&event) >= searching.before {
                continue;
            }
            let Some(words) = matching_words(&event.pdu, searching.words, searching.keys) else { continue };
            if !searching.views.contains_key(room_id) {
                searching.views.insert(room_id.clone(), self.view(searching.user_id, room_id).await?);
            }
            let Some(view) = searching.views.get_mut(room_id) else { continue };
            let is_found = self.keeps(view, searching.filter, &event.pdu).await?
                && self.shows(view, &event).await?
                && self.is_whole(view, &event).await?;
            if is_found {
                matches.push(Match { event, words });
            }
        }
        Ok(matches)
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
                    // What is to disappear leaves no words behind: its chunk is looked at event by event until then.
                    if event.disappears_ts.is_some() && event.pdu.redacted_by.is_none() {
                        return Ok(true);
                    }
                    searchable(&event.pdu).into_iter().for_each(|(_, text)| found.extend(words(&text)));
                }
                let chunk = SearchChunkRecord { words: found.into_iter().collect() };
                let mut writes = WriteSet::new();
                writes.put::<SearchChunks>(&key, &chunk);
                match self.store().commit(writes).await {
                    // It is made again the next time, and searching goes on without.
                    Ok(_) | Err(CommitError::Full) => chunk,
                    Err(error) => return Err(error.into()),
                }
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
    let Some(content) = pdu.content_as::<Value>() else { return Vec::new() };
    let plain = content.get(field).and_then(Value::as_str);
    let topic = represented(&content).filter(|_| key == SearchKey::Topic);
    plain.into_iter().chain(topic).map(|text| (key, text.to_owned())).collect()
}

/// How many words are in the text of an event that has all wanted ones. The fewer there are, the better it
/// matches.
fn matching_words(pdu: &Pdu, wanted: &[String], keys: &[SearchKey]) -> Option<usize> {
    searchable(pdu).into_iter().filter(|(key, _)| keys.contains(key)).find_map(|(_, text)| {
        let found = words(&text);
        wanted.iter().all(|word| found.contains(word)).then_some(found.len())
    })
}

/// The words of a text: runs of letters and digits, lower-case.
fn words(text: &str) -> BTreeSet<String> {
    let runs = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    runs.map(str::to_lowercase).collect()
}
