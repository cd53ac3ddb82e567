//! Allowing a client to replace the keys by which the account's devices are trusted.
//! <https://spec.matrix.org/v1.19/client-server-api/#oauth-authentication>

use linkspan_oauth::BrowserSession;
use maud::html;

use super::{RESET_PATH, action, back};
use crate::{
    log_in,
    response::redirect,
    shell::{Page, proof, who},
    visit::{Shown, Stop, Values, Visit, with_value},
};

const ACTION: &str = "org.matrix.cross_signing_reset";

/// Whoever finds a browser logged in must not take over what people trust: the password was proved just now.
fn check_fresh(session: &BrowserSession) -> Result<(), Stop> {
    if session.fresh {
        return Ok(());
    }
    let log_in = with_value(log_in::PATH, "next", &action(ACTION));
    Err(Stop::Redirect(with_value(
        &with_value(&log_in, "login_hint", session.user_id.as_str()),
        "again",
        "yes",
    )))
}

pub(crate) fn show(visit: &Visit, session: &BrowserSession) -> Shown {
    check_fresh(session)?;
    let csrf = visit.csrf();
    let body = html! {
        h1 { "Reset the encryption of your account?" }
        (who(session.user_id.as_str(), &csrf, &visit.target))
        p { "Do this only if you have lost all other devices and your recovery key." }
        ul.rights {
            li { "Messages that are encrypted for your present keys may become unreadable." }
            li { "The people you have verified will be told that your identity has changed." }
            li { "You will have to verify your devices again." }
        }
        form method="post" action=(RESET_PATH) {
            (proof(&csrf))
            button.danger type="submit" { "Allow the reset" }
        }
        (back())
    };
    visit.show(&Page::card("Reset the encryption", body))
}

pub(crate) async fn allow(visit: Visit, _: Values) -> Shown {
    let session = visit.session()?;
    if check_fresh(&session).is_err() {
        return Ok(redirect(&action(ACTION)));
    }
    visit.app.accounts.allow_cross_signing_reset(&session.user_id, session.password_stamp, visit.now_ts);
    let body = html! {
        h1 { "Go back to your client" }
        p { "For the next ten minutes it may reset the encryption of your account. You can close this page." }
    };
    visit.show(&Page::card("Go back to your client", body))
}
