//! Message requests: what strangers write can be read before it is answered, and they are told nothing of
//! that. One is accepted, another is blocked.

use serde_json::{Value, json};

use super::{
    ANNA, BEN, Conversation, DANA,
    describe::{name, plain, soft},
};
use crate::{
    Failure,
    heard::{Heard, wait},
    library::{Libraries, Library},
    person::{KnownBy, PATIENCE, Person, Role, Sign},
    screen::{Line, Look},
};

/// Somebody who writes to people whom he does not know.
const MAX_ROLE: Role = Role {
    name: "Max",
    display_name: "Max Bargain",
    known_by: KnownBy::Handle("max.bargain"),
    platform: 0,
    library: Library::BuiltIn,
};
/// His place among the people while he is there: after the six.
const MAX: usize = 6;
const HELLO: &str = "Hi Ben! You write from another app, and I did not have to leave mine.";
const OFFER: &str = "Congratulations! You have won a phone. Write back today!";
const OFFER_AGAIN: &str = "Are you there? It is a very good phone.";
/// The person's own data with which the demo marks a moment.
const MARK: &str = "org.linkspan.demo.mark";

impl Conversation<'_> {
    /// Anna writes to Ben, who does not know her, and he accepts. Returns the chat.
    pub(super) async fn first_words(&mut self, ben: &str) -> Result<String, Failure> {
        self.step("Anna writes to Ben, who does not know her", ANNA);
        let (room, hello) = self.approaches(ANNA, (BEN, ben), HELLO).await?;

        self.step("Ben reads it before he answers", BEN);
        self.marks_moment(ANNA).await?;
        let from = self.people[ANNA].heard().said.len();
        let mut columns = self.headings();
        columns[self.people[BEN].role.platform].extend(self.reads_request(BEN, &room, HELLO).await?);
        columns[self.people[ANNA].role.platform].extend(self.is_told_nothing(ANNA, BEN, from, &room).await?);
        self.screen.columns(columns);

        self.step("Ben accepts", BEN);
        let before = self.now();
        self.people[BEN].does("join", json!({ "room": room })).await?;
        self.marks_as_direct(BEN, ANNA, &room).await?;
        let mut shown = self.gather(&before, &self.members(&room, &[ANNA, BEN]), &[ANNA]).await;
        shown.extend(self.gather(&before, &self.event(&room, &hello), &[BEN]).await);
        self.show(shown, &[ANNA, BEN])?;
        Ok(room)
    }

    /// In a chat that they have, she needs no permission.
    pub(super) async fn goes_on(&mut self, room: &str) -> Result<(), Failure> {
        self.step("Anna writes to Ben, who knows her", ANNA);
        self.says(ANNA, room, HELLO, &[ANNA, BEN]).await.map(drop)
    }

    /// A stranger writes to Dana, who blocks him.
    pub(super) async fn unwanted(&mut self) -> Result<(), Failure> {
        let blocks = self.plainly(DANA).blocks().await.map_err(|refusal| refusal.to_string())?;
        if !blocks.is_empty() {
            self.screen.say(Look::Soft, "Max, whom Dana has blocked, does not try again.");
            self.screen.gap();
            return Ok(());
        }
        let server = self.apps[MAX_ROLE.platform].address.clone();
        let max = Person::arrive(MAX_ROLE, server, &Libraries::default(), self.outbox, self.folder).await?;
        self.people.push(max);
        let blocked = self.is_blocked().await;
        if let Some(max) = self.people.pop() {
            max.leave().await;
        }
        blocked
    }

    async fn is_blocked(&mut self) -> Result<(), Failure> {
        let dana = self.finds(MAX, "Dana", DANA).await?;
        self.step("Max, a stranger, writes to her", MAX);
        let (room, _) = self.approaches(MAX, (DANA, &dana), OFFER).await?;

        self.step("Dana reads it, and blocks him", DANA);
        self.marks_moment(MAX).await?;
        let from = self.people[MAX].heard().said.len();
        let mut columns = self.headings();
        let column = &mut columns[self.people[DANA].role.platform];
        column.extend(self.reads_request(DANA, &room, OFFER).await?);
        let blocked = self.plainly(DANA).block_request(&room).await;
        blocked.map_err(|refusal| refusal.to_string())?;
        column.push((Look::Bad, "blocked".to_owned()));
        columns[MAX_ROLE.platform].extend(self.is_told_nothing(MAX, DANA, from, &room).await?);
        self.screen.columns(columns);

        self.step("Max writes again, and begins another chat", MAX);
        self.marks_moment(DANA).await?;
        let from = self.people[DANA].heard().said.len();
        let words = json!({ "room": room, "body": OFFER_AGAIN, "mentions": [] });
        self.people[MAX].does("send_text", words).await?;
        let again = self.begins_chat(MAX, DANA, &dana).await?;
        self.marks_moment(DANA).await?;
        let came = |line: &Value| line["room"] == room.as_str() || line["room"] == again.as_str();
        let came = self.people[DANA].heard().said[from..].iter().any(|said| came(&said.line));
        let requests = self.plainly(DANA).requests().await.map_err(|refusal| refusal.to_string())?;
        if came || !requests.is_empty() {
            return Err("Dana is told of somebody whom she has blocked".into());
        }
        let mut columns = self.headings();
        columns[MAX_ROLE.platform].extend([soft("Max"), plain("It was sent."), plain("Nobody answers.")]);
        columns[self.people[DANA].role.platform].push(plain("Dana: nothing"));
        self.screen.columns(columns);
        Ok(())
    }

    /// Somebody begins a chat with a stranger and writes there at once; the other has a request then. Returns the
    /// chat and the message.
    async fn approaches(
        &mut self,
        who: usize,
        (other, id): (usize, &str),
        body: &str,
    ) -> Result<(String, String), Failure> {
        let before = self.now();
        let room = self.begins_chat(who, other, id).await?;
        let words = json!({ "room": room, "body": body, "mentions": [] });
        let event = self.people[who].gets("send_text", words).await?;
        self.all_see(before, Sign::Invitation { room: room.clone() }, &[who, other], &[other]).await?;
        Ok((room, event))
    }

    async fn begins_chat(&mut self, who: usize, other: usize, id: &str) -> Result<String, Failure> {
        let words = json!({
            "name": null, "topic": null, "invite": [id], "direct": true, "public": false, "space": false,
            "alias": null,
        });
        let room = self.people[who].gets("create_room", words).await?;
        self.marks_as_direct(who, other, &room).await?;
        // Clients write in rooms that they know.
        if self.people[who].sees(0, &self.members(&room, &[who])).await.is_none() {
            return Err(format!("{}'s client does not know the new chat", self.people[who].role.name).into());
        }
        Ok(room)
    }

    /// Somebody reads a request, and what it says is what was written.
    async fn reads_request(&self, who: usize, room: &str, written: &str) -> Result<Vec<Line>, Failure> {
        let events = self.plainly(who).preview(room).await.map_err(|refusal| refusal.to_string())?;
        let person = &self.people[who];
        let mut lines = vec![soft(person.role.name)];
        for event in events.iter().rev() {
            let body = event["content"]["body"].as_str().unwrap_or_default();
            let sender = event["sender"].as_str().unwrap_or_default();
            lines.extend([name(person.heard().name_of(room, sender)), plain(format!("  {body}"))]);
        }
        let is_it = |event: &Value| event["content"]["body"] == written;
        if events.len() != 1 || !events.iter().all(is_it) {
            return Err(format!("{} does not read what was written", person.role.name).into());
        }
        Ok(lines)
    }

    /// Makes sure that somebody's client has told of nothing by which one notices that a request was read, the
    /// first `from` things that it told left out.
    async fn is_told_nothing(
        &mut self,
        who: usize,
        reader: usize,
        from: usize,
        room: &str,
    ) -> Result<Vec<Line>, Failure> {
        self.marks_moment(who).await?;
        let (person, reader) = (&self.people[who], &self.people[reader]);
        let notices = |line: &Value| match line["event"].as_str() {
            _ if line["room"] != room => false,
            Some("room") => {
                let typing = line["state"]["typing"].as_array();
                let membership = &line["state"]["members"][&reader.id]["membership"];
                *membership != "invite" || typing.is_some_and(|typing| !typing.is_empty())
            }
            _ => true,
        };
        let heard = person.heard();
        if let Some(said) = heard.said[from..].iter().find(|said| notices(&said.line)) {
            return Err(format!("{} learned that a request was read: {}", person.role.name, said.line).into());
        }
        Ok(vec![plain(format!("{}: nothing", person.role.name))])
    }

    /// Waits until a client has told of all that happened until now: what it does itself comes back to it after
    /// that.
    async fn marks_moment(&mut self, who: usize) -> Result<(), Failure> {
        self.moments += 1;
        let person = &mut self.people[who];
        let content = json!({ "moment": self.moments });
        person.does("set_account_data", json!({ "type": MARK, "content": content })).await?;
        let came = |heard: &Heard| (Value::from(heard.account_data(MARK)) == content).then_some(());
        let late =
            |_| format!("{}'s client tells nothing for {} s", person.role.name, PATIENCE.as_secs()).into();
        wait(person.listening(), PATIENCE, came).await.map_err(late)
    }
}
