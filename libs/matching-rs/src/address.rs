//! What stands in an address book, in the one form in which it is compared.

/// The least number of digits of a phone number in E.164 with its country code; no country has shorter ones.
const MIN_DIGITS: usize = 7;
/// The greatest number of digits of a phone number in E.164.
const MAX_DIGITS: usize = 15;
/// The longest e-mail address, in bytes: RFC 5321, section 4.5.3.1.
const EMAIL_BYTES: usize = 254;

/// An address by which somebody can be found: a phone number or an e-mail address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    medium: &'static str,
    text: String,
}

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is not a phone number in E.164.
    #[error("this is not a phone number in E.164, such as +4930123456")]
    Number,
    /// It is not an e-mail address.
    #[error("this is not an e-mail address")]
    Email,
    /// There is no such kind of address here.
    #[error("people are found by phone numbers and e-mail addresses only")]
    Medium,
}

impl Address {
    /// A phone number in E.164: `+`, the country code and the rest, without spaces. What people type is
    /// brought into this form by a library of phone numbers that knows which country the phone is at home in.
    pub fn phone_number(number: &str) -> Result<Self, AddressError> {
        Self::msisdn(number.strip_prefix('+').ok_or(AddressError::Number)?)
    }

    /// An e-mail address. Capital letters make no difference.
    pub fn email(address: &str) -> Result<Self, AddressError> {
        let (local, domain) = address.rsplit_once('@').ok_or(AddressError::Email)?;
        let is_plain = address.bytes().all(|byte| byte.is_ascii_graphic());
        match is_plain && !local.is_empty() && !domain.is_empty() && address.len() <= EMAIL_BYTES {
            true => Ok(Self { medium: "email", text: address.to_ascii_lowercase() }),
            false => Err(AddressError::Email),
        }
    }

    /// A third-party identifier as Matrix has it, in which phone numbers stand without `+`.
    /// <https://spec.matrix.org/v1.19/appendices/#3pid-types>
    pub fn third_party(medium: &str, address: &str) -> Result<Self, AddressError> {
        match medium {
            "email" => Self::email(address),
            "msisdn" => Self::msisdn(address.strip_prefix('+').unwrap_or(address)),
            _ => Err(AddressError::Medium),
        }
    }

    fn msisdn(digits: &str) -> Result<Self, AddressError> {
        let has_country = !digits.starts_with('0');
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        match has_country && is_number && (MIN_DIGITS..=MAX_DIGITS).contains(&digits.len()) {
            true => Ok(Self { medium: "msisdn", text: digits.to_owned() }),
            false => Err(AddressError::Number),
        }
    }

    /// The kind of address, as Matrix names it: `msisdn` or `email`.
    pub fn medium(&self) -> &'static str {
        self.medium
    }

    /// The address as Matrix writes it: digits without `+`, or an e-mail address in small letters.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What goes into the pseudo-random function.
    pub fn to_input(&self) -> Vec<u8> {
        format!("{}:{}", self.medium, self.text).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_one_form() {
        let number = Address::phone_number("+4930123456").expect("a number");
        assert_eq!(Address::third_party("msisdn", "4930123456"), Ok(number.clone()));
        assert_eq!(number.to_input(), b"msisdn:4930123456");
        let email = Address::email("Anna@Example.ORG").expect("an address");
        assert_eq!(Address::third_party("email", "anna@example.org"), Ok(email.clone()));
        assert_eq!(email.to_input(), b"email:anna@example.org");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for wrong in
            ["", "+", "4930123456", "030123456", "+030123456", "+49 30 123456", "+49(30)1", "+123456"]
        {
            assert_eq!(Address::phone_number(wrong), Err(AddressError::Number), "{wrong:?}");
        }
        assert_eq!(Address::phone_number("+1234567890123456"), Err(AddressError::Number), "sixteen digits");
        for wrong in
            ["", "@", "anna", "anna@", "@example.org", "a b@example.org", "ännä@example.org", "a@b\0"]
        {
            assert_eq!(Address::email(wrong), Err(AddressError::Email), "{wrong:?}");
        }
        assert_eq!(Address::third_party("fax", "4930123456"), Err(AddressError::Medium));
    }
}
