// What one can do with messages.

import type { MatrixEvent } from "matrix-js-sdk";

import { report } from "../people/api";
import { notify } from "../ui/notice";
import { words, type WordsId } from "../words";
import { deleteAtOnce, sendAtOnce } from "./at-once";
import { contentOf } from "./content";
import { saidBy } from "./edits";
import { plainText } from "./spoken";
import type { Message } from "./message";
import { setStar } from "./stars";
import type { Timeline } from "./timeline";

/** How many messages can be pinned in a chat. */
const MAX_PINS = 50;

/** Does something at the server, and says so if it does not work. */
async function attempt(run: () => Promise<unknown>, failed: WordsId): Promise<void> {
    try {
        await run();
    } catch (error) {
        console.warn(error);
        notify({ text: words(failed) });
    }
}

/** Reacts, or takes back the same reaction. */
export function react(timeline: Timeline, message: Message, key: string): Promise<void> {
    const own = message.reactions.find((reaction) => reaction.key === key)?.own;
    const { client, room } = timeline;
    if (own) return attempt(() => deleteAtOnce(client, room.roomId, own), "message.react.failed");
    const relation = { "m.relates_to": { rel_type: "m.annotation", event_id: message.id, key } };
    return attempt(() => sendAtOnce(client, room.roomId, "m.reaction", relation), "message.react.failed");
}

export function canDelete(timeline: Timeline, message: Message): boolean {
    const event = timeline.event(message.id);
    return !!event && message.content.kind !== "deleted" && timeline.room.currentState.maySendRedactionForEvent(event, timeline.own);
}

export function canPin(timeline: Timeline): boolean {
    return timeline.room.currentState.maySendStateEvent("m.room.pinned_events", timeline.own);
}

/** Whether the server has a message. */
export function isSent({ state }: Message): boolean {
    return state === "sent" || state === "read";
}

/** What has words that can be changed: itself, or those below it. */
const WORDED = new Set(["text", "picture", "video", "sound", "file"]);

/** Whether the person can change the words of an event. A file without a name of its own has that in place of words. */
export function canEdit(event: MatrixEvent, own: string): boolean {
    const isThere = event.status === null || (event.status as string) === "sent";
    const { kind } = contentOf(event);
    return isThere && event.getSender() === own && WORDED.has(kind) && (kind === "text" || saidBy(event).filename !== undefined);
}

/** Whether a message can be sent to other chats. The votes of a poll would stay behind. */
export function canForward(message: Message): boolean {
    return isSent(message) && !["deleted", "locked", "poll"].includes(message.content.kind);
}

export async function deleteAll(timeline: Timeline, messages: Message[]): Promise<void> {
    const { client, room } = timeline;
    await attempt(async () => {
        for (const { id } of messages) await deleteAtOnce(client, room.roomId, id);
    }, "message.delete.failed");
}

export function setPinned(timeline: Timeline, id: string, isPinned: boolean): Promise<void> {
    const { client, room } = timeline;
    const others = timeline.pinned.peek().filter((pinned) => pinned !== id);
    const pinned = isPinned ? [...others, id].slice(-MAX_PINS) : others;
    return attempt(() => client.sendStateEvent(room.roomId, "m.room.pinned_events" as never, { pinned } as never), "message.pin.failed");
}

export function star(timeline: Timeline, messages: Message[], isStarred: boolean): Promise<void> {
    return attempt(async () => {
        for (const { id } of messages) await setStar(timeline.client, timeline.room, id, isStarred);
    }, "message.star.failed");
}

export async function endPoll(timeline: Timeline, { id, content }: Message): Promise<void> {
    if (content.kind === "poll") await attempt(() => timeline.poll(id).end(words("poll.ended"), content), "poll.end.failed");
}

export async function copy(messages: Message[]): Promise<void> {
    await attempt(async () => {
        await navigator.clipboard.writeText(messages.map(({ content }) => plainText(content)).join("\n"));
        notify({ text: words("message.copied") });
    }, "message.copy.failed");
}

/** Tells the operators of a message. They can read of an encrypted one only what is disclosed here. */
export async function reportMessage(event: MatrixEvent, reason: string, tellsWho: boolean): Promise<void> {
    const disclose = { ...(event.isEncrypted() && { content: event.getEffectiveEvent() }), reporter: tellsWho };
    await report({ kind: "message", room_id: event.getRoomId(), event_id: event.getId(), disclose }, reason);
}
