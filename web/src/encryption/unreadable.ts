// Why an encrypted message cannot be read, as one cause and one thing to do about it.

import type { MatrixEvent, Room } from "matrix-js-sdk";

import { personName } from "../chats/names";
import { words, type WordsId } from "../words";
import { opened } from "./opened";
import { standing } from "./standing";

interface Unreadable {
    /** The cause, in a sentence. */
    text: string;
    /** What the person can do. Without it there is nothing but to wait, or nothing at all. */
    action?: { label: string; run: () => void };
}

/** Causes that a person can do something about by confirming this device. */
const BY_CONFIRMING = new Set(["HISTORICAL_MESSAGE_BACKUP_UNCONFIGURED", "MEGOLM_KEY_WITHHELD_FOR_UNVERIFIED_DEVICE"]);

const CAUSES: Record<string, WordsId> = {
    HISTORICAL_MESSAGE_NO_KEY_BACKUP: "encryption.unreadable.lost",
    HISTORICAL_MESSAGE_BACKUP_UNCONFIGURED: "encryption.unreadable.older",
    HISTORICAL_MESSAGE_WORKING_BACKUP: "encryption.unreadable.fetching",
    HISTORICAL_MESSAGE_USER_NOT_JOINED: "encryption.unreadable.before",
    MEGOLM_KEY_WITHHELD: "encryption.unreadable.withheld",
    MEGOLM_KEY_WITHHELD_FOR_UNVERIFIED_DEVICE: "encryption.unreadable.unconfirmed",
    SENDER_IDENTITY_PREVIOUSLY_VERIFIED: "encryption.unreadable.changed",
    UNSIGNED_SENDER_DEVICE: "encryption.unreadable.unsigned",
    UNKNOWN_SENDER_DEVICE: "encryption.unreadable.unknown",
};

/** What to say in the place of a message that cannot be read; nothing if it can. It changes when standing or event do. */
export function unreadable(event: MatrixEvent, room: Room): Unreadable | undefined {
    if (!event.isDecryptionFailure()) return undefined;
    const reason = event.decryptionFailureReason as string | null;
    const sender = event.getSender() ?? "";
    const name = personName(sender, room.getMember(sender)?.rawDisplayName);
    const isConfirmed = standing.value?.isConfirmed !== false;
    const text = words(CAUSES[reason ?? ""] ?? "encryption.unreadable.waiting", { name });
    if (isConfirmed || !reason) return { text };
    if (!BY_CONFIRMING.has(reason) && reason in CAUSES) return { text };
    return { text, action: { label: words("encryption.unreadable.restore"), run: () => (opened.value = { kind: "confirm" }) } };
}
