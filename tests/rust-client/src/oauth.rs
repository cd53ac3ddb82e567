//! Sessions of OAuth 2.0: the library registers itself and makes the address of the page; the test is the browser.

use matrix_sdk::{
    Client,
    authentication::oauth::{
        ClientRegistrationData,
        registration::{ApplicationType, ClientMetadata, Localized, OAuthGrantType},
    },
    ruma::serde::Raw,
};
use serde_json::{Value, json};

use crate::{Command, Refused, commands::Answer};

/// The page that the library's client says it has.
const CLIENT_URI: &str = "https://client.example.org/";

/// The address of the page on which the person allows the session.
pub(crate) async fn begin(client: &Client, command: &Command) -> Answer {
    let grants = vec![
        OAuthGrantType::AuthorizationCode { redirect_uris: vec![command.text("redirect")?.parse()?] },
        OAuthGrantType::DeviceCode,
    ];
    let home = Localized::new(CLIENT_URI.parse()?, None);
    let mut metadata = ClientMetadata::new(ApplicationType::Native, grants, home);
    metadata.client_name = Some(Localized::new("A client of matrix-sdk".to_owned(), None));
    let registration = ClientRegistrationData::new(Raw::new(&metadata)?);
    let redirect = command.text("redirect")?.parse()?;
    let asking = client.oauth().login(redirect, None, Some(registration), None).build().await?;
    Ok(json!({ "url": asking.url.as_str() }))
}

/// The tokens that prove the session.
pub(crate) fn tokens(client: &Client) -> Answer {
    let session = client.oauth().full_session().ok_or_else(|| Refused::new("not a session of OAuth 2.0"))?;
    let tokens = session.user.tokens;
    let client_id: Value = session.client_id.as_str().into();
    Ok(json!({ "access": tokens.access_token, "refresh": tokens.refresh_token, "client": client_id }))
}
