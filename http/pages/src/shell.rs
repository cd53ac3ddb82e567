//! What the pages of a platform have in common: the frame, fields, notices.

use linkspan_platforms::Platform;
use maud::{DOCTYPE, Markup, html};

use crate::{STYLE_PATH, log_in, theme};

/// A page in the frame of its platform.
pub(crate) struct Page {
    pub(crate) title: String,
    pub(crate) body: Markup,
    /// Whether the page is wider, for reading rather than filling in.
    pub(crate) wide: bool,
}

impl Page {
    /// A page that asks for one thing.
    pub(crate) fn card(title: impl Into<String>, body: Markup) -> Self {
        Self { title: title.into(), body, wide: false }
    }

    pub(crate) fn in_frame(&self, platform: &Platform) -> String {
        let name = platform.display_name();
        let initial: String = name.chars().take(1).collect();
        let head = html! {
            meta name="robots" content="noindex";
            link rel="stylesheet" href=(theme::PATH);
        };
        let body = html! {
            body.page {
                header.brand {
                    a href="/" { span.mark aria-hidden="true" { (initial) } span { (name) } }
                }
                main.card.wide[self.wide] { (self.body) }
                footer { (platform.server_name()) }
            }
        };
        document(&format!("{} · {name}", self.title), &head, &body)
    }
}

/// A whole document. `head` is what stands in the head of some only.
pub(crate) fn document(title: &str, head: &Markup, body: &Markup) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="stylesheet" href=(STYLE_PATH);
                (head)
            }
            (body)
        }
    }
    .into_string()
}

/// A field of a form.
#[derive(Clone, Copy, Default)]
pub(crate) struct Field<'a> {
    pub(crate) label: &'a str,
    pub(crate) name: &'a str,
    pub(crate) value: &'a str,
    /// The type of the field: `text`, `email`, `tel` or `password`.
    pub(crate) kind: &'a str,
    pub(crate) autocomplete: &'a str,
    pub(crate) hint: Option<&'a str>,
    pub(crate) focus: bool,
    pub(crate) optional: bool,
    /// Whether it takes digits only.
    pub(crate) is_number: bool,
}

impl Field<'_> {
    pub(crate) fn render(&self) -> Markup {
        let hint_id = format!("{}-hint", self.name);
        html! {
            div.field {
                label for=(self.name) { (self.label) }
                input id=(self.name) name=(self.name) type=(self.kind) value=(self.value) maxlength="1024"
                    autocomplete=(self.autocomplete) autocapitalize="none" spellcheck="false"
                    inputmode=[self.is_number.then_some("numeric")]
                    required[!self.optional] autofocus[self.focus]
                    aria-describedby=[self.hint.map(|_| hint_id.as_str())];
                @if let Some(hint) = self.hint { p.hint id=(hint_id) { (hint) } }
            }
        }
    }
}

/// A field for the password that the account has.
pub(crate) fn password_field(label: &str, focus: bool) -> Markup {
    let autocomplete = "current-password";
    Field { label, name: "password", kind: "password", autocomplete, focus, ..Field::default() }.render()
}

/// Fields for a new password. It is typed twice, because nobody sees what they type.
pub(crate) fn new_password_fields(label: &str, focus: bool) -> Markup {
    let new = Field { kind: "password", autocomplete: "new-password", ..Field::default() };
    let first = Field { label, name: "new_password", hint: Some("At least 8 characters."), focus, ..new };
    let again = format!("Confirm {}", label.to_lowercase());
    let second = Field { label: &again, name: "new_password2", hint: None, focus: false, ..first };
    html! { (first.render()) (second.render()) }
}

/// A field for an email address.
pub(crate) fn email_field(value: &str) -> Field<'_> {
    let (name, kind) = ("email", "email");
    Field { label: "Email address", name, kind, value, autocomplete: "email", ..Field::default() }
}

/// A field for a phone number.
pub(crate) fn phone_field(value: &str) -> Field<'_> {
    let (name, kind) = ("phone", "tel");
    let hint = Some("With the code of the country, such as +49 170 1234567.");
    Field { label: "Phone number", name, kind, value, autocomplete: "tel", hint, ..Field::default() }
}

/// A field for the name that people see.
pub(crate) fn name_field(value: &str) -> Field<'_> {
    let (name, kind) = ("name", "text");
    let hint = Some("Everybody sees it. You can change it at any time.");
    Field { label: "Your name", name, kind, value, autocomplete: "name", hint, ..Field::default() }
}

/// A field for a registration token of a platform.
pub(crate) fn token_field(platform: &str) -> Markup {
    let hint = format!("Ask the people who run {platform} for one.");
    let (name, kind) = ("registration_token", "text");
    let hint = Some(hint.as_str());
    Field { label: "Registration token", name, kind, autocomplete: "off", hint, ..Field::default() }.render()
}

/// A notice of what went wrong with a form.
pub(crate) fn error_notice(error: Option<&str>) -> Markup {
    html! { @if let Some(error) = error { p.notice.error role="alert" { (error) } } }
}

/// A notice of what went well.
pub(crate) fn notice(text: Option<&str>) -> Markup {
    html! { @if let Some(text) = text { p.notice role="status" { (text) } } }
}

/// A hidden field that proves that a form is one of ours.
pub(crate) fn proof(csrf: &str) -> Markup {
    html! { input type="hidden" name="csrf" value=(csrf); }
}

/// Says who is logged in, with a way to be somebody else. `next` is where that leads back to.
pub(crate) fn who(user_id: &str, csrf: &str, next: &str) -> Markup {
    who_or(user_id, csrf, next, "Use another account")
}

/// The same with other words for logging out.
pub(crate) fn who_or(user_id: &str, csrf: &str, next: &str, log_out: &str) -> Markup {
    html! {
        form.who method="post" action=(log_in::OUT_PATH) {
            (proof(csrf))
            input type="hidden" name="next" value=(next);
            span { "Logged in as " strong { (user_id) } }
            button.link type="submit" { (log_out) }
        }
    }
}
