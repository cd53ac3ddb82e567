//! Making an account on a page, which brings everything that the platform asks for at once.

use linkspan_platforms::Platform;

use crate::{
    Accounts, AccountsError, EmailLinkToken, EmailPurpose, EmailStep, Registered,
    email_validation::ValidatedEmail, password::check_password, register::NewAccount,
};

/// What somebody gives on the page.
#[derive(Clone, Default)]
pub struct SignUp {
    /// The wanted localpart. None if any will do.
    pub username: Option<String>,
    /// The password.
    pub password: String,
    /// The registration token, where one is needed.
    pub registration_token: Option<String>,
    /// The link of a mail, where an address has to be confirmed.
    pub email_link: Option<EmailLinkToken>,
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
        let user_id = self.wanted_name(platform, sign_up.username, now_ts).await?;
        check_password(&sign_up.password)?;
        let registration_token = match steps.token {
            true => Some(self.check_token(platform, sign_up.registration_token, now_ts).await?),
            false => None,
        };
        let email = match steps.email {
            EmailStep::Required => Some(self.confirmed(platform, sign_up.email_link, now_ts).await?),
            EmailStep::Optional | EmailStep::None => None,
        };
        let account = NewAccount {
            user_id,
            password: Some(sign_up.password),
            admin: false,
            guest: false,
            device: None,
            registration_token,
            email,
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

    async fn confirmed(
        &self,
        platform: &Platform,
        link: Option<EmailLinkToken>,
        now_ts: u64,
    ) -> Result<ValidatedEmail, AccountsError> {
        let link = link.ok_or(AccountsError::AddressNotValidated)?;
        self.email_of_link(platform.server_name(), EmailPurpose::Register, &link, now_ts).await
    }
}
