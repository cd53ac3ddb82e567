// Why nothing encrypted can be sent just now, where the person can do something about it.

import type { Room } from "matrix-js-sdk";

import type { WordsId } from "../words";
import { changes, recipients } from "./identities";
import { standing } from "./standing";

/** Whether this device has to be confirmed before anything is sent: nobody would read what comes from it. */
export function isUnconfirmed(room: Room): boolean {
    return standing.value?.isConfirmed === false && room.hasEncryptionStateEvent();
}

/** What keeps this device from encrypting for a chat; nothing if it is nothing that the person can change. */
export function hindrance(room: Room): WordsId | undefined {
    if (isUnconfirmed(room)) return "encryption.hindrance.unconfirmed";
    const isChanged = (userId: string) => changes.value.get(userId) === "no longer verified";
    return room.hasEncryptionStateEvent() && recipients(room).some(isChanged) ? "encryption.hindrance.changed" : undefined;
}
