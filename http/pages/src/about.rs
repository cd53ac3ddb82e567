//! The page that says how to use Matrix apps on a platform. Where no chat app is served, it is also at `/`,
//! and where links to rooms lead.

use linkspan_platforms::{Identity, Platform, Platforms, Registration, Settings};
use maud::{Markup, html};

use crate::{log_in, register, shell::document};

/// The page that says what runs here and how to log in. `address` is the homeserver's URL.
pub(crate) fn about_page(platforms: &Platforms, platform: &Platform, address: &str) -> String {
    let settings = &platform.settings;
    let (name, server) = (platform.display_name(), settings.server_name.as_str());
    let example = match settings.identity {
        Identity::Handle => "anna",
        Identity::Phone => "u7k2m9x4",
        Identity::Account => "anna.berg",
    };
    let body = html! {
        h1 { (name) }
        p.lead {
            "Chat on " (name) " with any app for " a href="https://matrix.org" { "Matrix" } ". Pick one that you \
             like, and enter this server when you log in:"
        }
        dl {
            dt { "Server (“homeserver” in many apps)" } dd { code { (address) } }
            dt { "Your Matrix address" } dd { code { "@" (example) ":" (server) } ", with your own username" }
        }
        p { (known_by(settings)) " " (registration(&name, settings.registration)) }
        @if settings.oauth { (account_links(settings.registration)) }
        h2 { "Log in with your app" }
        (login_steps(address, example, server))
        @if address.starts_with("http://") { (plain_http_note()) }
        h2 { "Who you can chat with" }
        (list_others(platforms, platform, &name))
    };
    page(&name, &body)
}

/// The page for a host name that means no platform. It does not say which platforms there are.
pub(crate) fn unknown_host_page() -> String {
    let body = html! {
        h1 { "Nothing here" }
        p { "There is no chat service at this address. Check it for typing errors." }
    };
    page("Nothing here", &body)
}

/// A page without a frame.
fn page(title: &str, content: &Markup) -> String {
    document(title, &html! {}, &html! { body { main { (content) } } })
}

fn known_by(settings: &Settings) -> &'static str {
    match settings.identity {
        Identity::Handle => "People here are known by a public @handle.",
        Identity::Phone if !settings.verify || settings.sms.is_none() => {
            "People here are known by a username."
        }
        Identity::Phone => {
            "People here are known by their phone number, which their Matrix address doesn't show."
        }
        Identity::Account => "People here have an account with a name and an email address.",
    }
}

fn registration(name: &str, rule: Registration) -> String {
    match rule {
        Registration::Open => "Everybody can create an account, in an app or on this site.".to_owned(),
        Registration::Token => {
            format!("To create an account, you need a registration token from the people who run {name}.")
        }
        Registration::Closed => format!("Accounts are made by the people who run {name}."),
    }
}

/// Links to where the account is managed, if the platform has pages for that.
fn account_links(rule: Registration) -> Markup {
    html! {
        p {
            a href=(log_in::PATH) { "Log in here" } " to manage your account: your sessions, your name and your \
             password."
            @if rule != Registration::Closed {
                " Or " a href=(register::PATH) { "create an account" } "."
            }
        }
    }
}

fn login_steps(address: &str, example: &str, server: &str) -> Markup {
    let server_address = html! { code { (address) } };
    let user_id = format!("@{example}:{server}");
    html! {
        dl {
            dt { "Element, on the desktop or on the web" }
            dd { "Choose Sign in → " b { "Edit" } ", next to the homeserver → " b { "Other homeserver" } " → " (server_address) }
            dt { "FluffyChat" }
            dd { "Choose another homeserver → " (server_address) }
            dt { "Cinny" }
            dd { "Enter " (server_address) " as the homeserver on the log-in page." }
            dt { "nheko" }
            dd { "Enter " code { (user_id) } " as the Matrix ID, and " (server_address) " as the homeserver when it asks." }
            dt { "iamb" }
            dd {
                "In a profile of its configuration:" br;
                code { "user_id = \"" (user_id) "\"" } br;
                code { "url = \"" (address) "\"" }
            }
        }
    }
}

/// Says what may keep an app from working.
fn plain_http_note() -> Markup {
    html! {
        p.note {
            "The address of this server begins with " code { "http://" } ": type that, too. Apps that you've installed \
             can use it. Apps that run in a browser and come from an " code { "https://" } " address often can't: some \
             browsers ask you first, and Safari refuses. A copy of Element Web or Cinny that your own machine serves \
             over " code { "http://" } " works."
        }
    }
}

fn list_others(platforms: &Platforms, platform: &Platform, name: &str) -> Markup {
    let others: Vec<_> =
        platforms.iter().filter(|other| other.server_name() != platform.server_name()).collect();
    if others.is_empty() {
        return html! { p { "Everybody on " (name) "." } };
    }
    html! {
        p { "Everybody on " (name) ", and everybody on these services. You don't need an account there:" }
        ul {
            @for other in others {
                li { (other.display_name()) ": " code { "@username:" (other.server_name()) } }
            }
        }
    }
}
