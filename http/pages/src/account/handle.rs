//! Showing and changing the handle, on platforms whose people are known by one.

use linkspan_accounts::AccountsError;
use linkspan_oauth::BrowserSession;
use linkspan_platforms::{Identity, RateClass};
use linkspan_rooms::RoomsError;
use linkspan_wire::ACCOUNT_PAGE;
use maud::{Markup, html};

use super::HANDLE_PATH;
use crate::{
    response::redirect,
    shell::{Field, proof},
    visit::{Shown, Stop, Values, Visit, failed, refused, with_value},
    words::{count, sentence},
};

/// The form of the account's page. It is empty where people have no handles.
pub(crate) async fn form(visit: &Visit, session: &BrowserSession) -> Result<Markup, Stop> {
    if visit.platform.settings.identity != Identity::Handle {
        return Ok(html! {});
    }
    let own = visit.app.accounts.own_handle(&session.user_id, visit.now_ts).await.map_err(failed)?;
    let left = count(own.changes_left as u64, "time");
    let hint =
        format!("People find you by it. You can change it {left} now. The old one stays yours for 30 days.");
    let field = Field {
        label: "Handle",
        name: "handle",
        value: own.handle.as_deref().unwrap_or_default(),
        kind: "text",
        autocomplete: "username",
        ..Field::default()
    };
    Ok(html! {
        form.row method="post" action=(HANDLE_PATH) {
            (proof(&visit.csrf()))
            (field.render())
            button.second type="submit" { "Change" }
        }
        p.hint { (hint) }
    })
}

pub(crate) async fn change(visit: Visit, form: Values) -> Shown {
    let session = visit.session()?;
    visit.check_rate(RateClass::Other, ACCOUNT_PAGE)?;
    let handle = form.text("handle").trim();
    match visit.app.rooms.change_handle(&session.user_id, handle, visit.now_ts).await {
        Ok(_) => Ok(redirect(&with_value(ACCOUNT_PAGE, "done", "handle"))),
        Err(RoomsError::Accounts(
            error @ (AccountsError::InvalidUsername(_)
            | AccountsError::UserInUse
            | AccountsError::LooksLikeAnother
            | AccountsError::HandleChanges { .. }
            | AccountsError::Suspended
            | AccountsError::DemoAccount
            | AccountsError::Forbidden(_)),
        )) => Err(refused(sentence(&error.to_string()))),
        Err(error) => Err(failed(error)),
    }
}
