// Whose devices messages come from. Nothing is read that comes from a device its owner has not signed, and nothing is shared
// with one: anybody who has the server could add such a device to an account.
// https://github.com/matrix-org/matrix-spec-proposals/pull/4153

import type { MatrixClient, MatrixEvent, MatrixEventEvent } from "matrix-js-sdk";
import { type CryptoEvent, OnlySignedDevicesIsolationMode } from "matrix-js-sdk/lib/crypto-api/index.js";

import { fetchDevices } from "./inside";

/** Messages whose keys are here, and that are not read because of the device that they come from. */
const NOT_TRUSTED = new Set(["UNKNOWN_SENDER_DEVICE", "UNSIGNED_SENDER_DEVICE", "SENDER_IDENTITY_PREVIOUSLY_VERIFIED"]);
/** How many unread messages of one person are tried again when their devices change. */
const TRIED_AGAIN = 200;
/** For how many sessions it is remembered that their sender has been asked about. */
const ASKED = 1000;

/** What is not read, by who has sent it. */
let refused = new Map<string, Set<MatrixEvent>>();
/** The sessions whose sender's devices were asked for. */
let asked = new Set<string>();

/** Trusts signed devices alone from now on, and reads what was refused once its sender's devices are known or signed. */
export function followSenders(client: MatrixClient): void {
    refused = new Map();
    asked = new Set();
    client.getCrypto()!.setDeviceIsolationMode(new OnlySignedDevicesIsolationMode());
    client.on("Event.decrypted" as MatrixEventEvent.Decrypted, (event) => void askAbout(client, event));
    client.on("crypto.devicesUpdated" as CryptoEvent.DevicesUpdated, (userIds) => userIds.forEach((userId) => void tryAgain(client, userId)));
    client.on("userTrustStatusChanged" as CryptoEvent.UserTrustStatusChanged, (userId) => void tryAgain(client, userId));
}

/** Decrypts an event that belongs to no chat of the client, as those of a request that is not accepted. */
export async function decrypt(client: MatrixClient, event: MatrixEvent): Promise<void> {
    // Its key may come later. The client does not tell of events that belong to none of its chats.
    event.on("Event.decrypted" as MatrixEventEvent.Decrypted, () => void askAbout(client, event));
    await client.decryptEventIfNeeded(event);
    await askAbout(client, event);
}

/** Asks whose the device is that an event comes from. Of people with whom there is no common chat the server tells nothing by itself. */
async function askAbout(client: MatrixClient, event: MatrixEvent): Promise<void> {
    const sender = event.getSender();
    if (!sender || !NOT_TRUSTED.has(event.decryptionFailureReason ?? "")) return;
    const events = refused.get(sender) ?? new Set();
    refused.set(sender, events.add(event));
    if (events.size > TRIED_AGAIN) events.delete(events.values().next().value!);
    const session = `${sender} ${event.getWireContent().session_id}`;
    if (asked.has(session)) return;
    if (asked.size === ASKED) asked.clear();
    asked.add(session);
    try {
        await fetchDevices(client, sender);
        await tryAgain(client, sender);
    } catch (error) {
        asked.delete(session);
        console.info("the devices of a sender are not known", error);
    }
}

async function tryAgain(client: MatrixClient, sender: string): Promise<void> {
    const events = refused.get(sender) ?? [];
    refused.delete(sender);
    const crypto = client.getCrypto() as Parameters<MatrixEvent["attemptDecryption"]>[0];
    await Promise.all([...events].map((event) => event.attemptDecryption(crypto, { isRetry: true })));
}
