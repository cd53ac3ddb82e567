//! What stays apart: sessions of one platform mean nothing to another, and chats are told to nobody else.

use super::{
    ANNA, CLEO, Conversation, DANA, EMIL, MARCO,
    describe::{halves, plain, soft},
};
use crate::{Failure, client::Plain, screen::Look};

impl Conversation<'_> {
    /// Anna's token is asked for at all three addresses.
    pub(super) async fn tokens(&mut self) -> Result<(), Failure> {
        self.step("Anna's access token is shown to all three", ANNA);
        let mut columns = self.headings();
        for (platform, app) in self.apps.iter().enumerate() {
            let own = platform == self.people[ANNA].role.platform;
            match Plain::new(&app.address, &self.people[ANNA].token).whoami().await {
                Ok(user) if own => {
                    columns[platform].push(plain("you are"));
                    columns[platform].extend(halves(&user).map(plain));
                }
                Err(refusal) if !own && refusal.code == "M_UNKNOWN_TOKEN" => {
                    columns[platform].extend([plain("refused"), soft(refusal.code)]);
                }
                Ok(user) => return Err(format!("{} took Anna's token: {user}", app.style).into()),
                Err(refusal) => return Err(format!("{} answered {refusal}", app.style).into()),
            }
        }
        self.screen.columns(columns);
        Ok(())
    }

    /// Those who are not in the chat of Anna and Ben were never told of it.
    pub(super) fn outsiders(&mut self, chat: &str) -> Result<(), Failure> {
        self.step_in("What the others received of Anna and Ben's chat", "all three apps", Look::Plain);
        let mut columns = self.headings();
        for person in [MARCO, DANA, CLEO, EMIL].map(|who| &self.people[who]) {
            if person.heard().knows(chat) {
                return Err(format!("{} is told of a chat of others", person.role.name).into());
            }
            columns[person.role.platform].push(plain(format!("{}: nothing", person.role.name)));
        }
        self.screen.columns(columns);
        Ok(())
    }
}
