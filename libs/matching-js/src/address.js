/** What stands in an address book, in the one form in which it is compared. */

const MIN_DIGITS = 7;
const MAX_DIGITS = 15;
/** RFC 5321, section 4.5.3.1. */
const EMAIL_BYTES = 254;

/**
 * A phone number in E.164: `+`, the country code and the rest, without spaces. What people type is brought into this
 * form by a library of phone numbers that knows which country the phone is at home in.
 * @param {string} number such as `+4930123456`
 * @returns {string} the address as {@link findPeople} takes it
 */
export function phoneNumber(number) {
    const digits = number.slice(1);
    const isNumber = number.startsWith("+") && /^[1-9][0-9]*$/.test(digits);
    if (!isNumber || digits.length < MIN_DIGITS || digits.length > MAX_DIGITS) {
        throw new TypeError("this is not a phone number in E.164, such as +4930123456");
    }
    return `msisdn:${digits}`;
}

/**
 * An e-mail address. Capital letters make no difference.
 * @param {string} address
 * @returns {string} the address as {@link findPeople} takes it
 */
export function email(address) {
    const at = address.lastIndexOf("@");
    const isAddress = at > 0 && at < address.length - 1 && /^[\x21-\x7e]*$/.test(address);
    if (!isAddress || address.length > EMAIL_BYTES) {
        throw new TypeError("this is not an e-mail address");
    }
    return `email:${address.toLowerCase()}`;
}
