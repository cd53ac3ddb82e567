//! Logging in clients that know single sign-on but not OAuth 2.0, and so get a login token.
//! <https://spec.matrix.org/v1.19/client-server-api/#sso-client-loginauthentication>

use http::StatusCode;
use linkspan_wire::SSO_PAGE;
use maud::html;
use url::Url;

use crate::{
    authorise::{place, source_of},
    log_in, register,
    response::redirect,
    shell::{Page, proof, who},
    visit::{Shown, Stop, Values, Visit, refused, with_value},
};

/// The longest address that is gone back to, in bytes.
const REDIRECT_BYTES: usize = 2_048;
/// Schemes by which a browser does something of its own instead of going to a client.
const FORBIDDEN: [&str; 9] =
    ["javascript", "data", "vbscript", "blob", "file", "about", "filesystem", "view-source", "ftp"];

pub(crate) async fn show(visit: Visit) -> Shown {
    let uri = redirect_uri(&visit)?;
    let Some(session) = &visit.session else {
        let page = if visit.query.get("action") == Some("register") { register::PATH } else { log_in::PATH };
        let back = format!("{SSO_PAGE}?{}", visit.query.without("action"));
        return Ok(redirect(&with_value(page, "next", &back)));
    };
    let csrf = visit.csrf();
    let place = place(uri.as_str());
    let page = Page::card(
        "Log in",
        html! {
            h1 { "Log in to " (place) "?" }
            (who(session.user_id.as_str(), &csrf, &visit.target))
            p { "You're about to log in to " strong { (place) } " with your " (visit.platform.display_name()) " \
                 account. It will be able to read your chats, and to send messages as you." }
            p.hint { "Only continue if you came from there and trust it." }
            form method="post" action=(visit.target) {
                (proof(&csrf))
                button type="submit" { "Continue" }
            }
            p.aside { a href=(linkspan_wire::ACCOUNT_PAGE) { "Cancel" } }
        },
    );
    visit.show_leading(StatusCode::OK, &page, &source_of(uri.as_str()))
}

pub(crate) async fn answer(visit: Visit, _: Values) -> Shown {
    let mut uri = redirect_uri(&visit)?;
    let session = visit.session()?;
    let token = visit.app.accounts.new_login_token(&session.user_id, session.password_stamp, visit.now_ts);
    uri.query_pairs_mut().append_pair("loginToken", &token.token);
    Ok(redirect(uri.as_str()))
}

fn redirect_uri(visit: &Visit) -> Result<Url, Stop> {
    let wrong =
        || refused("The app that sent you here didn't say where to return to. Go back to it and try again.");
    let text = visit.query.get("redirectUrl").ok_or_else(wrong)?;
    if text.len() > REDIRECT_BYTES || text.chars().any(char::is_control) {
        return Err(wrong());
    }
    let uri = Url::parse(text).map_err(|_| wrong())?;
    let web = matches!(uri.scheme(), "http" | "https");
    let user = !uri.username().is_empty() || uri.password().is_some();
    if FORBIDDEN.contains(&uri.scheme()) || user || (web && uri.host_str().is_none()) {
        return Err(wrong());
    }
    Ok(uri)
}
