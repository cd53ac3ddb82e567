// Links by which people join a group: made, shown as a code for cameras, shared and taken back.

import "../people/people.css";
import "./group.css";

import { useEffect, useMemo, useState } from "preact/hooks";
import { encode } from "uqr";

import { ask, done } from "../sync/ask";
import { Dialog } from "../ui/dialog";
import { Field } from "../ui/fields";
import { Icon } from "../ui/icon";
import { notify } from "../ui/notice";
import { date } from "../ui/time";
import { words } from "../words";

interface JoinLink {
    token: string;
    url?: string;
    expires_ts?: number;
    uses: number;
    works: boolean;
}

const DAY_MS = 86_400_000;
/** How long a link may work, in days. None is until it is taken back. */
const TERMS = [7, 1, 30, 0];

/** Where a link leads: to the platform of its maker, or here if that has no address. */
const addressOf = ({ url, token }: JoinLink) => url ?? `${location.origin}/join/${token}`;

export function Links({ id, name }: { id: string; name: string }) {
    const [links, setLinks] = useState<JoinLink[]>();
    const [days, setDays] = useState(TERMS[0]!);
    const [shown, setShown] = useState<JoinLink>();
    const path = `/rooms/${encodeURIComponent(id)}/join_links`;
    const load = () => ask<{ links: JoinLink[] }>("GET", path).then((answer) => setLinks(answer.links), () => setLinks([]));
    useEffect(() => void load(), [id]);
    const make = async () => {
        if (await done(ask("POST", path, days ? { valid_for_ms: days * DAY_MS } : {}))) await load();
    };
    const revoke = async ({ token }: JoinLink) => {
        if (await done(ask("DELETE", `${path}/${encodeURIComponent(token)}`))) await load();
    };
    const working = links?.filter(({ works }) => works) ?? [];
    return (
        <div class="pane-body form">
            <p class="hint">{words("group.links.hint")}</p>
            <ul class="links">
                {working.map((link) => (
                    <li key={link.token}>
                        <p class="address" dir="ltr">
                            {addressOf(link).replace(/^https?:\/\//, "")}
                        </p>
                        <p class="hint">
                            {link.expires_ts ? words("group.links.until", { day: date(link.expires_ts) }) : words("group.links.for_good")}{" "}
                            {words("group.links.uses", { count: link.uses })}
                        </p>
                        <div class="button-row">
                            <button class="secondary" onClick={() => void copy(addressOf(link))}>
                                <Icon name="copy" /> {words("copy")}
                            </button>
                            {"share" in navigator && (
                                <button class="secondary" onClick={() => void navigator.share({ title: name, url: addressOf(link) }).catch(() => undefined)}>
                                    <Icon name="forward" /> {words("share")}
                                </button>
                            )}
                            <button class="secondary" onClick={() => setShown(link)}>
                                {words("group.links.code")}
                            </button>
                            <button class="secondary" data-danger onClick={() => void revoke(link)}>
                                {words("group.links.revoke")}
                            </button>
                        </div>
                    </li>
                ))}
            </ul>
            <Field label={words("group.links.term")}>
                <select value={days} onChange={(event) => setDays(Number(event.currentTarget.value))}>
                    {TERMS.map((count) => (
                        <option key={count} value={count}>
                            {count ? words("group.timer.days", { count }) : words("group.links.term.none")}
                        </option>
                    ))}
                </select>
            </Field>
            <button class="primary" onClick={() => void make()}>
                {words("group.links.make")}
            </button>
            {shown && (
                <Dialog title={name} close={() => setShown(undefined)}>
                    <QrCode text={addressOf(shown)} />
                    <p class="hint centred">{words("group.links.scan")}</p>
                </Dialog>
            )}
        </div>
    );
}

async function copy(text: string): Promise<void> {
    await navigator.clipboard.writeText(text);
    notify({ text: words("copied") });
}

/** The picture that cameras read. It is dark on white in either theme, because many cameras read no other. */
function QrCode({ text }: { text: string }) {
    const { size, path } = useMemo(() => {
        const { data, size } = encode(text, { border: 2 });
        const cells = data.flatMap((row, y) => row.flatMap((isDark, x) => (isDark ? [`M${x} ${y}h1v1h-1z`] : [])));
        return { size, path: cells.join("") };
    }, [text]);
    return (
        <svg class="qr" viewBox={`0 0 ${size} ${size}`} role="img" aria-label={text} shape-rendering="crispEdges">
            <path d={path} />
        </svg>
    );
}
