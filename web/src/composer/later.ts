// Messages that the server sends later (MSC4140). In an encrypted chat they are encrypted when they are scheduled, so the
// server cannot read them; whoever joins after that cannot either.

import type { MatrixClient, Room } from "matrix-js-sdk";

import { sdk } from "../sync/running";
import { keepPiece, keptPiece } from "../sync/snapshot";
import type { Content } from "./content";
import { encryptIfNeeded } from "./outbox";

const BELOW = "/_matrix/client/unstable/org.matrix.msc4140";

export interface Scheduled {
    id: string;
    /** When it is sent, in milliseconds since the Unix epoch. */
    at: number;
    /** What it says, where this device knows it. */
    text?: string;
}

interface DelayedEvent {
    delay_id: string;
    delay: number;
    running_since: number;
    type: string;
    content: Content;
}

/** The words of encrypted messages that wait, which the server cannot give back. They stay in this browser, encrypted. */
type Texts = Record<string, { room: string; text: string }>;

const PIECE = "scheduled";
/** Where they lay in the clear before. */
const clearName = (userId: string) => `linkspan.scheduled.${userId}`;

/** The change before, so that no two overwrite each other. */
let changing: Promise<unknown> = Promise.resolve();

/** Changes the words that are kept, and answers with what they are then. */
function change(client: MatrixClient, how: (texts: Texts) => Texts): Promise<Texts> {
    const userId = client.getSafeUserId();
    const run = async () => {
        const before = (await keptPiece<Texts>(userId, PIECE)) ?? {};
        const after = how(before);
        if (JSON.stringify(after) !== JSON.stringify(before)) await keepPiece(userId, PIECE, after);
        localStorage.removeItem(clearName(userId));
        return after;
    };
    // The browser may keep nothing. The messages themselves are with the server.
    const changed = changing.then(run).catch((error: unknown): Texts => {
        console.warn(error);
        return {};
    });
    changing = changed;
    return changed;
}

async function ask<Value>(client: MatrixClient, method: "GET" | "PUT" | "POST", where: string, query: Record<string, string>, body?: object): Promise<Value> {
    return client.http.authedRequest<Value>(method as never, where, query, body as never, { prefix: BELOW });
}

/** Has the server send a message at a time. */
export async function schedule(room: Room, content: Content, at: number): Promise<void> {
    const { MatrixEvent } = await sdk();
    const { client, roomId } = room;
    const sender = client.getSafeUserId();
    const event = new MatrixEvent({ event_id: `~${roomId}:later`, type: "m.room.message", room_id: roomId, sender, content });
    await encryptIfNeeded(client, event, room);
    const where = `/rooms/${encodeURIComponent(roomId)}/delayed_event/${encodeURIComponent(event.getWireType())}/${crypto.randomUUID()}`;
    const body = { delay: Math.max(1, at - Date.now()), content: event.getWireContent() };
    const { delay_id } = await ask<{ delay_id: string }>(client, "PUT", where, {}, body);
    if (event.isEncrypted()) await change(client, (texts) => ({ ...texts, [delay_id]: { room: roomId, text: String(content.body) } }));
}

/** What waits in a room, the next one first. */
export async function scheduledIn(room: Room): Promise<Scheduled[]> {
    const query = { status: "scheduled", room_id: room.roomId };
    const { delayed_events } = await ask<{ delayed_events: DelayedEvent[] }>(room.client, "GET", "/delayed_events", query);
    const isListed = new Set(delayed_events.map(({ delay_id }) => delay_id));
    // What was sent or taken back elsewhere waits no more.
    const isWaiting = ([id, { room: kept }]: [string, Texts[string]]) => kept !== room.roomId || isListed.has(id);
    const texts = await change(room.client, (before) => Object.fromEntries(Object.entries(before).filter(isWaiting)));
    const isMessage = ({ type }: DelayedEvent) => type === "m.room.message" || type === "m.room.encrypted";
    return delayed_events.filter(isMessage).map(({ delay_id, delay, running_since, content }) => ({
        id: delay_id,
        at: running_since + delay,
        text: typeof content.body === "string" ? content.body : texts[delay_id]?.text,
    }));
}

/** Sends a message that waits now, or takes it back. */
export async function act(client: MatrixClient, id: string, action: "send" | "cancel"): Promise<void> {
    await ask(client, "POST", `/delayed_events/${encodeURIComponent(id)}/${action}`, {}, {});
    await change(client, ({ [id]: _gone, ...rest }) => rest);
}
