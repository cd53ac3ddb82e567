//! The conversation: who does what, and what everybody's own client shows of it.
//!
//! What is printed under a step was read from what that person's client received, never from what was sent.

mod apart;
mod describe;
mod finding;
mod pictures;
mod recovery;
mod requests;
mod sealed;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::task::JoinSet;

pub(crate) use self::recovery::Ended;

use self::describe::{describe, halves, name, plain, soft};
use super::{
    library::{Libraries, Library},
    outbox::Outbox,
    person::{KnownBy, PATIENCE, Person, Role, Sign},
    screen::{Line, Look, Screen},
};
use crate::Failure;

/// A platform as the demo shows it.
#[derive(Clone, Debug)]
pub(crate) struct App {
    /// The platform's Matrix server name.
    pub(crate) server_name: &'static str,
    /// What kind of app it stands for.
    pub(crate) style: &'static str,
    /// What the platform is called.
    pub(crate) name: String,
    /// The base of its URLs.
    pub(crate) address: String,
    /// Whether it requires encryption of those who talk with its people.
    pub(crate) requires_encryption: bool,
}

const ANNA: usize = 0;
const MARCO: usize = 1;
const BEN: usize = 2;
const DANA: usize = 3;
const CLEO: usize = 4;
const EMIL: usize = 5;

const fn role(
    name: &'static str,
    display_name: &'static str,
    known_by: KnownBy,
    platform: usize,
    library: Library,
) -> Role {
    Role { name, display_name, known_by, platform, library }
}

/// Whom the demo is about. The numbers are among those that are kept for films, the addresses for examples.
pub(crate) const ROLES: [Role; 6] = [
    role("Anna", "Anna Berg", KnownBy::Handle("anna"), 0, Library::Js),
    role("Marco", "Marco Rossi", KnownBy::Handle("marco"), 0, Library::BuiltIn),
    role("Ben", "Ben Adler", KnownBy::Email("ben@example.org", "ben"), 1, Library::Nio),
    role("Dana", "Dana Novak", KnownBy::Email("dana@example.org", "dana"), 1, Library::BuiltIn),
    role("Cleo", "Cleo Lind", KnownBy::Number("+491713920011"), 2, Library::Js),
    role("Emil", "Emil Roth", KnownBy::Number("+491713920022"), 2, Library::BuiltIn),
];

const ALL: [usize; 6] = [ANNA, MARCO, BEN, DANA, CLEO, EMIL];
const GROUP: &str = "Saturday at the harbour";

/// Lets six people arrive and chat, and prints what each sees. Nobody has left yet when it is over.
pub(crate) async fn hold(
    screen: &Screen,
    apps: [App; 3],
    libraries: Option<Libraries>,
    outbox: &Arc<Outbox>,
    folder: &Path,
) -> Result<Ended, Failure> {
    let mut conversation = Conversation::begin(screen, apps, libraries, outbox, folder).await?;
    let held = conversation.hold().await;
    let ended = Ended::new(conversation.people);
    match held {
        Ok(()) => Ok(ended),
        Err(failure) => {
            ended.leave().await;
            Err(failure)
        }
    }
}

struct Conversation<'a> {
    screen: &'a Screen,
    apps: [App; 3],
    outbox: &'a Outbox,
    /// The folder in which people's clients keep what they have.
    folder: &'a Path,
    people: Vec<Person>,
    steps: usize,
    /// How often somebody's client was waited for.
    moments: usize,
    /// How long each thing took to get to each person.
    delays: Vec<Duration>,
    /// How many of these were decrypted by that person's device.
    opened: usize,
    /// How much everybody had heard when all had come.
    begun: Vec<usize>,
}

/// A moment before something happens, and how much everybody had heard until then.
struct Moment {
    at: Instant,
    heard: Vec<usize>,
}

/// What one person's client showed.
struct Shown {
    who: usize,
    /// How long it took to arrive. None if it is nothing that takes time.
    delay: Option<Duration>,
    lines: Vec<Line>,
    /// Whether it came encrypted, and was decrypted.
    opened: bool,
}

fn milliseconds(delay: Duration) -> String {
    match delay.as_millis() {
        0 => "<1 ms".to_owned(),
        ms => format!("{ms} ms"),
    }
}

impl<'a> Conversation<'a> {
    async fn begin(
        screen: &'a Screen,
        apps: [App; 3],
        libraries: Option<Libraries>,
        outbox: &'a Arc<Outbox>,
        folder: &'a Path,
    ) -> Result<Self, Failure> {
        let libraries = Arc::new(libraries.unwrap_or_default());
        let mut arriving = JoinSet::new();
        for (at, role) in ROLES.into_iter().enumerate() {
            let server = apps[role.platform].address.clone();
            let (libraries, outbox, folder) = (libraries.clone(), outbox.clone(), folder.to_owned());
            arriving.spawn(async move {
                let arrived = Person::arrive(role, server, &libraries, &outbox, &folder).await;
                (at, arrived.map_err(|failure| failure.to_string()))
            });
        }
        let mut people = Vec::new();
        while let Some(arrived) = arriving.join_next().await {
            let (at, person) = arrived?;
            people.push((at, person?));
        }
        people.sort_by_key(|(at, _)| *at);
        let people: Vec<_> = people.into_iter().map(|(_, person)| person).collect();

        screen.part("Six people, three apps");
        for person in &people {
            let platform = person.role.platform;
            screen.row(&[
                (Look::Bold, person.role.display_name, 13),
                (Look::Platform(platform), apps[platform].style, 17),
                (Look::Plain, &person.role.known_by.said(), 31),
                (Look::Soft, person.library.name(), 0),
            ]);
        }
        screen.gap();
        for missing in &libraries.missing {
            screen.say(Look::Soft, &format!("not found: {missing}"));
        }
        let begun = people.iter().map(|person| person.heard().said.len()).collect();
        let (delays, steps, moments, opened) = Default::default();
        Ok(Self { screen, apps, outbox, folder, people, steps, moments, delays, opened, begun })
    }

    async fn hold(&mut self) -> Result<(), Failure> {
        self.screen.part("Two people of two platforms");
        let chat = self.one_to_one().await?;
        self.chat(&chat).await?;
        self.screen.part("Not every stranger is welcome");
        self.unwanted().await?;
        self.screen.part("Finding each other");
        self.screen.say(
            Look::Plain,
            "An address book stays on the phone: the server is asked for numbers and addresses that it cannot \
             read, and does not learn who was found.",
        );
        self.screen.gap();
        self.address_book().await?;
        self.screen.part("A group over all three");
        self.say_who_requires_encryption();
        let group = self.group().await?;
        self.talk(&group).await?;
        self.screen.part("And yet apart");
        self.tokens().await?;
        self.outsiders(&chat)?;
        self.all_is_opened().await?;
        self.summary();
        Ok(())
    }

    // Two people

    /// The chat of Anna and Ben, which is the one they have, or a new one.
    async fn one_to_one(&mut self) -> Result<String, Failure> {
        let ben = self.people[BEN].id.clone();
        let chats = self.people[ANNA].heard().account_data("m.direct");
        let known =
            chats.get(&ben).and_then(|rooms| rooms.as_array()?.last()?.as_str()).map(ToOwned::to_owned);
        if let Some(room) = known.filter(|room| self.are_in(room, &[ANNA, BEN])) {
            self.screen.say(Look::Soft, "Anna and Ben go on in the chat they have.");
            self.screen.gap();
            self.goes_on(&room).await?;
            return Ok(room);
        }
        let ben = self.finds(ANNA, "Ben", BEN).await?;
        self.first_words(&ben).await
    }

    /// Has the clients of somebody show a room among direct messages. Each person's clients remember that by
    /// themselves, for who invites and for who is invited.
    async fn marks_as_direct(&mut self, who: usize, other: usize, room: &str) -> Result<(), Failure> {
        let mut chats = self.people[who].heard().account_data("m.direct");
        chats.insert(self.people[other].id.clone(), json!([room]));
        let words = json!({ "type": "m.direct", "content": chats });
        self.people[who].does("set_account_data", words).await.map(|_| ())
    }

    async fn chat(&mut self, room: &str) -> Result<(), Failure> {
        const BOTH: [usize; 2] = [ANNA, BEN];
        self.step("Ben starts to type", BEN);
        self.types(BEN, room, &BOTH).await?;
        self.step("Ben answers", BEN);
        let answer = self.says(BEN, room, "Nor did I. Harbour on Saturday, with the others?", &BOTH).await?;
        self.step("Anna reads it", ANNA);
        self.reads(ANNA, room, &answer, &BOTH).await?;
        self.step("Ben sends a picture", BEN);
        self.shows_picture(BEN, room, &BOTH).await?;
        Ok(())
    }

    // A group

    /// The group of all six, which is the one they have, or a new one.
    async fn group(&mut self) -> Result<String, Failure> {
        let known: Vec<String> = {
            let heard = self.people[DANA].heard();
            let fits = |state: &Value| state["encrypted"] == true || !self.encryption_is_required();
            let groups = heard.rooms.iter().filter(|(_, state)| state["name"] == GROUP && fits(state));
            groups.map(|(room, _)| room.clone()).collect()
        };
        if let Some(room) = known.into_iter().find(|room| self.are_in(room, &ALL)) {
            self.screen.say(Look::Soft, &format!("All six go on in “{GROUP}”."));
            self.screen.gap();
            return Ok(room);
        }
        let others = [ANNA, MARCO, BEN, CLEO, EMIL];
        let invited = others.map(|who| self.people[who].id.clone());
        self.step("Dana makes a group", DANA);
        let before = self.now();
        let words = json!({
            "name": GROUP, "topic": null, "invite": invited, "direct": false, "public": false, "space": false,
            "alias": null,
        });
        let room = self.people[DANA].gets("create_room", words).await?;
        self.all_see(before, Sign::Invitation { room: room.clone() }, &ALL, &others).await?;
        self.step_in("All five accept", "all three apps", Look::Plain);
        let mut before = self.now();
        for who in others {
            // All are there once the last has come.
            before.at = Instant::now();
            self.people[who].does("join", json!({ "room": room })).await?;
        }
        self.all_see(before, self.members(&room, &ALL), &ALL, &ALL).await?;
        Ok(room)
    }

    async fn talk(&mut self, room: &str) -> Result<(), Failure> {
        self.know_all_devices().await?;
        self.step("Dana writes", DANA);
        let plan = self.says(DANA, room, "Saturday at ten, at the old linkspan?", &ALL).await?;
        self.stored(room, &plan).await?;
        self.unsealed(room).await?;
        self.step("Cleo starts to type", CLEO);
        self.types(CLEO, room, &ALL).await?;
        self.step("Cleo sends a picture", CLEO);
        let picture = self.shows_picture(CLEO, room, &ALL).await?;
        self.step("Emil replies to it", EMIL);
        let before = self.now();
        let words = json!({ "room": room, "event": picture, "body": "That is it! I bring the coffee." });
        let id = self.people[EMIL].gets("reply", words).await?;
        self.all_see(before, self.event(room, &id), &ALL, &self.others(EMIL, &ALL)).await?;
        self.step("Marco reacts", MARCO);
        let before = self.now();
        let reaction =
            self.people[MARCO].gets("react", json!({ "room": room, "event": id, "key": "👍" })).await?;
        self.all_see(before, self.event(room, &reaction), &ALL, &self.others(MARCO, &ALL)).await?;
        self.step("Dana edits her message", DANA);
        let before = self.now();
        let words =
            json!({ "room": room, "event": plan, "body": "Saturday at eleven, at the old linkspan?" });
        let edit = self.people[DANA].gets("edit", words).await?;
        self.all_see(before, self.event(room, &edit), &ALL, &self.others(DANA, &ALL)).await?;
        self.step("Anna reads everything", ANNA);
        self.reads(ANNA, room, &edit, &ALL).await
    }

    fn summary(&mut self) {
        self.delays.sort();
        let (Some(median), Some(slowest)) = (self.delays.get(self.delays.len() / 2), self.delays.last())
        else {
            return;
        };
        self.screen.part("All seen");
        self.screen.say(
            Look::Plain,
            &format!(
                "{} steps, {} deliveries, {} of them encrypted, and each was seen by everybody it was for: what \
                 came encrypted counts once that person's own device has decrypted it. From the moment somebody \
                 acted until another person's client showed it took {} (median), {} at most, both clients included.",
                self.steps,
                self.delays.len(),
                self.opened,
                milliseconds(*median),
                milliseconds(*slowest)
            ),
        );
    }

    // What people do

    /// Somebody looks for a name and finds whom they look for. Returns the user id that was found.
    async fn finds(&mut self, who: usize, term: &str, whom: usize) -> Result<String, Failure> {
        self.step(&format!("{} looks for “{term}”", self.people[who].role.name), who);
        let found = self.people[who].does("find_people", json!({ "term": term })).await?;
        let found = found.as_array().map(Vec::as_slice).unwrap_or_default();
        let mut columns = self.headings();
        let column = &mut columns[self.people[who].role.platform];
        column.push(soft(self.people[who].role.name));
        for one in found {
            column.push(name(one["name"].as_str().unwrap_or_default()));
            column.extend(
                halves(one["user"].as_str().unwrap_or_default()).map(|half| plain(format!("  {half}"))),
            );
        }
        self.screen.columns(columns);
        let is_meant = |one: &&Value| one["name"] == self.people[whom].role.display_name;
        let one = found.iter().find(is_meant).and_then(|one| one["user"].as_str());
        one.map(ToOwned::to_owned)
            .ok_or_else(|| format!("nobody found {}", self.people[whom].role.name).into())
    }

    async fn says(
        &mut self,
        who: usize,
        room: &str,
        body: &str,
        members: &[usize],
    ) -> Result<String, Failure> {
        let before = self.now();
        let words = json!({ "room": room, "body": body, "mentions": [] });
        let id = self.people[who].gets("send_text", words).await?;
        self.all_see(before, self.event(room, &id), members, &self.others(who, members)).await?;
        Ok(id)
    }

    async fn types(&mut self, who: usize, room: &str, members: &[usize]) -> Result<(), Failure> {
        let before = self.now();
        self.people[who].does("typing", json!({ "room": room, "on": true })).await?;
        let sign = Sign::Typing { room: room.to_owned(), user: self.people[who].id.clone() };
        self.all_see(before, sign, members, &self.others(who, members)).await
    }

    async fn reads(&mut self, who: usize, room: &str, event: &str, members: &[usize]) -> Result<(), Failure> {
        let before = self.now();
        let words = json!({ "room": room, "event": event, "private": false, "thread": null });
        self.people[who].does("receipt", words).await?;
        let (id, user) = (event.to_owned(), self.people[who].id.clone());
        let sign = Sign::Receipt { room: room.to_owned(), id, user };
        self.all_see(before, sign, members, &self.others(who, members)).await
    }

    fn event(&self, room: &str, id: &str) -> Sign {
        Sign::Event { room: room.to_owned(), id: id.to_owned() }
    }

    fn members(&self, room: &str, members: &[usize]) -> Sign {
        let users = members.iter().map(|who| self.people[*who].id.clone()).collect();
        Sign::Members { room: room.to_owned(), users }
    }

    fn others(&self, who: usize, members: &[usize]) -> Vec<usize> {
        members.iter().copied().filter(|other| *other != who).collect()
    }

    fn are_in(&self, room: &str, members: &[usize]) -> bool {
        members.iter().all(|who| self.people[*who].heard().membership(room) == Some("join"))
    }

    // What people see

    fn now(&self) -> Moment {
        let heard = self.people.iter().map(|person| person.heard().said.len()).collect();
        Moment { at: Instant::now(), heard }
    }

    fn step(&mut self, title: &str, who: usize) {
        let platform = self.people[who].role.platform;
        self.step_in(title, self.apps[platform].style, Look::Platform(platform));
    }

    fn step_in(&mut self, title: &str, app: &str, look: Look) {
        self.steps += 1;
        self.screen.step(self.steps, title, app, look);
    }

    /// Waits until all watchers see it, and prints what they see. `members` are all people in the room.
    async fn all_see(
        &mut self,
        before: Moment,
        sign: Sign,
        members: &[usize],
        watchers: &[usize],
    ) -> Result<(), Failure> {
        let shown = self.gather(&before, &sign, watchers).await;
        self.show(shown, members)
    }

    async fn gather(&self, before: &Moment, sign: &Sign, watchers: &[usize]) -> Vec<Shown> {
        let mut all = Vec::new();
        for &who in watchers {
            let person = &self.people[who];
            let seen = person.sees(before.heard[who], sign).await;
            let delay = seen.map(|at| at.saturating_duration_since(before.at));
            let lines = match delay {
                Some(_) => describe(&person.heard(), sign),
                None => vec![(Look::Bad, format!("nothing came in {} s", PATIENCE.as_secs()))],
            };
            let opened = matches!(sign, Sign::Event { room, id } if person.heard().has_opened(room, id));
            all.push(Shown { who, delay, lines, opened });
        }
        all
    }

    fn headings(&self) -> [Vec<Line>; 3] {
        [0, 1, 2].map(|platform| vec![(Look::Platform(platform), self.apps[platform].style.to_owned())])
    }

    /// Prints what everybody saw, by platform. People who saw the same stand together.
    fn show(&mut self, shown: Vec<Shown>, members: &[usize]) -> Result<(), Failure> {
        let mut columns = self.headings();
        for (platform, column) in columns.iter_mut().enumerate() {
            let lives_here = |who: usize| self.people[who].role.platform == platform;
            let here: Vec<_> = shown.iter().filter(|one| lives_here(one.who)).collect();
            let mut told: Vec<&Vec<Line>> = Vec::new();
            for one in &here {
                if told.contains(&&one.lines) {
                    continue;
                }
                told.push(&one.lines);
                let same: Vec<_> = here.iter().filter(|other| other.lines == one.lines).collect();
                let names: Vec<_> = same.iter().map(|other| self.people[other.who].role.name).collect();
                let delays: Vec<_> = same.iter().filter_map(|other| other.delay.map(milliseconds)).collect();
                column.push(soft(names.join(" · ")));
                column.extend(one.lines.iter().cloned());
                column.push(soft(delays.join(" · ")));
            }
            if here.is_empty() && !members.iter().any(|who| lives_here(*who)) {
                column.push(soft("nobody is in this chat"));
            }
        }
        self.screen.columns(columns);
        self.delays.extend(shown.iter().filter_map(|one| one.delay));
        self.opened += shown.iter().filter(|one| one.opened).count();
        let missing: Vec<_> = shown.iter().filter(|one| one.delay.is_none()).collect();
        let Some(first) = missing.first() else { return Ok(()) };
        Err(format!("{} did not see this in {} s", self.people[first.who].role.name, PATIENCE.as_secs())
            .into())
    }
}
