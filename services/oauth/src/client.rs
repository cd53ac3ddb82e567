//! OAuth clients, as they were registered.

use linkspan_storage::{
    StorageError,
    catalogue::{OAuthClients, PlatformKey},
    records::OAuthClientRecord,
};
use ruma::OwnedServerName;
use url::Url;

use crate::{OAuth, OAuthError};

/// The grant types that clients can have.
pub(crate) const AUTHORIZATION_CODE: &str = "authorization_code";
pub(crate) const REFRESH_TOKEN: &str = "refresh_token";
pub(crate) const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";
pub(crate) const GRANT_TYPES: [&str; 3] = [AUTHORIZATION_CODE, REFRESH_TOKEN, DEVICE_CODE];

/// An OAuth client.
#[derive(Clone, Debug)]
pub struct Client {
    /// The client's id on its platform.
    pub client_id: String,
    /// What the client told about itself.
    pub metadata: OAuthClientRecord,
}

impl Client {
    /// The name that the client gives itself, or its host if it has no name.
    pub fn name(&self) -> &str {
        self.metadata.client_name.as_deref().unwrap_or(&self.metadata.client_uri)
    }

    /// The host that the client belongs to.
    pub fn host(&self) -> String {
        let uri = Url::parse(&self.metadata.client_uri).ok();
        uri.and_then(|uri| uri.host_str().map(str::to_owned)).unwrap_or_default()
    }

    pub(crate) fn check_grant_type(&self, grant_type: &str) -> Result<(), OAuthError> {
        if self.metadata.grant_types.iter().any(|known| known == grant_type) {
            Ok(())
        } else {
            Err(OAuthError::UnauthorizedClient("the client is not registered for this type of grant"))
        }
    }
}

pub(crate) fn client_key(platform: &OwnedServerName, client_id: &str) -> PlatformKey {
    PlatformKey { platform: platform.clone(), name: client_id.to_owned() }
}

impl OAuth {
    /// Finds a client of a platform.
    pub async fn client(
        &self,
        platform: &OwnedServerName,
        client_id: &str,
    ) -> Result<Option<Client>, StorageError> {
        // No id is longer, and the store would refuse a key that is much longer.
        if client_id.len() > 64 {
            return Ok(None);
        }
        let metadata = self.store.get::<OAuthClients>(&client_key(platform, client_id)).await?;
        Ok(metadata.map(|metadata| Client { client_id: client_id.to_owned(), metadata }))
    }
}
