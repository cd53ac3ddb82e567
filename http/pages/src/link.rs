//! Typing the code that a device without a browser shows.
//! <https://spec.matrix.org/v1.19/client-server-api/#device-authorisation-flow>

use linkspan_oauth::{OAuthError, PendingGrant};
use linkspan_platforms::RateClass;
use linkspan_wire::LINK_PAGE;
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
            h1 { "Allow " (grant.client.name()) " to use your " (visit.platform.display_name()) " account?" }
            (who(session.user_id.as_str(), &csrf, &visit.target))
            p { "Your device should show the code " strong.code { (grant.user_code) } ". If somebody else sent you \
                 this code or a link to this page, press Cancel." }
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

const WRONG: &str = "That code is wrong or has expired. Check your device and try again.";

fn ask(error: Option<&str>) -> Page {
    let field = Field {
        label: "Code",
        name: "user_code",
        kind: "text",
        autocomplete: "off",
        hint: Some("The 8 letters that your device shows."),
        focus: true,
        ..Field::default()
    };
    Page::card(
        "Connect a device",
        html! {
            h1 { "Connect a device" }
            p { "Enter the code that you see on the device." }
            (error_notice(error))
            form method="get" action=(LINK_PAGE) {
                (field.render())
                button type="submit" { "Continue" }
            }
        },
    )
}

/// Looks for the device that shows a code. Codes are short, so how often one may try is limited.
async fn find(visit: &Visit, typed: &str) -> Result<Option<PendingGrant>, Stop> {
    visit.check_rate(RateClass::Login, LINK_PAGE)?;
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
            ("You're all set", "Your device will be logged in within a few seconds. You can close this page.")
        }
        false => ("Cancelled", "The device has not been logged in. You can close this page."),
    };
    visit.show(&Page::card(title, html! { h1 { (title) } p { (text) } }))
}
