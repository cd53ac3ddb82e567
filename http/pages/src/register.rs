//! Creating an account in a browser, by the platform's rules.

use linkspan_accounts::{AccountsError, Registration as NewAccount};
use linkspan_platforms::{RateClass, Registration};
use maud::html;
use ruma::api::client::uiaa::{AuthData, Dummy, RegistrationToken};

use crate::{
    log_in,
    shell::{Field, Page, display_name, error_notice, proof},
    visit::{Shown, Values, Visit, failed, local, with_value},
};

pub(crate) const PATH: &str = "/_linkspan/register";

pub(crate) async fn show(visit: Visit) -> Shown {
    let next = local(visit.query.get("next"));
    visit.show(&page(&visit, &next, "", None))
}

fn page(visit: &Visit, next: &str, user: &str, error: Option<&str>) -> Page {
    let name = display_name(&visit.platform);
    let rule = visit.platform.settings.registration;
    let server = visit.platform.server_name().as_str();
    let hint = format!("Others will know you as @name:{server}. Small letters, digits and . _ - = /");
    let kind = "password";
    let autocomplete = "new-password";
    let fields = [
        Field {
            label: "User name",
            name: "user",
            value: user,
            kind: "text",
            autocomplete: "username",
            hint: Some(&hint),
            focus: true,
            ..Field::default()
        },
        Field {
            label: "Password",
            name: "password",
            kind,
            autocomplete,
            hint: Some("At least 8 characters."),
            ..Field::default()
        },
        Field { label: "The password again", name: "password2", kind, autocomplete, ..Field::default() },
    ];
    let token = Field {
        label: "Registration token",
        name: "token",
        kind: "text",
        autocomplete: "off",
        hint: Some("You get one from the operator."),
        ..Field::default()
    };
    Page::card(
        "Create an account",
        html! {
            h1 { "Join " (name) }
            (error_notice(error))
            @if rule == Registration::Closed {
                p { "Registration is closed here: the operator makes the accounts." }
            } @else {
                form method="post" action=(PATH) {
                    (proof(&visit.csrf()))
                    input type="hidden" name="next" value=(next);
                    @for field in &fields { (field.render()) }
                    @if rule == Registration::Token { (token.render()) }
                    button type="submit" { "Create the account" }
                }
            }
            p.aside { "You have an account? " a href=(with_value(log_in::PATH, "next", next)) { "Log in" } }
        },
    )
}

pub(crate) async fn register(visit: Visit, form: Values) -> Shown {
    visit.check_rate(RateClass::Registration)?;
    let next = local(form.get("next"));
    let user = form.text("user").trim().to_owned();
    let password = form.text("password").to_owned();
    if password != form.text("password2") {
        return visit.show_again(&page(&visit, &next, &user, Some("The two passwords are not the same.")));
    }
    let auth = match visit.platform.settings.registration {
        Registration::Token => {
            AuthData::RegistrationToken(RegistrationToken::new(form.text("token").to_owned()))
        }
        _ => AuthData::Dummy(Dummy::new()),
    };
    let account =
        NewAccount { username: Some(user.clone()), password: Some(password), ..NewAccount::default() };
    let registered = visit.app.accounts.register(&visit.platform, account, Some(&auth), visit.now_ts).await;
    let why = match registered {
        Ok(registered) => {
            let (user_id, password_stamp) = (&registered.user_id, registered.password_stamp);
            let session = visit.app.oauth.begin_browser_session(user_id, password_stamp, visit.now_ts).await;
            return visit.logged_in(&session.map_err(failed)?, &next);
        }
        Err(AccountsError::Interactive(_)) if visit.platform.settings.registration == Registration::Token => {
            "This registration token is not valid.".to_owned()
        }
        Err(AccountsError::Interactive(_)) => {
            "This platform asks for more than this page can: create the account with your client.".to_owned()
        }
        Err(
            error @ (AccountsError::Forbidden(_)
            | AccountsError::InvalidUsername(_)
            | AccountsError::UserInUse
            | AccountsError::WeakPassword(_)
            | AccountsError::MissingParam(_)),
        ) => sentence(&error.to_string()),
        Err(error) => return Err(failed(error)),
    };
    visit.show_again(&page(&visit, &next, &user, Some(&why)))
}

/// A reason as a sentence.
pub(crate) fn sentence(reason: &str) -> String {
    let mut characters = reason.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", characters.as_str())
}
