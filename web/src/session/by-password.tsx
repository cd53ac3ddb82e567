// Logging in by a handle, an address or a username, and a password.

import { platform } from "../platform";
import { Field } from "../ui/fields";
import { words, type WordsId } from "../words";
import { useAttempt } from "./attempt";
import { logIn } from "./server";

const KNOWN: Record<string, WordsId> = { M_FORBIDDEN: "session.wrong", M_USER_DEACTIVATED: "session.wrong" };

interface ByPasswordProps {
    useCode?: (() => void) | undefined;
    signUp?: (() => void) | undefined;
}

export function ByPassword({ useCode, signUp }: ByPasswordProps) {
    const { identity, registration } = platform.value!;
    const { error, isWaiting, run } = useAttempt();
    const submit = (event: SubmitEvent) => {
        event.preventDefault();
        const form = new FormData(event.currentTarget as HTMLFormElement);
        void run(KNOWN, () => logIn(String(form.get("name")).trim(), String(form.get("password"))));
    };
    return (
        <form class="way" onSubmit={submit}>
            <h2>{words("session.log_in")}</h2>
            <Field label={words(identity === "account" && useCode ? "session.name.either" : `session.name.${identity}`)}>
                <input name="name" autocomplete="username" autocapitalize="none" spellcheck={false} required />
            </Field>
            <Field label={words("session.password")}>
                <input name="password" type="password" autocomplete="current-password" required />
            </Field>
            {error && <p role="alert">{words(error)}</p>}
            <button class="primary" disabled={isWaiting}>
                {words("session.log_in")}
            </button>
            <p class="aside">
                <a href="/_linkspan/forgot-password">{words("session.forgot")}</a>
                {useCode && (
                    <button type="button" class="link" onClick={useCode}>
                        {words("session.use_code")}
                    </button>
                )}
            </p>
            {signUp && (
                <button type="button" class="secondary" onClick={signUp}>
                    {words("session.sign_up")}
                </button>
            )}
            {registration === "closed" && <p class="hint">{words("session.closed", { name: platform.value!.name })}</p>}
        </form>
    );
}
