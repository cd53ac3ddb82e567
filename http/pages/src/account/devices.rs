//! The sessions of an account, which are its devices.

use linkspan_accounts::DeviceInfo;
use linkspan_client_api::ACCOUNT_PAGE;
use linkspan_oauth::BrowserSession;
use maud::{Markup, html};
use ruma::OwnedDeviceId;

use super::{DEVICE_PATH, action, back};
use crate::{
    response::redirect,
    shell::{Page, notice, proof},
    visit::{Shown, Stop, Values, Visit, failed, with_value},
};

pub(crate) async fn list(visit: &Visit, session: &BrowserSession) -> Shown {
    let body = html! { h1 { "Your sessions" } (rows(visit, session).await?) (back()) };
    visit.show(&Page { title: "Your sessions".into(), body, wide: true })
}

pub(crate) async fn rows(visit: &Visit, session: &BrowserSession) -> Result<Markup, Stop> {
    let mut devices = visit.app.accounts.devices(&session.user_id).await.map_err(failed)?;
    devices.sort_by_key(|device| std::cmp::Reverse(device.last_seen_ts));
    Ok(html! {
        @if devices.is_empty() { p { "No client is logged in." } }
        ul.rows {
            @for device in &devices {
                li {
                    a href=(with_value(&action("org.matrix.device_view"), "device_id", device.device_id.as_str())) {
                        strong { (name(device)) }
                        span { (device.device_id) " · " (ago(visit.now_ts, device.last_seen_ts)) }
                    }
                }
            }
        }
    })
}

pub(crate) async fn view(visit: &Visit, session: &BrowserSession) -> Shown {
    let device_id = OwnedDeviceId::from(visit.query.text("device_id"));
    let device = visit.app.accounts.device(&session.user_id, &device_id).await.map_err(failed)?;
    let Some(device) = device else {
        let body = html! { h1 { "No such session" } (notice(Some("It has been logged out."))) (back()) };
        return visit.show(&Page::card("No such session", body));
    };
    let client = match &device.client_id {
        Some(id) => visit.app.oauth.client(visit.platform.server_name(), id).await.map_err(failed)?,
        None => None,
    };
    let body = html! {
        h1 { (name(&device)) }
        dl {
            dt { "Session" } dd { code { (device.device_id) } }
            dt { "Last active" } dd { (ago(visit.now_ts, device.last_seen_ts)) }
            @if let Some(address) = &device.last_seen_ip { dt { "From" } dd { (address) } }
            @if let Some(client) = &client { dt { "Client" } dd { (client.name()) ", " (client.host()) } }
        }
        p { "Encrypted messages that only this session can read are lost when it is logged out." }
        form method="post" action=(DEVICE_PATH) {
            (proof(&visit.csrf()))
            input type="hidden" name="device_id" value=(device.device_id);
            button.danger type="submit" { "Log this session out" }
        }
        (back())
    };
    visit.show(&Page::card("Session", body))
}

pub(crate) async fn log_out(visit: Visit, form: Values) -> Shown {
    let session = visit.session()?;
    let device_id = OwnedDeviceId::from(form.text("device_id"));
    let removed = visit.app.accounts.log_out(&session.user_id, &device_id).await.map_err(failed)?;
    visit.app.forget_removed(removed).await.map_err(failed)?;
    Ok(redirect(&with_value(ACCOUNT_PAGE, "done", "device")))
}

fn name(device: &DeviceInfo) -> &str {
    device.display_name.as_deref().filter(|name| !name.is_empty()).unwrap_or("A session without a name")
}

/// How long ago something was, roughly.
fn ago(now_ts: u64, then_ts: u64) -> String {
    let minutes = now_ts.saturating_sub(then_ts) / 60_000;
    let count = |count: u64, unit: &str| {
        let s = if count == 1 { "" } else { "s" };
        format!("active {count} {unit}{s} ago")
    };
    match minutes {
        0..=2 => "active now".to_owned(),
        3..=119 => count(minutes, "minute"),
        120..=2879 => count(minutes / 60, "hour"),
        _ => count(minutes / 1_440, "day"),
    }
}
