// The countries whose numbers a person may have, in the person's language.

import { type CountryCode, getCountries, getCountryCallingCode } from "libphonenumber-js/min";

import { language } from "../words";

export interface Country {
    code: CountryCode;
    /** Its name, and how its numbers begin. */
    name: string;
}

/** All countries by name, and the one that the person's browser is set for. */
export function countries(): { all: Country[]; usual: CountryCode } {
    const names = new Intl.DisplayNames([language.value], { type: "region" });
    const codes = getCountries();
    const all = codes.map((code) => ({ code, name: `${names.of(code) ?? code} (+${getCountryCallingCode(code)})` }));
    all.sort((one, other) => one.name.localeCompare(other.name, language.value));
    const regions = navigator.languages.map((tag) => new Intl.Locale(tag).maximize().region);
    return { all, usual: codes.find((code) => code === regions[0]) ?? "US" };
}
