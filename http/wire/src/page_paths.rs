//! The paths of the pages that APIs lead people to. The pages themselves are not known here.

/// The page where people allow a client something.
/// <https://spec.matrix.org/v1.19/client-server-api/#server-metadata-discovery>
pub const AUTHORIZATION_PAGE: &str = "/_linkspan/oauth2/authorize";
/// The page where people type the code of a device that wants to log in.
pub const LINK_PAGE: &str = "/link";
/// The page where people manage their account.
pub const ACCOUNT_PAGE: &str = "/_linkspan/account";
/// The page that sends people back to their client with a login token.
pub const SSO_PAGE: &str = "/_linkspan/sso";
/// The page that links in mails open; its query has `sid` and `token`.
pub const EMAIL_PAGE: &str = "/_linkspan/email";
/// Where clients submit the code of a message. It is an endpoint, not a page; other APIs name it.
pub const SUBMIT_CODE: &str = "/_linkspan/client/v1/submit_code";
