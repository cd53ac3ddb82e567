//! The account, as its owner sees and changes it.
//! <https://spec.matrix.org/v1.19/client-server-api/#oauth-20-account-management>

pub(crate) mod cross_signing;
pub(crate) mod deactivate;
pub(crate) mod devices;
pub(crate) mod discovery;
pub(crate) mod handle;
pub(crate) mod identifiers;
pub(crate) mod password;
pub(crate) mod profile;

use linkspan_oauth::BrowserSession;
use linkspan_wire::ACCOUNT_PAGE;
use maud::{Markup, html};

use crate::{
    log_in,
    shell::{Page, notice, who_or},
    visit::{Shown, Stop, Visit, with_value},
};

pub(crate) const PROFILE_PATH: &str = "/_linkspan/account/profile";
pub(crate) const DISCOVERY_PATH: &str = "/_linkspan/account/discovery";
pub(crate) const HANDLE_PATH: &str = "/_linkspan/account/handle";
pub(crate) const DEVICE_PATH: &str = "/_linkspan/account/device";
pub(crate) const PASSWORD_PATH: &str = "/_linkspan/account/password";
pub(crate) const RESET_PATH: &str = "/_linkspan/account/reset-encryption";
pub(crate) const DEACTIVATE_PATH: &str = "/_linkspan/account/deactivate";

/// Shows what the address asks for: clients lead people to single matters.
pub(crate) async fn show(visit: Visit) -> Shown {
    let session = visit.session()?;
    match visit.query.text("action") {
        devices::LIST | "org.matrix.sessions_list" => devices::list(&visit, &session).await,
        "org.matrix.device_view" | "org.matrix.session_view" => devices::view(&visit, &session).await,
        "org.matrix.device_delete" | "org.matrix.session_end" => devices::view(&visit, &session).await,
        cross_signing::ACTION => cross_signing::show(&visit, &session),
        deactivate::ACTION => deactivate::show(&visit, &session, None),
        _ => overview(&visit, &session).await,
    }
}

async fn overview(visit: &Visit, session: &BrowserSession) -> Shown {
    let done = visit.query.get("done").and_then(told);
    let page = Page {
        title: "Your account".into(),
        wide: true,
        body: html! {
            h1 { "Your account" }
            (notice(done))
            (who_or(session.user_id.as_str(), &visit.csrf(), ACCOUNT_PAGE, "Log out"))
            h2 { "Profile" }
            (profile::form(visit, session).await?)
            (handle::form(visit, session).await?)
            (identifiers::sections(visit, session).await?)
            (discovery::form(visit, session).await?)
            h2 { "Your sessions" }
            (devices::rows(visit, session).await?)
            h2 { "Security" }
            ul.links {
                li { a href=(PASSWORD_PATH) { (password::title(session)) } }
                li { a href=(action(cross_signing::ACTION)) { "Reset your encryption keys" } }
                li { a href=(action(deactivate::ACTION)) { "Deactivate your account" } }
            }
        },
    };
    visit.show(&page)
}

/// Says what was done, by the name that it has in the address.
fn told(done: &str) -> Option<&'static str> {
    Some(match done {
        "profile" => "Your display name has been saved.",
        "handle" => "Your handle has been changed.",
        "discovery" => "Your choice of who can find you has been saved.",
        "password" => "Your password has been saved.",
        "device" => "The session has been logged out.",
        "email-added" => "The email address has been added.",
        "email-removed" => "The email address has been removed.",
        "phone-added" => "The phone number has been added.",
        "phone-removed" => "The phone number has been removed.",
        _ => return None,
    })
}

pub(crate) fn action(name: &str) -> String {
    with_value(ACCOUNT_PAGE, "action", name)
}

/// Requires that the visitor has proved just now who it is: whoever finds a browser logged in must not take the
/// account over. Otherwise it is asked for, and `back` is shown after that.
fn check_fresh(session: &BrowserSession, back: &str) -> Result<(), Stop> {
    if session.fresh {
        return Ok(());
    }
    let log_in = with_value(log_in::PATH, "next", back);
    let log_in = with_value(&log_in, "login_hint", session.user_id.as_str());
    Err(Stop::Redirect(with_value(&log_in, "again", "yes")))
}

/// A link back from a single matter.
fn back() -> Markup {
    html! { p.aside { a href=(ACCOUNT_PAGE) { "Back to your account" } } }
}
