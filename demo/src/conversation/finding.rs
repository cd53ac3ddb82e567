//! Finding people of other platforms: by an address book that nobody is shown, and by a handle.

use linkspan_address_book::Address;

use super::{
    BEN, CLEO, Conversation, DANA, EMIL, MARCO,
    describe::{name, plain, soft},
};
use crate::{Failure, person::KnownBy};

/// The number of somebody who is on none of the platforms.
const ELSEWHERE: &str = "+491713920033";

impl Conversation<'_> {
    /// Cleo's phone finds two friends in her address book, each on another platform.
    pub(super) async fn address_book(&mut self) -> Result<(), Failure> {
        // People with numbers are found by them unless they say otherwise; others only if they say so.
        self.plainly(BEN).be_found_by_email().await.map_err(|refusal| refusal.to_string())?;
        self.step("Cleo's phone looks through her address book", CLEO);
        let friends = [("Emil", EMIL), ("Ben", BEN)];
        let mut book: Vec<_> = friends
            .iter()
            .map(|(called, who)| {
                (*called, self.people[*who].role.known_by, Some(self.people[*who].id.clone()))
            })
            .collect();
        book.push(("Aunt Ida", KnownBy::Number(ELSEWHERE), None));
        let addresses: Vec<_> = book.iter().filter_map(|(_, known_by, _)| address(*known_by)).collect();
        let found = self.plainly(CLEO).find_people(&addresses).await.map_err(|error| error.to_string())?;
        let mut columns = self.headings();
        let column = &mut columns[self.people[CLEO].role.platform];
        column.push(soft("Cleo"));
        for (called, known_by, expected) in book {
            let found = found.iter().find(|found| Some(&found.address) == address(known_by).as_ref());
            if found.map(|found| &found.user_id) != expected.as_ref() {
                return Err(format!("Cleo's phone finds {found:?} for {called}").into());
            }
            column.extend([name(called), plain(format!("  {}", known_by.said()))]);
            let server_name = found.and_then(|found| found.user_id.split_once(':'));
            column.push(soft(match server_name {
                Some((_, server_name)) => format!("  {server_name}"),
                None => "  not here".to_owned(),
            }));
        }
        self.screen.columns(columns);
        self.finds(DANA, "@marco", MARCO).await.map(drop)
    }
}

/// What stands in an address book.
fn address(known_by: KnownBy) -> Option<Address> {
    match known_by {
        KnownBy::Number(number) => Address::phone_number(number).ok(),
        KnownBy::Email(address, _) => Address::email(address).ok(),
        KnownBy::Handle(_) => None,
    }
}
