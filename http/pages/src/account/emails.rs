//! The email addresses of the account: seeing, adding and removing them.
//!
//! With an address one can set a new password, so adding one takes the password, and a link that was mailed
//! to it.

use linkspan_accounts::{AccountsError, EmailPurpose, ProvedUser, check_address};
use linkspan_oauth::BrowserSession;
use linkspan_platforms::RateClass;
use linkspan_wire::ACCOUNT_PAGE;
use maud::{Markup, html};

use super::{back, check_fresh};
use crate::{
    mailed_link::{self, not_sent, show_sent},
    response::redirect,
    shell::{Field, Page, email_field, error_notice, proof, who},
    visit::{Shown, Stop, Values, Visit, failed, refused, with_value},
    words::sentence,
};

/// The page where a mail is asked for.
pub(crate) const ADD_PATH: &str = "/_linkspan/account/add-email";
/// The page that the link in the mail opens.
pub(crate) const CONFIRM_PATH: &str = "/_linkspan/account/confirm-email";
pub(crate) const REMOVE_PATH: &str = "/_linkspan/account/remove-email";

/// The part of the account's page about addresses. It is empty where there are none and no mails are sent.
pub(crate) async fn section(visit: &Visit, session: &BrowserSession) -> Result<Markup, Stop> {
    let addresses = visit.app.accounts.email_addresses(&session.user_id).await.map_err(failed)?;
    let mails = visit.app.accounts.sends_mails(&visit.platform);
    if addresses.is_empty() && !mails {
        return Ok(html! {});
    }
    Ok(html! {
        h2 { "Email addresses" }
        @if addresses.is_empty() {
            p.hint { "Add an email address, so that you can reset your password if you forget it." }
        }
        ul.rows {
            @for email in &addresses { li { (row(visit, &email.address)) } }
        }
        @if mails { ul.links { li { a href=(ADD_PATH) { "Add an email address" } } } }
    })
}

fn row(visit: &Visit, address: &str) -> Markup {
    html! {
        form.line method="post" action=(REMOVE_PATH) {
            (proof(&visit.csrf()))
            input type="hidden" name="email" value=(address);
            strong { (address) }
            button.link type="submit" aria-label={ "Remove " (address) } { "Remove" }
        }
    }
}

pub(crate) async fn show_add(visit: Visit) -> Shown {
    check_fresh(&visit.session()?, ADD_PATH)?;
    if !visit.app.accounts.sends_mails(&visit.platform) {
        return Err(Stop::NotFound);
    }
    visit.show(&ask(&visit, "", None))
}

fn ask(visit: &Visit, address: &str, error: Option<&str>) -> Page {
    Page::card(
        "Add an email address",
        html! {
            h1 { "Add an email address" }
            p { "You can log in with it, and reset your password if you forget it. Other people don't see it." }
            (error_notice(error))
            form method="post" action=(ADD_PATH) {
                (proof(&visit.csrf()))
                (Field { focus: true, ..email_field(address) }.render())
                button type="submit" { "Send confirmation link" }
            }
            (back())
        },
    )
}

pub(crate) async fn send(visit: Visit, form: Values) -> Shown {
    let session = visit.session()?;
    check_fresh(&session, ADD_PATH)?;
    visit.check_rate(RateClass::Login, ADD_PATH)?;
    let address = form.text("email").trim();
    if check_address(address).is_err() {
        return visit.show_again(&ask(&visit, address, Some("Enter a valid email address.")));
    }
    let page = format!("{}{CONFIRM_PATH}", visit.known_base_url);
    let (platform, user) = (&visit.platform, proved(&session));
    let accounts = &visit.app.accounts;
    let sent = accounts.request_email_address(platform, &user, address.to_owned(), page, visit.now_ts).await;
    sent.map_err(|error| not_sent(error, ADD_PATH))?;
    show_sent(&visit, address, ADD_PATH, ACCOUNT_PAGE, back())
}

fn proved(session: &BrowserSession) -> ProvedUser {
    ProvedUser { user_id: session.user_id.clone(), password_stamp: session.password_stamp }
}

pub(crate) async fn show_confirm(visit: Visit) -> Shown {
    let session = visit.session()?;
    check_fresh(&session, &visit.target)?;
    visit.show(&question(&visit, &session, &visit.query, None).await?)
}

async fn question(
    visit: &Visit,
    session: &BrowserSession,
    values: &Values,
    error: Option<&str>,
) -> Result<Page, Stop> {
    let token = mailed_link::token_in(values).ok_or_else(|| mailed_link::used_up(visit, ADD_PATH))?;
    let link = mailed_link::open(visit, &token, EmailPurpose::Add, ADD_PATH).await?;
    let here = with_value(&with_value(CONFIRM_PATH, "sid", &token.sid), "token", &token.token);
    Ok(Page::card(
        "Add this email address?",
        html! {
            h1 { "Add this email address?" }
            (who(session.user_id.as_str(), &visit.csrf(), &here))
            (error_notice(error))
            p { strong { (link.address) } " will be added to your account on " (visit.platform.display_name()) "." }
            form method="post" action=(CONFIRM_PATH) {
                (proof(&visit.csrf()))
                (mailed_link::hidden(&token))
                button type="submit" { "Add address" }
            }
            (back())
        },
    ))
}

pub(crate) async fn confirm(visit: Visit, form: Values) -> Shown {
    let session = visit.session()?;
    check_fresh(&session, ADD_PATH)?;
    visit.check_rate(RateClass::Login, ADD_PATH)?;
    let token = mailed_link::token_in(&form).ok_or_else(|| mailed_link::used_up(&visit, ADD_PATH))?;
    let added = visit.app.accounts.add_email_address_by_link(&proved(&session), &token, visit.now_ts).await;
    let error = match added {
        Ok(()) => return Ok(redirect(&with_value(ACCOUNT_PAGE, "done", "email-added"))),
        Err(AccountsError::NotFound(_) | AccountsError::AddressNotValidated) => {
            return Err(mailed_link::used_up(&visit, ADD_PATH));
        }
        Err(
            error @ (AccountsError::Forbidden(_) | AccountsError::AddressInUse | AccountsError::TooMany(_)),
        ) => error,
        Err(error) => return Err(failed(error)),
    };
    let page = question(&visit, &session, &form, Some(&sentence(&error.to_string()))).await?;
    visit.show_again(&page)
}

pub(crate) async fn remove(visit: Visit, form: Values) -> Shown {
    let session = visit.session()?;
    visit.check_rate(RateClass::Other, ACCOUNT_PAGE)?;
    match visit.app.accounts.delete_email_address(&session.user_id, form.text("email")).await {
        Ok(()) => Ok(redirect(&with_value(ACCOUNT_PAGE, "done", "email-removed"))),
        Err(AccountsError::InvalidParam(_)) => Err(refused("This is not an email address.")),
        Err(error) => Err(failed(error)),
    }
}
