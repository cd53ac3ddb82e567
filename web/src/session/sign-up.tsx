// Signing up by a handle and a password.

import { useEffect, useState } from "preact/hooks";

import { platform } from "../platform";
import { Field } from "../ui/fields";
import { words, type WordsId } from "../words";
import { useAttempt } from "./attempt";
import { checkHandle, register } from "./server";

/** How long somebody has to stop typing before the server is asked, in milliseconds. */
const ASK_AFTER_MS = 350;
const PASSWORD_LENGTH = 8;

export function SignUp({ logIn }: { logIn: () => void }) {
    const { name: platformName, registration, identity } = platform.value!;
    const isHandle = identity === "handle";
    const [handle, setHandle] = useState("");
    const taken = useTaken(handle);
    const { error, isWaiting, run } = useAttempt();
    const submit = (event: SubmitEvent) => {
        event.preventDefault();
        const form = new FormData(event.currentTarget as HTMLFormElement);
        const account = {
            username: handle,
            password: String(form.get("password")),
            displayName: String(form.get("name")).trim(),
            token: form.get("token")?.toString().trim(),
        };
        void run(KNOWN, () => register(account));
    };
    return (
        <form class="way" onSubmit={submit}>
            <h2>{words("session.sign_up.title", { name: platformName })}</h2>
            <Field label={words("session.your_name")}>
                <input name="name" autocomplete="name" maxLength={100} required />
            </Field>
            <Field label={words(`session.name.${identity}`)} error={taken && words(taken)}>
                <span class={isHandle ? "with-sign" : undefined}>
                    {isHandle && <span aria-hidden="true">@</span>}
                    <input
                        autocomplete="username"
                        autocapitalize="none"
                        spellcheck={false}
                        maxLength={60}
                        required
                        value={handle}
                        onInput={(event) => setHandle(event.currentTarget.value.trim().replace(/^@/, "").toLowerCase())}
                    />
                </span>
            </Field>
            <Field label={words("session.new_password")}>
                <input name="password" type="password" autocomplete="new-password" minLength={PASSWORD_LENGTH} required />
            </Field>
            {registration === "token" && (
                <Field label={words("session.token")}>
                    <input name="token" autocomplete="off" required />
                </Field>
            )}
            {error && <p role="alert">{words(error)}</p>}
            <button class="primary" disabled={isWaiting || taken !== undefined}>
                {words("session.sign_up")}
            </button>
            <p class="aside">
                <button type="button" class="link" onClick={logIn}>
                    {words("session.have_account")}
                </button>
            </p>
        </form>
    );
}

const KNOWN: Record<string, WordsId> = {
    M_USER_IN_USE: "session.handle.taken",
    M_INVALID_USERNAME: "session.handle.form",
    M_WEAK_PASSWORD: "session.weak",
    M_UNAUTHORIZED: "session.token.wrong",
    M_FORBIDDEN: "session.registration_closed",
};

/** Why a handle cannot be had, once the person has stopped typing. */
function useTaken(handle: string): WordsId | undefined {
    const [taken, setTaken] = useState<WordsId>();
    useEffect(() => {
        setTaken(undefined);
        if (!handle) return;
        let isGone = false;
        const timer = setTimeout(() => void checkHandle(handle).then((why) => isGone || setTaken(why)), ASK_AFTER_MS);
        return () => {
            isGone = true;
            clearTimeout(timer);
        };
    }, [handle]);
    return taken;
}
