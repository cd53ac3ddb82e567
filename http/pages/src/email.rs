//! The page that links in mails open: it asks, and only then confirms. Programs open links, too.

use linkspan_accounts::EmailPurpose;

use crate::html::{document, escape};

/// Asks whether to confirm. The form goes to the address that it has.
pub(crate) fn question(platform: &str, purpose: EmailPurpose, address: &str) -> String {
    let what = match purpose {
        EmailPurpose::Register => "make an account with",
        EmailPurpose::ResetPassword => "set a new password for the account of",
        EmailPurpose::Add => "add to your account",
    };
    document(
        platform,
        &format!(
            "<h1>{}</h1>\n<p>Do you want to {what} <strong>{}</strong>?</p>\n\
             <p>If it was not you who asked for this, close this page.</p>\n\
             <form method=\"post\"><button type=\"submit\">Yes, confirm</button></form>\n",
            escape(platform),
            escape(address),
        ),
    )
}

/// Says that it is done. `next_link`: where the client goes on, which its user decides.
pub(crate) fn done(platform: &str, next_link: Option<&str>) -> String {
    let next = next_link.map_or_else(String::new, |link| {
        let link = escape(link);
        format!(
            "<p>Go on at <a rel=\"noreferrer\" href=\"{link}\">{link}</a>, or there where you began.</p>\n"
        )
    });
    let body = format!(
        "<h1>{}</h1>\n<p>Thank you, the address is confirmed. You can go back to your client.</p>\n{next}",
        escape(platform)
    );
    document(platform, &body)
}

/// The link is not, or no longer, good for anything.
pub(crate) fn unknown(platform: &str) -> String {
    let body = format!(
        "<h1>{}</h1>\n<p>This link does not work any more. Ask for another one.</p>\n",
        escape(platform)
    );
    document(platform, &body)
}
