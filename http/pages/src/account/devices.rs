//! The sessions of an account, which are its devices.

use std::collections::BTreeMap;

use linkspan_accounts::DeviceInfo;
use linkspan_oauth::{BrowserSession, Client};
use linkspan_wire::ACCOUNT_PAGE;
use maud::{Markup, html};
use ruma::OwnedDeviceId;

use super::{DEVICE_PATH, action, back};
use crate::{
    response::redirect,
    shell::{Page, proof},
    visit::{Shown, Stop, Values, Visit, failed, with_value},
    words::ago,
};

pub(crate) const LIST: &str = "org.matrix.devices_list";

/// The apps of sessions, by their client ids.
type Apps = BTreeMap<String, Client>;

pub(crate) async fn list(visit: &Visit, session: &BrowserSession) -> Shown {
    let body = html! { h1 { "Your sessions" } (rows(visit, session).await?) (back()) };
    visit.show(&Page { title: "Your sessions".into(), body, wide: true })
}

pub(crate) async fn rows(visit: &Visit, session: &BrowserSession) -> Result<Markup, Stop> {
    let mut devices = visit.app.accounts.devices(&session.user_id).await.map_err(failed)?;
    devices.sort_by_key(|device| std::cmp::Reverse(device.last_seen_ts));
    let apps = apps_of(visit, &devices).await?;
    Ok(html! {
        ul.rows {
            li.this {
                strong { "This browser " span.tag { "This session" } }
                span { "Logged in to this page only" }
            }
            @for device in &devices { li { (row(visit, device, &apps)) } }
        }
        @if devices.is_empty() { p.hint { "You're not logged in to any apps." } }
    })
}

/// Shows what tells a session from others, also from those of the same app.
fn row(visit: &Visit, device: &DeviceInfo, apps: &Apps) -> Markup {
    let address = with_value(&action("org.matrix.device_view"), "device_id", device.device_id.as_str());
    let app = app_of(device, apps);
    html! {
        a href=(address) {
            strong { (name(device)) }
            span { (kind(app)) " · Active " (ago(visit.now_ts, device.last_seen_ts)) }
            span.more {
                "Logged in " (ago(visit.now_ts, device.created_ts))
                @if let Some(address) = &device.last_seen_ip { " · " (address) }
                " · " (device.device_id)
            }
        }
    }
}

async fn apps_of(visit: &Visit, devices: &[DeviceInfo]) -> Result<Apps, Stop> {
    let mut apps = Apps::new();
    for id in devices.iter().filter_map(|device| device.client_id.as_ref()) {
        if !apps.contains_key(id)
            && let Some(app) =
                visit.app.oauth.client(visit.platform.server_name(), id).await.map_err(failed)?
        {
            apps.insert(id.clone(), app);
        }
    }
    Ok(apps)
}

fn app_of<'a>(device: &DeviceInfo, apps: &'a Apps) -> Option<&'a Client> {
    device.client_id.as_ref().and_then(|id| apps.get(id))
}

/// Shows which app a session is of. Of an app that logs in by itself nothing is known but the session's name.
fn kind(app: Option<&Client>) -> Markup {
    html! {
        @match app {
            Some(app) => {
                @if app.metadata.application_type == "web" { "Web app" } @else { "App" }
                " (" (app.name()) ", " (app.host()) ")"
            },
            None => "App with its own log-in",
        }
    }
}

pub(crate) async fn view(visit: &Visit, session: &BrowserSession) -> Shown {
    let device_id = OwnedDeviceId::from(visit.query.text("device_id"));
    let device = visit.app.accounts.device(&session.user_id, &device_id).await.map_err(failed)?;
    let Some(device) = device else {
        let body = html! {
            h1 { "Session not found" }
            p { "It has been logged out, or it was never there." }
            (back())
        };
        return visit.show(&Page::card("Session not found", body));
    };
    let apps = apps_of(visit, std::slice::from_ref(&device)).await?;
    let body = html! {
        h1 { (name(&device)) }
        dl {
            dt { "App" } dd { (kind(app_of(&device, &apps))) }
            dt { "Last active" } dd.time { (ago(visit.now_ts, device.last_seen_ts)) }
            dt { "Logged in" } dd.time { (ago(visit.now_ts, device.created_ts)) }
            @if let Some(address) = &device.last_seen_ip { dt { "IP address" } dd { (address) } }
            dt { "Session ID" } dd { code { (device.device_id) } }
        }
        p { "If you log out this session, you lose encrypted messages that only it can read." }
        form method="post" action=(DEVICE_PATH) {
            (proof(&visit.csrf()))
            input type="hidden" name="device_id" value=(device.device_id);
            button.danger type="submit" { "Log out this session" }
        }
        (back())
    };
    visit.show(&Page::card("Session", body))
}

pub(crate) async fn log_out(visit: Visit, form: Values) -> Shown {
    let session = visit.session()?;
    let device_id = OwnedDeviceId::from(form.text("device_id"));
    let removed = visit.app.accounts.log_out(&session.user_id, &device_id).await.map_err(failed)?;
    visit.app.forget_devices(removed).await.map_err(failed)?;
    Ok(redirect(&with_value(ACCOUNT_PAGE, "done", "device")))
}

fn name(device: &DeviceInfo) -> &str {
    device.display_name.as_deref().filter(|name| !name.is_empty()).unwrap_or("Unnamed session")
}
