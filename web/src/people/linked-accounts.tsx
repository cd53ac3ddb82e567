// Accounts of the same person on other platforms: linking them by a code, and who is shown them.

import "./people.css";

import { useEffect, useState } from "preact/hooks";

import { platformName, serverOf } from "../platform";
import { ask, done, isRefusal, sayWhy } from "../sync/ask";
import { Confirm } from "../ui/confirm";
import { Dialog } from "../ui/dialog";
import { Choice, Field, Switch } from "../ui/fields";
import { notify } from "../ui/notice";
import { words } from "../words";
import { PersonCells } from "./person-link";
import { personOf } from "./person";

interface Links {
    accounts: { user_id: string }[];
    shown_to: "nobody" | "contacts";
    messages_arrive_at?: string;
    waiting?: { user_id: string };
}

/** How often it is asked whether the code was entered, while it is shown, in milliseconds. */
const ASK_EVERY_MS = 2000;
const HERE = "here";

export default function LinkedAccounts() {
    const [links, setLinks] = useState<Links>();
    const [open, setOpen] = useState<"code" | "enter">();
    const [leaving, setLeaving] = useState<string>();
    const load = () => ask<Links>("GET", "/links").then(setLinks, console.warn);
    useEffect(() => void load(), []);
    if (!links) return <p class="hint">{words("connecting")}</p>;
    const close = () => {
        setOpen(undefined);
        void load();
    };
    const unlink = async (id: string) => {
        if (await done(ask("DELETE", `/links/${encodeURIComponent(id)}`))) await load();
    };
    return (
        <>
            <p class="hint">{words(links.accounts.length > 0 ? "links.hint" : "links.none")}</p>
            <ul class="people-list">
                {links.accounts.map(({ user_id }) => (
                    <li key={user_id} class="row">
                        <PersonCells person={personOf(user_id).value}>
                            <button class="secondary" onClick={() => setLeaving(user_id)}>
                                {words("links.unlink")}
                            </button>
                        </PersonCells>
                    </li>
                ))}
            </ul>
            <div class="button-row">
                <button class="primary" onClick={() => setOpen("code")}>
                    {words("links.show_code")}
                </button>
                <button class="secondary" onClick={() => setOpen("enter")}>
                    {words("links.enter_code")}
                </button>
            </div>
            {links.accounts.length > 0 && <Choices links={links} changed={() => void load()} />}
            {open === "code" && <CodeDialog close={close} />}
            {open === "enter" && <EnterDialog close={close} />}
            {leaving && (
                <Confirm
                    title={words("links.unlink.title")}
                    text={words("links.unlink.text")}
                    action={words("links.unlink")}
                    run={() => void unlink(leaving)}
                    close={() => setLeaving(undefined)}
                />
            )}
        </>
    );
}

/** Who is shown the accounts, and where chats arrive, too. */
function Choices({ links, changed }: { links: Links; changed: () => void }) {
    const isShown = links.shown_to === "contacts";
    const set = async (isShownNow: boolean, at: string) => {
        const arrives = isShownNow && at !== HERE ? { messages_arrive_at: at } : {};
        await done(ask("PUT", "/links/choices", { shown_to: isShownNow ? "contacts" : "nobody", ...arrives }));
        changed();
    };
    const options = links.accounts.map(({ user_id }) => ({
        value: user_id,
        label: words("links.arrive.there", { name: personOf(user_id).value.name, platform: platformName(serverOf(user_id)) }),
    }));
    return (
        <>
            <Switch label={words("links.shown")} hint={words("links.shown.hint")} isOn={isShown} change={(is) => void set(is, HERE)} />
            {isShown && (
                <Choice
                    label={words("links.arrive")}
                    value={links.messages_arrive_at ?? HERE}
                    options={[{ value: HERE, label: words("links.arrive.here") }, ...options]}
                    change={(at) => void set(true, at)}
                />
            )}
        </>
    );
}

/** Shows a code, and asks about whoever has entered it. */
function CodeDialog({ close }: { close: () => void }) {
    const [code, setCode] = useState("");
    const [error, setError] = useState("");
    const [waiting, setWaiting] = useState<string>();
    useEffect(() => {
        ask<{ code: string }>("POST", "/links/code", {}).then((made) => setCode(made.code), (failed) => setError(sayWhy(failed)));
    }, []);
    useEffect(() => {
        if (waiting) return;
        const timer = setInterval(() => {
            ask<Links>("GET", "/links").then((links) => setWaiting(links.waiting?.user_id), console.warn);
        }, ASK_EVERY_MS);
        return () => clearInterval(timer);
    }, [waiting]);
    const decline = async () => {
        await done(ask("POST", "/links/decline", {}));
        close();
    };
    const confirm = async () => {
        if (await done(ask("POST", "/links/confirm", { user_id: waiting }))) close();
    };
    const buttons = waiting ? (
        <>
            <button class="secondary" onClick={() => void decline()}>
                {words("links.not_mine")}
            </button>
            <button class="primary" onClick={() => void confirm()}>
                {words("links.mine")}
            </button>
        </>
    ) : undefined;
    return (
        <Dialog title={words(waiting ? "links.confirm" : "links.code")} close={() => void decline()} actions={buttons}>
            {waiting ? (
                <div class="form">
                    <div class="row">
                        <PersonCells person={personOf(waiting).value} />
                    </div>
                    <p>{words("links.confirm.text")}</p>
                    <p class="warning">{words("links.confirm.warning")}</p>
                </div>
            ) : (
                <>
                    <p>{words("links.code.text")}</p>
                    <output class="link-code" aria-label={words("links.code")}>
                        {code}
                    </output>
                    <p class="warning">{words("links.code.warning")}</p>
                    {error && <p role="alert">{error}</p>}
                </>
            )}
        </Dialog>
    );
}

function EnterDialog({ close }: { close: () => void }) {
    const [code, setCode] = useState("");
    const [error, setError] = useState("");
    const enter = async (event: Event) => {
        event.preventDefault();
        try {
            await ask("POST", "/links/enter", { code });
            notify({ text: words("links.entered") });
            close();
        } catch (failed) {
            setError(isRefusal(failed, "M_NOT_FOUND") ? words("links.wrong") : isRefusal(failed, "M_INVALID_PARAM") ? words("links.same") : sayWhy(failed));
        }
    };
    return (
        <Dialog title={words("links.enter_code")} close={close}>
            <form class="form" onSubmit={(event) => void enter(event)}>
                <p>{words("links.enter.text")}</p>
                <Field label={words("links.code")} error={error || undefined}>
                    <input value={code} autocomplete="one-time-code" autocapitalize="characters" onInput={(event) => setCode(event.currentTarget.value)} />
                </Field>
                <button class="primary" disabled={!code.trim()}>
                    {words("next")}
                </button>
            </form>
        </Dialog>
    );
}
