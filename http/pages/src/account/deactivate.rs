//! Deactivating the account.

use linkspan_accounts::AccountsError;
use linkspan_oauth::BrowserSession;
use linkspan_platforms::RateClass;
use maud::html;

use super::{DEACTIVATE_PATH, back};
use crate::{
    shell::{Page, error_notice, password_field, proof},
    visit::{Shown, Values, Visit, failed, too_many},
};

pub(crate) fn show(visit: &Visit, session: &BrowserSession, error: Option<&str>) -> Shown {
    let body = html! {
        h1 { "Deactivate your account?" }
        (error_notice(error))
        p { strong { (session.user_id) } " will be gone for good: it leaves all rooms, nobody can log in to it again, \
             and its name is never given to another." }
        form method="post" action=(DEACTIVATE_PATH) {
            (proof(&visit.csrf()))
            (password_field("Password", true))
            label.check {
                input type="checkbox" name="erase" value="yes";
                " Also forget my name and picture"
            }
            button.danger type="submit" { "Deactivate it" }
        }
        (back())
    };
    let page = Page::card("Deactivate your account", body);
    if error.is_some() { visit.show_again(&page) } else { visit.show(&page) }
}

pub(crate) async fn deactivate(visit: Visit, form: Values) -> Shown {
    let session = visit.session()?;
    visit.check_rate(RateClass::Login)?;
    let password = form.text("password").to_owned();
    let (accounts, erase) = (&visit.app.accounts, form.get("erase").is_some());
    let begun = async {
        let proved = accounts.check_own_password(&visit.platform, &session.user_id, password).await?;
        accounts.begin_deactivation(&session.user_id, Some(proved), erase).await
    };
    let removed = match begun.await {
        Ok(removed) => removed,
        Err(AccountsError::Forbidden(_)) => return show(&visit, &session, Some("The password is wrong.")),
        Err(AccountsError::Limited(limited)) => return Err(too_many(limited)),
        Err(error) => return Err(failed(error)),
    };
    visit.app.finish_begun_deactivation(&session.user_id, removed).await.map_err(failed)?;
    visit.end_session().await?;
    let body = html! { h1 { "Your account is gone" } p { "All its sessions are logged out." } };
    visit.show(&Page::card("Your account is gone", body))
}
