// The pictures, files and links of a chat, the newest first. Each leads to its message.

import type { MatrixEvent, MatrixEventEvent } from "matrix-js-sdk";
import { useEffect, useReducer, useState } from "preact/hooks";
import { Link } from "wouter-preact";

import { personName } from "../chats/names";
import { oneLine } from "../chats/preview";
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
const URL_IN_TEXT = /https?:\/\/[^\s<>"]+/;

function kindOf(event: MatrixEvent): Kind | undefined {
    if (event.isRedacted() || event.getType() !== "m.room.message") return undefined;
    const { msgtype, body } = event.getContent();
    if (msgtype === "m.image" || msgtype === "m.video") return "media";
    if (msgtype === "m.file" || msgtype === "m.audio") return "files";
    return typeof body === "string" && URL_IN_TEXT.test(body) ? "links" : undefined;
}

/** What a row says: the link itself, or the name of the file. */
function titleOf(event: MatrixEvent, kind: Kind): string {
    const { body, filename } = event.getContent();
    if (kind === "links") return URL_IN_TEXT.exec(body as string)![0];
    return (filename as string | undefined) ?? (body as string | undefined) ?? oneLine(event);
}

/** Draws again when messages of a chat become readable, whose keys may come late. */
function useDecrypted(roomId: string): void {
    const there = client.value;
    const [, draw] = useReducer((count: number) => count + 1, 0);
    useEffect(() => {
        let frame = 0;
        const changed = (event: MatrixEvent) => {
            if (event.getRoomId() !== roomId) return;
            cancelAnimationFrame(frame);
            frame = requestAnimationFrame(() => draw(undefined as never));
        };
        const name = "Event.decrypted" as MatrixEventEvent.Decrypted;
        there?.on(name, changed);
        return () => {
            cancelAnimationFrame(frame);
            there?.off(name, changed);
        };
    }, [there, roomId]);
}

export function Gallery({ chat: { there, room } }: { chat: Followed }) {
    const [kind, setKind] = useState<Kind>("media");
    const [isLoading, setIsLoading] = useState(false);
    const timeline = room.getLiveTimeline();
    const shown = timeline.getEvents().filter((event) => kindOf(event) === kind).reverse();
    const hasMore = timeline.getPaginationToken("b" as never) !== null;
    const oldest = timeline.getEvents()[0]?.getTs();
    useDecrypted(room.roomId);
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
