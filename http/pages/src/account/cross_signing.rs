//! Allowing a client to replace the keys by which the account's devices are trusted.
//! <https://spec.matrix.org/v1.19/client-server-api/#oauth-authentication>

use linkspan_oauth::BrowserSession;
use maud::html;

use super::{RESET_PATH, action, back, check_fresh};
use crate::{
    response::redirect,
    shell::{Page, proof, who},
    visit::{Shown, Values, Visit},
};

pub(crate) const ACTION: &str = "org.matrix.cross_signing_reset";

pub(crate) fn show(visit: &Visit, session: &BrowserSession) -> Shown {
    check_fresh(session, &action(ACTION))?;
    let csrf = visit.csrf();
    let body = html! {
        h1 { "Reset your encryption keys?" }
        (who(session.user_id.as_str(), &csrf, &visit.target))
        p { "Only do this if you've lost all your other devices and your recovery key." }
        ul.rights {
            li { "You may lose access to your encrypted messages." }
            li { "People you've verified will see that your identity has changed." }
            li { "You'll need to verify your devices again." }
        }
        form method="post" action=(RESET_PATH) {
            (proof(&csrf))
            button.danger type="submit" { "Allow reset" }
        }
        (back())
    };
    visit.show(&Page::card("Reset your encryption keys", body))
}

pub(crate) async fn allow(visit: Visit, _: Values) -> Shown {
    let session = visit.session()?;
    if check_fresh(&session, &action(ACTION)).is_err() {
        return Ok(redirect(&action(ACTION)));
    }
    visit.app.accounts.allow_cross_signing_reset(&session.user_id, session.password_stamp, visit.now_ts);
    let body = html! {
        h1 { "Go back to your app" }
        p { "It can reset your encryption keys within the next 10 minutes. You can close this page." }
    };
    visit.show(&Page::card("Go back to your app", body))
}
