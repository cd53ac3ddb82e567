//! User-interactive authentication: proving more than an access token proves, in stages.
//! <https://spec.matrix.org/v1.19/client-server-api/#user-interactive-authentication-api>
//!
//! Sessions are kept in memory: they expire, and are bounded in number. A session belongs to what it was
//! begun for, and ends when it is complete.

use ruma::{
    OwnedServerName, OwnedUserId,
    api::{
        client::uiaa::{AuthData, AuthFlow, AuthType, UiaaInfo, UserIdentifier},
        error::{ErrorKind, StandardErrorBody},
    },
};

use crate::{
    Accounts, AccountsError, Approval, Attempt, EmailPurpose, Identifier, PasswordStamp,
    email_validation::ValidatedEmail, password::WRONG, token::new_token,
};

/// How long a session lasts, in milliseconds.
const SESSION_MS: u64 = 15 * 60_000;

/// The stages for a user who proves a password.
const PASSWORD_FLOWS: &[&[AuthType]] = &[&[AuthType::Password]];

/// Operations in which an address can be confirmed.
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

    /// The purpose of mails to somebody who is not known yet, if they are a part of the operation.
    fn of_mails(&self) -> Option<EmailPurpose> {
        match (self.operation.as_str(), &self.user_id) {
            (REGISTER, None) => Some(EmailPurpose::Register),
            (RESET_PASSWORD, None) => Some(EmailPurpose::ResetPassword),
            _ => None,
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
    email: Option<ValidatedEmail>,
}

/// What a complete session has proved.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proof {
    /// The stamp of the password that was given.
    pub(crate) password_stamp: Option<PasswordStamp>,
    /// The registration token that was given.
    pub(crate) registration_token: Option<String>,
    /// The address that was confirmed.
    pub(crate) email: Option<ValidatedEmail>,
}

impl Accounts {
    /// Refuses with [`AccountsError::Interactive`] unless the stages of one of `flows` are complete.
    pub(crate) async fn authenticate_interactively(
        &self,
        purpose: &Purpose,
        flows: &[&[AuthType]],
        auth: Option<&AuthData>,
        now_ts: u64,
    ) -> Result<Proof, AccountsError> {
        let (name, mut session, mut refusal) = self.interactive_session(purpose, auth, now_ts)?;
        if let (Some(auth), None) = (auth, &refusal) {
            refusal = self.complete_stage(&mut session, flows, auth, now_ts).await?;
        }
        let complete = |flow: &&&[AuthType]| flow.iter().all(|stage| session.completed.contains(stage));
        if refusal.is_none() && flows.iter().any(|flow| complete(&flow)) {
            self.shared.interactive.take(&name, now_ts);
            let Interactive { password_stamp, registration_token, email, .. } = session;
            return Ok(Proof { password_stamp, registration_token, email });
        }
        let mut info = UiaaInfo::new(flows.iter().map(|flow| AuthFlow::new(flow.to_vec())).collect());
        info.completed = session.completed.clone();
        info.params = serde_json::value::to_raw_value(&serde_json::json!({})).ok();
        info.session = Some(name.clone());
        info.auth_error = refusal.map(Box::new);
        self.shared.interactive.put(name, session, now_ts + SESSION_MS);
        Err(AccountsError::Interactive(Box::new(info)))
    }

    /// Does the same for a user who proves the password. How often that may be tried is limited.
    pub async fn prove_password(
        &self,
        purpose: &Purpose,
        attempt: Attempt<'_>,
        now_ts: u64,
    ) -> Result<PasswordStamp, AccountsError> {
        let prove = self.authenticate_interactively(purpose, PASSWORD_FLOWS, attempt.auth, now_ts);
        let proof = match (attempt.auth, &purpose.user_id) {
            (Some(AuthData::Password(_)), Some(user_id)) => {
                attempt.count(user_id)?.give_back_if_right(prove).await?
            }
            _ => prove.await?,
        };
        proof.password_stamp.ok_or(WRONG)
    }

    /// Does the same for a user whose session is one of the OAuth 2.0 API. It is proof enough to have
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
        self.shared.interactive.put(name, session, now_ts + SESSION_MS);
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
                    email: None,
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
        flows: &[&[AuthType]],
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
                let identifier = match &password.identifier {
                    UserIdentifier::Matrix(id) => Some(Identifier::Name(id.user.clone())),
                    UserIdentifier::Email(id) => Some(Identifier::Email(id.address.clone())),
                    _ => None,
                };
                let user_id = match identifier {
                    Some(identifier) => self.find_user(&session.purpose.platform, &identifier).await?,
                    None => None,
                };
                let user_id = user_id.filter(|user_id| Some(user_id) == session.purpose.user_id.as_ref());
                match self.check_credentials(user_id, password.password.clone()).await {
                    Ok(user) => {
                        session.password_stamp = Some(user.password_stamp);
                        true
                    }
                    Err(AccountsError::Forbidden(_) | AccountsError::Deactivated) => false,
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
                let creds = &email.thirdparty_id_creds;
                let Some(purpose) = session.purpose.of_mails() else { return Ok(None) };
                let (sid, secret) = (creds.sid.as_str(), creds.client_secret.as_str());
                let platform = &session.purpose.platform;
                match self.validated_email(platform, purpose, sid, secret, now_ts).await {
                    Ok(email) => session.email = Some(email),
                    Err(AccountsError::AddressNotValidated) => {
                        let message = AccountsError::AddressNotValidated.to_string();
                        return Ok(Some(StandardErrorBody::new(ErrorKind::Unauthorized, message)));
                    }
                    Err(error) => return Err(error),
                }
                true
            }
            _ => false,
        };
        if !passed {
            return Ok(Some(refusal("the password or token is wrong")));
        }
        if !session.completed.contains(&stage) {
            session.completed.push(stage);
        }
        Ok(None)
    }
}

fn refusal(message: &str) -> StandardErrorBody {
    StandardErrorBody::new(ErrorKind::Forbidden, message.to_owned())
}
