// A phone number: the country, and the number as it is dialled there.

import { Field } from "../ui/fields";
import { words, type WordsId } from "../words";
import { countries } from "./countries";

export default function PhoneFields({ error }: { error: WordsId | undefined }) {
    const { all, usual } = countries();
    return (
        <>
            <Field label={words("session.country")}>
                <select name="country" autocomplete="country">
                    {all.map(({ code, name }) => (
                        <option key={code} value={code} selected={code === usual}>
                            {name}
                        </option>
                    ))}
                </select>
            </Field>
            <Field label={words("session.phone")} error={error && words(error)}>
                <input name="address" type="tel" inputMode="tel" autocomplete="tel" dir="ltr" required />
            </Field>
        </>
    );
}
