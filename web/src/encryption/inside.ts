// What the library has inside and does not offer: asking for the devices of people with whom there is no common chat, and
// backing up at a moment of the app's choice.

import type { OlmMachine } from "@matrix-org/matrix-sdk-crypto-wasm";
import type { MatrixClient } from "matrix-js-sdk";

import { sdk } from "../sync/running";

interface Inside {
    olmMachine: OlmMachine;
    outgoingRequestProcessor: { makeOutgoingRequest: (request: object) => Promise<void> };
}

const insideOf = (client: MatrixClient) => client.getCrypto() as unknown as Inside;

/** Learns which devices somebody has, and which of them they have signed. */
export async function fetchDevices(client: MatrixClient, userId: string): Promise<void> {
    const { UserId } = await import("@matrix-org/matrix-sdk-crypto-wasm");
    const { olmMachine, outgoingRequestProcessor } = insideOf(client);
    await outgoingRequestProcessor.makeOutgoingRequest(olmMachine.queryKeysForUsers([new UserId(userId)]));
}

/** How long somebody who logs out waits for the server, in milliseconds. */
const PATIENCE_MS = 15_000;

/**
 * Puts the keys of messages into the backup that are not in it yet. The library does it too, some seconds after each key came; here
 * somebody waits, so it fails at once where the library would try again.
 */
export async function backUp(client: MatrixClient): Promise<void> {
    const { Method } = await sdk();
    const { olmMachine } = insideOf(client);
    const options = { json: false, headers: { "Content-Type": "application/json" }, localTimeoutMs: PATIENCE_MS } as const;
    for (let request = await olmMachine.backupRoomKeys(); request; request = await olmMachine.backupRoomKeys()) {
        const { id, type, version, body } = request;
        const answer = await client.http.authedRequest<string>(Method.Put, "/room_keys/keys", { version }, body, options);
        await olmMachine.markRequestAsSent(id!, type, answer);
    }
}

/** Whether there are keys of messages here that are not in a backup. */
export async function hasUnsavedKeys(client: MatrixClient): Promise<boolean> {
    const { olmMachine } = insideOf(client);
    if (await olmMachine.isBackupEnabled()) return (await olmMachine.backupRoomKeys()) !== undefined;
    return (await olmMachine.roomKeyCounts()).total > 0;
}
