// What a list shows of a message in one line.

import type { MatrixEvent } from "matrix-js-sdk";

import { saidBy } from "../chat/edits";
import { words, type WordsId } from "../words";

const KINDS = new Map<unknown, WordsId>([
    ["m.image", "message.photo"],
    ["m.video", "message.video"],
    ["m.file", "message.file"],
]);

/** The types of events that a list shows. Others change a chat without saying anything. */
const SHOWN = new Set(["m.room.message", "m.room.encrypted", "m.sticker", "m.poll.start", "org.matrix.msc3381.poll.start"]);

/** Whether an event asks to compare security codes. Apps send it as a message, with a text for those that know nothing of it. */
export function isComparison(event: MatrixEvent): boolean {
    return event.getType() === "m.room.message" && event.getContent().msgtype === "m.key.verification.request";
}

/** Whether an event is something that somebody has said. */
export function isMessage(event: MatrixEvent): boolean {
    return SHOWN.has(event.getType()) && !isComparison(event) && event.getRelation()?.rel_type !== "m.replace";
}

/** A message in one line, without who has sent it. */
export function oneLine(event: MatrixEvent): string {
    if (event.isRedacted()) return words("message.deleted");
    if (event.isDecryptionFailure()) return words("message.unreadable");
    switch (event.getType()) {
        case "m.room.encrypted":
            return words("message.encrypted");
        case "m.sticker":
            return words("message.sticker");
        case "m.room.message":
            return ofMessage(saidBy(event));
        default:
            return words("message.poll");
    }
}

function ofMessage(content: Record<string, unknown>): string {
    const kind = content.msgtype;
    if (kind === "m.audio") return words("org.matrix.msc3245.voice" in content ? "message.voice" : "message.file");
    const named = KINDS.get(kind);
    if (named) return words(named);
    return typeof content.body === "string" ? content.body.replace(/\s+/g, " ").slice(0, 200) : "";
}
