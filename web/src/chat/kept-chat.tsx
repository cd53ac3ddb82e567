// A chat as it was shown last, until the client knows it. One can read, scroll and write; all else comes with the client.

import "./kept-chat.css";

import { useEffect, useState } from "preact/hooks";

import { personName } from "../chats/names";
import { rowOfChat } from "../chats/rows";
import { early, localFile } from "../composer/outbox";
import { fit } from "../media/sizes";
import { platformName, serverOf } from "../platform";
import { session } from "../session/session";
import { Avatar } from "../ui/avatar";
import { Icon } from "../ui/icon";
import { Back, PaneTitle } from "../ui/pane";
import { PlatformMark } from "../ui/platform-mark";
import { clock, day } from "../ui/time";
import { words } from "../words";
import { type Content, message } from "./content";
import { Happened } from "./happened";
import { type KeptChat, keptChat } from "./kept";
import type { Message, Quote } from "./message";
import { Skeletons } from "./messages";
import type { Row } from "./rows";
import { plainText, spoken } from "./spoken";
import { isOnlyEmoji, TextBody } from "./text";

type MessageRow = Extract<Row, { kind: "message" }>;

/** What is kept of a chat, or nothing if nothing is; not defined until that is known. */
export function useKeptChat(id: string): KeptChat | null | undefined {
    const [kept, setKept] = useState<KeptChat | null>();
    useEffect(() => {
        const begun = session.peek();
        if (!begun) return;
        let isGone = false;
        const show = (found: KeptChat | undefined) => isGone || setKept(found ?? null);
        keptChat(begun.userId, id).then(show, (error: unknown) => {
            console.warn(error);
            show(undefined);
        });
        return () => void (isGone = true);
    }, [id]);
    return kept;
}

export function ChatAsKept({ id, kept }: { id: string; kept: KeptChat | null | undefined }) {
    const rows = [...(kept?.rows ?? []), ...earlyRows(id)];
    return (
        <>
            <Head id={id} />
            <div class="messages-frame">
                {rows.length > 0 ? <KeptMessages rows={rows} isDirect={kept?.isDirect ?? true} /> : kept === null && <Skeletons />}
            </div>
            <p class="typing" />
        </>
    );
}

function Head({ id }: { id: string }) {
    const row = rowOfChat(id)?.value;
    if (!row) return <header />;
    return (
        <header>
            <Back to="/" />
            <span class="who">
                <span class="picture">
                    <Avatar id={row.person ?? id} name={row.name} mxc={row.avatar} size={40} />
                    {row.elsewhere && (
                        <span class="elsewhere">
                            <PlatformMark server={row.elsewhere} />
                        </span>
                    )}
                </span>
                <span class="titles">
                    <PaneTitle dir="auto">{row.name}</PaneTitle>
                    <small>
                        <span>{row.person && words("chat.on", { platform: platformName(serverOf(row.person)) })}</span>
                        <span class="sealed">
                            {row.isEncrypted && <Icon name="lock" />}
                            {words(row.isEncrypted ? "chat.encrypted.short" : "chat.plain.short")}
                        </span>
                    </small>
                </span>
            </span>
        </header>
    );
}

/** What was written in a chat before there is a client. */
function earlyRows(id: string): Row[] {
    const userId = session.value?.userId ?? "";
    const own = early.value.filter((one) => one.userId === userId && one.item.roomId === id);
    return own.map(({ item }) => {
        const content = message(item.content, { file: localFile(item.id) });
        const said = { key: item.id, id: item.id, sender: { id: userId, name: "" }, ts: item.at, content, reactions: [], readers: [] };
        const nothing = { isEncrypted: false, isEdited: false, replies: 0, isPinned: false, isStarred: false, isMention: false };
        return { kind: "message", key: item.id, messages: [{ ...said, ...nothing, isOwn: true, state: "sending" }], isFirst: true, isLast: true };
    });
}

function KeptMessages({ rows, isDirect }: Pick<KeptChat, "rows" | "isDirect">) {
    return (
        <div class="messages kept" role="log" aria-live="off" aria-label={words("chat.messages")} aria-busy="true">
            <ol>
                {rows.map((row) => (
                    <li key={row.key}>
                        <KeptRow row={row} isGroup={!isDirect} />
                    </li>
                ))}
            </ol>
        </div>
    );
}

function KeptRow({ row, isGroup }: { row: Row; isGroup: boolean }) {
    if (row.kind === "day") return <p class="day">{day(row.ts)}</p>;
    if (row.kind === "happened") return <Happened sentences={row.sentences} />;
    if (row.kind === "message") return <KeptMessage row={row} isGroup={isGroup} />;
    return null;
}

function KeptMessage({ row, isGroup }: { row: MessageRow; isGroup: boolean }) {
    const { messages, isFirst, isLast } = row;
    const [first] = messages;
    const last = messages.at(-1)!;
    const hasFace = isGroup && !first.isOwn;
    const isBare = first.content.kind === "text" && !first.quote && isOnlyEmoji(first.content.body);
    return (
        <div
            class="message"
            role="article"
            aria-label={spoken(messages)}
            data-own={first.isOwn || undefined}
            data-first={isFirst || undefined}
            data-last={isLast || undefined}
            data-group={hasFace || undefined}
        >
            {hasFace && (
                <span class="face">{isLast && <Avatar id={first.sender.id} name={first.sender.name} mxc={first.sender.avatar} size={28} />}</span>
            )}
            <div class="column">
                <div class="line">
                    <div class="bubble" data-kind={first.content.kind} data-bare={isBare || undefined}>
                        {hasFace && isFirst && (
                            <b class="sender">
                                <bdi>{first.sender.name}</bdi>
                            </b>
                        )}
                        {first.quote && <KeptQuote quote={first.quote} />}
                        <KeptBody message={first} />
                        <span class="meta">
                            {last.isExposed && <Icon name="unlocked" label={words("message.exposed")} />}
                            <time dateTime={new Date(last.ts).toISOString()}>{clock(last.ts)}</time>
                            {last.isOwn && last.content.kind !== "deleted" && <Icon name={STATES[last.state]} label={words(`message.${last.state}`)} />}
                        </span>
                    </div>
                </div>
            </div>
        </div>
    );
}

function KeptQuote({ quote: { sender, text } }: { quote: Quote }) {
    return (
        <div class="quote-card">
            <span>
                {sender && <b><bdi>{sender.name}</bdi></b>}
                <span class="quoted" dir="auto">{text ?? words("message.answers.unknown")}</span>
            </span>
        </div>
    );
}

const STATES = { sending: "clock", sent: "sent", read: "read", failed: "failed" } as const;

/** Text as it was said; of everything else what it is, in the place that it takes. */
function KeptBody({ message: { content, sender } }: { message: Message }) {
    if (content.kind === "text") {
        const own = session.value?.userId ?? "";
        return (
            <div class="said" data-notice={content.isNotice || undefined} data-emote={content.isEmote || undefined}>
                {content.isEmote && <span class="emoter">{sender.name} </span>}
                <TextBody text={content} context={{ own, nameOf: (id) => personName(id) }} />
            </div>
        );
    }
    const size = sizeOf(content);
    if (!size) return <p class="text">{plainText(content)}</p>;
    return <div class="media-place" style={{ width: `${size.width}px`, aspectRatio: `${size.width} / ${size.height}` }} />;
}

function sizeOf(content: Content): { width: number; height: number } | undefined {
    return content.kind === "picture" || content.kind === "video" ? fit(content.width, content.height) : undefined;
}
