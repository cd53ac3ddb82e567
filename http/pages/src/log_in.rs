//! Logging a browser in and out.

use linkspan_accounts::{AccountsError, Credentials, Identifier};
use linkspan_oauth::OAuthError;
use linkspan_platforms::{Identity, RateClass, Registration};
use linkspan_wire::note_failed_log_in;
use maud::{Markup, html};

use crate::{
    ABOUT_PATH, destination, forgot_password, phone, register,
    response::redirect,
    shell::{Field, Page, error_notice, password_field, proof},
    visit::{Shown, Stop, Values, Visit, failed, local, too_many, with_value},
    words::sentence,
};

pub(crate) const PATH: &str = "/_linkspan/log-in";
pub(crate) const OUT_PATH: &str = "/_linkspan/log-out";

pub(crate) async fn show(visit: Visit) -> Shown {
    let next = local(visit.query.get("next"));
    if visit.session.is_some() && visit.query.get("again").is_none() {
        return Ok(redirect(&next));
    }
    if visit.app.accounts.knows_by_number(&visit.platform) && visit.query.get("by") != Some("password") {
        return visit.show(&phone::ask(&visit, &next, "", None).await?);
    }
    // Clients name the user by a user id with a scheme.
    let hint = visit.query.text("login_hint");
    let user = hint.strip_prefix("mxid:").unwrap_or(hint).to_owned();
    visit.show(&page(&visit, &next, &user, None).await?)
}

async fn page(visit: &Visit, next: &str, user: &str, error: Option<&str>) -> Result<Page, Stop> {
    let where_to = destination::describe(visit, next).await?;
    let accounts = &visit.app.accounts;
    let by_number = accounts.knows_by_number(&visit.platform);
    let name = match visit.platform.settings.identity {
        Identity::Handle => "Handle",
        Identity::Account | Identity::Phone => "Username",
    };
    let others =
        match (accounts.sends_mails(&visit.platform), accounts.sends_sms(&visit.platform) && !by_number) {
            (true, true) => ", email address or phone number",
            (true, false) => " or email address",
            (false, true) => " or phone number",
            (false, false) => "",
        };
    let label = format!("{name}{others}");
    let user_field = Field {
        label: &label,
        name: "user",
        value: user,
        kind: "text",
        autocomplete: "username",
        focus: user.is_empty(),
        ..Field::default()
    };
    let open = visit.platform.settings.registration != Registration::Closed;
    Ok(Page::card(
        "Log in",
        html! {
            h1 { "Log in to " (visit.platform.display_name()) }
            (where_to)
            (error_notice(error))
            form method="post" action=(PATH) {
                (proof(&visit.csrf()))
                input type="hidden" name="next" value=(next);
                (user_field.render())
                (password_field("Password", !user.is_empty()))
                @if accounts.resets_passwords(&visit.platform) {
                    p.beside { a href=(with_value(forgot_password::PATH, "next", next)) { "Forgot password?" } }
                }
                button type="submit" { "Log in" }
            }
            @if by_number {
                p.aside { a href=(with_value(PATH, "next", next)) { "Log in with a phone number" } }
            } @else if open {
                p.aside { "New here? " a href=(with_value(register::PATH, "next", next)) { "Create an account" } }
            }
            (other_apps())
        },
    ))
}

/// A link for people who want to use another app.
pub(crate) fn other_apps() -> Markup {
    html! { p.aside { a href=(ABOUT_PATH) { "Use another Matrix app" } } }
}

pub(crate) async fn log_in(visit: Visit, form: Values) -> Shown {
    let next = local(form.get("next"));
    let back = with_value(PATH, "next", &next);
    visit.check_rate(RateClass::Login, &back)?;
    let user = form.text("user").trim().to_owned();
    let identifier = Identifier::Name(user.clone());
    let credentials = Credentials { identifier, password: form.text("password").to_owned() };
    let (oauth, address) = (&visit.app.oauth, visit.address);
    let error = match oauth.log_browser_in(&visit.platform, credentials, address, visit.now_ts).await {
        Ok(token) => return visit.logged_in(&token, &next),
        Err(OAuthError::Accounts(AccountsError::Forbidden(_))) => {
            note_failed_log_in(&visit.platform, visit.address);
            "Wrong username or password. Please try again.".to_owned()
        }
        Err(OAuthError::Accounts(error @ AccountsError::Locked)) => sentence(&error.to_string()),
        Err(OAuthError::Accounts(AccountsError::Limited(limited))) => return Err(too_many(limited, back)),
        Err(error) => return Err(failed(error)),
    };
    visit.show_again(&page(&visit, &next, &user, Some(&error)).await?)
}

pub(crate) async fn log_out(visit: Visit, form: Values) -> Shown {
    visit.end_session().await?;
    Ok(redirect(&with_value(PATH, "next", &local(form.get("next")))))
}
