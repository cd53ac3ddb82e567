//! Where somebody is led after logging in, so that the page can say for which app that is.

use linkspan_wire::{AUTHORIZATION_PAGE, LINK_PAGE, SSO_PAGE};
use maud::{Markup, html};

use crate::{
    authorise::place,
    visit::{Stop, Values, Visit, failed},
};

/// Says where `next`, an address of ours, leads to. It says nothing if that is one of the account's pages.
pub(crate) async fn describe(visit: &Visit, next: &str) -> Result<Markup, Stop> {
    let (path, query) = next.split_once('?').unwrap_or((next, ""));
    let query = Values::parse(query.as_bytes());
    Ok(match path {
        AUTHORIZATION_PAGE => client(visit, query.text("client_id")).await?,
        SSO_PAGE => match place(query.text("redirectUrl")) {
            place if place.is_empty() => html! {},
            place => html! { p.lead { "to continue to " strong { (place) } } },
        },
        LINK_PAGE => html! { p.lead { "to connect a device" } },
        _ => html! {},
    })
}

/// Names a client. Anybody can register one under any name, so its host is said, too.
async fn client(visit: &Visit, client_id: &str) -> Result<Markup, Stop> {
    let client = visit.app.oauth.client(visit.platform.server_name(), client_id).await.map_err(failed)?;
    Ok(match client {
        Some(client) => html! {
            p.lead { "to continue to " strong { (client.name()) } " (" (client.host()) ")" }
        },
        None => html! {},
    })
}
