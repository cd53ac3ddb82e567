//! Registering a client. A client that registers the same as another is the same client. So there are no more
//! clients than kinds of apps, however many devices there are.
//! <https://spec.matrix.org/v1.19/client-server-api/#client-registration>

use std::net::IpAddr;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use linkspan_storage::{WriteSet, catalogue::OAuthClients, records::OAuthClientRecord};
use ruma::OwnedServerName;
use sha2::{Digest, Sha256};
use url::Url;

use crate::{
    Client, OAuth, OAuthError,
    client::{AUTHORIZATION_CODE, GRANT_TYPES, client_key},
    redirect_uri::{self, Kind, check_common_base, check_redirect_uri, has_user, is_a_registry, parse_uri},
};

/// The greatest number of redirect URIs of a client.
const MAX_REDIRECT_URIS: usize = 20;
/// The longest name of a client, in bytes.
const NAME_BYTES: usize = 255;

/// What a client that registers says about itself.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct NewClient {
    pub client_name: Option<String>,
    pub client_uri: Option<String>,
    pub logo_uri: Option<String>,
    pub tos_uri: Option<String>,
    pub policy_uri: Option<String>,
    pub redirect_uris: Vec<String>,
    /// The grant types. Without them it is the code only, as RFC 7591 says.
    pub grant_types: Option<Vec<String>>,
    pub token_endpoint_auth_method: Option<String>,
    /// The kind of application. Without it, it is `web`.
    pub application_type: Option<String>,
    /// Whether the server is reached at an address of the client's own machine. Then web clients that are
    /// being developed there may be without https.
    pub on_loopback: bool,
}

/// Whether a host, with or without a port, is the machine itself.
pub fn is_loopback(host: &str) -> bool {
    Url::parse(&format!("http://{host}/")).is_ok_and(|uri| redirect_uri::is_loopback(&uri))
}

impl OAuth {
    /// Registers a client of a platform at the wish of somebody at `from`, or finds the one that registered the same
    /// before. The caller has counted the address.
    pub async fn register_client(
        &self,
        platform: &OwnedServerName,
        client: NewClient,
        from: IpAddr,
        now_ts: u64,
    ) -> Result<Client, OAuthError> {
        let metadata = check_metadata(client, now_ts)?;
        let client_id = client_id(&metadata);
        if let Some(known) = self.client(platform, &client_id).await? {
            return Ok(known);
        }
        self.make_room(platform, now_ts).await?;
        let key = client_key(platform, &client_id);
        let mut writes = WriteSet::new();
        writes.put::<OAuthClients>(&key, &metadata);
        self.store.commit(writes).await.map_err(linkspan_storage::StorageError::from)?;
        self.newcomers.note(&key, from, now_ts);
        Ok(Client { client_id, metadata })
    }
}

fn check_metadata(client: NewClient, now_ts: u64) -> Result<OAuthClientRecord, OAuthError> {
    use OAuthError::InvalidClientMetadata as Invalid;
    if client.token_endpoint_auth_method.as_deref().is_some_and(|method| method != "none") {
        return Err(Invalid("clients have no secrets here: token_endpoint_auth_method is none"));
    }
    let application_type = client.application_type.unwrap_or_else(|| "web".to_owned());
    let kind = match application_type.as_str() {
        "web" => Kind::Web { loopback: client.on_loopback },
        "native" => Kind::Native,
        _ => return Err(Invalid("application_type is web or native")),
    };
    let client_uri = client.client_uri.ok_or(Invalid("client_uri is missing"))?;
    let base = check_client_uri(&client_uri, client.on_loopback).map_err(Invalid)?;
    let asked = client.grant_types.unwrap_or_else(|| vec![AUTHORIZATION_CODE.to_owned()]);
    let known = GRANT_TYPES.into_iter().filter(|known| asked.iter().any(|asked| asked == known));
    let grant_types: Vec<_> = known.map(str::to_owned).collect();
    if grant_types.is_empty() {
        return Err(Invalid("none of these grant types can be used here"));
    }
    let by_code = grant_types.iter().any(|grant_type| grant_type == AUTHORIZATION_CODE);
    if client.redirect_uris.len() > MAX_REDIRECT_URIS || (by_code && client.redirect_uris.is_empty()) {
        return Err(OAuthError::InvalidRedirectUri("a client has 1 to 20 redirect URIs"));
    }
    for uri in &client.redirect_uris {
        check_redirect_uri(uri, &base, kind).map_err(OAuthError::InvalidRedirectUri)?;
    }
    // Links that people would be shown, but that cannot be trusted, are left out.
    let link = |uri: Option<String>| {
        uri.filter(|uri| {
            let parsed = parse_uri(uri).ok().filter(|parsed| parsed.scheme() == "https");
            parsed.is_some_and(|parsed| check_common_base(&parsed, &base).is_ok())
        })
    };
    Ok(OAuthClientRecord {
        client_name: check_name(client.client_name)?,
        client_uri,
        logo_uri: link(client.logo_uri),
        tos_uri: link(client.tos_uri),
        policy_uri: link(client.policy_uri),
        redirect_uris: client.redirect_uris,
        grant_types,
        application_type,
        created_ts: now_ts,
        used_ts: None,
    })
}

fn check_client_uri(client_uri: &str, on_loopback: bool) -> Result<Url, &'static str> {
    let base = parse_uri(client_uri)?;
    let local = on_loopback && base.scheme() == "http" && redirect_uri::is_loopback(&base);
    if base.scheme() != "https" && !local {
        return Err("client_uri is a URI of https");
    }
    if base.host_str().is_none() || has_user(&base) {
        return Err("client_uri has a host, and neither user nor password");
    }
    if is_a_registry(&base) {
        return Err("client_uri has a host of its own, and none below which others have theirs");
    }
    Ok(base)
}

/// Refuses a name that would change how the text around it looks.
fn check_name(name: Option<String>) -> Result<Option<String>, OAuthError> {
    if name.as_ref().is_some_and(|name| name.len() > NAME_BYTES) {
        return Err(OAuthError::InvalidClientMetadata("client_name has at most 255 bytes"));
    }
    let directing = |character: char| matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    let plain = name.map(|name| {
        let kept: String =
            name.chars().filter(|&character| !character.is_control() && !directing(character)).collect();
        kept.trim().to_owned()
    });
    Ok(plain.filter(|name| !name.is_empty()))
}

/// The id of a client: a hash of everything that it says about itself.
fn client_id(metadata: &OAuthClientRecord) -> String {
    let told = (
        (&metadata.client_name, &metadata.client_uri, &metadata.logo_uri),
        (&metadata.tos_uri, &metadata.policy_uri, &metadata.redirect_uris),
        (&metadata.grant_types, &metadata.application_type),
    );
    let told = serde_json::to_vec(&told).expect("lists of texts are JSON");
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(told))
}
