//! Carrying messages to people: mails over SMTP, SMS over a gateway.

use linkspan_accounts::{Courier, Message, Sending};
use linkspan_platforms::Settings;
use ruma::ServerName;

use crate::{Failure, mail::SmtpMailer, sms::SmsSender};

/// Carries the messages of all platforms.
pub(crate) struct Couriers {
    mails: SmtpMailer,
    sms: SmsSender,
}

impl Couriers {
    pub(crate) fn new(platforms: &[Settings]) -> Result<Self, Failure> {
        Ok(Self { mails: SmtpMailer::new(platforms)?, sms: SmsSender::new(platforms)? })
    }
}

impl Courier for Couriers {
    fn send<'a>(&'a self, platform: &'a ServerName, message: Message) -> Sending<'a> {
        match message {
            Message::Mail(mail) => Box::pin(self.mails.send(platform, mail)),
            Message::Sms(sms) => Box::pin(self.sms.send(platform, sms)),
        }
    }
}
