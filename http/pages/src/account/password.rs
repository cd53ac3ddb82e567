//! Changing the password, setting the first one, or removing it where it is a second step.

use linkspan_accounts::{AccountsError, PasswordStamp};
use linkspan_oauth::BrowserSession;
use linkspan_platforms::RateClass;
use linkspan_wire::ACCOUNT_PAGE;
use maud::html;

use super::{PASSWORD_PATH, back, check_fresh};
use crate::{
    shell::{Page, error_notice, new_password_fields, password_field, proof},
    visit::{Shown, Stop, Values, Visit, failed, too_many, with_value},
    words::sentence,
};

/// What can be done with the password of an account, which may have none yet.
pub(crate) fn title(session: &BrowserSession) -> &'static str {
    if session.password_stamp.0.is_some() { "Change your password" } else { "Set a password" }
}

pub(crate) async fn show(visit: Visit) -> Shown {
    let session = visit.session()?;
    if session.password_stamp.0.is_none() {
        check_fresh(&session, PASSWORD_PATH)?;
    }
    visit.show(&page(&visit, &session, None))
}

fn page(visit: &Visit, session: &BrowserSession, error: Option<&str>) -> Page {
    let (title, has_password) = (title(session), session.password_stamp.0.is_some());
    let may_remove = has_password && visit.app.accounts.knows_by_number(&visit.platform);
    Page::card(
        title,
        html! {
            h1 { (title) }
            @if !has_password {
                p { "Whoever logs in with your phone number will be asked for it, too. It can be made of digits." }
            }
            (error_notice(error))
            form method="post" action=(PASSWORD_PATH) {
                (proof(&visit.csrf()))
                @if has_password { (password_field("Current password", true)) }
                (new_password_fields("New password", !has_password))
                @if has_password {
                    label.check {
                        input type="checkbox" name="log_out" value="yes";
                        " Log out of all apps"
                    }
                }
                button type="submit" { (title) }
                @if may_remove {
                    button.second type="submit" name="answer" value="remove" formnovalidate { "Remove the password" }
                }
            }
            (back())
        },
    )
}

pub(crate) async fn change(visit: Visit, form: Values) -> Shown {
    let session = visit.session()?;
    visit.check_rate(RateClass::Login, PASSWORD_PATH)?;
    let (new, removes) = (form.text("new_password").to_owned(), form.get("answer") == Some("remove"));
    if !removes && new != form.text("new_password2") {
        return visit.show_again(&page(&visit, &session, Some("The two new passwords don't match.")));
    }
    let put = match session.password_stamp.0 {
        Some(_) if removes => remove(&visit, &session, &form).await,
        Some(_) => replace(&visit, &session, &form, new).await?,
        None => {
            check_fresh(&session, PASSWORD_PATH)?;
            visit.app.accounts.set_first_password(&session.user_id, new).await
        }
    };
    let password_stamp = match put {
        Ok(password_stamp) => password_stamp,
        Err(AccountsError::Forbidden(_)) => {
            return visit.show_again(&page(&visit, &session, Some("The current password is wrong.")));
        }
        Err(AccountsError::NotFound(_)) => {
            let error = "Add a phone number first: without one and a password you couldn't log in.";
            return visit.show_again(&page(&visit, &session, Some(error)));
        }
        Err(AccountsError::Limited(limited)) => return Err(too_many(limited, PASSWORD_PATH)),
        Err(error @ (AccountsError::WeakPassword(_) | AccountsError::DemoAccount)) => {
            return visit.show_again(&page(&visit, &session, Some(&sentence(&error.to_string()))));
        }
        Err(error) => return Err(failed(error)),
    };
    // With the password, the sessions of all browsers ended; this one has just proved itself.
    let token = visit.app.oauth.begin_browser_session(&session.user_id, password_stamp, visit.now_ts).await;
    visit.logged_in(&token.map_err(failed)?, &with_value(ACCOUNT_PAGE, "done", "password"))
}

/// Removes the password that the form has.
async fn remove(
    visit: &Visit,
    session: &BrowserSession,
    form: &Values,
) -> Result<PasswordStamp, AccountsError> {
    let password = form.text("password").to_owned();
    visit.app.accounts.remove_password(&visit.platform, &session.user_id, password).await
}

/// Puts a new password in the place of the one that the form has.
async fn replace(
    visit: &Visit,
    session: &BrowserSession,
    form: &Values,
    new: String,
) -> Result<Result<PasswordStamp, AccountsError>, Stop> {
    let (old, log_out) = (form.text("password").to_owned(), form.get("log_out").is_some());
    let (accounts, platform) = (&visit.app.accounts, &visit.platform);
    match accounts.replace_password(platform, &session.user_id, old, new, log_out).await {
        Ok((password_stamp, removed)) => {
            visit.app.forget_devices(removed).await.map_err(failed)?;
            Ok(Ok(password_stamp))
        }
        Err(error) => Ok(Err(error)),
    }
}
