//! Typing the code that a device without a browser shows.
//! <https://spec.matrix.org/v1.19/client-server-api/#device-authorisation-flow>

use linkspan_client_api::LINK_PAGE;
use linkspan_oauth::{OAuthError, PendingGrant};
use linkspan_platforms::RateClass;
use maud::html;

use crate::{
    authorise::rights,
    shell::{Field, Page, error_notice, proof, who},
    visit::{Shown, Stop, Values, Visit, failed},
};

pub(crate) async fn show(visit: Visit) -> Shown {
    let session = visit.session()?;
    let Some(typed) = visit.query.owned("user_code") else { return visit.show(&ask(None)) };
    let Some(grant) = find(&visit, &typed).await? else { return visit.show_again(&ask(Some(WRONG))) };
    let csrf = visit.csrf();
    let page = Page::card(
        "Allow access",
        html! {
            h1 { "Log in to " (grant.client.name()) "?" }
            (who(session.user_id.as_str(), &csrf, &visit.target))
            p { "Your device shows the code " strong.code { (grant.user_code) } ". Allow this only if you are looking \
                 at it: nobody else should have sent you here." }
            (rights(&grant.client))
            form method="post" action=(LINK_PAGE) {
                (proof(&csrf))
                input type="hidden" name="user_code" value=(grant.user_code);
                button type="submit" name="answer" value="allow" { "Allow" }
                button.second type="submit" name="answer" value="deny" { "Cancel" }
            }
        },
    );
    visit.show(&page)
}

const WRONG: &str = "There is no such code, or it has expired. Look at your device again.";

fn ask(error: Option<&str>) -> Page {
    let field = Field {
        label: "Code",
        name: "user_code",
        kind: "text",
        autocomplete: "off",
        hint: Some("Eight letters, as your device shows them."),
        focus: true,
        ..Field::default()
    };
    Page::card(
        "Connect a device",
        html! {
            h1 { "Connect a device" }
            (error_notice(error))
            form method="get" action=(LINK_PAGE) {
                (field.render())
                button type="submit" { "Continue" }
            }
        },
    )
}

/// Codes are short: how often one may try is limited.
async fn find(visit: &Visit, typed: &str) -> Result<Option<PendingGrant>, Stop> {
    visit.check_rate(RateClass::Login)?;
    let platform = visit.platform.server_name();
    visit.app.oauth.pending_grant(platform, typed, visit.now_ts).await.map_err(failed)
}

pub(crate) async fn answer(visit: Visit, form: Values) -> Shown {
    let session = visit.session()?;
    let Some(grant) = find(&visit, form.text("user_code")).await? else {
        return visit.show_again(&ask(Some(WRONG)));
    };
    let allowed = form.text("answer") == "allow";
    let (user_id, password_stamp) = (&session.user_id, session.password_stamp);
    match visit.app.oauth.answer_grant(&grant, user_id, password_stamp, allowed, visit.now_ts).await {
        Ok(()) => {}
        Err(OAuthError::InvalidRequest(_)) => return visit.show_again(&ask(Some(WRONG))),
        Err(error) => return Err(failed(error)),
    }
    let (title, text) = match allowed {
        true => {
            ("Done", "Go on on your device: it is logged in within some seconds. You can close this page.")
        }
        false => ("Cancelled", "The device was not logged in. You can close this page."),
    };
    visit.show(&Page::card(title, html! { h1 { (title) } p { (text) } }))
}
