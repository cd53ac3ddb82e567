//! Changing the password.

use linkspan_accounts::AccountsError;
use linkspan_platforms::RateClass;
use linkspan_wire::ACCOUNT_PAGE;
use maud::html;

use super::{PASSWORD_PATH, back};
use crate::{
    shell::{Page, error_notice, new_password_fields, password_field, proof},
    visit::{Shown, Values, Visit, failed, too_many, with_value},
    words::sentence,
};

pub(crate) async fn show(visit: Visit) -> Shown {
    visit.session()?;
    visit.show(&page(&visit, None))
}

fn page(visit: &Visit, error: Option<&str>) -> Page {
    Page::card(
        "Change your password",
        html! {
            h1 { "Change your password" }
            (error_notice(error))
            form method="post" action=(PASSWORD_PATH) {
                (proof(&visit.csrf()))
                (password_field("Current password", true))
                (new_password_fields("New password", false))
                label.check {
                    input type="checkbox" name="log_out" value="yes";
                    " Log out of all apps"
                }
                button type="submit" { "Change password" }
            }
            (back())
        },
    )
}

pub(crate) async fn change(visit: Visit, form: Values) -> Shown {
    let session = visit.session()?;
    visit.check_rate(RateClass::Login, PASSWORD_PATH)?;
    let (old, new) = (form.text("password").to_owned(), form.text("new_password").to_owned());
    if new != form.text("new_password2") {
        return visit.show_again(&page(&visit, Some("The two new passwords don't match.")));
    }
    let log_out = form.get("log_out").is_some();
    let (accounts, platform) = (&visit.app.accounts, &visit.platform);
    let replaced = accounts.replace_password(platform, &session.user_id, old, new, log_out).await;
    let password_stamp = match replaced {
        Ok((password_stamp, removed)) => {
            visit.app.lifecycle.forget_devices(removed).await.map_err(failed)?;
            password_stamp
        }
        Err(AccountsError::Forbidden(_)) => {
            return visit.show_again(&page(&visit, Some("The current password is wrong.")));
        }
        Err(AccountsError::Limited(limited)) => return Err(too_many(limited, PASSWORD_PATH)),
        Err(error @ AccountsError::WeakPassword(_)) => {
            return visit.show_again(&page(&visit, Some(&sentence(&error.to_string()))));
        }
        Err(error) => return Err(failed(error)),
    };
    // With the password, the sessions of all browsers ended; this one has just proved itself.
    let token = visit.app.oauth.begin_browser_session(&session.user_id, password_stamp, visit.now_ts).await;
    visit.logged_in(&token.map_err(failed)?, &with_value(ACCOUNT_PAGE, "done", "password"))
}
