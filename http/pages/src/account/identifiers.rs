//! The email addresses and phone numbers of the account: seeing, adding and removing them.
//!
//! With most of them one can log in or set a new password, so adding one takes a proof of who it is, and a code or a
//! link that was sent to it.

use linkspan_accounts::{AccountsError, LinkToken, ProvedUser, ThirdPartyId, ValidationPurpose};
use linkspan_oauth::BrowserSession;
use linkspan_platforms::RateClass;
use linkspan_wire::ACCOUNT_PAGE;
use maud::{Markup, html};
use ruma::thirdparty::Medium;

use super::{back, check_fresh};
use crate::{
    confirmed::{Sent, id_in},
    mailed_link::{self, not_sent},
    response::redirect,
    shell::{Field, Page, email_field, error_notice, phone_field, proof, who},
    visit::{Shown, Stop, Values, Visit, failed, refused, with_value},
    words::sentence,
};

/// The page where a mail is asked for.
pub(crate) const ADD_EMAIL_PATH: &str = "/_linkspan/account/add-email";
/// The page where an SMS is asked for.
pub(crate) const ADD_PHONE_PATH: &str = "/_linkspan/account/add-phone";
/// The page that the link in a mail opens.
pub(crate) const CONFIRM_PATH: &str = "/_linkspan/account/confirm-email";
/// The form that takes the code of either.
pub(crate) const CODE_PATH: &str = "/_linkspan/account/confirm-code";
pub(crate) const REMOVE_PATH: &str = "/_linkspan/account/remove-email";

/// The parts of the account's page about addresses and numbers. One is empty where there are none and none can be added.
pub(crate) async fn sections(visit: &Visit, session: &BrowserSession) -> Result<Markup, Stop> {
    let accounts = &visit.app.accounts;
    let added = accounts.third_party_ids(&session.user_id).await.map_err(failed)?;
    let ids = added.into_iter().map(|added| added.id);
    let (numbers, addresses): (Vec<_>, Vec<_>) = ids.partition(ThirdPartyId::is_phone);
    let by_number = accounts.knows_by_number(&visit.platform);
    let emails = Section {
        title: "Email addresses",
        advice: "Add an email address, so that you can reset your password if you forget it.",
        add: ("Add an email address", ADD_EMAIL_PATH),
        may_add: accounts.sends_mails(&visit.platform),
    };
    let phones = Section {
        title: "Phone numbers",
        advice: if by_number {
            "Add a number, so that you can log in with it."
        } else {
            "Add a number, so that you can reset your password if you forget it."
        },
        add: ("Add a phone number", ADD_PHONE_PATH),
        may_add: accounts.sends_sms(&visit.platform),
    };
    Ok(html! {
        @if by_number { (phones.render(visit, &numbers)) }
        (emails.render(visit, &addresses))
        @if !by_number { (phones.render(visit, &numbers)) }
    })
}

struct Section {
    title: &'static str,
    /// What is said where there are none yet.
    advice: &'static str,
    /// The link to where one is added, and its words.
    add: (&'static str, &'static str),
    may_add: bool,
}

impl Section {
    fn render(&self, visit: &Visit, ids: &[ThirdPartyId]) -> Markup {
        if ids.is_empty() && !self.may_add {
            return html! {};
        }
        let (words, path) = self.add;
        html! {
            h2 { (self.title) }
            @if ids.is_empty() { p.hint { (self.advice) } }
            ul.rows {
                @for id in ids { li { (row(visit, id)) } }
            }
            @if self.may_add { ul.links { li { a href=(path) { (words) } } } }
        }
    }
}

fn row(visit: &Visit, id: &ThirdPartyId) -> Markup {
    let (name, text) = (if id.is_phone() { "phone" } else { "email" }, id.readable());
    html! {
        form.line method="post" action=(REMOVE_PATH) {
            (proof(&visit.csrf()))
            input type="hidden" name=(name) value=(text);
            strong { (text) }
            button.link type="submit" aria-label={ "Remove " (text) } { "Remove" }
        }
    }
}

pub(crate) async fn show_add_email(visit: Visit) -> Shown {
    check_fresh(&visit.session()?, ADD_EMAIL_PATH)?;
    check_sends(&visit, &Medium::Email)?;
    visit.show(&ask_email(&visit, "", None))
}

pub(crate) async fn show_add_phone(visit: Visit) -> Shown {
    check_fresh(&visit.session()?, ADD_PHONE_PATH)?;
    check_sends(&visit, &Medium::Msisdn)?;
    visit.show(&ask_phone(&visit, "", None))
}

fn check_sends(visit: &Visit, medium: &Medium) -> Result<(), Stop> {
    let accounts = &visit.app.accounts;
    let sends = match medium {
        Medium::Msisdn => accounts.sends_sms(&visit.platform),
        _ => accounts.sends_mails(&visit.platform),
    };
    if sends { Ok(()) } else { Err(Stop::NotFound) }
}

fn ask_email(visit: &Visit, address: &str, error: Option<&str>) -> Page {
    let uses = "You can log in with it, and reset your password if you forget it. Other people don't see it.";
    ask(visit, "Add an email address", uses, ADD_EMAIL_PATH, email_field(address), error)
}

fn ask_phone(visit: &Visit, number: &str, error: Option<&str>) -> Page {
    let uses = if visit.app.accounts.knows_by_number(&visit.platform) {
        "You can log in with it. If you've changed your number, add the new one here and then remove the old one: your \
         account stays as it is. Other people don't see it."
    } else {
        "You can reset your password with it if you forget it. Other people don't see it."
    };
    ask(visit, "Add a phone number", uses, ADD_PHONE_PATH, phone_field(number), error)
}

fn ask(visit: &Visit, title: &str, uses: &str, form: &str, field: Field<'_>, error: Option<&str>) -> Page {
    let body = html! {
        h1 { (title) }
        p { (uses) }
        (error_notice(error))
        form method="post" action=(form) {
            (proof(&visit.csrf()))
            (Field { focus: true, ..field }.render())
            button type="submit" { "Continue" }
        }
        (back())
    };
    Page::card(title, body)
}

pub(crate) async fn send_mail(visit: Visit, form: Values) -> Shown {
    let address = form.text("email").trim();
    let id = ThirdPartyId::email(address)
        .map_err(|_| ask_email(&visit, address, Some("Enter a valid email address.")));
    send(&visit, id, address, ADD_EMAIL_PATH).await
}

pub(crate) async fn send_sms(visit: Visit, form: Values) -> Shown {
    let number = form.text("phone").trim();
    let error = "Enter a phone number with the code of its country, such as +49 170 1234567.";
    let id = ThirdPartyId::new(&Medium::Msisdn, number).map_err(|_| ask_phone(&visit, number, Some(error)));
    send(&visit, id, number, ADD_PHONE_PATH).await
}

/// Sends a message to what was typed, or shows the page that says what is wrong with it.
async fn send(visit: &Visit, id: Result<ThirdPartyId, Page>, typed: &str, form: &str) -> Shown {
    let session = visit.session()?;
    check_fresh(&session, form)?;
    visit.check_rate(RateClass::Login, form)?;
    let id = match id {
        Ok(id) => id,
        Err(page) => return visit.show_again(&page),
    };
    let page = format!("{}{CONFIRM_PATH}", visit.known_base_url);
    let (accounts, platform) = (&visit.app.accounts, &visit.platform);
    let sent =
        accounts.request_own_id(platform, &session.user_id, id.clone(), page, visit.address, visit.now_ts);
    sent.await.map_err(|error| not_sent(error, form))?;
    sent_to(&id, typed).show(visit)
}

fn form_of(id: &ThirdPartyId) -> &'static str {
    if id.is_phone() { ADD_PHONE_PATH } else { ADD_EMAIL_PATH }
}

fn sent_to<'a>(id: &'a ThirdPartyId, shown: &'a str) -> Sent<'a> {
    Sent { id, shown, form: form_of(id), code: CODE_PATH, next: ACCOUNT_PAGE, aside: back() }
}

fn proved(session: &BrowserSession) -> ProvedUser {
    ProvedUser { user_id: session.user_id.clone(), password_stamp: session.password_stamp }
}

pub(crate) async fn take_code(visit: Visit, form: Values) -> Shown {
    let session = visit.session()?;
    let Some(id) = id_in(&form) else { return Ok(redirect(ACCOUNT_PAGE)) };
    let again = form_of(&id);
    check_fresh(&session, again)?;
    visit.check_rate(RateClass::Login, again)?;
    let code = form.text("code").trim();
    let added = visit.app.accounts.add_own_id_by_code(&proved(&session), &id, code, visit.now_ts).await;
    let error = match added {
        Ok(()) => return Ok(redirect(&with_value(ACCOUNT_PAGE, "done", done(&id, "added")))),
        Err(AccountsError::WrongCode) => return Err(sent_to(&id, &id.readable()).wrong_code(&visit)),
        Err(AccountsError::AddressNotValidated) => return Err(mailed_link::used_up(&visit, again)),
        Err(
            error @ (AccountsError::Forbidden(_)
            | AccountsError::DemoAccount
            | AccountsError::AddressInUse
            | AccountsError::TooMany(_)),
        ) => sentence(&error.to_string()),
        Err(error) => return Err(failed(error)),
    };
    let ask = if id.is_phone() { ask_phone } else { ask_email };
    visit.show_again(&ask(&visit, &id.readable(), Some(&error)))
}

/// The name of what was done with an address or a number.
fn done(id: &ThirdPartyId, what: &str) -> &'static str {
    match (id.is_phone(), what) {
        (false, "added") => "email-added",
        (true, "added") => "phone-added",
        (false, _) => "email-removed",
        (true, _) => "phone-removed",
    }
}

pub(crate) async fn show_confirm(visit: Visit) -> Shown {
    let session = visit.session()?;
    check_fresh(&session, &visit.target)?;
    visit.show(&question(&visit, &session, &visit.query, None).await?)
}

fn link_in(visit: &Visit, values: &Values) -> Result<LinkToken, Stop> {
    mailed_link::token_in(values).ok_or_else(|| mailed_link::used_up(visit, ADD_EMAIL_PATH))
}

async fn question(
    visit: &Visit,
    session: &BrowserSession,
    values: &Values,
    error: Option<&str>,
) -> Result<Page, Stop> {
    let token = link_in(visit, values)?;
    let link = mailed_link::open(visit, &token, ValidationPurpose::Add, ADD_EMAIL_PATH).await?;
    let here = with_value(&with_value(CONFIRM_PATH, "sid", &token.sid), "token", &token.token);
    Ok(Page::card(
        "Add this email address?",
        html! {
            h1 { "Add this email address?" }
            (who(session.user_id.as_str(), &visit.csrf(), &here))
            (error_notice(error))
            p { strong { (link.id.address()) } " will be added to your account on " (visit.platform.display_name()) "." }
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
    check_fresh(&session, ADD_EMAIL_PATH)?;
    visit.check_rate(RateClass::Login, ADD_EMAIL_PATH)?;
    let link = link_in(&visit, &form)?;
    let error = match visit.app.accounts.add_own_id_by_link(&proved(&session), link, visit.now_ts).await {
        Ok(()) => return Ok(redirect(&with_value(ACCOUNT_PAGE, "done", "email-added"))),
        Err(AccountsError::NotFound(_) | AccountsError::AddressNotValidated) => {
            return Err(mailed_link::used_up(&visit, ADD_EMAIL_PATH));
        }
        Err(
            error @ (AccountsError::Forbidden(_)
            | AccountsError::DemoAccount
            | AccountsError::AddressInUse
            | AccountsError::TooMany(_)),
        ) => error,
        Err(error) => return Err(failed(error)),
    };
    let page = question(&visit, &session, &form, Some(&sentence(&error.to_string()))).await?;
    visit.show_again(&page)
}

pub(crate) async fn remove(visit: Visit, form: Values) -> Shown {
    let session = visit.session()?;
    visit.check_rate(RateClass::Other, ACCOUNT_PAGE)?;
    let Some(id) = id_in(&form) else {
        return Err(refused("This is neither an email address nor a phone number."));
    };
    match visit.app.accounts.delete_third_party_id(&visit.platform, &session.user_id, &id).await {
        Ok(()) => Ok(redirect(&with_value(ACCOUNT_PAGE, "done", done(&id, "removed")))),
        Err(error @ (AccountsError::Forbidden(_) | AccountsError::DemoAccount)) => {
            Err(refused(sentence(&error.to_string())))
        }
        Err(error) => Err(failed(error)),
    }
}
