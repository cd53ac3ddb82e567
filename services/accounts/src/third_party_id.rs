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
/// The longest code of a country.
const MAX_CODE_DIGITS: usize = 3;
/// What libphonenumber calls networks that are no country's.
const NO_COUNTRY: &str = "001";
/// Kinds of numbers that are one person's or household's.
const OWN: [Type; 4] = [Type::Mobile, Type::FixedLine, Type::PersonalNumber, Type::Voip];
/// Kinds of numbers that cost extra, or are nobody's own.
const SHARED: [Type; 6] =
    [Type::PremiumRate, Type::TollFree, Type::SharedCost, Type::Pager, Type::Uan, Type::Voicemail];
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
        let labels_end_well = domain.split('.').all(|label| !label.starts_with('-') && !label.ends_with('-'));
        let right = address.len() <= EMAIL_BYTES
            && local.len() <= LOCAL_PART_BYTES
            && local.bytes().all(atom)
            && domain.bytes().all(host)
            && dots_are_inside(local)
            && dots_are_inside(domain)
            && labels_end_well;
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
        let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).map(char::from).collect::<String>();
        // The crate takes zeros for a prefix that belong to the number in some countries. So what is international is
        // taken as it is, if there is such a number, and what is not is tried with its zeros first.
        let as_typed = match (text.trim_start().starts_with('+'), country) {
            (true, _) => Some(digits(text)),
            (false, Some(country)) => code_of(country).map(|code| format!("{code}{}", digits(text))),
            (false, None) => None,
        };
        if let Some(address) = as_typed.filter(|address| is_own(address)) {
            return Ok(Self { medium: Medium::Msisdn, address });
        }
        let number = phonenumber::parse(country, text).map_err(|_| wrong())?;
        let address = format!("{}{}", number.code().value(), number.national());
        if !is_own(&address) {
            return Err(wrong());
        }
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
        let (country, national) = self.is_phone().then(|| split(&self.address)).flatten()?;
        Some(format!("{country} {}", &national[..national.len().min(RANGE_DIGITS)]))
    }
}

/// The code of a country and the rest of the digits of an international number.
fn split(digits: &str) -> Option<(u16, &str)> {
    (1..=MAX_CODE_DIGITS).find_map(|at| {
        let (code, national) = digits.split_at_checked(at)?;
        let code = code.parse().ok()?;
        DATABASE.by_code(&code).map(|_| (code, national))
    })
}

fn code_of(country: country::Id) -> Option<u16> {
    DATABASE.by_id(country.as_ref()).map(|rules| rules.country_code())
}

/// Whether these digits are the international number of somebody's own telephone, in some country. Numbers of
/// satellites and other networks that are no country's cost much.
fn is_own(digits: &str) -> bool {
    let Some((code, national)) = split(digits) else { return false };
    let countries = DATABASE.by_code(&code).unwrap_or_default();
    countries.into_iter().filter(|country| country.id() != NO_COUNTRY).any(|country| {
        let is =
            |kind: &Type| country.descriptors().get(*kind).is_some_and(|numbers| numbers.is_match(national));
        country.descriptors().general().is_match(national) && OWN.iter().any(is) && !SHARED.iter().any(is)
    })
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
            "anna@-example.org",
            "anna@example-.org",
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
    fn zeros_that_belong_to_a_number_stay() {
        for (country, text, address) in [
            ("CI", "0123456789", "2250123456789"),
            ("BJ", "0195123456", "2290195123456"),
            ("CG", "06 123 4567", "242061234567"),
            ("IT", "02 12345678", "390212345678"),
            ("GA", "06 03 12 34", "24106031234"),
            ("GB", "07400 123456", "447400123456"),
            ("RU", "8 912 3456789", "79123456789"),
            ("MX", "200 123 4567", "522001234567"),
        ] {
            let number = ThirdPartyId::phone(country, text).expect("a number");
            assert_eq!(number.address(), address, "{country} {text}");
            let international = ThirdPartyId::phone("DE", &number.readable()).expect("a number");
            assert_eq!(international, number, "{country} {text}");
        }
        let with_prefix = ThirdPartyId::phone("DE", "+49 (0)170 1234567").expect("a number");
        assert_eq!(with_prefix.address(), "491701234567");
    }

    /// The example of libphonenumber of each country's mobile numbers.
    #[test]
    fn every_country_has_numbers() {
        for rules in super::DATABASE.iter().filter(|rules| rules.id() != super::NO_COUNTRY) {
            let Some(example) = rules.descriptors().mobile().and_then(|mobile| mobile.example()) else {
                continue;
            };
            let text = format!("+{}{example}", rules.country_code());
            let number = ThirdPartyId::new(&Medium::Msisdn, &text).map(|number| number.readable());
            assert_eq!(number.ok(), Some(text.clone()), "{}", rules.id());
            let within = ThirdPartyId::phone(rules.id(), example).map(|number| number.readable());
            assert_eq!(within.ok(), Some(text), "{}", rules.id());
        }
    }

    #[test]
    fn what_is_no_persons_number_is_refused() {
        for text in [
            "",
            "+",
            "0",
            "49",
            "01701234567",
            "+49 170",
            "+49170123456789012345",
            "+999 1234567",
            "a",
            "+881612345678",
            "+870301234567",
            "+80012345678",
        ] {
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
