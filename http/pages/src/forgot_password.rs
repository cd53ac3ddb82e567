//! Whoever has forgotten the password gets a mail with a link, and chooses another.
//!
//! The page says the same whether the address belongs to an account or not: only the mail tells.

use linkspan_accounts::{AccountsError, EmailPurpose, check_address};
use linkspan_platforms::RateClass;
use maud::html;

use crate::{
    destination, log_in, mailed_link,
    shell::{Field, Page, email_field, error_notice, new_password_fields, proof},
    visit::{Shown, Stop, Values, Visit, failed, local, with_value},
    words::sentence,
};

/// The page where the mail is asked for.
pub(crate) const PATH: &str = "/_linkspan/forgot-password";
/// The page that the link in the mail opens.
pub(crate) const NEW_PATH: &str = "/_linkspan/new-password";

const PURPOSE: EmailPurpose = EmailPurpose::ResetPassword;

pub(crate) async fn show(visit: Visit) -> Shown {
    check_mails(&visit)?;
    let next = local(visit.query.get("next"));
    visit.show(&ask(&visit, &next, "", None))
}

fn check_mails(visit: &Visit) -> Result<(), Stop> {
    if visit.app.accounts.sends_mails(&visit.platform) { Ok(()) } else { Err(Stop::NotFound) }
}

fn ask(visit: &Visit, next: &str, address: &str, error: Option<&str>) -> Page {
    Page::card(
        "Forgot your password?",
        html! {
            h1 { "Forgot your password?" }
            p { "Enter the email address of your account on " (visit.platform.display_name()) ". We'll send you \
                 a link to choose a new password." }
            (error_notice(error))
            form method="post" action=(PATH) {
                (proof(&visit.csrf()))
                input type="hidden" name="next" value=(next);
                (Field { focus: true, ..email_field(address) }.render())
                button type="submit" { "Send link" }
            }
            p.aside { a href=(with_value(log_in::PATH, "next", next)) { "Back to log in" } }
        },
    )
}

pub(crate) async fn send(visit: Visit, form: Values) -> Shown {
    check_mails(&visit)?;
    let next = local(form.get("next"));
    visit.check_rate(RateClass::Login, with_value(PATH, "next", &next))?;
    let address = form.text("email").trim();
    if check_address(address).is_err() {
        return visit.show_again(&ask(&visit, &next, address, Some("Enter a valid email address.")));
    }
    mailed_link::send(&visit, PURPOSE, address, NEW_PATH, &next).await?;
    mailed_link::show_sent(&visit, address, PATH, &next, html! {})
}

pub(crate) async fn show_new(visit: Visit) -> Shown {
    check_mails(&visit)?;
    visit.show(&new_password(&visit, &visit.query, None).await?)
}

async fn new_password(visit: &Visit, values: &Values, error: Option<&str>) -> Result<Page, Stop> {
    let token = mailed_link::token_in(values).ok_or_else(|| mailed_link::used_up(visit, PATH))?;
    let link = mailed_link::open(visit, &token, PURPOSE, PATH).await?;
    let where_to = destination::describe(visit, &mailed_link::next(visit, &link)).await?;
    Ok(Page::card(
        "Choose a new password",
        html! {
            h1 { "Choose a new password" }
            (where_to)
            p { "It is for the account with the address " strong { (link.address) } ". You'll be logged out \
                 everywhere else." }
            (error_notice(error))
            form method="post" action=(NEW_PATH) {
                (proof(&visit.csrf()))
                (mailed_link::hidden(&token))
                // Password managers keep the new password under this name.
                input.away type="text" name="user" value=(link.address) autocomplete="username" readonly tabindex="-1"
                    aria-hidden="true";
                (new_password_fields("New password", true))
                button type="submit" { "Save and log in" }
            }
        },
    ))
}

pub(crate) async fn set_new(visit: Visit, form: Values) -> Shown {
    check_mails(&visit)?;
    let token = mailed_link::token_in(&form).ok_or_else(|| mailed_link::used_up(&visit, PATH))?;
    let again = with_value(&with_value(NEW_PATH, "sid", &token.sid), "token", &token.token);
    visit.check_rate(RateClass::Login, again)?;
    let next = mailed_link::next(&visit, &mailed_link::open(&visit, &token, PURPOSE, PATH).await?);
    let new = form.text("new_password").to_owned();
    if new != form.text("new_password2") {
        let page = new_password(&visit, &form, Some("The two passwords don't match.")).await?;
        return visit.show_again(&page);
    }
    let reset = visit.app.accounts.reset_password_by_link(&visit.platform, new, &token, visit.now_ts).await;
    let (user, removed) = match reset {
        Ok(reset) => reset,
        Err(AccountsError::NotFound(_) | AccountsError::AddressNotValidated) => {
            return Err(mailed_link::used_up(&visit, PATH));
        }
        Err(
            error @ (AccountsError::WeakPassword(_) | AccountsError::Locked | AccountsError::Deactivated),
        ) => {
            let page = new_password(&visit, &form, Some(&sentence(&error.to_string()))).await?;
            return visit.show_again(&page);
        }
        Err(error) => return Err(failed(error)),
    };
    visit.app.lifecycle.forget_devices(removed).await.map_err(failed)?;
    visit.log_in(&user, &next).await
}
