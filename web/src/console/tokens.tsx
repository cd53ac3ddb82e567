// The registration tokens: making them, copying them, and deleting them.

import { useRef, useState } from "preact/hooks";

import { platform } from "../platform";
import { Confirm } from "../ui/confirm";
import { Dialog } from "../ui/dialog";
import { Field } from "../ui/fields";
import { Icon } from "../ui/icon";
import { notify } from "../ui/notice";
import { clock, day } from "../ui/time";
import { words as common } from "../words";
import { ask, part, reasonOf, type RegistrationToken } from "./api";
import { CopyButton } from "./copy";
import { Empty, Loaded, More, useRows } from "./load";
import { Chip, Frame } from "./page";
import { words } from "./words";

export function Tokens() {
    const rows = useRows<"registration_tokens", RegistrationToken>("/registration_tokens", "registration_tokens");
    const [isMaking, setMaking] = useState(false);
    const [leaving, setLeaving] = useState<string>();
    const remove = async (token: string) => {
        await ask("DELETE", `/registration_tokens/${part(token)}`).then(
            () => notify({ text: words("tokens.delete.done") }),
            (error: unknown) => notify({ text: reasonOf(error) }),
        );
        await rows.reload();
    };
    const make = (
        <button class="secondary with-icon" onClick={() => setMaking(true)}>
            <Icon name="add" />
            <span>{words("tokens.make")}</span>
        </button>
    );
    return (
        <Frame title={words("tokens")} actions={make}>
            {platform.value!.registration !== "token" && <p class="hint">{words(`tokens.unused.${platform.value!.registration}`)}</p>}
            <Loaded load={rows}>
                {(tokens) => (
                    <>
                        {tokens.length === 0 && <Empty text={words("tokens.none")} hint={words("tokens.none.hint")} />}
                        <ul class="records">
                            {tokens.map((token) => (
                                <Row key={token.token} of={token} remove={() => setLeaving(token.token)} />
                            ))}
                        </ul>
                        <More rows={rows} />
                    </>
                )}
            </Loaded>
            {isMaking && <NewToken close={() => setMaking(false)} made={rows.reload} />}
            {leaving !== undefined && (
                <Confirm
                    title={words("tokens.delete.title", { token: leaving })}
                    text={words("tokens.delete.text")}
                    action={words("tokens.delete.action")}
                    run={() => void remove(leaving)}
                    close={() => setLeaving(undefined)}
                />
            )}
        </Frame>
    );
}

function Row({ of, remove }: { of: RegistrationToken; remove: () => void }) {
    const { token, uses_allowed, completed, expires_ts, valid } = of;
    const uses = uses_allowed === null ? words("tokens.uses.any", { used: completed }) : words("tokens.uses", { used: completed, allowed: uses_allowed });
    const end = expires_ts === null ? words("tokens.no_end") : words("tokens.until", { when: words("day_and_time", { day: day(expires_ts), time: clock(expires_ts) }) });
    return (
        <li class="record">
            <span class="main">
                <b>
                    <code>{token}</code>
                </b>
                <span class="more-of-it">{`${uses} · ${end}`}</span>
            </span>
            {!valid && <Chip kind="bad">{words("tokens.over")}</Chip>}
            <CopyButton text={token} label={words("tokens.copy", { token })} />
            <button class="icon-button" aria-label={words("tokens.delete", { token })} onClick={remove}>
                <Icon name="delete" />
            </button>
        </li>
    );
}

const DAY_MS = 86_400_000;
/** How many days a token may be used. */
const DAYS = [1, 7, 30, 365];

function NewToken({ close, made }: { close: () => void; made: () => Promise<void> }) {
    const [error, setError] = useState<string>();
    const form = useRef<HTMLFormElement>(null);
    const submit = async (event: SubmitEvent) => {
        event.preventDefault();
        const said = new FormData(form.current!);
        const [token, uses, days] = ["token", "uses", "days"].map((name) => String(said.get(name)).trim());
        setError(undefined);
        try {
            const answer = await ask<RegistrationToken>("POST", "/registration_tokens", {
                token: token || null,
                uses_allowed: uses ? Number(uses) : null,
                expires_ts: days ? Date.now() + Number(days) * DAY_MS : null,
            });
            notify({ text: words("tokens.make.done", { token: answer.token }) });
            close();
            await made();
        } catch (failed) {
            setError(reasonOf(failed, { M_INVALID_PARAM: "tokens.make.wrong" }));
        }
    };
    const buttons = (
        <>
            <button class="secondary" onClick={close}>
                {common("cancel")}
            </button>
            <button class="primary" form="new-token">
                {words("tokens.make.button")}
            </button>
        </>
    );
    return (
        <Dialog title={words("tokens.make")} close={close} actions={buttons}>
            <form id="new-token" ref={form} class="settings-form" onSubmit={(event) => void submit(event)}>
                <Field label={words("tokens.uses_allowed")}>
                    <input name="uses" type="number" min={1} max={1_000_000} inputMode="numeric" placeholder={words("tokens.uses_allowed.any")} autofocus />
                </Field>
                <Field label={words("tokens.days")}>
                    <select name="days">
                        <option value="">{words("tokens.days.any")}</option>
                        {DAYS.map((count) => (
                            <option key={count} value={count}>
                                {words("tokens.days.count", { count })}
                            </option>
                        ))}
                    </select>
                </Field>
                <Field label={words("tokens.token")}>
                    <input name="token" autocomplete="off" autocapitalize="none" spellcheck={false} maxLength={64} pattern="[A-Za-z0-9._~\-]+" placeholder={words("tokens.token.any")} />
                </Field>
                {error && <p role="alert">{error}</p>}
            </form>
        </Dialog>
    );
}
