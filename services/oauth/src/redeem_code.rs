//! Exchanging an authorisation code for tokens, once.
//! <https://spec.matrix.org/v1.19/client-server-api/#authorisation-code-grant>

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use linkspan_accounts::{ClientDevice, PasswordStamp, ProvedUser, hash_token};
use linkspan_platforms::Platform;
use linkspan_storage::{
    WriteSet,
    catalogue::{AuthorizationCodes, PlatformHashKey},
    records::AuthorizationCodeRecord,
};
use sha2::{Digest, Sha256};

use crate::{
    OAuth, OAuthError, TokenOutcome,
    tokens::{Asker, begun, refused},
};

const WRONG: OAuthError = OAuthError::InvalidGrant("the code is not valid");

impl OAuth {
    pub(crate) async fn redeem_code(
        &self,
        platform: &Platform,
        asker: Asker<'_>,
        code: &str,
        redirect_uri: &str,
        code_verifier: &str,
    ) -> Result<TokenOutcome, OAuthError> {
        let hash = hash_token(code);
        let key = PlatformHashKey { platform: platform.server_name().clone(), hash };
        let record = self.store.get::<AuthorizationCodes>(&key).await?.ok_or(WRONG)?;
        check_code(&record, asker.client_id, redirect_uri, code_verifier)?;
        if record.redeemed {
            return self.code_was_replayed(&record).await;
        }
        if record.expires_ts <= asker.now_ts {
            return Err(OAuthError::InvalidGrant("the code has expired"));
        }
        let client = self.client(platform.server_name(), asker.client_id).await?;
        let client = client.ok_or(OAuthError::InvalidClient)?;
        let device = ClientDevice {
            client_id: asker.client_id.to_owned(),
            device_id: record.device_id.clone(),
            display_name: Some(client.name().to_owned()),
            address: asker.address,
        };
        // If several requests come with the code at once, one of them finds it unused.
        let use_up = async || {
            let mut writes = WriteSet::new();
            let unused = self.store.get::<AuthorizationCodes>(&key).await?.filter(|code| !code.redeemed);
            let unused = unused.ok_or(WRONG)?;
            writes.expect::<AuthorizationCodes>(&key, &unused);
            let redeemed = AuthorizationCodeRecord { redeemed: true, ..unused };
            writes.put::<AuthorizationCodes>(&key, &redeemed);
            Ok::<_, OAuthError>(writes)
        };
        let user_id = record.user_id.clone();
        let user = ProvedUser { user_id, password_stamp: PasswordStamp(record.password_stamp) };
        let begin = self.accounts.begin_session(user, device, asker.now_ts, use_up);
        let error = match begin.await {
            Ok(session) => return Ok(begun(session, record.scope)),
            Err(error) => refused(error),
        };
        // A request that comes just after another one with the same code is a second use, too.
        match self.store.get::<AuthorizationCodes>(&key).await?.filter(|code| code.redeemed) {
            Some(code) => self.code_was_replayed(&code).await,
            None => Err(error),
        }
    }

    /// Ends the session of a code that was used twice. Either the client or whoever comes now has stolen it,
    /// so nobody keeps what it gave (RFC 6749, section 4.1.2).
    async fn code_was_replayed(&self, code: &AuthorizationCodeRecord) -> Result<TokenOutcome, OAuthError> {
        let device = self.accounts.device(&code.user_id, &code.device_id).await?;
        let its = device.is_some_and(|device| device.client_id.as_deref() == Some(&*code.client_id));
        let removed =
            if its { self.accounts.log_out(&code.user_id, &code.device_id).await? } else { Vec::new() };
        Ok(TokenOutcome::Compromised(removed))
    }
}

fn check_code(
    code: &AuthorizationCodeRecord,
    client_id: &str,
    redirect_uri: &str,
    code_verifier: &str,
) -> Result<(), OAuthError> {
    if code.client_id != client_id {
        return Err(WRONG);
    }
    if code.redirect_uri != redirect_uri {
        return Err(OAuthError::InvalidGrant("redirect_uri is another one than the code was sent to"));
    }
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let well_formed = (43..=128).contains(&code_verifier.len()) && code_verifier.bytes().all(unreserved);
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(code_verifier));
    // Both are hashes of secrets that nobody can choose, so the time that comparing takes tells nothing.
    if !well_formed || challenge != code.code_challenge {
        return Err(OAuthError::InvalidGrant("code_verifier does not fit"));
    }
    Ok(())
}
