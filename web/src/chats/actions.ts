// What one can do with a chat wherever it is shown: in the list, in its head and in its details.

import type { MatrixClient, Room } from "matrix-js-sdk";

import { receipts } from "../settings/choices";
import { ask } from "../sync/ask";
import { client } from "../sync/running";
import { blockChanges } from "./blocks";
import { MARKED } from "./rows";

function chat(roomId: string): { there: MatrixClient; room: Room } {
    const there = client.peek();
    const room = there?.getRoom(roomId);
    if (!there || !room) throw new Error(`the chat ${roomId} is not there`);
    return { there, room };
}

/** Tells the server that all of a chat was seen, openly or, as the person has chosen, to their own apps only. */
export async function markRead(roomId: string): Promise<void> {
    const { there, room } = chat(roomId);
    if (room.getAccountData(MARKED)?.getContent().unread) await there.setRoomAccountData(roomId, MARKED as never, { unread: false } as never);
    const last = room.getLiveTimeline().getEvents().findLast((event) => !event.isSending());
    const isPrivate = receipts.peek() === "private";
    if (last) await there.sendReadReceipt(last, (isPrivate ? "m.read.private" : "m.read") as never, true);
}

export async function markUnread(roomId: string): Promise<void> {
    await chat(roomId).there.setRoomAccountData(roomId, MARKED as never, { unread: true } as never);
}

async function setTag(roomId: string, tag: string, isSet: boolean): Promise<void> {
    const { there } = chat(roomId);
    await (isSet ? there.setRoomTag(roomId, tag, { order: 0.5 }) : there.deleteRoomTag(roomId, tag));
}

export const setPinned = (roomId: string, isPinned: boolean) => setTag(roomId, "m.favourite", isPinned);

/** Puts a chat apart. The tag is the one by which other apps show chats below all others. */
export const setArchived = (roomId: string, isArchived: boolean) => setTag(roomId, "m.lowpriority", isArchived);

/** A muted chat notifies of mentions only, since rules about these come first. */
export async function setMuted(roomId: string, isMuted: boolean): Promise<void> {
    const { there } = chat(roomId);
    if (isMuted) await there.addPushRule("global", "room" as never, roomId, { actions: [] });
    else await there.deletePushRule("global", "room" as never, roomId);
}

/** Leaves a chat and forgets it: what was said is gone from the person's apps. */
export async function leave(roomId: string): Promise<void> {
    const { there } = chat(roomId);
    await there.leave(roomId);
    await there.forget(roomId);
}

/** Nothing of a blocked person comes through any more, from none of their linked accounts. They do not learn of it. */
export const block = (userId: string) => ask<void>("PUT", `/blocks/${encodeURIComponent(userId)}`, {});
export const unblock = (userId: string) => ask<void>("DELETE", `/blocks/${encodeURIComponent(userId)}`);

/** Whether the person blocks somebody. */
export function isBlocked(userId: string): boolean {
    void blockChanges.value;
    return client.value?.isUserIgnored(userId) ?? false;
}
