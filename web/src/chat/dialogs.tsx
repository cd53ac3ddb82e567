// Dialogs about messages: deleting, reporting, who has read them, what they said before, and those with a star.

import type { Direction, MatrixError, MatrixEvent } from "matrix-js-sdk";
import { useEffect, useState } from "preact/hooks";

import { oneLine } from "../chats/preview";
import { Avatar } from "../ui/avatar";
import { Dialog } from "../ui/dialog";
import { Field, Switch } from "../ui/fields";
import { notify } from "../ui/notice";
import { clock, day } from "../ui/time";
import { words } from "../words";
import { deleteAll, reportMessage } from "./actions";
import { contentOf } from "./content";
import { isGone } from "./disappears";
import { mayReplace } from "./edits";
import type { Message } from "./message";
import { personOf } from "./people";
import { plainText } from "./spoken";
import { starredIn } from "./stars";
import type { Timeline } from "./timeline";

const MAX_EDITS = 50;
/** How long a reason can be, in letters. The server takes 4096 bytes. */
const MAX_REASON = 1000;

interface Props {
    timeline: Timeline;
    messages: Message[];
    close: () => void;
}

export function DeleteDialog({ timeline, messages, close, done }: Props & { done: () => void }) {
    return (
        <Dialog
            title={words("message.delete.title", { count: messages.length })}
            close={close}
            actions={
                <>
                    <button class="secondary" onClick={close}>{words("cancel")}</button>
                    <button
                        class="danger"
                        onClick={() => {
                            close();
                            done();
                            void deleteAll(timeline, messages);
                        }}
                    >
                        {words("message.delete.all")}
                    </button>
                </>
            }
        >
            <p>{words("message.delete.explained", { count: messages.length })}</p>
        </Dialog>
    );
}

export function ReportDialog({ timeline, messages, close }: Props) {
    const [reason, setReason] = useState("");
    const [tellsWho, setTellsWho] = useState(false);
    const [isBusy, setIsBusy] = useState(false);
    const message = messages[0]!;
    const submit = () => {
        const event = timeline.event(message.id);
        if (!event) return;
        setIsBusy(true);
        reportMessage(event, reason.trim(), tellsWho).then(
            () => {
                notify({ text: words("message.report.done") });
                close();
            },
            () => {
                notify({ text: words("message.report.failed") });
                setIsBusy(false);
            },
        );
    };
    return (
        <Dialog
            title={words("message.report.title", { name: message.sender.name })}
            close={close}
            actions={
                <>
                    <button class="secondary" onClick={close}>{words("cancel")}</button>
                    <button class="danger" disabled={isBusy} onClick={submit}>{words("message.report")}</button>
                </>
            }
        >
            <p>{words(message.isEncrypted ? "message.report.explained.encrypted" : "message.report.explained")}</p>
            <Field label={words("message.report.reason")}>
                <textarea rows={3} maxLength={MAX_REASON} value={reason} onInput={(event) => setReason(event.currentTarget.value)} />
            </Field>
            <Switch label={words("message.report.who")} isOn={tellsWho} change={setTellsWho} />
        </Dialog>
    );
}

export function InfoDialog({ timeline, messages, close }: Props) {
    const message = messages.at(-1)!;
    return (
        <Dialog title={words("message.info")} close={close}>
            <dl class="facts">
                <dt>{words("message.info.sent")}</dt>
                <dd>{`${day(message.ts)}, ${clock(message.ts)}`}</dd>
                {message.disappearsTs !== undefined && (
                    <>
                        <dt>{words("message.vanishes")}</dt>
                        <dd>{`${day(message.disappearsTs)}, ${clock(message.disappearsTs)}`}</dd>
                    </>
                )}
                <dt>{words("message.info.encryption")}</dt>
                <dd>{words(message.isEncrypted ? "message.info.encrypted" : "message.info.plain")}</dd>
            </dl>
            <Readers timeline={timeline} message={message} />
            {message.isEdited && <Edits timeline={timeline} message={message} />}
        </Dialog>
    );
}

function Readers({ timeline, message }: { timeline: Timeline; message: Message }) {
    const readers = timeline.readersOf(message.id);
    return (
        <>
            <h3>{words("message.info.readers", { count: readers.length })}</h3>
            <ul class="people-rows">
                {readers.map(({ person, ts }) => (
                    <li key={person.id}>
                        <Avatar id={person.id} name={person.name} mxc={person.avatar} size={36} />
                        <span dir="auto">{person.name}</span>
                        <time>{`${day(ts)}, ${clock(ts)}`}</time>
                    </li>
                ))}
            </ul>
        </>
    );
}

function Edits({ timeline, message }: { timeline: Timeline; message: Message }) {
    const [edits, setEdits] = useState<{ ts: number; text: string }[]>();
    useEffect(() => {
        const { client, room } = timeline;
        const options = { dir: "b" as Direction, limit: MAX_EDITS };
        client.relations(room.roomId, message.id, "m.replace", undefined, options).then(async ({ originalEvent, events }) => {
            const first = originalEvent ? [originalEvent] : [];
            await Promise.all([...first, ...events].map((event) => client.decryptEventIfNeeded(event)));
            const all = [...first, ...events.reverse().filter((edit) => first.every((original) => mayReplace(edit, original)))];
            setEdits(all.map((event) => ({ ts: event.getTs(), text: bodyOf(event) })));
        }, () => setEdits([]));
    }, [message.id]);
    return (
        <>
            <h3>{words("message.info.edits")}</h3>
            <ol class="edits">
                {edits?.map(({ ts, text }) => (
                    <li key={ts}>
                        <time>{`${day(ts)}, ${clock(ts)}`}</time>
                        <p dir="auto">{text}</p>
                    </li>
                ))}
            </ol>
        </>
    );
}

/** What an event said itself, whatever it was changed to later. */
function bodyOf(event: MatrixEvent): string {
    const content = event.getOriginalContent() as Record<string, unknown>;
    const changed = (content["m.new_content"] as Record<string, unknown> | undefined) ?? content;
    return typeof changed.body === "string" ? changed.body : oneLine(event);
}

interface Starred {
    id: string;
    name: string;
    ts: number;
    text: string;
}

/** How many messages with a star are asked for at a time. */
const STARS_AT_A_TIME = 8;

/** Loads the messages with a star, the newest star first, and shows those that are there already. Some may be deleted or not be seen. */
async function loadStarred(timeline: Timeline, show: (found: Starred[]) => void, stopped: AbortSignal): Promise<void> {
    const { room } = timeline;
    const ids = [...starredIn(room)].reverse();
    const load = async (id: string): Promise<Starred[]> => {
        try {
            const event = await timeline.find(id);
            if (isGone(event, Date.now())) return [];
            return [{ id, name: personOf(room, event.getSender() ?? "").name, ts: event.getTs(), text: plainText(contentOf(event)) }];
        } catch (error) {
            if ([403, 404].includes((error as MatrixError).httpStatus ?? 0)) return [];
            throw error;
        }
    };
    const found: Starred[] = [];
    for (let from = 0; from < ids.length && !stopped.aborted; from += STARS_AT_A_TIME) {
        found.push(...(await Promise.all(ids.slice(from, from + STARS_AT_A_TIME).map(load))).flat());
        if (!stopped.aborted) show([...found]);
    }
}

export function StarredDialog({ timeline, close, goTo }: { timeline: Timeline; close: () => void; goTo: (id: string) => void }) {
    const [found, setFound] = useState<Starred[]>([]);
    const [state, setState] = useState<"loading" | "whole" | "lost">("loading");
    const [attempt, setAttempt] = useState(0);
    useEffect(() => {
        const isGone = new AbortController();
        setState("loading");
        loadStarred(timeline, setFound, isGone.signal).then(
            () => setState("whole"),
            (error: unknown) => {
                console.warn(error);
                setState("lost");
            },
        );
        return () => isGone.abort();
    }, [timeline, attempt]);
    return (
        <Dialog title={words("chat.starred")} close={close}>
            {state === "whole" && found.length === 0 && <p>{words("chat.starred.none")}</p>}
            {state === "loading" && <p role="status">{words("chat.loading")}</p>}
            <ul class="found">
                {found.map(({ id, name, ts, text }) => (
                    <li key={id}>
                        <button
                            onClick={() => {
                                close();
                                goTo(id);
                            }}
                        >
                            <b dir="auto">{name}</b>
                            <time>{day(ts)}</time>
                            <span dir="auto">{text}</span>
                        </button>
                    </li>
                ))}
            </ul>
            {state === "lost" && (
                <p role="alert">
                    {words("chat.lost")}{" "}
                    <button class="quiet" onClick={() => setAttempt(attempt + 1)}>
                        {words("message.retry")}
                    </button>
                </p>
            )}
        </Dialog>
    );
}
