// Which dialog about encryption is open, and requests of other devices and people that open one.

import { signal } from "@preact/signals";
import type { MatrixClient } from "matrix-js-sdk";
import type { CryptoEvent, VerificationRequest } from "matrix-js-sdk/lib/crypto-api/index.js";

export type Opened =
    | { kind: "confirm" }
    | { kind: "save" }
    /** Logging out would lose the keys of messages for good. */
    | { kind: "leave"; why: "unsaved" | "unreachable"; leave: () => void }
    | { kind: "request"; request: VerificationRequest };

export const opened = signal<Opened | undefined>(undefined);

/** Opens the dialog when another device of the person, or somebody else, asks to compare keys. */
export function followRequests(client: MatrixClient): void {
    client.on("crypto.verificationRequestReceived" as CryptoEvent.VerificationRequestReceived, (request) => {
        if (!request.initiatedByMe) opened.value = { kind: "request", request };
    });
}
