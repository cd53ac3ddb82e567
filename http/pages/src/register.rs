//! Creating an account in a browser, by the platform's rules.
//!
//! Where everybody has to confirm an address, that comes first: the link in the mail opens the form, or its code does.
//! Where people are known by a phone number, `phone.rs` makes the account.

use linkspan_accounts::{
    AccountsError, ProofStep, ProvedUser, Registered, RegistrationSteps, SignUp, ThirdPartyId,
    ValidationPurpose,
};
use linkspan_platforms::{Identity, RateClass};
use maud::{Markup, html};
use ruma::UserId;

use crate::{
    account::identifiers::CONFIRM_PATH,
    confirmed::{Confirmed, Sent},
    destination, log_in, mailed_link, phone,
    response::redirect,
    shell::{Field, Page, email_field, error_notice, name_field, new_password_fields, proof, token_field},
    visit::{Shown, Stop, Values, Visit, failed, local, with_value},
    words::sentence,
};

pub(crate) const PATH: &str = "/_linkspan/register";
/// The form that takes the code of a mail.
pub(crate) const CODE_PATH: &str = "/_linkspan/register/code";

const PURPOSE: ValidationPurpose = ValidationPurpose::Register;

/// A form as it is shown, for the first time or again.
#[derive(Default)]
struct Form<'a> {
    next: &'a str,
    confirmed: Option<&'a Confirmed>,
    name: &'a str,
    user: &'a str,
    email: &'a str,
    error: Option<&'a str>,
}

pub(crate) async fn show(visit: Visit) -> Shown {
    let next = local(visit.query.get("next"));
    let steps = match visit.app.accounts.registration_steps(&visit.platform) {
        Ok(steps) => steps,
        Err(_) => return visit.show(&closed(&visit, &next)),
    };
    if steps.phone == ProofStep::Required {
        return visit.show(&phone::ask(&visit, &next, "", None).await?);
    }
    let page = match steps.email {
        ProofStep::Required => match Confirmed::find(&visit, &visit.query, PURPOSE, PATH).await? {
            Some(confirmed) => confirmed_details(&visit, steps, &confirmed).await?,
            None => address(&visit, Form { next: &next, ..Form::default() }).await?,
        },
        _ => details(&visit, steps, Form { next: &next, ..Form::default() }).await?,
    };
    visit.show(&page)
}

async fn confirmed_details(
    visit: &Visit,
    steps: RegistrationSteps,
    confirmed: &Confirmed,
) -> Result<Page, Stop> {
    let (next, email) = (&confirmed.next, confirmed.id.address());
    details(visit, steps, Form { next, confirmed: Some(confirmed), email, ..Form::default() }).await
}

pub(crate) fn closed(visit: &Visit, next: &str) -> Page {
    let name = visit.platform.display_name();
    Page::card(
        "Create your account",
        html! {
            h1 { (name) " is by invitation" }
            p { "You can't create an account here yourself. Ask the people who run " (name) " to make one for you." }
            (log_in_instead(next))
        },
    )
}

fn log_in_instead(next: &str) -> Markup {
    html! { p.aside { "Already have an account? " a href=(with_value(log_in::PATH, "next", next)) { "Log in" } } }
}

fn heading(visit: &Visit) -> Markup {
    html! { h1 { "Create your " (visit.platform.display_name()) " account" } }
}

fn has_handles(visit: &Visit) -> bool {
    visit.platform.settings.identity == Identity::Handle
}

/// Asks for the address that is confirmed first.
async fn address(visit: &Visit, form: Form<'_>) -> Result<Page, Stop> {
    let where_to = destination::describe(visit, form.next).await?;
    let field = Field {
        hint: Some("We'll send you a mail to confirm it. Other people don't see your address."),
        focus: true,
        ..email_field(form.email)
    };
    Ok(Page::card(
        "Create your account",
        html! {
            (heading(visit))
            (where_to)
            (error_notice(form.error))
            form method="post" action=(PATH) {
                (proof(&visit.csrf()))
                input type="hidden" name="next" value=(form.next);
                (field.render())
                button type="submit" { "Continue" }
            }
            (log_in_instead(form.next))
        },
    ))
}

/// Asks for everything else.
async fn details(visit: &Visit, steps: RegistrationSteps, form: Form<'_>) -> Result<Page, Stop> {
    let where_to = destination::describe(visit, form.next).await?;
    let server = visit.platform.server_name();
    let hint = match has_handles(visit) {
        true => {
            "People find you by it. You can change it later. Use 3 to 30 letters, numbers and . _".to_owned()
        }
        false => format!("Your address will be @username:{server}. Use small letters, numbers and . _ - = /"),
    };
    let user = Field {
        label: if has_handles(visit) { "Handle" } else { "Username" },
        name: "user",
        value: form.user,
        kind: "text",
        autocomplete: "username",
        hint: Some(&hint),
        ..Field::default()
    };
    let name = Field { focus: true, optional: steps.name, ..name_field(form.name) };
    let name = if steps.name {
        let hint = match has_handles(visit) {
            true => "Everybody sees it. Without one it is your handle.",
            false => "Everybody sees it. Without one it is your username.",
        };
        Field { hint: Some(hint), ..name }
    } else {
        name
    };
    let email = Field {
        hint: Some("With it you can log in, and reset your password. Other people don't see it."),
        label: "Email address (optional)",
        optional: true,
        ..email_field(form.email)
    };
    let platform = visit.platform.display_name();
    Ok(Page::card(
        "Create your account",
        html! {
            (heading(visit))
            (where_to)
            (error_notice(form.error))
            @if form.confirmed.is_some() { p { "You've confirmed " strong { (form.email) } "." } }
            form method="post" action=(PATH) {
                (proof(&visit.csrf()))
                input type="hidden" name="next" value=(form.next);
                @if let Some(confirmed) = form.confirmed { (confirmed.hidden()) }
                (name.render())
                @if steps.name { (user.render()) }
                @if steps.email == ProofStep::Optional { (email.render()) }
                (new_password_fields("Password", false))
                @if steps.token { (token_field(&platform)) }
                button type="submit" { "Create account" }
            }
            (log_in_instead(form.next))
        },
    ))
}

pub(crate) async fn register(visit: Visit, form: Values) -> Shown {
    let Ok(steps) = visit.app.accounts.registration_steps(&visit.platform) else {
        return visit.show_again(&closed(&visit, &local(form.get("next"))));
    };
    if steps.phone == ProofStep::Required {
        return Ok(redirect(&with_value(PATH, "next", &local(form.get("next")))));
    }
    if steps.email != ProofStep::Required {
        return create(&visit, steps, None, &form).await;
    }
    match Confirmed::find(&visit, &form, PURPOSE, PATH).await? {
        Some(confirmed) => create(&visit, steps, Some(confirmed), &form).await,
        None => send_mail(&visit, &form).await,
    }
}

async fn send_mail(visit: &Visit, form: &Values) -> Shown {
    let next = local(form.get("next"));
    visit.check_rate(RateClass::Registration, with_value(PATH, "next", &next))?;
    let email = form.text("email").trim();
    let Ok(id) = ThirdPartyId::email(email) else {
        let error = Some("Enter a valid email address.");
        let page = address(visit, Form { next: &next, email, error, ..Form::default() }).await?;
        return visit.show_again(&page);
    };
    mailed_link::send(visit, PURPOSE, &id, PATH, PATH, &next).await?;
    sent_to(&id, email, &next).show(visit)
}

fn sent_to<'a>(id: &'a ThirdPartyId, shown: &'a str, next: &'a str) -> Sent<'a> {
    let aside = html! {
        p.aside {
            "Opened the link on another device? Once your account is ready, "
            a href=(with_value(log_in::PATH, "next", next)) { "log in here" } "."
        }
    };
    Sent { id, shown, form: PATH, code: CODE_PATH, next, aside }
}

/// Takes the code of a mail, and asks for everything else.
pub(crate) async fn take_code(visit: Visit, form: Values) -> Shown {
    let next = local(form.get("next"));
    let back = with_value(PATH, "next", &next);
    let steps = visit.app.accounts.registration_steps(&visit.platform);
    let steps = steps.ok().filter(|steps| steps.email == ProofStep::Required).ok_or(Stop::NotFound)?;
    let Ok(id) = ThirdPartyId::email(form.text("email")) else { return Ok(redirect(&back)) };
    sent_to(&id, id.address(), &next).check_code(&visit, PURPOSE, form.text("code"), &back).await?;
    match Confirmed::find(&visit, &form.with("by", "code"), PURPOSE, PATH).await? {
        Some(confirmed) => visit.show(&confirmed_details(&visit, steps, &confirmed).await?),
        None => Ok(redirect(&back)),
    }
}

async fn create(
    visit: &Visit,
    steps: RegistrationSteps,
    confirmed: Option<Confirmed>,
    form: &Values,
) -> Shown {
    let next = local(form.get("next"));
    let (user, email) = (form.text("user").trim(), form.text("email").trim());
    let back = confirmed.as_ref().map(|confirmed| confirmed.back_to(PATH));
    visit.check_rate(RateClass::Registration, back.unwrap_or_else(|| with_value(PATH, "next", &next)))?;
    let error = match sign_up(visit, steps, confirmed.as_ref(), form).await? {
        Ok(registered) => {
            if !email.is_empty() && steps.email == ProofStep::Optional {
                mail_address(visit, &registered, email).await;
            }
            return welcome(visit, steps, &registered, &next).await;
        }
        Err(error) => error,
    };
    let email = confirmed.as_ref().map_or(email, |confirmed| confirmed.id.address());
    let (confirmed, name) = (confirmed.as_ref(), form.text("name").trim());
    let shown = Form { next: &next, confirmed, name, user, email, error: Some(&error) };
    visit.show_again(&details(visit, steps, shown).await?)
}

/// Makes the account, or says what is wrong with the form.
async fn sign_up(
    visit: &Visit,
    steps: RegistrationSteps,
    confirmed: Option<&Confirmed>,
    form: &Values,
) -> Result<Result<Registered, String>, Stop> {
    let (password, email) = (form.text("new_password"), form.text("email").trim());
    if password != form.text("new_password2") {
        return Ok(Err("The two passwords don't match.".to_owned()));
    }
    if !steps.name && form.text("name").trim().is_empty() {
        return Ok(Err("Enter the name that people see.".to_owned()));
    }
    if steps.name && form.text("user").trim().is_empty() {
        let what = if has_handles(visit) { "handle" } else { "username" };
        return Ok(Err(format!("Choose a {what}.")));
    }
    if steps.email == ProofStep::Optional && !email.is_empty() && ThirdPartyId::email(email).is_err() {
        return Ok(Err("Enter a valid email address, or none.".to_owned()));
    }
    let sign_up = SignUp {
        username: Some(form.text("user").trim().to_owned()),
        display_name: Some(form.text("name").trim().to_owned()),
        password: Some(password.to_owned()),
        registration_token: form.owned("registration_token"),
        evidence: confirmed.map(|confirmed| confirmed.evidence.clone()),
        address: Some(visit.address),
    };
    match visit.app.accounts.sign_up(&visit.platform, sign_up, visit.now_ts).await {
        Ok(registered) => Ok(Ok(registered)),
        Err(error @ (AccountsError::UserInUse | AccountsError::LooksLikeAnother)) => {
            Ok(Err(format!("{} Try another one.", sentence(&error.to_string()))))
        }
        Err(AccountsError::NotFound(_) | AccountsError::AddressNotValidated) => {
            Err(mailed_link::used_up(visit, PATH))
        }
        Err(
            error @ (AccountsError::Forbidden(_)
            | AccountsError::InvalidUsername(_)
            | AccountsError::WeakPassword(_)
            | AccountsError::TooLarge(_)
            | AccountsError::AddressInUse
            | AccountsError::MissingParam(_)),
        ) => Ok(Err(sentence(&error.to_string()))),
        Err(error) => Err(failed(error)),
    }
}

/// Mails the address of a new account, to have it confirmed. The account exists without that, and its page
/// can send another mail.
async fn mail_address(visit: &Visit, registered: &Registered, address: &str) {
    let page = format!("{}{CONFIRM_PATH}", visit.known_base_url);
    let (accounts, platform, user_id) = (&visit.app.accounts, &visit.platform, &registered.user_id);
    let sent = async {
        let id = ThirdPartyId::email(address)?;
        accounts.request_own_id(platform, user_id, id, page, visit.address, visit.now_ts).await
    };
    if let Err(error) = sent.await {
        tracing::info!(%error, "a new account's address was not sent a mail");
    }
}

fn proved(registered: &Registered) -> ProvedUser {
    ProvedUser { user_id: registered.user_id.clone(), password_stamp: registered.password_stamp }
}

/// Goes on. A user who has not chosen the name of the account is told it first.
async fn welcome(visit: &Visit, steps: RegistrationSteps, registered: &Registered, next: &str) -> Shown {
    let user = proved(registered);
    match steps.name {
        true => visit.log_in(&user, next).await,
        false => visit.log_in_showing(&user, &your_name(&user.user_id, next)).await,
    }
}

fn your_name(user_id: &UserId, next: &str) -> Page {
    Page::card(
        "Your account is ready",
        html! {
            h1 { "Your account is ready" }
            p { "Your address is " strong { (user_id) } ". You need it to log in, so keep it together with your \
                 password." }
            p { a.button href=(next) { "Continue" } }
        },
    )
}
