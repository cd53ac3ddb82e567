// An invitation that waits until the person has looked at it: who has sent it, what was said, and the three answers.

import type { MatrixClient, MatrixEvent, MatrixEventEvent, Room } from "matrix-js-sdk";

import { saidBy } from "../chat/edits";
import { isMessage, oneLine } from "../chats/preview";
import { forgetInvitations, invitations } from "../chats/rows";
import { decrypt } from "../encryption/senders";
import { perAccount } from "../session/session";
import { ask } from "../sync/ask";
import { client, running, sdk } from "../sync/running";
import { known } from "./known";

export interface Invitation {
    room: Room;
    sender: string;
    isDirect: boolean;
}

export function invitationOf(client: MatrixClient, room: Room): Invitation | undefined {
    const own = room.getMember(client.getSafeUserId())?.events.member;
    const sender = own?.getSender();
    if (room.getMyMembership() !== "invite" || !sender) return undefined;
    return { room, sender, isDirect: own?.getContent().is_direct === true };
}

export interface Said {
    id: string;
    sender: string;
    ts: number;
    text: string;
}

const pathOf = (roomId: string) => `/requests/${encodeURIComponent(roomId)}`;

/** After how long it is looked again for a first message, in milliseconds: syncs do not tell of it. Whoever has not said anything
 * after the last time has not come to say something at once. */
const LOOK_AGAIN_MS = [4_000, 8_000, 16_000, 32_000];

/**
 * Tells what was said last, the oldest first, as text; again when a message becomes readable or the first one comes. The sender does
 * not learn that it was read. Returns how to stop.
 */
export function followSaid(roomId: string, limit: number, tell: (said: Said[]) => void): () => void {
    let isGone = false;
    let timer = 0;
    const look = async (attempt: number) => {
        const events = await saidIn(roomId, limit);
        const told = () => isGone || tell(events.map(saidOf));
        for (const event of events) event.on("Event.decrypted" as MatrixEventEvent.Decrypted, told);
        told();
        const wait = LOOK_AGAIN_MS[attempt];
        if (events.length > 0 || isGone || !wait) return;
        timer = window.setTimeout(() => void look(attempt + 1).catch(console.warn), wait);
    };
    look(0).catch((error: unknown) => {
        console.warn(error);
        if (!isGone) tell([]);
    });
    return () => {
        isGone = true;
        clearTimeout(timer);
    };
}

async function saidIn(roomId: string, limit: number): Promise<MatrixEvent[]> {
    const there = await running();
    const { MatrixEvent: Event } = await sdk();
    const { chunk } = await ask<{ chunk: object[] }>("GET", `${pathOf(roomId)}/preview?limit=${limit}`);
    const events: MatrixEvent[] = chunk.map((event) => new Event(event as never));
    await Promise.all(events.map((event) => decrypt(there, event)));
    return events.filter((event) => isMessage(event)).reverse();
}

function saidOf(event: MatrixEvent): Said {
    return { id: event.getId() ?? "", sender: event.getSender() ?? "", ts: event.getTs(), text: textOf(event) };
}

/** All of a text, and of anything else only what it is. */
function textOf(event: MatrixEvent): string {
    const { msgtype, body } = saidBy(event);
    const isText = !event.isRedacted() && (msgtype === "m.text" || msgtype === "m.notice") && typeof body === "string";
    return isText ? body : oneLine(event);
}

/** Joins the chat. Whoever has sent it is a contact from then on. */
export async function accept({ room }: Invitation): Promise<void> {
    await ask("POST", `${pathOf(room.roomId)}/accept`, {});
    await known(room.roomId);
}

export async function remove({ room }: Invitation): Promise<void> {
    await ask("DELETE", pathOf(room.roomId));
    forgetInvitations([room.roomId]);
}

/** Deletes it and blocks who has sent it, whose other invitations go, too. */
export async function block({ room }: Invitation): Promise<void> {
    await ask("POST", `${pathOf(room.roomId)}/block`, {});
    forgetInvitations([room.roomId]);
    await refreshInvitations();
}

/** An invitation to a number or an e-mail address of the person, whose sender does not know whose it is. */
export interface AddressInvitation {
    token: string;
    sender: string;
    address: string;
    is_direct: boolean;
}

export const byAddress = perAccount<AddressInvitation[]>([]);

/** Takes off the list what was deleted here or on another device: syncs do not tell of it, only the list of requests does. */
export async function refreshInvitations(): Promise<void> {
    const there = await running();
    const told = await ask<{ invitations: AddressInvitation[] }>("GET", "/invitations");
    // The tab may have gone on to another account meanwhile.
    if (client.peek() !== there) return;
    byAddress.value = told.invitations;
    const listed = invitations.peek().map((row) => row.peek().id);
    const waiting = new Set<string>();
    let from: string | undefined;
    do {
        const where: string = from ? `/requests?from=${encodeURIComponent(from)}` : "/requests";
        const page = await ask<{ requests: { room_id: string }[]; next_batch?: string }>("GET", where);
        for (const { room_id } of page.requests) waiting.add(room_id);
        from = page.next_batch;
    } while (from);
    if (client.peek() === there) forgetInvitations(listed.filter((id) => !waiting.has(id)));
}
