// Messages whose keys have not come yet are tried again. The device that wrote a message keeps its key at the server only some
// seconds later, and says so to nobody; the library by itself asks for each key once.

import { computed, effect } from "@preact/signals";
import type { MatrixClient, MatrixEvent, MatrixEventEvent } from "matrix-js-sdk";

import { standing } from "./standing";

/** How long to wait before the first try, in milliseconds. The library asks for the same key only after five seconds. */
const FIRST_WAIT_MS = 6_000;
/** Each wait is twice the one before, up to this. */
const LONGEST_WAIT_MS = 600_000;
/** For how many keys at a time; those that have been missing for longest are given up. */
const MOST_KEYS = 200;

/** Why a message cannot be read, where its key may still come. */
const MAY_COME = new Set([
    "HISTORICAL_MESSAGE_BACKUP_UNCONFIGURED",
    "HISTORICAL_MESSAGE_WORKING_BACKUP",
    "MEGOLM_UNKNOWN_INBOUND_SESSION_ID",
    "OLM_UNKNOWN_MESSAGE_INDEX",
]);

interface Missing {
    /** One of the messages. Once the key is there, the library reads all of them. */
    event: MatrixEvent;
    waitMs: number;
    timer: number;
}

/** Whether keys can be got from the server. */
const canAsk = computed(() => standing.value?.isConfirmed === true && standing.value.isBackedUp);

/** Follows what a client cannot read, and tries it again until it can be read or the client stops. */
export function followMissing(client: MatrixClient, stopped: AbortSignal): void {
    const keys = new Map<string, Missing>();
    const forget = (name: string) => {
        clearTimeout(keys.get(name)?.timer);
        keys.delete(name);
    };
    const wait = (name: string, missing: Missing) => {
        clearTimeout(missing.timer);
        missing.timer = window.setTimeout(() => tryAgain(name, missing), missing.waitMs);
        missing.waitMs = Math.min(missing.waitMs * 2, LONGEST_WAIT_MS);
    };
    const tryAgain = (name: string, missing: Missing) => {
        // It may have been deleted meanwhile.
        if (!missing.event.isDecryptionFailure()) return forget(name);
        wait(name, missing);
        void missing.event.attemptDecryption(client.getCrypto() as Parameters<MatrixEvent["attemptDecryption"]>[0], { isRetry: true });
    };
    client.on("Event.decrypted" as MatrixEventEvent.Decrypted, (event) => {
        const name = `${event.getRoomId()} ${event.getWireContent().session_id}`;
        if (!MAY_COME.has(event.decryptionFailureReason ?? "")) return forget(name);
        if (keys.has(name) || stopped.aborted) return;
        const missing = { event, waitMs: FIRST_WAIT_MS, timer: 0 };
        keys.set(name, missing);
        wait(name, missing);
        if (keys.size > MOST_KEYS) forget(keys.keys().next().value!);
    });
    const stop = effect(() => {
        if (!canAsk.value) return;
        for (const [name, missing] of keys) {
            missing.waitMs = FIRST_WAIT_MS;
            tryAgain(name, missing);
        }
    });
    stopped.addEventListener("abort", () => {
        stop();
        for (const name of keys.keys()) forget(name);
    });
}
