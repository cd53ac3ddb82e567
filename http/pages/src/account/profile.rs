//! Showing and changing the display name.

use linkspan_oauth::BrowserSession;
use linkspan_platforms::RateClass;
use linkspan_wire::ACCOUNT_PAGE;
use maud::{Markup, html};
use serde_json::Value;

use super::PROFILE_PATH;
use crate::{
    response::redirect,
    shell::{Field, proof},
    visit::{Shown, Stop, Values, Visit, failed, refused, with_value},
};

/// The longest name that this page sets, in bytes.
const NAME_BYTES: usize = 255;

pub(crate) async fn form(visit: &Visit, session: &BrowserSession) -> Result<Markup, Stop> {
    let name = visit.app.accounts.profile_field(&session.user_id, "displayname").await.map_err(failed)?;
    let field = Field {
        label: "Display name",
        name: "name",
        value: name.as_ref().and_then(Value::as_str).unwrap_or_default(),
        kind: "text",
        autocomplete: "nickname",
        optional: true,
        ..Field::default()
    };
    Ok(html! {
        form.row method="post" action=(PROFILE_PATH) {
            (proof(&visit.csrf()))
            (field.render())
            button.second type="submit" { "Save" }
        }
    })
}

pub(crate) async fn rename(visit: Visit, form: Values) -> Shown {
    let session = visit.session()?;
    visit.check_rate(RateClass::Other, ACCOUNT_PAGE)?;
    let name = form.text("name").trim();
    if name.len() > NAME_BYTES {
        return Err(refused("This name is too long. Please choose a shorter one."));
    }
    let name = (!name.is_empty()).then(|| Value::from(name));
    let rooms = &visit.app.rooms;
    rooms.set_profile_field(&session.user_id, "displayname", name, visit.now_ts).await.map_err(failed)?;
    Ok(redirect(&with_value(ACCOUNT_PAGE, "done", "profile")))
}
