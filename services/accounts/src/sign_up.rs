//! Making an account on a page, which brings everything that the platform asks for at once.

use std::net::IpAddr;

use linkspan_platforms::Platform;

use crate::{
    Accounts, AccountsError, Evidence, ProofStep, Registered, RegistrationSteps, ValidationPurpose,
    password::check_password,
    register::{NewAccount, may_be_shown},
    validation::Validated,
};

/// What somebody gives on the page.
#[derive(Clone, Default)]
pub struct SignUp {
    /// The wanted localpart. None if any will do.
    pub username: Option<String>,
    /// The name that people see. Without one it is the localpart, unless that is made up.
    pub display_name: Option<String>,
    /// The password. None where people prove a number instead.
    pub password: Option<String>,
    /// The registration token, where one is needed.
    pub registration_token: Option<String>,
    /// What shows that an address or a number is theirs, where one has to be confirmed.
    pub evidence: Option<Evidence>,
    /// Where it is asked from.
    pub address: Option<IpAddr>,
}

impl Accounts {
    /// Makes an account without a device.
    pub async fn sign_up(
        &self,
        platform: &Platform,
        sign_up: SignUp,
        now_ts: u64,
    ) -> Result<Registered, AccountsError> {
        let steps = self.registration_steps(platform)?;
        let user_id = self.wanted_name(platform, sign_up.username.clone(), now_ts).await?;
        if steps.password() || sign_up.password.is_some() {
            check_password(sign_up.password.as_deref().unwrap_or_default())?;
        }
        let display_name = sign_up.display_name.filter(|name| !name.is_empty());
        if display_name.as_deref().is_some_and(|name| !may_be_shown(platform, name)) {
            return Err(AccountsError::InvalidUsername(
                "everybody sees this name: it cannot be a phone number",
            ));
        }
        let display_name = display_name.or(sign_up.username.filter(|_| user_id.is_some()));
        let registration_token = match steps.token {
            true => Some(self.check_token(platform, sign_up.registration_token, now_ts).await?),
            false => None,
        };
        let confirmed = self.confirmed(platform, steps, sign_up.evidence, now_ts).await?;
        let account = NewAccount {
            user_id,
            display_name,
            password: sign_up.password,
            admin: false,
            guest: false,
            device: None,
            address: sign_up.address,
            registration_token,
            third_party_ids: confirmed.into_iter().collect(),
        };
        self.put_account(platform.server_name(), account, now_ts).await
    }

    async fn check_token(
        &self,
        platform: &Platform,
        token: Option<String>,
        now_ts: u64,
    ) -> Result<String, AccountsError> {
        let token = token.ok_or(AccountsError::MissingParam("the registration token"))?;
        match self.registration_token_is_valid(platform.server_name(), &token, now_ts).await? {
            true => Ok(token),
            false => Err(AccountsError::Forbidden("this registration token is not valid")),
        }
    }

    /// The address or the number that everybody has to confirm. None if nobody has to.
    async fn confirmed(
        &self,
        platform: &Platform,
        steps: RegistrationSteps,
        evidence: Option<Evidence>,
        now_ts: u64,
    ) -> Result<Option<Validated>, AccountsError> {
        let by_phone = steps.phone == ProofStep::Required;
        // Whoever has no account yet learns that by logging in with the number.
        let purpose = if by_phone { ValidationPurpose::LogIn } else { ValidationPurpose::Register };
        if !by_phone && steps.email != ProofStep::Required {
            return Ok(None);
        }
        let evidence = evidence.ok_or(AccountsError::AddressNotValidated)?;
        let validated = self.validated(platform.server_name(), &[purpose], &evidence, now_ts).await?;
        if validated.id.is_phone() == by_phone {
            Ok(Some(validated))
        } else {
            Err(AccountsError::AddressNotValidated)
        }
    }
}
