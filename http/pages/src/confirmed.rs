//! Addresses and numbers that a visitor confirms for a form: by a code, or by the link of a mail.
//!
//! A form names the address or number itself. That the visitor has confirmed it is looked up with the secret of the
//! browser, so a form that somebody has made up proves nothing.

use linkspan_accounts::{AccountsError, Evidence, ThirdPartyId, ValidationPurpose, ValidationSession};
use linkspan_platforms::RateClass;
use maud::{Markup, html};
use ruma::thirdparty::Medium;

use crate::{
    mailed_link,
    shell::{Field, Page, error_notice, proof},
    visit::{Shown, Stop, Values, Visit, failed, local, with_value},
};

/// What was confirmed.
pub(crate) struct Confirmed {
    pub(crate) id: ThirdPartyId,
    pub(crate) evidence: Evidence,
    /// Where to go on.
    pub(crate) next: String,
}

impl Confirmed {
    /// What a link or a form says is confirmed. None if it does not say so. `again` is where to begin anew if it is not
    /// true, or not any more.
    pub(crate) async fn find(
        visit: &Visit,
        values: &Values,
        purpose: ValidationPurpose,
        again: &str,
    ) -> Result<Option<Self>, Stop> {
        if let Some(link) = mailed_link::token_in(values) {
            let opened = mailed_link::open(visit, &link, purpose, again).await?;
            let next = mailed_link::next(visit, &opened);
            return Ok(Some(Self { id: opened.id, evidence: Evidence::Link(link), next }));
        }
        let Some(id) = id_in(values).filter(|_| values.get("by") == Some("code")) else { return Ok(None) };
        let session = session_of(visit, purpose, &id);
        let platform = visit.platform.server_name();
        match visit.app.accounts.validated_id(platform, purpose, &session, visit.now_ts).await {
            Ok(id) => {
                let (evidence, next) = (Evidence::Session(session), local(values.get("next")));
                Ok(Some(Self { id, evidence, next }))
            }
            Err(AccountsError::AddressNotValidated) => Err(mailed_link::used_up(visit, again)),
            Err(error) => Err(failed(error)),
        }
    }

    /// Keeps it in a form.
    pub(crate) fn hidden(&self) -> Markup {
        match &self.evidence {
            Evidence::Link(link) => mailed_link::hidden(link),
            Evidence::Session(_) => html! {
                input type="hidden" name="by" value="code";
                (hidden_id(&self.id))
            },
        }
    }

    /// The address of the form that it is kept in.
    pub(crate) fn back_to(&self, form: &str) -> String {
        match &self.evidence {
            Evidence::Link(link) => with_value(&with_value(form, "sid", &link.sid), "token", &link.token),
            Evidence::Session(_) => with_value(form, "next", &self.next),
        }
    }
}

/// The session in which this browser confirms an address or a number.
pub(crate) fn session_of(visit: &Visit, purpose: ValidationPurpose, id: &ThirdPartyId) -> ValidationSession {
    ValidationSession::of(visit.platform.server_name(), purpose, id, visit.mail_secret())
}

/// Reads what somebody has typed: an e-mail address, or a phone number with the code of its country.
pub(crate) fn typed_id(text: &str) -> Option<ThirdPartyId> {
    let medium = if text.contains('@') { Medium::Email } else { Medium::Msisdn };
    ThirdPartyId::new(&medium, text.trim()).ok()
}

/// The address or number in a form.
pub(crate) fn id_in(values: &Values) -> Option<ThirdPartyId> {
    typed_id(values.get("email").or(values.get("phone"))?)
}

fn hidden_id(id: &ThirdPartyId) -> Markup {
    let name = if id.is_phone() { "phone" } else { "email" };
    html! { input type="hidden" name=(name) value=(id.readable()); }
}

/// A message that was sent, and the forms around it.
pub(crate) struct Sent<'a> {
    pub(crate) id: &'a ThirdPartyId,
    /// The address as it was typed.
    pub(crate) shown: &'a str,
    /// The form where it was asked for, and can be again.
    pub(crate) form: &'a str,
    /// The form that takes the code.
    pub(crate) code: &'a str,
    pub(crate) next: &'a str,
    pub(crate) aside: Markup,
}

impl Sent<'_> {
    /// Says that a message is on its way, whether one was sent or not, and asks for its code.
    pub(crate) fn page(&self, visit: &Visit, error: Option<&str>) -> Page {
        let is_phone = self.id.is_phone();
        let title = if is_phone { "Enter the code" } else { "Check your email" };
        let other = if is_phone { "number" } else { "address" };
        let csrf = visit.csrf();
        let field = Field {
            label: "Code",
            name: "code",
            kind: "text",
            autocomplete: "one-time-code",
            hint: Some("6 digits. Don't share them with anybody."),
            focus: is_phone,
            is_number: true,
            ..Field::default()
        };
        let body = html! {
            h1 { (title) }
            @if is_phone {
                p { "We've sent a code to " strong { (self.shown) } "." }
            } @else {
                p { "We've sent a mail to " strong { (self.shown) } ". Open the link in it to continue, or enter its \
                     code here." }
            }
            (error_notice(error))
            form method="post" action=(self.code) {
                (proof(&csrf))
                input type="hidden" name="next" value=(self.next);
                (hidden_id(self.id))
                (field.render())
                button type="submit" { "Continue" }
            }
            @if is_phone {
                p.hint { "Nothing there? It can take a minute." }
            } @else {
                p.hint { "Nothing there? It can take a minute, and it may be in your spam folder." }
            }
            form method="post" action=(self.form) {
                (proof(&csrf))
                input type="hidden" name="next" value=(self.next);
                (hidden_id(self.id))
                button.second type="submit" { "Send it again" }
            }
            p.aside { a href=(with_value(self.form, "next", self.next)) { "Use a different " (other) } }
            (self.aside)
        };
        Page::card(title, body)
    }

    pub(crate) fn show(&self, visit: &Visit) -> Shown {
        visit.show(&self.page(visit, None))
    }

    /// Takes the code that was typed. A wrong one shows the page again. `back` is where to go on after too many
    /// attempts.
    pub(crate) async fn check_code(
        &self,
        visit: &Visit,
        purpose: ValidationPurpose,
        code: &str,
        back: &str,
    ) -> Result<(), Stop> {
        visit.check_rate(RateClass::Login, back)?;
        let (accounts, platform) = (&visit.app.accounts, visit.platform.server_name());
        let session = session_of(visit, purpose, self.id);
        match accounts.validate_by_code(platform, &session, code.trim(), visit.now_ts).await {
            Ok(()) => Ok(()),
            // Who sends the form twice has been let through already.
            Err(AccountsError::WrongCode)
                if accounts.validated_id(platform, purpose, &session, visit.now_ts).await.is_ok() =>
            {
                Ok(())
            }
            Err(AccountsError::WrongCode) => Err(self.wrong_code(visit)),
            Err(error) => Err(failed(error)),
        }
    }

    /// Shows the page again because of a wrong code.
    pub(crate) fn wrong_code(&self, visit: &Visit) -> Stop {
        let error = "This code is wrong or has expired. Check it, or have a new one sent.";
        match visit.show_again(&self.page(visit, Some(error))) {
            Ok(response) => Stop::Instead(Box::new(response)),
            Err(stop) => stop,
        }
    }
}
