//! The account, as its owner sees and changes it.
//! <https://spec.matrix.org/v1.19/client-server-api/#oauth-20-account-management>

pub(crate) mod cross_signing;
pub(crate) mod deactivate;
pub(crate) mod devices;
pub(crate) mod password;
pub(crate) mod profile;

use linkspan_client_api::ACCOUNT_PAGE;
use linkspan_oauth::BrowserSession;
use maud::{Markup, html};

use crate::{
    shell::{Page, notice, who_or},
    visit::{Shown, Visit, with_value},
};

pub(crate) const PROFILE_PATH: &str = "/_linkspan/account/profile";
pub(crate) const DEVICE_PATH: &str = "/_linkspan/account/device";
pub(crate) const PASSWORD_PATH: &str = "/_linkspan/account/password";
pub(crate) const RESET_PATH: &str = "/_linkspan/account/reset-encryption";
pub(crate) const DEACTIVATE_PATH: &str = "/_linkspan/account/deactivate";

/// Shows what the address asks for: clients lead people to single matters.
pub(crate) async fn show(visit: Visit) -> Shown {
    let session = visit.session()?;
    match visit.query.text("action") {
        "org.matrix.devices_list" | "org.matrix.sessions_list" => devices::list(&visit, &session).await,
        "org.matrix.device_view" | "org.matrix.session_view" => devices::view(&visit, &session).await,
        "org.matrix.device_delete" | "org.matrix.session_end" => devices::view(&visit, &session).await,
        "org.matrix.cross_signing_reset" => cross_signing::show(&visit, &session),
        "org.matrix.account_deactivate" => deactivate::show(&visit, &session, None),
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
            h2 { "Sessions" }
            (devices::rows(visit, session).await?)
            h2 { "Security" }
            ul.links {
                li { a href=(PASSWORD_PATH) { "Change the password" } }
                li { a href=(action("org.matrix.cross_signing_reset")) { "Reset the encryption of your account" } }
                li { a href=(action("org.matrix.account_deactivate")) { "Deactivate the account" } }
            }
        },
    };
    visit.show(&page)
}

/// What was done, by the name of it in the address.
fn told(done: &str) -> Option<&'static str> {
    Some(match done {
        "profile" => "Your name is changed.",
        "password" => "Your password is changed.",
        "device" => "The session is logged out.",
        _ => return None,
    })
}

pub(crate) fn action(name: &str) -> String {
    with_value(ACCOUNT_PAGE, "action", name)
}

/// The way back from a single matter.
fn back() -> Markup {
    html! { p.aside { a href=(ACCOUNT_PAGE) { "Back to your account" } } }
}
