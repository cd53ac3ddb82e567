// A row of a chat that somebody has said: one message, or several pictures that were sent together.

import { useComputed } from "@preact/signals";
import { useRef } from "preact/hooks";

import { waiting } from "../composer/outbox";
import { Unsent } from "../composer/unsent";
import { Album } from "../media/picture";
import { useMedia } from "../media/fetch";
import { Avatar, colourOf } from "../ui/avatar";
import { Icon } from "../ui/icon";
import { later } from "../ui/later";
import { useLongPress } from "../ui/press";
import { clock } from "../ui/time";
import { words } from "../words";
import { react } from "./actions";
import { Body, Exposed, Vanishing } from "./body";
import { IsInCurrentRow, useOpenChat, useTabIndex } from "./context";
import type { Message, Quote } from "./message";
import type { Person } from "./people";
import type { Row } from "./rows";
import { choose, isChosen, selection } from "./selection";
import { spoken } from "./spoken";
import { isOnlyEmoji } from "./text";

const LinkPreview = later(() => import("./link-preview"), { isOptional: true });

/** How many faces of readers are shown. */
const MAX_FACES = 5;

interface BubbleProps {
    row: Extract<Row, { kind: "message" }>;
    isGroup: boolean;
    isCurrent: boolean;
    onFocus: () => void;
}

export function Bubble({ row, isGroup, isCurrent, onFocus }: BubbleProps) {
    const { timeline, openMenu } = useOpenChat();
    const element = useRef<HTMLDivElement>(null);
    const press = useLongPress(() => openMenu(row.messages, element.current!));
    const { messages, isFirst, isLast } = row;
    const [first] = messages;
    const last = messages.at(-1)!;
    const isHighlighted = useComputed(() => messages.some(({ id }) => id === timeline.highlighted.value)).value;
    const isSelecting = selection.value !== undefined;
    const hasFace = isGroup && !first.isOwn;
    return (
        <div
            ref={element}
            class="message"
            role="article"
            tabIndex={isCurrent ? 0 : -1}
            aria-label={spoken(messages)}
            data-key={row.key}
            data-own={first.isOwn || undefined}
            data-first={isFirst || undefined}
            data-last={isLast || undefined}
            data-highlighted={isHighlighted || undefined}
            data-group={hasFace || undefined}
            data-chosen={(isSelecting && isChosen(messages)) || undefined}
            onFocusIn={onFocus}
            onContextMenu={(event) => {
                if ((event.target as Element).closest("a, input, video")) return;
                event.preventDefault();
                openMenu(messages, element.current!.querySelector(".bubble") ?? element.current!);
            }}
            {...press}
        >
            {isSelecting && (
                <input type="checkbox" class="chooser" aria-label={words("message.choose")} checked={isChosen(messages)} onChange={() => choose(messages)} />
            )}
            {hasFace && (
                <span class="face">{isLast && <Avatar id={first.sender.id} name={first.sender.name} mxc={first.sender.avatar} size={28} />}</span>
            )}
            <IsInCurrentRow.Provider value={isCurrent}>
                <div class="column">
                    <div class="line">
                        <Balloon row={row} isGroup={isGroup} />
                        {!isSelecting && <Tools messages={messages} />}
                    </div>
                    <Reactions message={last} />
                    {last.replies > 0 && <Replies message={last} />}
                    <Unsent id={last.key} />
                    {messages.flatMap(({ readers }) => readers).length > 0 && <Faces readers={messages.flatMap(({ readers }) => readers)} />}
                </div>
            </IsInCurrentRow.Provider>
        </div>
    );
}

function Balloon({ row, isGroup }: { row: BubbleProps["row"]; isGroup: boolean }) {
    const { openPicture } = useOpenChat();
    const { messages, isFirst } = row;
    const [first] = messages;
    const last = messages.at(-1)!;
    const { content } = first;
    const isBare = (content.kind === "text" && !first.quote && isOnlyEmoji(content.body)) || content.kind === "sticker";
    const isVisual = (content.kind === "picture" || content.kind === "video") && !content.caption && !first.quote;
    return (
        <div class="bubble" data-kind={content.kind} data-bare={isBare || undefined} data-visual={isVisual || undefined} data-mention={(first.isMention && !first.isOwn) || undefined}>
            {isGroup && !first.isOwn && isFirst && (
                <b class="sender" data-colour={colourOf(first.sender.id)}>
                    <bdi>{first.sender.name}</bdi>
                </b>
            )}
            {first.quote && <QuoteCard quote={first.quote} from={first.id} />}
            {messages.length > 1 ? <Album messages={messages} open={openPicture} /> : <Body message={first} />}
            {content.kind === "text" && /https?:|www\./i.test(content.body) && <LinkPreview message={first} />}
            <Meta message={last} />
        </div>
    );
}

function QuoteCard({ quote, from }: { quote: Quote; from: string }) {
    const { goTo } = useOpenChat();
    const tabIndex = useTabIndex();
    const { url } = useMedia(quote.thumbnail ? { mxc: quote.thumbnail } : undefined, { width: 96, height: 96 });
    return (
        <button class="quote-card" tabIndex={tabIndex} data-colour={quote.sender && colourOf(quote.sender.id)} onClick={() => goTo(quote.id, from)}>
            <span>
                {quote.sender && <b><bdi>{quote.sender.name}</bdi></b>}
                <span class="quoted" dir="auto">{quote.text ?? words("message.answers.unknown")}</span>
            </span>
            {url && <img src={url} alt="" />}
        </button>
    );
}

function Meta({ message }: { message: Message }) {
    return (
        <span class="meta">
            {message.isExposed && <Exposed />}
            {message.disappearsTs !== undefined && <Vanishing ts={message.disappearsTs} />}
            {message.isStarred && <Icon name="star" label={words("message.starred")} />}
            {message.isPinned && <Icon name="pin" label={words("message.pinned")} />}
            {message.isEdited && <Edited message={message} />}
            <time dateTime={new Date(message.ts).toISOString()}>{clock(message.ts)}</time>
            {message.isOwn && message.content.kind !== "deleted" && <StateSign message={message} />}
        </span>
    );
}

function Edited({ message }: { message: Message }) {
    const { openInfo } = useOpenChat();
    const tabIndex = useTabIndex();
    return (
        <button class="edited" tabIndex={tabIndex} onClick={() => openInfo([message])}>
            {words("message.edited")}
        </button>
    );
}

function StateSign({ message }: { message: Message }) {
    const { state } = message;
    const progress = waiting.value.get(message.key)?.progress;
    if (progress !== undefined) return <progress class="upload" value={progress} aria-label={words("message.sending")} />;
    const icon = { sending: "clock", sent: "sent", read: "read", failed: "failed" } as const;
    return <Icon name={icon[state]} label={words(`message.${state}`)} />;
}

function Reactions({ message }: { message: Message }) {
    const { timeline, pickReaction } = useOpenChat();
    const place = useRef<HTMLDivElement>(null);
    const tabIndex = useTabIndex();
    if (message.reactions.length === 0) return null;
    return (
        <div class="reactions" ref={place}>
            {message.reactions.map(({ key, own, who }) => {
                const names = who.map(({ name }) => name).join(", ");
                return (
                    <button
                        key={key}
                        tabIndex={tabIndex}
                        aria-pressed={own !== undefined}
                        title={names}
                        aria-label={words("message.reaction", { key: who.length > 1 ? `${key} ${who.length}` : key, names })}
                        onClick={() => void react(timeline, message, key)}
                    >
                        <span>{key}</span>
                        {who.length > 1 && <span class="count">{who.length}</span>}
                    </button>
                );
            })}
            <button class="add-reaction" tabIndex={tabIndex} aria-label={words("message.react")} onClick={(event) => pickReaction(message, event.currentTarget)}>
                <Icon name="emoji" />
            </button>
        </div>
    );
}

function Replies({ message }: { message: Message }) {
    const { timeline, openThread } = useOpenChat();
    const tabIndex = useTabIndex();
    if (timeline.threadRoot) return null;
    return (
        <button class="replies" tabIndex={tabIndex} onClick={() => openThread(message.id)}>
            <Icon name="chats" />
            {words("message.replies", { count: message.replies })}
        </button>
    );
}

function Faces({ readers }: { readers: Person[] }) {
    const more = readers.length - MAX_FACES;
    const names = readers.map(({ name }) => name).join(", ");
    return (
        <div class="faces" role="img" aria-label={words("message.read_by", { names })} title={names}>
            {readers.slice(0, MAX_FACES).map(({ id, name, avatar }) => (
                <Avatar key={id} id={id} name={name} mxc={avatar} size={16} />
            ))}
            {more > 0 && <span>+{more}</span>}
        </div>
    );
}

/** What appears beside a message when one points at it. By keyboard all of it is in the menu. */
function Tools({ messages }: { messages: Message[] }) {
    const { openMenu, pickReaction, reply } = useOpenChat();
    const last = messages.at(-1)!;
    const isThere = last.state === "sent" || last.state === "read";
    return (
        <div class="tools">
            {isThere && last.content.kind !== "deleted" && (
                <>
                    <button tabIndex={-1} aria-label={words("message.react")} title={words("message.react")} onClick={(event) => pickReaction(last, event.currentTarget)}>
                        <Icon name="emoji" />
                    </button>
                    <button tabIndex={-1} aria-label={words("message.reply")} title={words("message.reply")} onClick={() => reply(last)}>
                        <Icon name="reply" />
                    </button>
                </>
            )}
            <button tabIndex={-1} aria-label={words("message.menu")} title={words("message.menu")} onClick={(event) => openMenu(messages, event.currentTarget)}>
                <Icon name="more" />
            </button>
        </div>
    );
}
