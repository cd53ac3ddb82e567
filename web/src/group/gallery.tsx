// The pictures, files and links of a chat, the newest first. Each leads to its message.

import type { MatrixEvent, Room } from "matrix-js-sdk";
import { useEffect, useReducer, useState } from "preact/hooks";
import { Link } from "wouter-preact";

import { disappearsTs, isGone } from "../chat/disappears";
import { saidBy } from "../chat/edits";
import { personName } from "../chats/names";
import { oneLine } from "../chats/preview";
import { Alarm } from "../sync/alarm";
import { done } from "../sync/ask";
import { client } from "../sync/running";
import { toMessage } from "../ui/address";
import { Icon, type IconName } from "../ui/icon";
import { short } from "../ui/time";
import { words, type WordsId } from "../words";
import type { Followed } from "./follow";

type Kind = "media" | "files" | "links";

const KINDS: { kind: Kind; label: WordsId }[] = [
    { kind: "media", label: "group.media.pictures" },
    { kind: "files", label: "group.media.files" },
    { kind: "links", label: "group.media.links" },
];
const ICONS: Record<Kind, IconName> = { media: "picture", files: "file", links: "link" };
/** How many messages are looked through at a time. */
const PAGE = 100;
/** What tells that a message is another one now. */
const CHANGES = ["Event.decrypted", "Event.replaced", "Room.redaction", "Room.redactionCancelled"];
const URL_IN_TEXT = /https?:\/\/[^\s<>"]+/;

function kindOf(event: MatrixEvent): Kind | undefined {
    if (event.isRedacted() || event.getType() !== "m.room.message") return undefined;
    const { msgtype, body } = saidBy(event);
    if (msgtype === "m.image" || msgtype === "m.video") return "media";
    if (msgtype === "m.file" || msgtype === "m.audio") return "files";
    return typeof body === "string" && URL_IN_TEXT.test(body) ? "links" : undefined;
}

/** What a row says: the link itself, or the name of the file. */
function titleOf(event: MatrixEvent, kind: Kind): string {
    const { body, filename } = saidBy(event);
    if (kind === "links") return URL_IN_TEXT.exec(body as string)![0];
    return [filename, body].find((name) => typeof name === "string") ?? oneLine(event);
}

/** The messages of a chat that have not disappeared. They are drawn again when keys come late, when one is changed or deleted,
 * and when the next one disappears. */
function useMessages(room: Room): MatrixEvent[] {
    const there = client.value;
    const [count, draw] = useReducer((count: number) => count + 1, 0);
    const again = () => draw(undefined as never);
    useEffect(() => {
        let frame = 0;
        const changed = (event: MatrixEvent) => {
            if (event.getRoomId() !== room.roomId) return;
            cancelAnimationFrame(frame);
            frame = requestAnimationFrame(again);
        };
        for (const name of CHANGES) there?.on(name as never, changed as never);
        return () => {
            cancelAnimationFrame(frame);
            for (const name of CHANGES) there?.off(name as never, changed as never);
        };
    }, [there, room]);
    const now = Date.now();
    const events = room.getLiveTimeline().getEvents();
    const next = Math.min(...events.map((event) => disappearsTs(event) ?? Infinity).filter((ts) => ts > now));
    useEffect(() => {
        const alarm = new Alarm(again);
        if (next < Infinity) alarm.set(next);
        return () => alarm.clear();
    }, [next, count]);
    return events.filter((event) => !isGone(event, now));
}

export function Gallery({ chat: { there, room } }: { chat: Followed }) {
    const [kind, setKind] = useState<Kind>("media");
    const [isLoading, setIsLoading] = useState(false);
    const timeline = room.getLiveTimeline();
    const shown = useMessages(room).filter((event) => kindOf(event) === kind).reverse();
    const hasMore = timeline.getPaginationToken("b" as never) !== null;
    const oldest = timeline.getEvents()[0]?.getTs();
    const more = async () => {
        setIsLoading(true);
        const load = there.scrollback(room, PAGE).then(() => Promise.all(timeline.getEvents().map((event) => event.getDecryptionPromise())));
        await done(load);
        setIsLoading(false);
    };
    return (
        <div class="pane-body">
            <div class="filters" role="group" aria-label={words("group.media")}>
                {KINDS.map(({ kind: one, label }) => (
                    <button key={one} class="filter" aria-pressed={one === kind} onClick={() => setKind(one)}>
                        {words(label)}
                    </button>
                ))}
            </div>
            <ul class="people-list">
                {shown.map((event) => (
                    <li key={event.getId()}>
                        <Link class="row" {...toMessage(room.roomId, event.getId() ?? "")}>
                            <span class="picture sign">
                                <Icon name={ICONS[kind]} />
                            </span>
                            <span class="name" dir="auto">{titleOf(event, kind)}</span>
                            <time class="time">{short(event.getTs())}</time>
                            <span class="preview" dir="auto">{personName(event.getSender() ?? "", room.getMember(event.getSender() ?? "")?.rawDisplayName)}</span>
                        </Link>
                    </li>
                ))}
            </ul>
            {shown.length === 0 && !hasMore && <p class="hint centred">{words("group.media.none")}</p>}
            {hasMore && (
                <>
                    {oldest && <p class="hint centred">{words("group.media.until", { day: short(oldest) })}</p>}
                    <button class="secondary wide" disabled={isLoading} onClick={() => void more()}>
                        {words("group.media.more")}
                    </button>
                </>
            )}
        </div>
    );
}
