// The door of the console: logging in as an administrator.

import "../session/session.css";

import { useState } from "preact/hooks";

import { platform } from "../platform";
import { Field } from "../ui/fields";
import { Icon } from "../ui/icon";
import { LanguageChoice } from "../ui/language";
import { words as common } from "../words";
import { reasonOf, shownId } from "./api";
import { accountsOfApp, ended, goOnAs, logInAsOperator, NoAdministrator } from "./session";
import { type ConsoleWordsId, words } from "./words";

const KNOWN: Record<string, ConsoleWordsId> = {
    M_FORBIDDEN: "door.wrong",
    M_USER_DEACTIVATED: "door.wrong",
    M_USER_LOCKED: "door.locked",
    M_UNKNOWN_TOKEN: "ended.logged_out",
};

export function Door() {
    const here = platform.value!;
    const [error, setError] = useState(ended.value && words(ended.value));
    const [isWaiting, setWaiting] = useState(false);
    const enter = async (attempt: () => Promise<void>) => {
        setWaiting(true);
        setError(undefined);
        await attempt().catch((failed: unknown) => {
            setError(failed instanceof NoAdministrator ? words("door.no_administrator", { name: here.name }) : reasonOf(failed, KNOWN));
        });
        setWaiting(false);
    };
    const submit = (event: SubmitEvent) => {
        event.preventDefault();
        const form = new FormData(event.currentTarget as HTMLFormElement);
        void enter(() => logInAsOperator(String(form.get("name")).trim(), String(form.get("password")), words("device_name")));
    };
    const accounts = accountsOfApp();
    return (
        <main class="door">
            <div class="banner">
                <div class="names">
                    <span class="mark" aria-hidden="true">
                        {here.name.slice(0, 1)}
                    </span>
                    <h1>{here.name}</h1>
                    <p class="label">{words("console")}</p>
                </div>
                <p class="lead">{words("door.lead", { name: here.name })}</p>
            </div>
            <div class="ways">
                <form class="way" onSubmit={submit}>
                    <h2>{words("door.title")}</h2>
                    <Field label={common(here.identity === "account" ? "session.name.either" : `session.name.${here.identity}`)}>
                        <input name="name" autocomplete="username" autocapitalize="none" spellcheck={false} required />
                    </Field>
                    <Field label={common("session.password")}>
                        <input name="password" type="password" autocomplete="current-password" required />
                    </Field>
                    {error && <p role="alert">{error}</p>}
                    <button class="primary" disabled={isWaiting}>
                        {common("session.log_in")}
                    </button>
                </form>
                {accounts.length > 0 && (
                    <section class="demo-people">
                        <p class="or">{common("session.or")}</p>
                        <ul>
                            {accounts.map(({ userId, name }) => (
                                <li key={userId}>
                                    <button disabled={isWaiting} onClick={() => void enter(() => goOnAs(userId))}>
                                        <Icon name="person" />
                                        {common("session.demo.continue", { name: name || shownId(userId) })}
                                    </button>
                                </li>
                            ))}
                        </ul>
                    </section>
                )}
                <footer>
                    <LanguageChoice />
                    <a href="/">{words("door.app")}</a>
                </footer>
            </div>
        </main>
    );
}
