// The rows of a chat: messages in their groups, and what stands between them.

import type { MatrixEvent } from "matrix-js-sdk";

import { isComparison } from "../chats/preview";
import { isSameDay } from "../ui/time";
import { POLL_STARTS } from "./content";
import { isGone } from "./disappears";
import { type Message, messageOf, type Surroundings } from "./message";
import { personOf } from "./people";
import { sentenceOf } from "./sentences";

/** Messages of one person that follow each other within this time are one group, in milliseconds. */
const GROUP_MS = 5 * 60_000;
/** Pictures that follow each other within this time were sent together, in milliseconds. */
const ALBUM_MS = 60_000;
const MAX_ALBUM = 10;
/** How many faces of those who have read up to a message are known to its row. */
const MAX_READERS = 30;

export type Row =
    | { kind: "beginning" | "unread"; key: string }
    | { kind: "day"; key: string; ts: number }
    | { kind: "happened"; key: string; ts: number; sentences: string[] }
    | { kind: "message"; key: string; messages: [Message, ...Message[]]; isFirst: boolean; isLast: boolean };

interface RowOptions {
    isBeginning: boolean;
    /** The last event that was read when the chat was opened. The first message of others after it is the first unread. */
    readUpTo?: string;
    /** Whether others' receipts are known to be after the last event that is loaded. */
    isReadToEnd: boolean;
    isDirect: boolean;
}

const MESSAGES = new Set(["m.room.message", "m.room.encrypted", "m.sticker", ...POLL_STARTS]);

/** Whether an event is shown as a message. Edits and other relations change what is shown already. */
export function isShown(event: MatrixEvent): boolean {
    const kind = event.getRelation()?.rel_type;
    if (isComparison(event)) return false;
    return MESSAGES.has(event.getType()) && kind !== "m.replace" && kind !== "m.annotation" && !(kind === "m.reference" && !isRoot(event));
}

/** Places of a live location are references, too, but say something themselves. */
function isRoot(event: MatrixEvent): boolean {
    return event.getType() === "m.room.message";
}

export function rowsOf(events: MatrixEvent[], around: Surroundings, options: RowOptions): Row[] {
    const items = itemsOf(events, around, options);
    noteReads(items, around, options);
    return layOut(items, options);
}

type Item = { ts: number; readers: Set<string> } & ({ message: Message } | { sentence: string; key: string } | { isUnread: true });

/** Messages and sentences in order, each with those who have read up to it. */
function itemsOf(events: MatrixEvent[], around: Surroundings, { readUpTo }: RowOptions): Item[] {
    const items: Item[] = [];
    let isAfterRead = false;
    let creator: string | undefined;
    for (const event of events) {
        if (event.getType() === "m.room.create") creator = event.getSender();
        else if (!event.isState()) creator = undefined;
        const isSetUp = creator !== undefined && event.getSender() === creator;
        const item = isGone(event, around.now) ? undefined : readableItem(event, around, isSetUp);
        if (item) {
            if (isAfterRead && "message" in item && !item.message.isOwn) {
                items.push({ isUnread: true, ts: item.ts, readers: new Set() });
                isAfterRead = false;
            }
            items.push(item);
        }
        noteReaders(event, around, items.at(-1));
        if (readUpTo !== undefined && event.getId() === readUpTo) isAfterRead = true;
    }
    return items;
}

/** What is shown of an event. One that nobody has thought of does not take the others along. */
function readableItem(event: MatrixEvent, around: Surroundings, isSetUp: boolean): Item | undefined {
    try {
        return itemOf(event, around, isSetUp);
    } catch (error) {
        console.error("an event cannot be shown", event.getId(), error);
        return undefined;
    }
}

/** What an event says. Whoever makes a chat sets it up in many steps, which say nothing to anybody. */
function itemOf(event: MatrixEvent, around: Surroundings, isSetUp: boolean): Item | undefined {
    if (isShown(event)) return { message: messageOf(event, around), ts: event.getTs(), readers: new Set() };
    const kind = event.getRelation()?.rel_type;
    if (kind === "m.replace" || kind === "m.annotation" || event.getType() === "m.room.encrypted") return undefined;
    const sentence = isSetUp && event.getType() !== "m.room.encryption" ? undefined : sentenceOf(event, around.room);
    return sentence === undefined ? undefined : { sentence, key: event.getId() ?? "", ts: event.getTs(), readers: new Set() };
}

function noteReaders(event: MatrixEvent, { room, own }: Surroundings, item: Item | undefined): void {
    if (!item) return;
    for (const { userId } of room.getReceiptsForEvent(event)) {
        if (userId !== own && userId !== event.getSender()) item.readers.add(userId);
    }
}

/** Says of each own message of a chat of two whether it was read, and in groups who has read up to where. */
function noteReads(items: Item[], { room }: Surroundings, { isReadToEnd, isDirect }: RowOptions): void {
    let readers = new Set<string>();
    let isRead = isReadToEnd;
    for (const item of items.toReversed()) {
        for (const reader of item.readers) readers.add(reader);
        isRead ||= readers.size > 0;
        if (!("message" in item)) continue;
        const { message } = item;
        // Whoever has answered has read what came before.
        isRead ||= !message.isOwn;
        if (!isDirect) message.readers = [...readers].slice(0, MAX_READERS).map((id) => personOf(room, id));
        else if (isRead && message.isOwn && message.state === "sent") message.state = "read";
        readers = new Set();
    }
}

/** The first day of what is loaded stands at the top of the window, and in a row of its own only where the chat begins: a row
 * that moves away when older messages come would take along what one reads. */
function layOut(items: Item[], options: RowOptions): Row[] {
    const rows: Row[] = options.isBeginning ? [{ kind: "beginning", key: "beginning" }] : [];
    let before: Item | undefined;
    for (const [at, item] of items.entries()) {
        if (before ? !isSameDay(before.ts, item.ts) : options.isBeginning) rows.push({ kind: "day", key: `day ${keyOfItem(item)}`, ts: item.ts });
        const last = rows.at(-1);
        if ("isUnread" in item) rows.push({ kind: "unread", key: "unread" });
        else if ("sentence" in item) {
            if (last?.kind === "happened") last.sentences.push(item.sentence);
            else rows.push({ kind: "happened", key: item.key, ts: item.ts, sentences: [item.sentence] });
        } else if (last?.kind === "message" && belongsToAlbum(last.messages, item.message)) {
            last.messages.push(item.message);
            last.isLast = !goTogether(item, items[at + 1]);
        } else {
            const isFirst = last?.kind !== "message" || !goTogether(before, item);
            rows.push({ kind: "message", key: item.message.key, messages: [item.message], isFirst, isLast: !goTogether(item, items[at + 1]) });
        }
        before = item;
    }
    return rows;
}

function keyOfItem(item: Item): string {
    return "message" in item ? item.message.key : "sentence" in item ? item.key : "unread";
}

function goTogether(one: Item | undefined, other: Item | undefined): boolean {
    if (!one || !other || !("message" in one) || !("message" in other)) return false;
    return one.message.sender.id === other.message.sender.id && other.ts - one.ts < GROUP_MS && isSameDay(one.ts, other.ts);
}

/** Whether a picture is shown in one grid with those before it. What is said about one alone needs a place of its own. */
function belongsToAlbum(messages: Message[], next: Message): boolean {
    const isPlain = ({ content, quote, reactions, replies, state }: Message) =>
        content.kind === "picture" && !content.caption && !quote && reactions.length === 0 && replies === 0 && state !== "failed";
    const last = messages.at(-1)!;
    return (
        messages.length < MAX_ALBUM &&
        messages.every(isPlain) &&
        isPlain(next) &&
        last.isExposed === next.isExposed &&
        last.sender.id === next.sender.id &&
        next.ts - last.ts < ALBUM_MS
    );
}
