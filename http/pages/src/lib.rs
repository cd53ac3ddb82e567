//! Pages for people who open a platform's address in a browser: how to use Matrix apps here, logging in by OAuth 2.0, and
//! the account. What is of the chat app is answered by the app.
//!
//! Pages load nothing from elsewhere and run no script. Without a session of the browser they show only what
//! anybody may know of a platform. They do nothing that a service does not decide.

mod about;
mod account;
mod authorise;
mod confirm_email;
mod confirmed;
mod destination;
mod forgot_password;
mod link;
mod log_in;
mod mailed_link;
mod phone;
mod register;
mod response;
mod shell;
mod sso;
mod theme;
mod trouble;
mod visit;
mod words;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    response::Response,
    routing::get,
};
use http::{Method, StatusCode};
use linkspan_platforms::Platforms;
use linkspan_web::Web;
use linkspan_wire::{App, base_url, platform_of};

const STYLE: &str = include_str!("style.css");
const STYLE_PATH: &str = "/_linkspan/style.css";
/// The page that says how to use Matrix apps.
const ABOUT_PATH: &str = "/_linkspan/about";
/// What the addresses of links to rooms begin with. Whoever opens one where no app is served learns how to use another.
const LINKS_TO_ROOMS: &str = "/join/";

/// Serves the pages of all platforms and the chat app, and answers where there is nothing at an address.
pub fn router(app: App, web: Web) -> Router {
    let (other, no_method) = ((app.clone(), Arc::new(web)), app.clone());
    form_router(app.clone())
        .merge(account_router(app.clone()))
        .merge(confirm_email::router(app.clone()))
        .merge(about_router(app.platforms.clone()))
        .fallback(move |request: Request| answer_other(other.0.clone(), other.1.clone(), request))
        .method_not_allowed_fallback(move |request: Request| trouble::no_method(no_method.clone(), request))
}

/// Serves the pages for logging in, signing up, and allowing apps.
fn form_router(app: App) -> Router {
    use linkspan_wire::{AUTHORIZATION_PAGE, LINK_PAGE, SSO_PAGE};
    use visit::{form, form_of, page as show};
    Router::new()
        .route(log_in::PATH, show(log_in::show).merge(form(log_in::log_in)))
        .route(log_in::OUT_PATH, form_of(log_in::PATH, log_in::log_out))
        .route(phone::PATH, form_of(log_in::PATH, phone::send))
        .route(phone::CODE_PATH, form_of(log_in::PATH, phone::take_code))
        .route(phone::SECOND_PATH, form_of(log_in::PATH, phone::take_second_step))
        .route(phone::NEW_PATH, form_of(log_in::PATH, phone::begin_new))
        .route(phone::NAME_PATH, form_of(log_in::PATH, phone::sign_up))
        .route(register::PATH, show(register::show).merge(form(register::register)))
        .route(register::CODE_PATH, form_of(register::PATH, register::take_code))
        .route(forgot_password::PATH, show(forgot_password::show).merge(form(forgot_password::send)))
        .route(forgot_password::CODE_PATH, form_of(forgot_password::PATH, forgot_password::take_code))
        .route(
            forgot_password::NEW_PATH,
            show(forgot_password::show_new).merge(form(forgot_password::set_new)),
        )
        .route(AUTHORIZATION_PAGE, show(authorise::show).merge(form(authorise::answer)))
        .route(SSO_PAGE, show(sso::show).merge(form(sso::answer)))
        .route(LINK_PAGE, show(link::show).merge(form(link::answer)))
        .with_state(app)
}

/// Serves the pages about the account.
fn account_router(app: App) -> Router {
    use account::{cross_signing, deactivate, devices, discovery, handle, identifiers, password, profile};
    use linkspan_wire::ACCOUNT_PAGE;
    use visit::{form, form_of, page as show};
    Router::new()
        .route(ACCOUNT_PAGE, show(account::show))
        .route(account::PROFILE_PATH, form_of(ACCOUNT_PAGE, profile::rename))
        .route(account::HANDLE_PATH, form_of(ACCOUNT_PAGE, handle::change))
        .route(account::DISCOVERY_PATH, form_of(ACCOUNT_PAGE, discovery::choose))
        .route(account::DEVICE_PATH, form_of(account::action(devices::LIST), devices::log_out))
        .route(account::PASSWORD_PATH, show(password::show).merge(form(password::change)))
        .route(account::RESET_PATH, form_of(account::action(cross_signing::ACTION), cross_signing::allow))
        .route(account::DEACTIVATE_PATH, form_of(account::action(deactivate::ACTION), deactivate::deactivate))
        .route(
            identifiers::ADD_EMAIL_PATH,
            show(identifiers::show_add_email).merge(form(identifiers::send_mail)),
        )
        .route(
            identifiers::ADD_PHONE_PATH,
            show(identifiers::show_add_phone).merge(form(identifiers::send_sms)),
        )
        .route(identifiers::CODE_PATH, form_of(ACCOUNT_PAGE, identifiers::take_code))
        .route(identifiers::CONFIRM_PATH, show(identifiers::show_confirm).merge(form(identifiers::confirm)))
        .route(identifiers::REMOVE_PATH, form_of(ACCOUNT_PAGE, identifiers::remove))
        .with_state(app)
}

/// Answers what no page is at: the chat app, or else the page about the platform if it is the platform's address, or one
/// that a link to a room leads to.
async fn answer_other(app: App, web: Arc<Web>, request: Request) -> Response {
    if let Some(response) = web.answer(&app.platforms, &request) {
        return response;
    }
    let path = request.uri().path();
    if path != "/" && !path.starts_with(LINKS_TO_ROOMS) {
        return trouble::no_page(app, request).await;
    }
    match *request.method() {
        Method::GET | Method::HEAD => about_page(&app.platforms, &request),
        _ => trouble::no_method(app, request).await,
    }
}

/// Serves what anybody may know of a platform.
fn about_router(platforms: Arc<Platforms>) -> Router {
    Router::new()
        .route(theme::PATH, get(get_theme))
        .route(ABOUT_PATH, get(get_about_page))
        .route(STYLE_PATH, get(async || response::style_sheet(StatusCode::OK, STYLE.to_owned())))
        .with_state(platforms)
}

async fn get_theme(State(platforms): State<Arc<Platforms>>, request: Request) -> Response {
    match platform_of(&platforms, &request) {
        Some(platform) => response::style_sheet(StatusCode::OK, theme::style(platform.colour())),
        None => response::style_sheet(StatusCode::NOT_FOUND, String::new()),
    }
}

async fn get_about_page(State(platforms): State<Arc<Platforms>>, request: Request) -> Response {
    about_page(&platforms, &request)
}

fn about_page(platforms: &Platforms, request: &Request) -> Response {
    match platform_of(platforms, request) {
        Some(platform) => {
            let address = base_url(request.headers(), &platform);
            response::html(StatusCode::OK, about::about_page(platforms, &platform, &address), "")
        }
        None => response::html(StatusCode::NOT_FOUND, about::unknown_host_page(), ""),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::{HeaderMap, header};
    use http_body_util::BodyExt;
    use linkspan_storage::{Memory, Store};
    use tower::ServiceExt;

    use super::*;

    async fn get(host: &str, path: &str) -> (StatusCode, HeaderMap, String) {
        let folder = ["handle", "account", "phone"].map(|identity| {
            let text = format!(
                "name = \"{identity}-app\"\nserver_name = \"{identity}.localhost\"\nidentity = \"{identity}\"\n\
                 registration = \"open\""
            );
            toml::from_str(&text).expect("the settings are good")
        });
        let store = Store::in_memory(Memory::new().expect("a store in memory opens"));
        let platforms = Platforms::open(&store, folder.to_vec(), 1).await.expect("the platforms open");
        let request = Request::get(path).header("host", host).body(Body::empty()).expect("a good request");
        let response = about_router(Arc::new(platforms)).oneshot(request).await.expect("it never fails");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("the body is whole").to_bytes();
        (parts.status, parts.headers, String::from_utf8(body.to_vec()).expect("it is text"))
    }

    #[tokio::test]
    async fn the_page_is_the_platforms_own() {
        let (status, headers, page) = get("phone.localhost:8008", ABOUT_PATH).await;
        assert_eq!(status, StatusCode::OK);
        assert!(headers[header::CONTENT_SECURITY_POLICY].to_str().is_ok_and(|it| it.contains("'none'")));
        assert!(
            page.contains("<h1>Phone-app</h1>") && page.contains("http://phone.localhost:8008"),
            "{page}"
        );
        assert!(page.contains("Handle-app") && page.contains("Account-app"), "{page}");
    }

    #[tokio::test]
    async fn nothing_is_loaded_from_elsewhere() {
        let (_, _, page) = get("phone.localhost", ABOUT_PATH).await;
        assert!(!page.contains("src=") && !page.contains("<script"), "{page}");
        let (status, headers, _) = get("phone.localhost", STYLE_PATH).await;
        assert_eq!(
            (status, headers[header::CONTENT_TYPE].as_bytes()),
            (StatusCode::OK, &b"text/css; charset=utf-8"[..])
        );
    }

    #[tokio::test]
    async fn an_unknown_host_is_told_of_no_platform() {
        let (status, _, page) = get("elsewhere.example", ABOUT_PATH).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(!page.contains("phone"), "{page}");
    }
}
