// A message as the screen shows it, made of the event and of what else the library knows about it.

import type { MatrixEvent, Room } from "matrix-js-sdk";

import { oneLine } from "../chats/preview";
import { sendingOf } from "../chats/sending";
import { type Content, contentOf } from "./content";
import { disappearsTs, isGone } from "./disappears";
import { saidBy } from "./edits";
import { type Person, personOf } from "./people";
import type { Related } from "./related";

export type State = "sending" | "sent" | "read" | "failed";

interface Reaction {
    /** An emoji, or what another app uses as one. */
    key: string;
    /** Who reacts so, the first ones first. */
    who: { id: string; name: string }[];
    /** The person's own reaction, to take it back. */
    own?: string;
}

export interface Quote {
    id: string;
    /** Without it, the message that is answered is not loaded. */
    sender?: Person;
    text?: string;
    thumbnail?: string;
}

export interface Message {
    /** Stays the same when the server has taken the message. */
    key: string;
    id: string;
    sender: Person;
    isOwn: boolean;
    ts: number;
    state: State;
    content: Content;
    isEncrypted: boolean;
    /** Whether it came without encryption into a chat that is encrypted. */
    isExposed?: true;
    isEdited: boolean;
    quote?: Quote;
    reactions: Reaction[];
    /** How many messages other apps have put below it, in a thread. */
    replies: number;
    isPinned: boolean;
    isStarred: boolean;
    isMention: boolean;
    /** When it disappears, in milliseconds since the Unix epoch. */
    disappearsTs?: number;
    /** Others who have read up to here and no further. */
    readers: Person[];
}

/** What more there is to know about messages of one chat. */
export interface Surroundings {
    room: Room;
    own: string;
    related: Related;
    pinned: Set<string>;
    starred: Set<string>;
    find: (id: string) => MatrixEvent | undefined;
    now: number;
}

/** The key by which a row stays the same before and after the server has its event. */
export function keyOf(event: MatrixEvent): string {
    return event.getTxnId() ?? event.getUnsigned().transaction_id ?? event.getId() ?? "";
}

export function messageOf(event: MatrixEvent, around: Surroundings): Message {
    const { room, own, related, pinned, starred } = around;
    const id = event.getId() ?? "";
    const sender = event.getSender() ?? "";
    return {
        key: keyOf(event),
        id,
        sender: personOf(room, sender),
        isOwn: sender === own,
        ts: event.getTs(),
        state: sendingOf(event),
        content: contentOf(event),
        isEncrypted: event.isEncrypted(),
        isExposed: isExposed(event, room) || undefined,
        isEdited: !event.isRedacted() && event.replacingEvent() !== null,
        quote: event.isRedacted() ? undefined : quoteOf(event, around),
        reactions: event.isRedacted() ? [] : reactionsOf(related.reactions(id), room, own),
        replies: repliesOf(event, related),
        isPinned: pinned.has(id),
        isStarred: starred.has(id),
        isMention: mentions(event, own),
        disappearsTs: disappearsTs(event),
        readers: [],
    };
}

/** Whether people of an encrypted chat should know that an event was not. What waits here is encrypted when it is sent. */
function isExposed(event: MatrixEvent, room: Room): boolean {
    return room.hasEncryptionStateEvent() && !event.isEncrypted() && !event.isRedacted() && event.status === null;
}

/** The message that this one answers. Apps that know threads mark answers that only keep threads together. */
export function repliedTo(event: MatrixEvent): string | undefined {
    const relation = event.getWireContent()["m.relates_to"] as Record<string, unknown> | undefined;
    if (typeof relation !== "object" || relation === null) return undefined;
    const answered = (relation["m.in_reply_to"] as { event_id?: unknown } | undefined)?.event_id;
    if (relation.rel_type === "m.thread" && (relation.is_falling_back === true || answered === undefined)) {
        return typeof relation.event_id === "string" ? relation.event_id : undefined;
    }
    return typeof answered === "string" ? answered : undefined;
}

function quoteOf(event: MatrixEvent, { room, find, now }: Surroundings): Quote | undefined {
    const id = repliedTo(event);
    if (id === undefined) return undefined;
    const answered = find(id);
    if (!answered) return { id };
    if (isGone(answered, now)) return undefined;
    const content = contentOf(answered);
    const isSeen = content.kind === "picture" || content.kind === "video" || content.kind === "sticker";
    return {
        id,
        sender: personOf(room, answered.getSender() ?? ""),
        text: oneLine(answered),
        thumbnail: isSeen && !content.source.key ? content.source.mxc : undefined,
    };
}

function reactionsOf(events: MatrixEvent[], room: Room, own: string): Reaction[] {
    const byKey = new Map<string, Reaction>();
    for (const event of events) {
        const key = event.getRelation()?.key as unknown;
        const sender = event.getSender();
        if (typeof key !== "string" || !key || !sender || event.isRedacted()) continue;
        const reaction = byKey.get(key) ?? { key: key.slice(0, 64), who: [] };
        if (reaction.who.some(({ id }) => id === sender)) continue;
        const { id, name } = personOf(room, sender);
        reaction.who.push({ id, name });
        if (sender === own) reaction.own = event.getId();
        byKey.set(key, reaction);
    }
    return [...byKey.values()].sort((one, other) => other.who.length - one.who.length);
}

function repliesOf(event: MatrixEvent, related: Related): number {
    const bundled = event.getServerAggregatedRelation<{ count?: unknown }>("m.thread")?.count;
    return Math.max(typeof bundled === "number" ? bundled : 0, related.replies(event.getId() ?? ""));
}

function mentions(event: MatrixEvent, own: string): boolean {
    const named = saidBy(event)["m.mentions"] as { user_ids?: unknown; room?: unknown } | undefined;
    return named?.room === true || (Array.isArray(named?.user_ids) && named.user_ids.includes(own));
}
