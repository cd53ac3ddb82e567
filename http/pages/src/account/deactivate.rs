//! Deactivating the account.

use linkspan_accounts::AccountsError;
use linkspan_lifecycle::LifecycleError;
use linkspan_oauth::BrowserSession;
use linkspan_platforms::RateClass;
use maud::html;

use super::{DEACTIVATE_PATH, action, back, check_fresh};
use crate::{
    shell::{Page, error_notice, password_field, proof},
    visit::{Shown, Values, Visit, failed, too_many},
    words::sentence,
};

pub(crate) const ACTION: &str = "org.matrix.account_deactivate";

pub(crate) fn show(visit: &Visit, session: &BrowserSession, error: Option<&str>) -> Shown {
    let has_password = session.password_stamp.0.is_some();
    if !has_password {
        check_fresh(session, &action(ACTION))?;
    }
    let body = html! {
        h1 { "Deactivate your account?" }
        (error_notice(error))
        p { "You can't undo this. " strong { (session.user_id) } " will leave all chats, nobody can log in to it \
             again, and nobody else can ever use this name." }
        form method="post" action=(DEACTIVATE_PATH) {
            (proof(&visit.csrf()))
            @if has_password { (password_field("Password", true)) }
            label.check {
                input type="checkbox" name="erase" value="yes";
                " Delete my name and picture, too, and hide my messages from people who join later"
            }
            button.danger type="submit" { "Deactivate account" }
        }
        (back())
    };
    let page = Page::card("Deactivate your account", body);
    if error.is_some() { visit.show_again(&page) } else { visit.show(&page) }
}

pub(crate) async fn deactivate(visit: Visit, form: Values) -> Shown {
    let session = visit.session()?;
    visit.check_rate(RateClass::Login, action(ACTION))?;
    if session.password_stamp.0.is_none() {
        check_fresh(&session, &action(ACTION))?;
    }
    let password = form.text("password").to_owned();
    let (app, erase) = (&visit.app, form.get("erase").is_some());
    let deactivated = async {
        let proved = match session.password_stamp.0 {
            Some(_) => app.accounts.check_own_password(&visit.platform, &session.user_id, password).await?,
            None => session.password_stamp,
        };
        app.deactivate(&session.user_id, Some(proved), erase, visit.now_ts).await
    };
    match deactivated.await {
        Ok(_) => {}
        Err(LifecycleError::Accounts(AccountsError::Forbidden(_))) => {
            return show(&visit, &session, Some("Wrong password. Please try again."));
        }
        Err(LifecycleError::Accounts(AccountsError::Limited(limited))) => {
            return Err(too_many(limited, action(ACTION)));
        }
        Err(LifecycleError::Accounts(error @ AccountsError::DemoAccount)) => {
            return show(&visit, &session, Some(&sentence(&error.to_string())));
        }
        Err(error) => return Err(failed(error)),
    }
    visit.end_session().await?;
    let body = html! { h1 { "Your account is deactivated" } p { "You've been logged out everywhere. You can close this page." } };
    visit.show(&Page::card("Your account is deactivated", body))
}
