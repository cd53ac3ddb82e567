//! Authorisation requests: what a client asks of a user, and the code that it gets if the user allows it.
//! <https://spec.matrix.org/v1.19/client-server-api/#authorisation-code-flow>
//!
//! A request is not stored. It is in the address of the page until somebody allows it.

use linkspan_accounts::{PasswordStamp, hash_token, new_token};
use linkspan_storage::{
    StorageError, WriteSet,
    catalogue::{AuthorizationCodes, OAuthClients, PlatformHashKey},
    records::AuthorizationCodeRecord,
};
use ruma::{OwnedServerName, OwnedUserId};
use url::form_urlencoded;

use crate::{
    Client, OAuth, OAuthError, Scope,
    client::{AUTHORIZATION_CODE, client_key},
    redirect_uri::is_registered,
};

/// How long a code can be exchanged, in milliseconds.
const CODE_MS: u64 = 60_000;
/// How exactly the time is kept at which a client was last used, in milliseconds.
const USED_MS: u64 = 24 * 3_600_000;
/// The length of an S256 challenge.
const CHALLENGE_BYTES: usize = 43;
/// The longest `state` that is given back to a client, in bytes.
const STATE_BYTES: usize = 2_048;

/// What a client asks, in the client's own words.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct AuthorisationRequest {
    pub client_id: Option<String>,
    pub redirect_uri: Option<String>,
    pub response_type: Option<String>,
    pub response_mode: Option<String>,
    pub scope: Option<String>,
    pub state: Option<String>,
    pub code_challenge: Option<String>,
    pub code_challenge_method: Option<String>,
}

/// A request that a user may be asked about.
#[derive(Clone, Debug)]
pub struct Authorisation {
    /// The client that asks.
    pub client: Client,
    /// What the client may do if the user allows it.
    pub scope: Scope,
    /// The address to which the answer goes.
    pub return_address: ReturnAddress,
    code_challenge: String,
}

/// The address to which the answer to a request goes. It is one of the client's redirect URIs.
#[derive(Clone, Debug)]
pub struct ReturnAddress {
    /// The redirect URI.
    pub redirect_uri: String,
    in_fragment: bool,
    state: Option<String>,
}

/// Why no user is asked about a request.
#[derive(Debug)]
pub enum Refusal {
    /// Nobody knows whether the request is the client's. So only the user is told, and the browser is sent
    /// nowhere.
    Here(OAuthError),
    /// The client is told why, at its address.
    ToClient(ReturnAddress, OAuthError),
}

impl ReturnAddress {
    /// The address with an answer in it. `issuer` says who answers (RFC 9207).
    fn with(&self, issuer: &str, answer: &[(&str, &str)]) -> String {
        let mut pairs = form_urlencoded::Serializer::new(String::new());
        pairs.extend_pairs(answer);
        pairs.extend_pairs(self.state.iter().map(|state| ("state", state.as_str())));
        pairs.append_pair("iss", issuer);
        let separator = match (self.in_fragment, self.redirect_uri.contains('?')) {
            (true, _) => '#',
            (false, true) => '&',
            (false, false) => '?',
        };
        format!("{}{separator}{}", self.redirect_uri, pairs.finish())
    }

    /// The address with a code.
    pub fn with_code(&self, issuer: &str, code: &str) -> String {
        self.with(issuer, &[("code", code)])
    }

    /// The address with an error. `code` is one of RFC 6749, section 4.1.2.1.
    pub fn with_error(&self, issuer: &str, code: &str, description: &str) -> String {
        self.with(issuer, &[("error", code), ("error_description", description)])
    }
}

impl OAuth {
    /// Checks a request that a client makes to a platform.
    pub async fn check_authorisation(
        &self,
        platform: &OwnedServerName,
        request: AuthorisationRequest,
    ) -> Result<Authorisation, Refusal> {
        let here = |error: &'static str| Refusal::Here(OAuthError::InvalidRequest(error));
        let client_id = request.client_id.ok_or_else(|| here("client_id is missing"))?;
        let client = self.client(platform, &client_id).await;
        let client = client.map_err(|error| Refusal::Here(error.into()))?;
        let client = client.ok_or(Refusal::Here(OAuthError::InvalidClient))?;
        let redirect_uri = request.redirect_uri.ok_or_else(|| here("redirect_uri is missing"))?;
        if !client.metadata.redirect_uris.iter().any(|registered| is_registered(&redirect_uri, registered)) {
            return Err(here("redirect_uri is none that the client has registered"));
        }
        let in_fragment = request.response_mode.as_deref() == Some("fragment");
        let state = request.state.filter(|state| state.len() <= STATE_BYTES);
        let return_address = ReturnAddress { redirect_uri, in_fragment, state };
        let checked = (|| {
            client.check_grant_type(AUTHORIZATION_CODE)?;
            match request.response_type.as_deref() {
                Some("code") => {}
                Some(_) => return Err(OAuthError::UnsupportedResponseType),
                None => return Err(OAuthError::InvalidRequest("response_type is missing")),
            }
            if !matches!(request.response_mode.as_deref(), None | Some("query" | "fragment")) {
                return Err(OAuthError::InvalidRequest("response_mode is query or fragment"));
            }
            let challenge =
                check_challenge(request.code_challenge, request.code_challenge_method.as_deref())?;
            Ok((challenge, Scope::parse(request.scope.as_deref().unwrap_or_default())?))
        })();
        match checked {
            Ok((code_challenge, scope)) => {
                Ok(Authorisation { client, scope, return_address, code_challenge })
            }
            Err(error) => Err(Refusal::ToClient(return_address, error)),
        }
    }

    /// Makes a code for the client, because the user allows what it asks. The code is worth nothing once the
    /// password is another than the one that the user has proved.
    pub async fn allow(
        &self,
        authorisation: &Authorisation,
        user_id: &OwnedUserId,
        password_stamp: PasswordStamp,
        now_ts: u64,
    ) -> Result<String, OAuthError> {
        let platform = user_id.server_name().to_owned();
        let code = new_token("lsc_");
        let record = AuthorizationCodeRecord {
            client_id: authorisation.client.client_id.clone(),
            redirect_uri: authorisation.return_address.redirect_uri.clone(),
            code_challenge: authorisation.code_challenge.clone(),
            user_id: user_id.clone(),
            device_id: authorisation.scope.device_id.clone(),
            scope: authorisation.scope.granted.clone(),
            expires_ts: now_ts + CODE_MS,
            redeemed: false,
            password_stamp: password_stamp.0,
        };
        let mut writes = WriteSet::new();
        let key = PlatformHashKey { platform: platform.clone(), hash: hash_token(&code) };
        writes.put::<AuthorizationCodes>(&key, &record);
        self.store.commit(writes).await.map_err(StorageError::from)?;
        self.mark_used(&platform, &authorisation.client.client_id, now_ts).await?;
        Ok(code)
    }

    /// Notes that somebody has just allowed something to a client, so that the client is not forgotten.
    pub(crate) async fn mark_used(
        &self,
        platform: &OwnedServerName,
        client_id: &str,
        now_ts: u64,
    ) -> Result<(), OAuthError> {
        let key = client_key(platform, client_id);
        self.store
            .update(async || {
                let mut writes = WriteSet::new();
                let known = self.store.get::<OAuthClients>(&key).await?.ok_or(OAuthError::InvalidClient)?;
                if known.used_ts.is_none_or(|used_ts| now_ts.saturating_sub(used_ts) >= USED_MS) {
                    writes.expect::<OAuthClients>(&key, &known);
                    let mut used = known;
                    used.used_ts = Some(now_ts);
                    writes.put::<OAuthClients>(&key, &used);
                }
                Ok((writes, ()))
            })
            .await
    }
}

/// Refuses requests without a hashed proof key (RFC 9700, section 2.1.1).
fn check_challenge(challenge: Option<String>, method: Option<&str>) -> Result<String, OAuthError> {
    if method != Some("S256") {
        return Err(OAuthError::InvalidRequest("code_challenge_method is S256"));
    }
    let of_base64 = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    challenge
        .filter(|challenge| challenge.len() == CHALLENGE_BYTES && challenge.bytes().all(of_base64))
        .ok_or(OAuthError::InvalidRequest("code_challenge is a SHA-256 hash in base64url"))
}
