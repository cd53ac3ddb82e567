// A password that an operator gives somebody: typed, or made up.

import { useState } from "preact/hooks";

import { Field } from "../ui/fields";
import { words as common } from "../words";
import { CopyButton } from "./copy";
import { words } from "./words";

/** Letters and digits that nobody takes for others. */
const LETTERS = "abcdefghijkmnpqrstuvwxyz23456789";
const GROUPS = 4;
const GROUP_LETTERS = 5;

/** A password of 20 letters, in groups that can be read out. There are 32 letters, so each has the same chance. */
function makeUp(): string {
    const bytes = crypto.getRandomValues(new Uint8Array(GROUPS * GROUP_LETTERS));
    const letters = Array.from(bytes, (byte) => LETTERS[byte % LETTERS.length]).join("");
    return Array.from({ length: GROUPS }, (_, at) => letters.slice(at * GROUP_LETTERS, (at + 1) * GROUP_LETTERS)).join("-");
}

/** The field named `password` of a form. What is in it is shown, for the operator has to pass it on. */
export function NewPassword() {
    const [password, setPassword] = useState("");
    return (
        <div class="new-password">
            <Field label={common("session.password")}>
                <input
                    name="password"
                    autocomplete="new-password"
                    autocapitalize="none"
                    spellcheck={false}
                    dir="ltr"
                    minLength={8}
                    required
                    value={password}
                    onInput={(event) => setPassword(event.currentTarget.value)}
                />
            </Field>
            <p class="buttons">
                <button type="button" class="secondary" onClick={() => setPassword(makeUp())}>
                    {words("password.make_up")}
                </button>
                {password && <CopyButton text={password} label={words("password.copy")} />}
            </p>
        </div>
    );
}
