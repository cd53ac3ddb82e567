//! User-interactive authentication: proving more than an access token proves, in stages.
//! <https://spec.matrix.org/v1.19/client-server-api/#user-interactive-authentication-api>
//!
//! Sessions are kept in memory: they expire, and are bounded in number, for each network of strangers and for each user. A session belongs to what it was
//! begun for, and ends when it is complete.

use std::net::IpAddr;

use linkspan_platforms::{Holder, Platform};
use linkspan_storage::WriteSet;
use ruma::{
    OwnedServerName, OwnedUserId,
    api::{
        client::uiaa::{AuthData, AuthFlow, AuthType, ThirdpartyIdCredentials, UiaaInfo},
        error::{ErrorKind, StandardErrorBody},
    },
};

use crate::{
    Accounts, AccountsError, Approval, Attempt, Evidence, Identifier, PasswordStamp, ValidationPurpose,
    ValidationSession, password::WRONG, token::new_token, validation::Validated,
};

/// How long a session lasts, in milliseconds.
const SESSION_MS: u64 = 15 * 60_000;

/// Operations in which an address or a number can be confirmed.
pub(crate) const REGISTER: &str = "register";
pub(crate) const RESET_PASSWORD: &str = "reset password";

/// What a session is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purpose {
    platform: OwnedServerName,
    user_id: Option<OwnedUserId>,
    operation: String,
}

impl Purpose {
    /// An operation of a user. `operation` names it, and what it is done to.
    pub fn of_user(user_id: &OwnedUserId, operation: impl Into<String>) -> Self {
        let platform = user_id.server_name().to_owned();
        Self { platform, user_id: Some(user_id.clone()), operation: operation.into() }
    }

    /// The purposes of the messages that are a part of the operation. Whoever wanted to log in and has no account yet
    /// registers with the same code. A user who proves an address or a number again asks for the code as somebody who
    /// logs in or registers does: the specification has no other endpoint for it.
    fn of_messages(&self) -> &'static [ValidationPurpose] {
        match (self.operation.as_str(), &self.user_id) {
            (REGISTER, None) | (_, Some(_)) => &[ValidationPurpose::Register, ValidationPurpose::LogIn],
            (RESET_PASSWORD, None) => &[ValidationPurpose::ResetPassword],
            _ => &[],
        }
    }

    /// Whose a session for it is that is begun at an address.
    fn holder(&self, from: Option<IpAddr>) -> Holder {
        match (&self.user_id, from) {
            (Some(user_id), _) => Holder::user(user_id),
            (None, Some(from)) => Holder::address(&self.platform, from),
            (None, None) => Holder::named(&self.platform, "operators"),
        }
    }

    /// An operation of somebody who is not known yet.
    pub fn of_platform(platform: &OwnedServerName, operation: impl Into<String>) -> Self {
        Self { platform: platform.clone(), user_id: None, operation: operation.into() }
    }
}

/// A session.
#[derive(Clone, Debug)]
pub(crate) struct Interactive {
    purpose: Purpose,
    completed: Vec<AuthType>,
    password_stamp: Option<PasswordStamp>,
    registration_token: Option<String>,
    ids: Vec<Validated>,
}

impl Interactive {
    fn complete(&mut self, stage: AuthType) {
        if !self.completed.contains(&stage) {
            self.completed.push(stage);
        }
    }
}

/// What a complete session has proved.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proof {
    /// The stamp of the password that was given.
    pub(crate) password_stamp: Option<PasswordStamp>,
    /// The registration token that was given.
    pub(crate) registration_token: Option<String>,
    /// The address and the number that were confirmed.
    pub(crate) ids: Vec<Validated>,
}

impl Accounts {
    /// Refuses with [`AccountsError::Interactive`] unless the stages of one of `flows` are complete. `from`: where the
    /// client is; None: it is an operator's program.
    pub(crate) async fn authenticate_interactively(
        &self,
        purpose: &Purpose,
        flows: &[Vec<AuthType>],
        auth: Option<&AuthData>,
        from: Option<IpAddr>,
        now_ts: u64,
    ) -> Result<Proof, AccountsError> {
        let (name, mut session, mut refusal) = self.interactive_session(purpose, auth, now_ts)?;
        if let (Some(auth), None) = (auth, &refusal) {
            refusal = self.complete_stage(&mut session, flows, auth, now_ts).await?;
        }
        let complete = |flow: &Vec<AuthType>| flow.iter().all(|stage| session.completed.contains(stage));
        if refusal.is_none() && flows.iter().any(complete) {
            self.shared.interactive.take(&name, now_ts);
            let Interactive { password_stamp, registration_token, ids, .. } = session;
            return Ok(Proof { password_stamp, registration_token, ids });
        }
        let mut info = UiaaInfo::new(flows.iter().map(|flow| AuthFlow::new(flow.clone())).collect());
        info.completed = session.completed.clone();
        info.params = serde_json::value::to_raw_value(&serde_json::json!({})).ok();
        info.session = Some(name.clone());
        info.auth_error = refusal.map(Box::new);
        self.shared.interactive.put(purpose.holder(from), name, session, now_ts + SESSION_MS, now_ts);
        Err(AccountsError::Interactive(Box::new(info)))
    }

    /// Has a user prove the password by interactive authentication. How often that may be tried is limited. A user who
    /// has none proves the address or the number that people of the platform are known by.
    pub async fn prove_password(
        &self,
        purpose: &Purpose,
        attempt: Attempt<'_>,
        now_ts: u64,
    ) -> Result<PasswordStamp, AccountsError> {
        if let Some(stage) = self.stage_without_password(purpose, attempt.platform).await? {
            return self.prove_id(purpose, stage, attempt, now_ts).await;
        }
        let flows = [vec![AuthType::Password]];
        let from = Some(attempt.address);
        let prove = self.authenticate_interactively(purpose, &flows, attempt.auth, from, now_ts);
        let proof = match (attempt.auth, &purpose.user_id) {
            (Some(AuthData::Password(_)), Some(user_id)) => {
                attempt.count(user_id)?.give_back_if_right(prove).await?
            }
            _ => prove.await?,
        };
        proof.password_stamp.ok_or(WRONG)
    }

    /// The stage of a user who has no password, if there is one.
    async fn stage_without_password(
        &self,
        purpose: &Purpose,
        platform: &Platform,
    ) -> Result<Option<AuthType>, AccountsError> {
        let Some((user_id, medium)) = purpose.user_id.as_ref().zip(self.known_by(platform)) else {
            return Ok(None);
        };
        let proves = !self.has_password(user_id).await? && self.has_id(user_id, &medium).await?;
        Ok(if proves { self.log_in_stage(platform) } else { None })
    }

    /// Refuses until the user has proved an address or a number of the account. The validation is used up.
    async fn prove_id(
        &self,
        purpose: &Purpose,
        stage: AuthType,
        attempt: Attempt<'_>,
        now_ts: u64,
    ) -> Result<PasswordStamp, AccountsError> {
        let flows = [vec![stage]];
        let from = Some(attempt.address);
        let proof = self.authenticate_interactively(purpose, &flows, attempt.auth, from, now_ts).await?;
        let validated = proof.ids.last().ok_or(AccountsError::AddressNotValidated)?;
        self.store
            .update(async || {
                let mut writes = WriteSet::new();
                self.use_up(&mut writes, validated).await?;
                Ok::<_, AccountsError>((writes, PasswordStamp(None)))
            })
            .await
    }

    /// Has a user whose session is one of the OAuth 2.0 API prove who it is. It is proof enough to have
    /// approved, on the platform's pages, that the cross-signing keys are reset. The approval is used up.
    /// `approval_url` is where that is done.
    pub(crate) async fn prove_approval(
        &self,
        purpose: &Purpose,
        approval_url: &str,
        auth: Option<&AuthData>,
        now_ts: u64,
    ) -> Result<Approval, AccountsError> {
        if let Some(user_id) = &purpose.user_id
            && let Some(approval) = self.take_approval(user_id, now_ts).await?
        {
            return Ok(approval);
        }
        let (name, session, gone) = self.interactive_session(purpose, auth, now_ts)?;
        let unapproved = auth.map(|_| refusal("this has not been approved yet"));
        let mut info = UiaaInfo::new(vec![AuthFlow::new(vec![AuthType::OAuth])]);
        let url = serde_json::json!({ "url": approval_url });
        let params = serde_json::json!({ "m.oauth": url, "org.matrix.cross_signing_reset": url });
        info.params = serde_json::value::to_raw_value(&params).ok();
        info.session = Some(name.clone());
        info.auth_error = gone.or(unapproved).map(Box::new);
        // Such sessions are of users.
        self.shared.interactive.put(purpose.holder(None), name, session, now_ts + SESSION_MS, now_ts);
        Err(AccountsError::Interactive(Box::new(info)))
    }

    /// Finds the session that is gone on with, or begins one.
    fn interactive_session(
        &self,
        purpose: &Purpose,
        auth: Option<&AuthData>,
        now_ts: u64,
    ) -> Result<(String, Interactive, Option<StandardErrorBody>), AccountsError> {
        let name = auth.and_then(|auth| auth.session());
        let known = name.and_then(|name| Some((name, self.shared.interactive.get(name, now_ts)?)));
        match known {
            Some((name, session)) if session.purpose == *purpose => Ok((name.to_owned(), session, None)),
            Some(_) => Err(AccountsError::Forbidden("this authentication was begun for something else")),
            None => {
                let session = Interactive {
                    purpose: purpose.clone(),
                    completed: Vec::new(),
                    password_stamp: None,
                    registration_token: None,
                    ids: Vec::new(),
                };
                let refusal = name.map(|_| refusal("this authentication has expired; begin again"));
                Ok((new_token(""), session, refusal))
            }
        }
    }

    /// Tries a stage. Returns a refusal that the client is told, with the stages that are still to do.
    async fn complete_stage(
        &self,
        session: &mut Interactive,
        flows: &[Vec<AuthType>],
        auth: &AuthData,
        now_ts: u64,
    ) -> Result<Option<StandardErrorBody>, AccountsError> {
        // Without a type the client asks whether the stages that it completed elsewhere are enough.
        let Some(stage) = auth.auth_type() else { return Ok(None) };
        if !flows.iter().any(|flow| flow.contains(&stage)) {
            let message = "this kind of authentication is not asked for here".to_owned();
            return Ok(Some(StandardErrorBody::new(ErrorKind::Unrecognized, message)));
        }
        let passed = match auth {
            AuthData::Dummy(_) => true,
            AuthData::Password(password) => {
                let user_id = match Identifier::from_wire(&password.identifier) {
                    Some(identifier) => self.find_user(&session.purpose.platform, &identifier).await?,
                    None => None,
                };
                let Purpose { platform, user_id: own_id, .. } = &session.purpose;
                let who = own_id.as_ref().map_or("", |own_id| own_id.as_str());
                let user_id = user_id.filter(|user_id| Some(user_id) == own_id.as_ref());
                match self.check_credentials(platform, who, user_id, password.password.clone()).await {
                    Ok(user) => {
                        session.password_stamp = Some(user.password_stamp);
                        true
                    }
                    Err(AccountsError::Forbidden(_)) => false,
                    Err(error) => return Err(error),
                }
            }
            AuthData::RegistrationToken(token) => {
                let valid =
                    self.registration_token_is_valid(&session.purpose.platform, &token.token, now_ts).await?;
                session.registration_token = valid.then(|| token.token.clone());
                valid
            }
            AuthData::EmailIdentity(email) => {
                return self.complete_validation(session, stage, &email.thirdparty_id_creds, now_ts).await;
            }
            AuthData::Msisdn(msisdn) => {
                return self.complete_validation(session, stage, &msisdn.thirdparty_id_creds, now_ts).await;
            }
            _ => false,
        };
        if !passed {
            return Ok(Some(refusal("the password or token is wrong")));
        }
        session.complete(stage);
        Ok(None)
    }

    /// Completes the stage of an address or a number if it has been confirmed.
    async fn complete_validation(
        &self,
        session: &mut Interactive,
        stage: AuthType,
        creds: &ThirdpartyIdCredentials,
        now_ts: u64,
    ) -> Result<Option<StandardErrorBody>, AccountsError> {
        let evidence = Evidence::Session(ValidationSession {
            sid: creds.sid.to_string(),
            client_secret: creds.client_secret.to_string(),
        });
        let is_phone = stage == AuthType::Msisdn;
        let Purpose { platform, user_id, .. } = &session.purpose;
        let validated = self.validated(platform, session.purpose.of_messages(), &evidence, now_ts).await;
        let is_own = match (&validated, user_id) {
            (Ok(validated), Some(user_id)) => {
                self.owner_of(platform, &validated.id).await?.as_ref() == Some(user_id)
            }
            _ => true,
        };
        match validated {
            Ok(validated) if is_own && validated.id.is_phone() == is_phone => {
                session.ids.retain(|known| known.id.is_phone() != is_phone);
                session.ids.push(validated);
                session.complete(stage);
                Ok(None)
            }
            Ok(_) | Err(AccountsError::AddressNotValidated) => {
                let message = AccountsError::AddressNotValidated.to_string();
                Ok(Some(StandardErrorBody::new(ErrorKind::Unauthorized, message)))
            }
            Err(error) => Err(error),
        }
    }
}

fn refusal(message: &str) -> StandardErrorBody {
    StandardErrorBody::new(ErrorKind::Forbidden, message.to_owned())
}
