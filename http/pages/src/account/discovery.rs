//! Showing and choosing who finds the account, by what.

use linkspan_accounts::ThirdPartyId;
use linkspan_domain::{Audience, Discovery, FoundBy};
use linkspan_oauth::BrowserSession;
use linkspan_platforms::{Identity, RateClass};
use linkspan_wire::ACCOUNT_PAGE;
use maud::{Markup, html};

use super::DISCOVERY_PATH;
use crate::{
    response::redirect,
    shell::proof,
    visit::{Shown, Stop, Values, Visit, failed, refused, with_value},
};

/// The audiences, by the names that they have in the form.
const AUDIENCES: [(&str, Audience); 4] = [
    ("everyone", Audience::Everyone),
    ("platform", Audience::Platform),
    ("contacts", Audience::Contacts),
    ("nobody", Audience::Nobody),
];

/// A row of the form.
struct Row {
    by: FoundBy,
    name: &'static str,
    label: &'static str,
}

const HANDLE: Row = Row { by: FoundBy::Handle, name: "handle", label: "By your handle" };
const USER_NAME: Row = Row { label: "By your user name", ..HANDLE };
const PHONE: Row = Row { by: FoundBy::Phone, name: "phone", label: "By your phone number" };
const EMAIL: Row = Row { by: FoundBy::Email, name: "email", label: "By your email address" };
const NAME: Row = Row { by: FoundBy::Name, name: "name", label: "By your name" };

/// The form of the account's page.
pub(crate) async fn form(visit: &Visit, session: &BrowserSession) -> Result<Markup, Stop> {
    let choices = visit.app.contacts.choices(&session.user_id).await.map_err(failed)?;
    let rows = rows(visit, session).await?;
    Ok(html! {
        h2 { "Who can find you" }
        form.choices method="post" action=(DISCOVERY_PATH) {
            (proof(&visit.csrf()))
            @for row in &rows { (row.render(choices.audience(row.by), &visit.platform.display_name())) }
            p.hint {
                "Contacts are people whose invitation you have accepted, and whom you have written to. Whom you block \
                 never finds you. People in your chats always see your name there."
            }
            button.second type="submit" { "Save" }
        }
    })
}

/// The rows for what the account has, or can have here. What people of the platform are known by comes first.
async fn rows(visit: &Visit, session: &BrowserSession) -> Result<Vec<Row>, Stop> {
    let accounts = &visit.app.accounts;
    let added = accounts.third_party_ids(&session.user_id).await.map_err(failed)?;
    let (numbers, addresses): (Vec<_>, Vec<_>) =
        added.into_iter().map(|added| added.id).partition(ThirdPartyId::is_phone);
    let phone = (!numbers.is_empty() || accounts.sends_sms(&visit.platform)).then_some(PHONE);
    let email = (!addresses.is_empty() || accounts.sends_mails(&visit.platform)).then_some(EMAIL);
    let rows = match visit.platform.settings.identity {
        Identity::Handle => [Some(HANDLE), Some(NAME), phone, email],
        Identity::Account => [Some(NAME), Some(USER_NAME), email, phone],
        Identity::Phone => [phone, Some(NAME), email, None],
    };
    Ok(rows.into_iter().flatten().collect())
}

impl Row {
    fn render(&self, chosen: Audience, platform: &str) -> Markup {
        let id = format!("found-by-{}", self.name);
        html! {
            div.choice {
                label for=(id) { (self.label) }
                select id=(id) name=(self.name) {
                    @for (name, audience) in AUDIENCES {
                        option value=(name) selected[audience == chosen] { (words(audience, platform)) }
                    }
                }
            }
        }
    }
}

fn words(audience: Audience, platform: &str) -> String {
    match audience {
        Audience::Everyone => "Everyone".to_owned(),
        Audience::Platform => format!("People on {platform}"),
        Audience::Contacts => "Your contacts".to_owned(),
        Audience::Nobody => "Nobody".to_owned(),
    }
}

pub(crate) async fn choose(visit: Visit, form: Values) -> Shown {
    let session = visit.session()?;
    visit.check_rate(RateClass::Other, ACCOUNT_PAGE)?;
    let contacts = &visit.app.contacts;
    let choices = contacts.choices(&session.user_id).await.map_err(failed)?;
    let (before, usual) = (choices.own_discovery(), choices.platform_discovery());
    let after = |row: Row| said(&form, &row, before, usual);
    let own =
        Discovery { handle: after(HANDLE)?, phone: after(PHONE)?, email: after(EMAIL)?, name: after(NAME)? };
    contacts.set_own_discovery(&session.user_id, &own).await.map_err(failed)?;
    Ok(redirect(&with_value(ACCOUNT_PAGE, "done", "discovery")))
}

/// What somebody says with the form. Whoever has said nothing and leaves a row as it was goes on saying nothing; and so
/// it is with a row that the form does not have.
fn said(form: &Values, row: &Row, before: Discovery, usual: Discovery) -> Result<Option<Audience>, Stop> {
    let before = before.of(row.by);
    let Some(given) = form.get(row.name) else { return Ok(before) };
    let chosen = AUDIENCES.iter().find(|(name, _)| *name == given).map(|(_, audience)| *audience);
    let chosen = chosen.ok_or_else(|| refused("Please choose who can find you."))?;
    let is_usual = before.is_none() && usual.of(row.by) == Some(chosen);
    Ok((!is_usual).then_some(chosen))
}
