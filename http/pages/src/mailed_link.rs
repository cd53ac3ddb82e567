//! Links that pages have mailed to people: sending them, and taking them when they are opened. What is sent by SMS has
//! a code instead.
//!
//! Whoever has such a link has the mail, and needs no more to go on, in whichever browser. Only the browser
//! that asked for it is led on to where it wanted to go.

use http::StatusCode;
use linkspan_accounts::{
    AccountsError, LinkToken, ThirdPartyId, ValidationLink, ValidationPurpose, ValidationRequest,
};
use linkspan_wire::ACCOUNT_PAGE;
use maud::{Markup, html};
use url::{Position, Url};

use crate::{
    shell::Page,
    visit::{Stop, Values, Visit, failed, local, refused, with_value},
    words::sentence,
};

/// What a link has in it, from an address or a form.
pub(crate) fn token_in(values: &Values) -> Option<LinkToken> {
    Some(LinkToken { sid: values.owned("sid")?, token: values.owned("token")? })
}

/// Keeps what a link has in it in a form.
pub(crate) fn hidden(link: &LinkToken) -> Markup {
    html! {
        input type="hidden" name="sid" value=(link.sid);
        input type="hidden" name="token" value=(link.token);
    }
}

/// Sends an address or a number what confirms it: mails have a link to `page`, which is a path of ours. `next` is where
/// this browser wants to go on. `form` is where it can be asked for again.
pub(crate) async fn send(
    visit: &Visit,
    purpose: ValidationPurpose,
    id: &ThirdPartyId,
    page: &str,
    form: &str,
    next: &str,
) -> Result<(), Stop> {
    let request = ValidationRequest {
        purpose,
        id: id.clone(),
        client_secret: visit.mail_secret(),
        send_attempt: visit.now_ts,
        next_link: Some(format!("{}{next}", visit.known_base_url)),
        page: format!("{}{page}", visit.known_base_url),
        by_page: true,
        from: visit.address,
    };
    let sent = visit.app.accounts.request_validation(&visit.platform, request, visit.now_ts).await;
    sent.map(|_| ()).map_err(|error| not_sent(error, &with_value(form, "next", next)))
}

/// Says why no message was sent. `back` is where to try again.
pub(crate) fn not_sent(error: AccountsError, back: &str) -> Stop {
    match error {
        AccountsError::TooManyMessages { retry_after } => {
            Stop::Limited { wait: retry_after, back: back.to_owned() }
        }
        AccountsError::NotSent => Stop::NotFound,
        error @ AccountsError::DemoAccount => refused(sentence(&error.to_string())),
        error => failed(error),
    }
}

/// Opens a link if it is good for this purpose. Otherwise a page says that it is not, and `again` is where
/// the visitor can get another.
pub(crate) async fn open(
    visit: &Visit,
    link: &LinkToken,
    purpose: ValidationPurpose,
    again: &str,
) -> Result<ValidationLink, Stop> {
    match visit.app.accounts.validation_link(visit.platform.server_name(), link, visit.now_ts).await {
        Ok(found) if found.purpose == purpose => Ok(found),
        Ok(_) | Err(AccountsError::NotFound(_)) => Err(used_up(visit, again)),
        Err(error) => Err(failed(error)),
    }
}

/// Says that a link was used already, or is too old. `again` is where to get another.
pub(crate) fn used_up(visit: &Visit, again: &str) -> Stop {
    match visit.show_leading(StatusCode::NOT_FOUND, &used_up_page(Some(again)), "") {
        Ok(response) => Stop::Instead(Box::new(response)),
        Err(stop) => stop,
    }
}

/// The page that says so. `again` is where to get another link, if these pages have sent it.
pub(crate) fn used_up_page(again: Option<&str>) -> Page {
    let title = "This link doesn't work any more";
    Page::card(
        title,
        html! {
            h1 { (title) }
            p { "Links and codes work once, and only the newest ones do. After a while they expire." }
            @match again {
                Some(again) => p.aside { a href=(again) { "Start again" } },
                None => p { "Go back to your app to get a new one." },
            }
        },
    )
}

/// Where to go on after a link was used. The browser that asked for it goes where it wanted to, others to the
/// account.
pub(crate) fn next(visit: &Visit, link: &ValidationLink) -> String {
    let wanted = link.next_link.as_deref().filter(|_| link.was_asked_for_with(&visit.mail_secret()));
    let wanted = wanted.and_then(|wanted| Url::parse(wanted).ok());
    wanted.map_or_else(|| ACCOUNT_PAGE.to_owned(), |wanted| local(Some(&wanted[Position::BeforePath..])))
}
