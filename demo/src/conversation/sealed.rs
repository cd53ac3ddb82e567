//! Encryption over platforms: one of them requires it, so it holds for everybody who talks with its people.

use super::{
    ALL, ANNA, Conversation, DANA, EMIL, MARCO,
    describe::{LOCK, plain, soft},
};
use crate::{
    Failure,
    client::Plain,
    person::{Person, Refusal},
    screen::Look,
};

/// What Marco says, first by a client that cannot encrypt.
const TRIED: &str = "I bring my camera.";
/// How much of a ciphertext is shown.
const CIPHERTEXT: usize = 36;

impl Conversation<'_> {
    /// The app that requires encryption, if one does.
    fn requiring(&self) -> Option<&str> {
        self.apps.iter().find(|app| app.requires_encryption).map(|app| app.style)
    }

    pub(super) fn encryption_is_required(&self) -> bool {
        self.requiring().is_some()
    }

    pub(super) fn say_who_requires_encryption(&self) {
        let text = match self.requiring() {
            Some(style) => format!(
                "The {style} app requires encryption, so the whole group is encrypted from end to end. {LOCK} \
                 stands where something came encrypted and that person's own device has decrypted it. Reactions, \
                 receipts and who types are never encrypted in Matrix."
            ),
            None => {
                "No platform requires encryption in this configuration, which another demo wrote or somebody \
                     changed: the group is not encrypted, and no plain text is refused."
                    .to_owned()
            }
        };
        self.screen.say(Look::Plain, &text);
        self.screen.gap();
    }

    /// Waits until nobody would forget a device of the others when they encrypt.
    pub(super) async fn know_all_devices(&self) -> Result<(), Failure> {
        for person in &self.people {
            for other in &self.people {
                if !person.knows_device(other).await {
                    let (name, other) = (person.role.name, other.role.name);
                    return Err(format!("{name}'s client does not know {other}'s device").into());
                }
            }
        }
        Ok(())
    }

    /// What the server has of a message: everybody asks their own platform.
    pub(super) async fn stored(&mut self, room: &str, event: &str) -> Result<(), Failure> {
        if !self.encryption_is_required() {
            return Ok(());
        }
        self.step_in("What the server has of this message", "all three apps", Look::Plain);
        let mut columns = self.headings();
        for who in [MARCO, DANA, EMIL] {
            let event = self.plainly(who).event(room, event).await.map_err(|refusal| refusal.to_string())?;
            let (kind, content) = (&event["type"], &event["content"]);
            let ciphertext = content["ciphertext"].as_str().filter(|_| content.get("body").is_none());
            let Some(ciphertext) = ciphertext.filter(|_| kind == "m.room.encrypted") else {
                return Err(format!("the server has a message in clear: {event}").into());
            };
            let start: String = ciphertext.chars().take(CIPHERTEXT).collect();
            let column = &mut columns[self.people[who].role.platform];
            column.extend([plain("m.room.encrypted"), soft(format!("{start}…"))]);
        }
        self.screen.columns(columns);
        Ok(())
    }

    /// Marco uses a client that cannot encrypt, and then his own.
    pub(super) async fn unsealed(&mut self, room: &str) -> Result<(), Failure> {
        if self.encryption_is_required() {
            self.step("Marco tries a client that cannot encrypt", MARCO);
            let refusal = match self.plainly(MARCO).says(room, TRIED).await {
                Err(refusal) if refusal.code == "M_FORBIDDEN" => refusal,
                Err(refusal) => return Err(format!("Marco's plain text got {refusal}").into()),
                Ok(event) => return Err(format!("Marco's plain text was accepted as {event}").into()),
            };
            self.show_refusal(&refusal);
        }
        self.step("Marco says it with his own client", MARCO);
        self.says(MARCO, room, TRIED, &ALL).await?;
        if self.encryption_is_required() {
            // What is accepted comes in order, so by now the plain text would be there, too.
            let told = |(person, from): (&Person, &usize)| person.heard().was_told_in_clear(room, *from);
            if self.people.iter().zip(&self.begun).any(told) {
                return Err("somebody received plain text in the encrypted group".into());
            }
        }
        Ok(())
    }

    fn show_refusal(&self, refusal: &Refusal) {
        let mut columns = self.headings();
        for (who, person) in self.people.iter().enumerate().filter(|(who, _)| *who != MARCO) {
            let column = &mut columns[person.role.platform];
            if who != ANNA {
                column.push(plain(format!("{}: nothing", person.role.name)));
            }
        }
        let column = &mut columns[self.people[MARCO].role.platform];
        column.push(soft(self.people[MARCO].role.name));
        column.extend([(Look::Bad, "refused".to_owned()), soft(refusal.code.as_str())]);
        column.push(plain(refusal.message.as_str()));
        column.push(plain(format!("{}: nothing", self.people[ANNA].role.name)));
        self.screen.columns(columns);
    }

    /// A client that cannot encrypt, with somebody's session.
    pub(super) fn plainly(&self, who: usize) -> Plain {
        let person = &self.people[who];
        Plain::new(&self.apps[person.role.platform].address, &person.token)
    }

    /// Nothing that came encrypted in this conversation stays closed to anybody.
    pub(super) async fn all_is_opened(&self) -> Result<(), Failure> {
        for (person, from) in self.people.iter().zip(&self.begun) {
            if let Some(event) = person.stays_closed(*from).await {
                return Err(format!("{} cannot decrypt {event}", person.role.name).into());
            }
        }
        Ok(())
    }
}
