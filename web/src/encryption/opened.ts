// Which dialog about encryption is open, and requests of other devices and people that open one.

import { effect, untracked } from "@preact/signals";
import type { MatrixClient } from "matrix-js-sdk";
import type { CryptoEvent, VerificationRequest } from "matrix-js-sdk/lib/crypto-api/index.js";

import { isShown, perAccount } from "../session/session";

export type Opened =
    | { kind: "confirm" }
    | { kind: "save" }
    /** Logging out would lose the keys of messages for good. */
    | { kind: "leave"; why: "unsaved" | "unreachable"; leave: () => void }
    | { kind: "request"; request: VerificationRequest };

export const opened = perAccount<Opened | undefined>(undefined);

/** Requests that wait until the dialog that is open is closed. */
const waiting = perAccount<readonly VerificationRequest[]>([]);

effect(() => {
    const [next, ...others] = waiting.value;
    if (opened.value || !next) return;
    untracked(() => {
        waiting.value = others;
        // It may have been taken back, or answered on another device.
        if (next.pending) opened.value = { kind: "request", request: next };
    });
});

/** Opens a dialog when another device of the person, or somebody else, asks to compare keys. */
export function followRequests(client: MatrixClient): void {
    client.on("crypto.verificationRequestReceived" as CryptoEvent.VerificationRequestReceived, (request) => {
        if (!request.initiatedByMe && isShown(client.getUserId())) waiting.value = [...waiting.peek(), request];
    });
}
