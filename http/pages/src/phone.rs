//! Logging in and signing up where people are known by a phone number: the number, a code, and then either the second
//! step of the account or the name of a new one. docs/decisions/0014-phone-numbers.md says which.
//!
//! The page says the same of every number until its code was typed.

use linkspan_accounts::{
    AccountsError, Evidence, ProvedUser, SignUp, Standing, ThirdPartyId, ValidationPurpose, ValidationRequest,
};
use linkspan_platforms::RateClass;
use linkspan_wire::note_failed_log_in;
use maud::{Markup, html};
use ruma::thirdparty::Medium;

use crate::{
    confirmed::{Sent, session_of},
    destination, log_in, mailed_link,
    response::redirect,
    shell::{Field, Page, error_notice, name_field, password_field, phone_field, proof, token_field},
    visit::{Shown, Stop, Values, Visit, failed, local, too_many, with_value},
    words::sentence,
};

/// The form with the number. Its page is the one for logging in.
pub(crate) const PATH: &str = "/_linkspan/phone";
pub(crate) const CODE_PATH: &str = "/_linkspan/phone/code";
pub(crate) const SECOND_PATH: &str = "/_linkspan/phone/second-step";
pub(crate) const NEW_PATH: &str = "/_linkspan/phone/new";
pub(crate) const NAME_PATH: &str = "/_linkspan/phone/name";

const PURPOSE: ValidationPurpose = ValidationPurpose::LogIn;

/// Asks for the number.
pub(crate) async fn ask(visit: &Visit, next: &str, number: &str, error: Option<&str>) -> Result<Page, Stop> {
    let where_to = destination::describe(visit, next).await?;
    let name = visit.platform.display_name();
    let hint = "We'll send you a code by SMS. Other people don't see your number.";
    let field = Field { hint: Some(hint), focus: true, ..phone_field(number) };
    let by_name = with_value(&with_value(log_in::PATH, "next", next), "by", "password");
    Ok(Page::card(
        "Log in",
        html! {
            h1 { "Log in to " (name) " or sign up" }
            (where_to)
            (error_notice(error))
            form method="post" action=(PATH) {
                (proof(&visit.csrf()))
                input type="hidden" name="next" value=(next);
                (field.render())
                button type="submit" { "Continue" }
            }
            p.aside { "Your account has no number? " a href=(by_name) { "Log in with a username" } }
            (log_in::other_apps())
        },
    ))
}

/// The number in a form.
fn number_in(form: &Values) -> Option<ThirdPartyId> {
    ThirdPartyId::new(&Medium::Msisdn, form.text("phone")).ok()
}

fn begin_again(next: &str) -> String {
    with_value(log_in::PATH, "next", next)
}

fn check_numbers(visit: &Visit) -> Result<(), Stop> {
    if visit.app.accounts.knows_by_number(&visit.platform) { Ok(()) } else { Err(Stop::NotFound) }
}

pub(crate) async fn send(visit: Visit, form: Values) -> Shown {
    check_numbers(&visit)?;
    let next = local(form.get("next"));
    visit.check_rate(RateClass::Login, begin_again(&next))?;
    let Some(id) = number_in(&form) else {
        let error = "Enter a phone number with the code of its country, such as +49 170 1234567.";
        return visit.show_again(&ask(&visit, &next, form.text("phone"), Some(error)).await?);
    };
    let request = ValidationRequest {
        purpose: PURPOSE,
        id: id.clone(),
        client_secret: visit.mail_secret(),
        send_attempt: visit.now_ts,
        next_link: None,
        page: String::new(),
        by_page: true,
        from: visit.address,
    };
    let sent = visit.app.accounts.request_validation(&visit.platform, request, visit.now_ts).await;
    sent.map_err(|error| mailed_link::not_sent(error, &begin_again(&next)))?;
    sent_to(&id, &id.readable(), &next).show(&visit)
}

fn sent_to<'a>(id: &'a ThirdPartyId, shown: &'a str, next: &'a str) -> Sent<'a> {
    Sent { id, shown, form: PATH, code: CODE_PATH, next, aside: html! {} }
}

pub(crate) async fn take_code(visit: Visit, form: Values) -> Shown {
    check_numbers(&visit)?;
    let next = local(form.get("next"));
    let Some(id) = number_in(&form) else { return Ok(redirect(&begin_again(&next))) };
    let back = begin_again(&next);
    sent_to(&id, &id.readable(), &next).check_code(&visit, PURPOSE, form.text("code"), &back).await?;
    match standing(&visit, &id, &next).await? {
        Standing::Open => log_in(&visit, &id, None, &next).await,
        Standing::Guarded => visit.show(&second_step(&visit, &id, &next, None)),
        Standing::Free => show_name(&visit, &id, &next).await,
    }
}

/// What a number leads to that this browser has proved. Others begin again.
async fn standing(visit: &Visit, id: &ThirdPartyId, next: &str) -> Result<Standing, Stop> {
    let session = session_of(visit, PURPOSE, id);
    let platform = visit.platform.server_name();
    let found = visit.app.accounts.standing(platform, &session, visit.now_ts).await;
    found.map_err(|error| not_proved(error, next))
}

fn not_proved(error: AccountsError, next: &str) -> Stop {
    match error {
        AccountsError::AddressNotValidated | AccountsError::NoAccount => Stop::Redirect(begin_again(next)),
        error => failed(error),
    }
}

async fn log_in(visit: &Visit, id: &ThirdPartyId, password: Option<String>, next: &str) -> Shown {
    let session = session_of(visit, PURPOSE, id);
    let accounts = &visit.app.accounts;
    let from = Some(visit.address);
    match accounts.prove_by_code(&visit.platform, &session, password, from, visit.now_ts).await {
        Ok(user) => visit.log_in(&user, next).await,
        Err(AccountsError::PasswordNeeded) => visit.show(&second_step(visit, id, next, None)),
        Err(AccountsError::Forbidden(_)) => {
            note_failed_log_in(&visit.platform, visit.address);
            visit.show_again(&second_step(visit, id, next, Some("Wrong password. Please try again.")))
        }
        Err(AccountsError::Limited(limited)) => Err(too_many(limited, begin_again(next))),
        Err(error @ (AccountsError::Locked | AccountsError::Deactivated)) => {
            visit.show_again(&ask(visit, next, &id.readable(), Some(&sentence(&error.to_string()))).await?)
        }
        Err(error) => Err(not_proved(error, next)),
    }
}

/// What every form of this flow has in it after the number.
fn kept(visit: &Visit, id: &ThirdPartyId, next: &str) -> Markup {
    html! {
        (proof(&visit.csrf()))
        input type="hidden" name="next" value=(next);
        input type="hidden" name="phone" value=(id.readable());
    }
}

fn second_step(visit: &Visit, id: &ThirdPartyId, next: &str, error: Option<&str>) -> Page {
    Page::card(
        "Enter your password",
        html! {
            h1 { "Enter your password" }
            p { "The account with the number " strong { (id.readable()) } " is protected by a password." }
            (error_notice(error))
            form method="post" action=(SECOND_PATH) {
                (kept(visit, id, next))
                (password_field("Password", true))
                button type="submit" { "Log in" }
            }
            p.aside { "It's not your account, or you've forgotten the password?" }
            form method="post" action=(NEW_PATH) {
                (kept(visit, id, next))
                button.second type="submit" { "Begin a new account with this number" }
            }
        },
    )
}

pub(crate) async fn take_second_step(visit: Visit, form: Values) -> Shown {
    check_numbers(&visit)?;
    let next = local(form.get("next"));
    visit.check_rate(RateClass::Login, begin_again(&next))?;
    let Some(id) = number_in(&form) else { return Ok(redirect(&begin_again(&next))) };
    log_in(&visit, &id, Some(form.text("password").to_owned()), &next).await
}

/// Somebody wants a new account although the number has one.
pub(crate) async fn begin_new(visit: Visit, form: Values) -> Shown {
    check_numbers(&visit)?;
    let next = local(form.get("next"));
    match number_in(&form) {
        Some(id) => show_name(&visit, &id, &next).await,
        None => Ok(redirect(&begin_again(&next))),
    }
}

/// Asks for the name of a new account, unless the number leads into one.
async fn show_name(visit: &Visit, id: &ThirdPartyId, next: &str) -> Shown {
    if standing(visit, id, next).await? == Standing::Open {
        return Ok(redirect(&begin_again(next)));
    }
    match visit.app.accounts.registration_steps(&visit.platform) {
        Ok(_) => visit.show(&name(visit, id, next, "", None).await?),
        Err(_) => visit.show_again(&crate::register::closed(visit, next)),
    }
}

async fn name(
    visit: &Visit,
    id: &ThirdPartyId,
    next: &str,
    typed: &str,
    error: Option<&str>,
) -> Result<Page, Stop> {
    let where_to = destination::describe(visit, next).await?;
    let steps = visit.app.accounts.registration_steps(&visit.platform);
    let asks_token = steps.is_ok_and(|steps| steps.token);
    let platform = visit.platform.display_name();
    Ok(Page::card(
        "Create your account",
        html! {
            h1 { "What's your name?" }
            (where_to)
            p { "You're about to create a new " (platform) " account with the number " strong { (id.readable()) } "." }
            (error_notice(error))
            form method="post" action=(NAME_PATH) {
                (kept(visit, id, next))
                (Field { focus: true, ..name_field(typed) }.render())
                @if asks_token { (token_field(&platform)) }
                button type="submit" { "Create account" }
            }
        },
    ))
}

pub(crate) async fn sign_up(visit: Visit, form: Values) -> Shown {
    check_numbers(&visit)?;
    let next = local(form.get("next"));
    visit.check_rate(RateClass::Registration, begin_again(&next))?;
    let Some(id) = number_in(&form) else { return Ok(redirect(&begin_again(&next))) };
    let typed = form.text("name").trim();
    if typed.is_empty() {
        let page = name(&visit, &id, &next, typed, Some("Enter the name that people see.")).await?;
        return visit.show_again(&page);
    }
    let sign_up = SignUp {
        display_name: Some(typed.to_owned()),
        registration_token: form.owned("registration_token"),
        evidence: Some(Evidence::Session(session_of(&visit, PURPOSE, &id))),
        address: Some(visit.address),
        ..SignUp::default()
    };
    let error = match visit.app.accounts.sign_up(&visit.platform, sign_up, visit.now_ts).await {
        Ok(made) => {
            let user = ProvedUser { user_id: made.user_id, password_stamp: made.password_stamp };
            return visit.log_in(&user, &next).await;
        }
        Err(
            error @ (AccountsError::Forbidden(_)
            | AccountsError::InvalidUsername(_)
            | AccountsError::TooLarge(_)
            | AccountsError::AddressInUse
            | AccountsError::MissingParam(_)),
        ) => sentence(&error.to_string()),
        Err(error) => return Err(not_proved(error, &next)),
    };
    visit.show_again(&name(&visit, &id, &next, typed, Some(&error)).await?)
}
