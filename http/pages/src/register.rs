//! Creating an account in a browser, by the platform's rules.
//!
//! Where everybody has to confirm an address, that comes first: the link in the mail opens the form.

use linkspan_accounts::{
    AccountsError, EmailLinkToken, EmailPurpose, EmailStep, ProvedUser, Registered, RegistrationSteps,
    SignUp, check_address,
};
use linkspan_platforms::{Identity, RateClass};
use maud::{Markup, html};
use ruma::UserId;

use crate::{
    account::emails::CONFIRM_PATH,
    destination, log_in, mailed_link,
    shell::{Field, Page, email_field, error_notice, new_password_fields, proof},
    visit::{Shown, Stop, Values, Visit, failed, local, with_value},
    words::sentence,
};

pub(crate) const PATH: &str = "/_linkspan/register";

const PURPOSE: EmailPurpose = EmailPurpose::Register;

/// A form as it is shown, for the first time or again.
#[derive(Default)]
struct Form<'a> {
    next: &'a str,
    link: Option<&'a EmailLinkToken>,
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
    let page = match (mailed_link::token_in(&visit.query), steps.email) {
        (Some(link), EmailStep::Required) => {
            let opened = mailed_link::open(&visit, &link, PURPOSE, PATH).await?;
            let next = mailed_link::next(&visit, &opened);
            let form = Form { next: &next, link: Some(&link), email: &opened.address, ..Form::default() };
            details(&visit, steps, form).await?
        }
        (None, EmailStep::Required) => address(&visit, Form { next: &next, ..Form::default() }).await?,
        _ => details(&visit, steps, Form { next: &next, ..Form::default() }).await?,
    };
    visit.show(&page)
}

fn closed(visit: &Visit, next: &str) -> Page {
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
        hint: Some("We'll send you a link to confirm it. Other people don't see your address."),
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
        focus: true,
        ..Field::default()
    };
    let email = Field {
        hint: Some("With it you can log in, and reset your password. Other people don't see it."),
        label: "Email address (optional)",
        optional: true,
        ..email_field(form.email)
    };
    let operator = format!("Ask the people who run {} for one.", visit.platform.display_name());
    let token = Field {
        label: "Registration token",
        name: "registration_token",
        kind: "text",
        autocomplete: "off",
        hint: Some(&operator),
        ..Field::default()
    };
    Ok(Page::card(
        "Create your account",
        html! {
            (heading(visit))
            (where_to)
            (error_notice(form.error))
            @if form.link.is_some() { p { "You've confirmed " strong { (form.email) } "." } }
            form method="post" action=(PATH) {
                (proof(&visit.csrf()))
                input type="hidden" name="next" value=(form.next);
                @if let Some(link) = form.link { (mailed_link::hidden(link)) }
                @if steps.name { (user.render()) }
                @if steps.email == EmailStep::Optional { (email.render()) }
                (new_password_fields("Password", !steps.name && steps.email != EmailStep::Optional))
                @if steps.token { (token.render()) }
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
    match (mailed_link::token_in(&form), steps.email) {
        (None, EmailStep::Required) => send_link(&visit, &form).await,
        (link, EmailStep::Required) => create(&visit, steps, link, &form).await,
        _ => create(&visit, steps, None, &form).await,
    }
}

async fn send_link(visit: &Visit, form: &Values) -> Shown {
    let next = local(form.get("next"));
    visit.check_rate(RateClass::Registration, with_value(PATH, "next", &next))?;
    let email = form.text("email").trim();
    if check_address(email).is_err() {
        let error = Some("Enter a valid email address.");
        let page = address(visit, Form { next: &next, email, error, ..Form::default() }).await?;
        return visit.show_again(&page);
    }
    mailed_link::send(visit, PURPOSE, email, PATH, &next).await?;
    let aside = html! {
        p.aside {
            "Opened the link on another device? Once your account is ready, "
            a href=(with_value(log_in::PATH, "next", &next)) { "log in here" } "."
        }
    };
    mailed_link::show_sent(visit, email, PATH, &next, aside)
}

async fn create(
    visit: &Visit,
    steps: RegistrationSteps,
    link: Option<EmailLinkToken>,
    form: &Values,
) -> Shown {
    let next = local(form.get("next"));
    let (user, email) = (form.text("user").trim(), form.text("email").trim());
    visit.check_rate(RateClass::Registration, back_to_form(link.as_ref(), &next))?;
    let confirmed = match &link {
        Some(link) => Some(mailed_link::open(visit, link, PURPOSE, PATH).await?.address),
        None => None,
    };
    let error = match sign_up(visit, steps, link.clone(), form).await? {
        Ok(registered) => {
            if !email.is_empty() && steps.email == EmailStep::Optional {
                mail_address(visit, &registered, email).await;
            }
            return welcome(visit, steps, &registered, &next).await;
        }
        Err(error) => error,
    };
    let email = confirmed.as_deref().unwrap_or(email);
    let shown = Form { next: &next, link: link.as_ref(), user, email, error: Some(&error) };
    visit.show_again(&details(visit, steps, shown).await?)
}

/// The link that leads back to the form.
fn back_to_form(link: Option<&EmailLinkToken>, next: &str) -> String {
    match link {
        Some(link) => with_value(&with_value(PATH, "sid", &link.sid), "token", &link.token),
        None => with_value(PATH, "next", next),
    }
}

/// Makes the account, or says what is wrong with the form.
async fn sign_up(
    visit: &Visit,
    steps: RegistrationSteps,
    email_link: Option<EmailLinkToken>,
    form: &Values,
) -> Result<Result<Registered, String>, Stop> {
    let (password, email) = (form.text("new_password"), form.text("email").trim());
    if password != form.text("new_password2") {
        return Ok(Err("The two passwords don't match.".to_owned()));
    }
    if steps.name && form.text("user").trim().is_empty() {
        let what = if has_handles(visit) { "handle" } else { "username" };
        return Ok(Err(format!("Choose a {what}.")));
    }
    if steps.email == EmailStep::Optional && !email.is_empty() && check_address(email).is_err() {
        return Ok(Err("Enter a valid email address, or none.".to_owned()));
    }
    let sign_up = SignUp {
        username: Some(form.text("user").trim().to_owned()),
        password: password.to_owned(),
        registration_token: form.owned("registration_token"),
        email_link,
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
    let user = proved(registered);
    let accounts = &visit.app.accounts;
    let sent =
        accounts.request_email_address(&visit.platform, &user, address.to_owned(), page, visit.now_ts).await;
    if let Err(error) = sent {
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
