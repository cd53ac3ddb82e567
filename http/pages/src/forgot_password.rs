//! Whoever has forgotten the password gets a mail with a link and a code, or an SMS with a code, and chooses another.
//!
//! The page says the same whether the address or number belongs to an account or not: only the message tells.

use linkspan_accounts::{AccountsError, ThirdPartyId, ValidationPurpose};
use linkspan_platforms::RateClass;
use maud::html;

use crate::{
    confirmed::{Confirmed, Sent, id_in, typed_id},
    destination, log_in, mailed_link,
    response::redirect,
    shell::{Field, Page, email_field, error_notice, new_password_fields, phone_field, proof},
    visit::{Shown, Stop, Values, Visit, failed, local, with_value},
    words::sentence,
};

/// The page where the message is asked for.
pub(crate) const PATH: &str = "/_linkspan/forgot-password";
/// The form that takes the code.
pub(crate) const CODE_PATH: &str = "/_linkspan/forgot-password/code";
/// The page that the link in a mail opens.
pub(crate) const NEW_PATH: &str = "/_linkspan/new-password";

const PURPOSE: ValidationPurpose = ValidationPurpose::ResetPassword;

pub(crate) async fn show(visit: Visit) -> Shown {
    check_sends(&visit)?;
    let next = local(visit.query.get("next"));
    visit.show(&ask(&visit, &next, "", None))
}

fn check_sends(visit: &Visit) -> Result<(), Stop> {
    if visit.app.accounts.resets_passwords(&visit.platform) { Ok(()) } else { Err(Stop::NotFound) }
}

fn ask(visit: &Visit, next: &str, typed: &str, error: Option<&str>) -> Page {
    let accounts = &visit.app.accounts;
    let field = match (accounts.sends_mails(&visit.platform), accounts.resets_by_number(&visit.platform)) {
        (true, false) => email_field(typed),
        (false, _) => phone_field(typed),
        (true, true) => {
            let hint = phone_field(typed).hint;
            Field { label: "Email address or phone number", kind: "text", hint, ..email_field(typed) }
        }
    };
    Page::card(
        "Forgot your password?",
        html! {
            h1 { "Forgot your password?" }
            p { "We'll send you what you need to choose a new password for your account on "
                (visit.platform.display_name()) "." }
            (error_notice(error))
            form method="post" action=(PATH) {
                (proof(&visit.csrf()))
                input type="hidden" name="next" value=(next);
                (Field { focus: true, ..field }.render())
                button type="submit" { "Continue" }
            }
            p.aside { a href=(with_value(log_in::PATH, "next", next)) { "Back to log in" } }
        },
    )
}

/// The address or number in a form, if passwords are reset by it.
fn wanted_id(visit: &Visit, form: &Values) -> Option<ThirdPartyId> {
    let accounts = &visit.app.accounts;
    id_in(form).filter(|id| match id.is_phone() {
        true => accounts.resets_by_number(&visit.platform),
        false => accounts.sends_mails(&visit.platform),
    })
}

pub(crate) async fn send(visit: Visit, form: Values) -> Shown {
    check_sends(&visit)?;
    let next = local(form.get("next"));
    visit.check_rate(RateClass::Login, with_value(PATH, "next", &next))?;
    let typed = form.get("email").unwrap_or(form.text("phone")).trim();
    let Some(id) = wanted_id(&visit, &form) else {
        let error = if typed_id(typed).is_some() { "This can't be used here." } else { "Enter it in full." };
        return visit.show_again(&ask(&visit, &next, typed, Some(error)));
    };
    mailed_link::send(&visit, PURPOSE, &id, NEW_PATH, PATH, &next).await?;
    sent_to(&id, typed, &next).show(&visit)
}

fn sent_to<'a>(id: &'a ThirdPartyId, shown: &'a str, next: &'a str) -> Sent<'a> {
    Sent { id, shown, form: PATH, code: CODE_PATH, next, aside: html! {} }
}

pub(crate) async fn take_code(visit: Visit, form: Values) -> Shown {
    check_sends(&visit)?;
    let next = local(form.get("next"));
    let back = with_value(PATH, "next", &next);
    let Some(id) = wanted_id(&visit, &form) else { return Ok(redirect(&back)) };
    sent_to(&id, &id.readable(), &next).check_code(&visit, PURPOSE, form.text("code"), &back).await?;
    let confirmed = Confirmed::find(&visit, &form.with("by", "code"), PURPOSE, PATH).await?;
    let confirmed = confirmed.ok_or_else(|| mailed_link::used_up(&visit, PATH))?;
    visit.show(&new_password(&visit, &confirmed, None).await?)
}

pub(crate) async fn show_new(visit: Visit) -> Shown {
    check_sends(&visit)?;
    let confirmed = confirmed_in(&visit, &visit.query).await?;
    visit.show(&new_password(&visit, &confirmed, None).await?)
}

async fn confirmed_in(visit: &Visit, values: &Values) -> Result<Confirmed, Stop> {
    let confirmed = Confirmed::find(visit, values, PURPOSE, PATH).await?;
    confirmed.ok_or_else(|| mailed_link::used_up(visit, PATH))
}

async fn new_password(visit: &Visit, confirmed: &Confirmed, error: Option<&str>) -> Result<Page, Stop> {
    let where_to = destination::describe(visit, &confirmed.next).await?;
    let (what, id) = (if confirmed.id.is_phone() { "number" } else { "address" }, confirmed.id.readable());
    let by_number = visit.app.accounts.knows_by_number(&visit.platform);
    Ok(Page::card(
        "Choose a new password",
        html! {
            h1 { "Choose a new password" }
            (where_to)
            p { "It is for the account with the " (what) " " strong { (id) } ". You'll be logged out everywhere else." }
            (error_notice(error))
            form method="post" action=(NEW_PATH) {
                (proof(&visit.csrf()))
                input type="hidden" name="next" value=(confirmed.next);
                (confirmed.hidden())
                // Password managers keep the new password under this name.
                input.away type="text" name="user" value=(id) autocomplete="username" readonly tabindex="-1"
                    aria-hidden="true";
                (new_password_fields("New password", true))
                button type="submit" { @if by_number { "Save" } @else { "Save and log in" } }
            }
        },
    ))
}

pub(crate) async fn set_new(visit: Visit, form: Values) -> Shown {
    check_sends(&visit)?;
    let confirmed = confirmed_in(&visit, &form).await?;
    visit.check_rate(RateClass::Login, confirmed.back_to(NEW_PATH))?;
    let new = form.text("new_password").to_owned();
    if new != form.text("new_password2") {
        let page = new_password(&visit, &confirmed, Some("The two passwords don't match.")).await?;
        return visit.show_again(&page);
    }
    let (accounts, evidence) = (&visit.app.accounts, &confirmed.evidence);
    let reset = accounts.reset_password_on_page(&visit.platform, new, evidence, visit.now_ts).await;
    let (user, removed) = match reset {
        Ok(reset) => reset,
        Err(AccountsError::NotFound(_) | AccountsError::AddressNotValidated) => {
            return Err(mailed_link::used_up(&visit, PATH));
        }
        Err(
            error @ (AccountsError::WeakPassword(_)
            | AccountsError::Locked
            | AccountsError::Deactivated
            | AccountsError::DemoAccount),
        ) => {
            let page = new_password(&visit, &confirmed, Some(&sentence(&error.to_string()))).await?;
            return visit.show_again(&page);
        }
        Err(error) => return Err(failed(error)),
    };
    visit.app.forget_devices(removed).await.map_err(failed)?;
    if accounts.knows_by_number(&visit.platform) {
        // The password is the second step there; the first is still to be done.
        return Ok(redirect(&with_value(log_in::PATH, "next", &confirmed.next)));
    }
    visit.log_in(&user, &confirmed.next).await
}
