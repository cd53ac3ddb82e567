//! Third-party identifiers: e-mail addresses and phone numbers, in the one form in which they are kept and compared.
//! <https://spec.matrix.org/v1.19/appendices/#3pid-types>
//!
//! Every text that people or clients give becomes a [`ThirdPartyId`] here, or is refused. It says nothing of whose the
//! identifier is.

use phonenumber::{Type, country, metadata::DATABASE};
use ruma::thirdparty::Medium;

use crate::AccountsError;

/// The longest e-mail address, in bytes: RFC 5321, section 4.5.3.1.
const EMAIL_BYTES: usize = 254;
const LOCAL_PART_BYTES: usize = 64;
/// The longest text that is read as a phone number, in bytes. A number has at most 15 digits.
const PHONE_BYTES: usize = 40;
/// How many digits after the country's code name a range of numbers.
const RANGE_DIGITS: usize = 3;

/// An e-mail address or a phone number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThirdPartyId {
    medium: Medium,
    address: String,
}

impl ThirdPartyId {
    /// Reads an identifier of a medium. A phone number is international, with or without its `+`.
    pub fn new(medium: &Medium, address: &str) -> Result<Self, AccountsError> {
        match medium {
            Medium::Email => Self::email(address),
            Medium::Msisdn => Self::international(address),
            _ => Err(AccountsError::InvalidParam("unknown medium")),
        }
    }

    /// Reads an e-mail address. It is kept in small letters, as addresses are compared.
    pub fn email(address: &str) -> Result<Self, AccountsError> {
        let wrong = || AccountsError::InvalidParam("this is not an e-mail address");
        let (local, domain) = address.rsplit_once('@').ok_or_else(wrong)?;
        let atom = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&byte);
        let host = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
        let dots_are_inside = |part: &str| part.split('.').all(|label| !label.is_empty());
        let right = address.len() <= EMAIL_BYTES
            && local.len() <= LOCAL_PART_BYTES
            && local.bytes().all(atom)
            && domain.bytes().all(host)
            && dots_are_inside(local)
            && dots_are_inside(domain);
        if !right {
            return Err(wrong());
        }
        Ok(Self { medium: Medium::Email, address: address.to_ascii_lowercase() })
    }

    /// Reads a phone number as it is dialled in a country, which is a code of two letters (ISO 3166-1). A number that
    /// begins with `+` may be of another country.
    pub fn phone(country: &str, number: &str) -> Result<Self, AccountsError> {
        let country: country::Id = country
            .to_ascii_uppercase()
            .parse()
            .map_err(|_| AccountsError::InvalidParam("this is not the code of a country"))?;
        Self::parse_phone(Some(country), number)
    }

    fn international(number: &str) -> Result<Self, AccountsError> {
        let number = number.trim();
        let plus = if number.starts_with('+') { "" } else { "+" };
        Self::parse_phone(None, &format!("{plus}{number}"))
    }

    /// Numbers that cost extra, and others that are nobody's own, are refused.
    fn parse_phone(country: Option<country::Id>, text: &str) -> Result<Self, AccountsError> {
        let wrong = || AccountsError::InvalidParam("this is not a phone number");
        let of_number = |byte: u8| byte.is_ascii_digit() || b" +-./()".contains(&byte);
        if text.len() > PHONE_BYTES || !text.bytes().all(of_number) {
            return Err(wrong());
        }
        let number = phonenumber::parse(country, text).map_err(|_| wrong())?;
        let kind = number.number_type(&DATABASE);
        let is_own = matches!(
            kind,
            Type::Mobile | Type::FixedLine | Type::FixedLineOrMobile | Type::PersonalNumber | Type::Voip
        );
        if !is_own || !phonenumber::is_valid(&number) {
            return Err(wrong());
        }
        let address = format!("{}{}", number.code().value(), number.national());
        Ok(Self { medium: Medium::Msisdn, address })
    }

    /// The identifier in a stored row.
    pub(crate) fn stored(medium: String, address: String) -> Self {
        Self { medium: medium.into(), address }
    }

    /// Whether it is an e-mail address or a phone number.
    pub fn medium(&self) -> &Medium {
        &self.medium
    }

    /// The address as the specification writes it: an e-mail address in small letters, or the digits of an
    /// international number (E.164) without `+`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether it is a phone number.
    pub fn is_phone(&self) -> bool {
        self.medium == Medium::Msisdn
    }

    /// The address as people write it: a phone number has its `+`.
    pub fn readable(&self) -> String {
        if self.is_phone() { format!("+{}", self.address) } else { self.address.clone() }
    }

    /// The range that a phone number is from: its country and the digits after it. Whoever earns from messages to
    /// numbers owns many that are alike.
    pub(crate) fn range(&self) -> Option<String> {
        let number = self.is_phone().then(|| phonenumber::parse(None, self.readable()).ok()).flatten()?;
        let digits: String = number.national().to_string().chars().take(RANGE_DIGITS).collect();
        Some(format!("{} {digits}", number.code().value()))
    }
}

#[cfg(test)]
mod tests {
    use ruma::thirdparty::Medium;

    use super::ThirdPartyId;

    #[test]
    fn addresses_are_recognised() {
        let email = ThirdPartyId::email("Anna.Berg+x@Example.ORG").expect("an address");
        assert_eq!(email.address(), "anna.berg+x@example.org");
        for wrong in [
            "",
            "@",
            "anna",
            "anna@",
            "@example.org",
            "anna@@example.org",
            "anna..berg@example.org",
            "anna@.example.org",
            "anna@example.org.",
            "an na@example.org",
            "anna@example.org\r\nBcc: b@example.org",
            "\"anna\"@example.org",
            "anna@[127.0.0.1]",
            "änna@example.org",
            "anna@example.org>",
        ] {
            assert!(ThirdPartyId::email(wrong).is_err(), "{wrong:?}");
        }
        assert!(ThirdPartyId::email(&format!("{}@example.org", "a".repeat(65))).is_err());
        assert!(ThirdPartyId::email(&format!("a@{}", "b.".repeat(130) + "org")).is_err());
    }

    #[test]
    fn one_number_has_one_form() {
        for (country, text) in [
            ("DE", "0170 1234567"),
            ("de", "0170/123-4567"),
            ("DE", "(0170) 123 45 67"),
            ("DE", "+49 170 1234567"),
            ("DE", "00491701234567"),
            ("GB", "+49 170 1234567"),
        ] {
            let number = ThirdPartyId::phone(country, text).expect("a number");
            assert_eq!((number.medium(), number.address()), (&Medium::Msisdn, "491701234567"), "{text}");
            assert_eq!(number.readable(), "+491701234567");
        }
        for text in ["491701234567", "+49 (170) 1234567", " +491701234567 "] {
            let number = ThirdPartyId::new(&Medium::Msisdn, text).expect("a number");
            assert_eq!(number.address(), "491701234567", "{text}");
        }
    }

    #[test]
    fn what_is_no_persons_number_is_refused() {
        for text in
            ["", "+", "0", "49", "01701234567", "+49 170", "+49170123456789012345", "+999 1234567", "a"]
        {
            assert!(ThirdPartyId::new(&Medium::Msisdn, text).is_err(), "{text:?}");
        }
        for (country, text) in [
            ("DE", ""),
            ("DE", "110"),
            ("DE", "0900 1 123456"),
            ("US", "900 234 5678"),
            ("DE", "0170 1234567 ext. 8"),
            ("DE", "tel:0170-1234567;phone-context=+49"),
            ("DE", "٠١٧٠١٢٣٤٥٦٧"),
            ("ZZ", "0170 1234567"),
            ("", "0170 1234567"),
        ] {
            assert!(ThirdPartyId::phone(country, text).is_err(), "{country} {text:?}");
        }
    }

    #[test]
    fn numbers_that_are_alike_have_one_range() {
        let range = |text| ThirdPartyId::new(&Medium::Msisdn, text).expect("a number").range();
        assert_eq!(range("+491701234567").expect("a range"), "49 170");
        assert_eq!(range("+491701234567"), range("+491709999999"));
        assert_ne!(range("+491701234567"), range("+491711234567"));
        assert_eq!(ThirdPartyId::email("anna@example.org").expect("an address").range(), None);
    }
}
