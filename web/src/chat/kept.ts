// The last messages of the chats that were open last, as the screen showed them and as the server gave them: the former for the
// first picture of the next start, the latter for the client to go on from.

import type { IEvent } from "matrix-js-sdk";

import { forgetPiece, keepPiece, keptPiece, piecesOf, piecesToLookThrough } from "../sync/snapshot";
import { disappearsTsOf } from "./disappears";
import type { Row } from "./rows";

/** An event as the server gives it. */
export type Raw = Partial<IEvent>;

export interface KeptChat {
    rows: Row[];
    isDirect: boolean;
    /** Events without gaps, the oldest first. Those of an encrypted chat are encrypted. */
    events: Raw[];
    /** Who the senders are. */
    members: Raw[];
    /** The token of what is before the events. Without it, nothing is. */
    before?: string;
}

/** How many chats are kept, and how many rows of each. */
const MOST_CHATS = 20;
export const MOST_ROWS = 30;

const PREFIX = "chat ";

export async function keptChat(userId: string, roomId: string): Promise<KeptChat | undefined> {
    const kept = await keptPiece<KeptChat>(userId, PREFIX + roomId);
    return kept && withoutGone(kept, Date.now());
}

export function keepChat(userId: string, roomId: string, kept: KeptChat): Promise<void> {
    return keepPiece(userId, PREFIX + roomId, kept, firstToGo(kept));
}

export function forgetChat(userId: string, roomId: string): Promise<void> {
    return forgetPiece(userId, PREFIX + roomId);
}

/** The ids of the chats that are kept. Those that are too many are forgotten. */
export async function keptChats(userId: string): Promise<string[]> {
    const chats = (await piecesOf(userId)).filter((name) => name.startsWith(PREFIX)).map((name) => name.slice(PREFIX.length));
    for (const roomId of chats.slice(MOST_CHATS)) await forgetChat(userId, roomId);
    return chats.slice(0, MOST_CHATS);
}

/** Takes what has disappeared out of what is kept. Answers when the next message does. */
export async function dropGone(userId: string): Promise<number> {
    const pieces = await piecesToLookThrough(userId, Date.now());
    let { next } = pieces;
    for (const name of pieces.due) {
        if (!name.startsWith(PREFIX)) continue;
        const roomId = name.slice(PREFIX.length);
        const kept = await keptChat(userId, roomId);
        if (!kept) continue;
        await keepChat(userId, roomId, kept);
        next = Math.min(next, firstToGo(kept) ?? Infinity);
    }
    return next;
}

/** When each message disappears that does, by its id. */
function timesOf({ rows, events }: KeptChat): Map<string, number> {
    const shown = rows.flatMap((row) => (row.kind === "message" ? row.messages : []));
    const times = [
        ...shown.map(({ id, disappearsTs }) => [id, disappearsTs] as const),
        ...events.map((event) => [event.event_id ?? "", disappearsTsOf(event)] as const),
    ];
    return new Map(times.filter((time): time is [string, number] => time[1] !== undefined));
}

function firstToGo(kept: KeptChat): number | undefined {
    const times = timesOf(kept);
    return times.size > 0 ? Math.min(...times.values()) : undefined;
}

function withoutGone(kept: KeptChat, now: number): KeptChat {
    const times = timesOf(kept);
    const isGone = (id: string | undefined) => (times.get(id ?? "") ?? Infinity) <= now;
    const rows = kept.rows.flatMap((row): Row[] => {
        if (row.kind !== "message") return [row];
        const there = row.messages.filter(({ id }) => !isGone(id));
        const [first, ...others] = there.map((message) => (isGone(message.quote?.id) ? { ...message, quote: undefined } : message));
        return first ? [{ ...row, messages: [first, ...others] }] : [];
    });
    return { ...kept, rows, events: kept.events.filter(({ event_id }) => !isGone(event_id)) };
}
