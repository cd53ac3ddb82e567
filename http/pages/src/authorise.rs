//! Asking somebody whether a client may use the account.
//! <https://spec.matrix.org/v1.19/client-server-api/#authorisation-code-flow>

use http::StatusCode;
use linkspan_oauth::{Authorisation, AuthorisationRequest, BrowserSession, Client, Refusal, ReturnAddress};
use linkspan_wire::AUTHORIZATION_PAGE;
use maud::{Markup, html};
use url::Url;

use crate::{
    log_in, register,
    response::redirect,
    shell::{Page, proof, who},
    visit::{Shown, Stop, Values, Visit, failed, refused, with_value},
};

pub(crate) async fn show(visit: Visit) -> Shown {
    let asked = check(&visit).await?;
    let back = format!("{AUTHORIZATION_PAGE}?{}", visit.query.without("prompt"));
    let prompts: Vec<&str> = visit.query.text("prompt").split(' ').collect();
    if prompts.contains(&"none") {
        let address = &asked.return_address;
        return Err(tell_client(
            &visit,
            address,
            "interaction_required",
            "the user has to log in or to agree first",
        ));
    }
    if prompts.contains(&"create") {
        return Ok(redirect(&with_value(register::PATH, "next", &back)));
    }
    let session = match &visit.session {
        Some(session) if !prompts.contains(&"login") => session.clone(),
        _ => {
            let mut location = with_value(log_in::PATH, "next", &back);
            if let Some(hint) = visit.query.get("login_hint") {
                location = with_value(&location, "login_hint", hint);
            }
            return Ok(redirect(&with_value(&location, "again", "yes")));
        }
    };
    let page = consent(&visit, &asked, &session).await?;
    visit.show_leading(StatusCode::OK, &page, &source_of(&asked.return_address.redirect_uri))
}

/// Reads the request in the address, if somebody may be asked about it.
async fn check(visit: &Visit) -> Result<Authorisation, Stop> {
    let value = |name: &str| visit.query.owned(name);
    let request = AuthorisationRequest {
        client_id: value("client_id"),
        redirect_uri: value("redirect_uri"),
        response_type: value("response_type"),
        response_mode: value("response_mode"),
        scope: value("scope"),
        state: value("state"),
        code_challenge: value("code_challenge"),
        code_challenge_method: value("code_challenge_method"),
    };
    let checked = visit.app.oauth.check_authorisation(visit.platform.server_name(), request).await;
    match checked {
        Ok(_) if visit.query.repeats() => Err(refused(
            "The app sent us a request that says something twice. Go back to the app and try again.",
        )),
        Ok(asked) => Ok(asked),
        Err(Refusal::Here(error)) if error.code().is_none() => Err(failed(error)),
        Err(Refusal::Here(error)) => Err(refused(format!(
            "The app that sent you here made a mistake: {error}. Go back and try again."
        ))),
        Err(Refusal::ToClient(address, error)) => {
            let code = error.code().unwrap_or("server_error");
            Err(tell_client(visit, &address, code, &error.to_string()))
        }
    }
}

/// Sends the browser back to the client with an error. Anybody may register a client, and lead people here by
/// a link, so somebody who has not logged in here is asked first (RFC 9700, section 4.11.2).
fn tell_client(visit: &Visit, address: &ReturnAddress, code: &str, description: &str) -> Stop {
    let location = address.with_error(&visit.issuer(), code, description);
    if visit.session.is_some() {
        return Stop::Redirect(location);
    }
    let page = Page::card(
        "That didn't work",
        html! {
            h1 { "That didn't work" }
            p { "The app that sent you here made a mistake: " (description) "." }
            p.aside { a href=(location) rel="noreferrer noopener" { "Go back to " (place(&address.redirect_uri)) } }
        },
    );
    match visit.show_leading(StatusCode::BAD_REQUEST, &page, "") {
        Ok(response) => Stop::Instead(Box::new(response)),
        Err(stop) => stop,
    }
}

async fn consent(visit: &Visit, asked: &Authorisation, session: &BrowserSession) -> Result<Page, Stop> {
    let user_id = &session.user_id;
    let known = visit.app.accounts.device(user_id, &asked.scope.device_id).await.map_err(failed)?;
    let known = known.map(|device| device.display_name.unwrap_or_else(|| device.device_id.to_string()));
    let csrf = visit.csrf();
    let goes_to = place(&asked.return_address.redirect_uri);
    let platform = visit.platform.display_name();
    Ok(Page::card(
        "Allow access",
        html! {
            h1 { "Allow " (asked.client.name()) " to use your " (platform) " account?" }
            (who(user_id.as_str(), &csrf, &visit.target))
            (rights(&asked.client))
            @if let Some(known) = known {
                p { "Your session “" (known) "” will continue in this app." }
            }
            form method="post" action=(visit.target) {
                (proof(&csrf))
                button type="submit" name="answer" value="allow" { "Allow" }
                button.second type="submit" name="answer" value="deny" { "Cancel" }
            }
            p.aside { "You'll be taken to " strong { (goes_to) } "." }
        },
    ))
}

/// Shows what a client gets, and who it is.
pub(crate) fn rights(client: &Client) -> Markup {
    html! {
        p { strong { (client.name()) } " (" (client.host()) ") will be able to:" }
        ul.rights {
            li { "see your chats and contacts" }
            li { "send messages and make changes as you" }
        }
        p.hint { "Only allow apps that you trust. You can log this app out at any time on your account page." }
        (policies(client))
    }
}

/// Links to what a client says of itself.
fn policies(client: &Client) -> Markup {
    let metadata = &client.metadata;
    let links = [("Terms of service", &metadata.tos_uri), ("Privacy policy", &metadata.policy_uri)];
    let links: Vec<_> = links.into_iter().filter_map(|(name, uri)| Some((name, uri.as_ref()?))).collect();
    html! {
        @if !links.is_empty() {
            ul.policies {
                @for (name, uri) in links {
                    li { a href=(uri) rel="noreferrer noopener" target="_blank" { (name) } }
                }
            }
        }
    }
}

pub(crate) async fn answer(visit: Visit, form: Values) -> Shown {
    let asked = check(&visit).await?;
    let session = visit.session()?;
    let issuer = visit.issuer();
    let address = &asked.return_address;
    if form.text("answer") != "allow" {
        return Ok(redirect(&address.with_error(&issuer, "access_denied", "the user cancelled the request")));
    }
    let code = visit.app.oauth.allow(&asked, &session.user_id, session.password_stamp, visit.now_ts).await;
    let code = code.map_err(failed)?;
    Ok(redirect(&address.with_code(&issuer, &code)))
}

/// The place of an address, as people know it.
pub(crate) fn place(uri: &str) -> String {
    let parsed = Url::parse(uri).ok();
    let host = parsed.as_ref().and_then(|uri| uri.host_str().map(str::to_owned));
    match (parsed, host) {
        (Some(uri), Some(host)) if matches!(uri.scheme(), "http" | "https") => match uri.port() {
            Some(port) => format!("{host}:{port}"),
            None => host,
        },
        (Some(uri), _) => format!("the app “{}” on this device", uri.scheme()),
        (None, _) => String::new(),
    }
}

/// An address as a source of a content security policy, because browsers check where a form is redirected to.
pub(crate) fn source_of(uri: &str) -> String {
    match Url::parse(uri) {
        Ok(uri) if matches!(uri.scheme(), "http" | "https") => {
            // The grammar of policies has no IPv6 addresses, and `;` and `,`, which hosts can have, would begin something
            // else in it.
            let is_plain =
                |host: &str| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
            let of_host = uri.host_str().is_some_and(is_plain);
            if of_host { uri.origin().ascii_serialization() } else { format!("{}:", uri.scheme()) }
        }
        Ok(uri) => format!("{}:", uri.scheme()),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_says_one_thing_in_a_policy() {
        for (uri, source) in [
            ("https://app.example.com:8443/back?to=1", "https://app.example.com:8443"),
            ("http://localhost/", "http://localhost"),
            ("https://[::1]/", "https:"),
            ("https://example.com;script-src/", "https:"),
            ("https://example.com,example.org/", "https:"),
            ("com.example.app:/back;script-src", "com.example.app:"),
            ("no address", ""),
        ] {
            assert_eq!(source_of(uri), source, "{uri}");
        }
    }
}
