//! Changing the password.

use linkspan_accounts::AccountsError;
use linkspan_client_api::ACCOUNT_PAGE;
use linkspan_platforms::RateClass;
use maud::html;

use super::{PASSWORD_PATH, back};
use crate::{
    register::sentence,
    shell::{Field, Page, error_notice, password_field, proof},
    visit::{Shown, Values, Visit, failed, too_many, with_value},
};

pub(crate) async fn show(visit: Visit) -> Shown {
    visit.session()?;
    visit.show(&page(&visit, None))
}

fn page(visit: &Visit, error: Option<&str>) -> Page {
    let new = |label, name, hint| {
        let autocomplete = "new-password";
        Field { label, name, kind: "password", autocomplete, hint, ..Field::default() }.render()
    };
    Page::card(
        "Change the password",
        html! {
            h1 { "Change the password" }
            (error_notice(error))
            form method="post" action=(PASSWORD_PATH) {
                (proof(&visit.csrf()))
                (password_field("Present password", true))
                (new("New password", "new_password", Some("At least 8 characters.")))
                (new("The new password again", "new_password2", None))
                label.check {
                    input type="checkbox" name="log_out" value="yes";
                    " Log all sessions out"
                }
                button type="submit" { "Change it" }
            }
            (back())
        },
    )
}

pub(crate) async fn change(visit: Visit, form: Values) -> Shown {
    let session = visit.session()?;
    visit.check_rate(RateClass::Login)?;
    let (old, new) = (form.text("password").to_owned(), form.text("new_password").to_owned());
    if new != form.text("new_password2") {
        return visit.show_again(&page(&visit, Some("The two new passwords are not the same.")));
    }
    let log_out = form.get("log_out").is_some();
    let (accounts, platform) = (&visit.app.accounts, &visit.platform);
    let replaced = accounts.replace_password(platform, &session.user_id, old, new, log_out).await;
    let password_stamp = match replaced {
        Ok((password_stamp, removed)) => {
            visit.app.forget_removed(removed).await.map_err(failed)?;
            password_stamp
        }
        Err(AccountsError::Forbidden(_)) => {
            return visit.show_again(&page(&visit, Some("The present password is wrong.")));
        }
        Err(AccountsError::Limited(limited)) => return Err(too_many(limited)),
        Err(error @ AccountsError::WeakPassword(_)) => {
            return visit.show_again(&page(&visit, Some(&sentence(&error.to_string()))));
        }
        Err(error) => return Err(failed(error)),
    };
    // With the password, the sessions of all browsers ended; this one has just proved itself.
    let token = visit.app.oauth.begin_browser_session(&session.user_id, password_stamp, visit.now_ts).await;
    visit.logged_in(&token.map_err(failed)?, &with_value(ACCOUNT_PAGE, "done", "password"))
}
