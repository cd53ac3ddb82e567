// Setting encryption up without asking anybody: the first device of an account makes the keys that say who the person is, and
// keeps the keys of messages at the server, where nobody else can read them.

import type { ClientEvent, IDownloadKeyResult, MatrixClient } from "matrix-js-sdk";
import type { BootstrapCrossSigningOpts, CryptoApi } from "matrix-js-sdk/lib/crypto-api/index.js";

import { forgetFresh, freshOf } from "../session/fresh";
import { type Auth, withProof } from "../session/prove";
import { isRefusal } from "../sync/ask";
import { sdk } from "../sync/running";
import { aborted } from "../sync/turns";
import { followIdentities } from "./identities";
import { keep, kept } from "./kept";
import { followMissing } from "./missing";
import { followRequests, opened } from "./opened";
import { recover } from "./recover";
import { followRecipients } from "./recipients";
import { followSenders } from "./senders";
import { followStanding, isOwn, refresh, reminder } from "./standing";

/** How long to wait before what could not be completed is tried again, in milliseconds. */
const AGAIN_MS = 5000;

/**
 * Follows everything that concerns encryption, and has the device take its place. The list of chats does not wait for it. It
 * begins with the first sync, so that others learn of the device together with the signature that says whose it is, and share
 * with it what they send. What the server does not let it complete is tried again; `attempted` hears of each attempt.
 */
export async function settle(client: MatrixClient, stopped: AbortSignal, attempted: (attempt: Promise<unknown>) => void): Promise<void> {
    const crypto = client.getCrypto()!;
    const own = client.getSafeUserId();
    followSenders(client);
    followRequests(client);
    followIdentities(client);
    followRecipients(client);
    followMissing(client, stopped);
    const isSynced = Promise.race([synced(client), aborted(stopped)]);
    const taking = takePlace(client, crypto);
    /** One attempt at what is left to do; whether nothing is left. */
    const attempt = async (hasPlace: boolean) => {
        if (stopped.aborted) return true;
        if (hasPlace || (await takePlace(client, crypto))) forgetFresh("password", own);
        return complete(client, crypto).then(() => true, notYet);
    };
    const first = taking.then(async (hasPlace) => {
        await isSynced;
        return attempt(hasPlace);
    });
    // Somebody who is given the recovery key with the session is confirmed by it, and need not hear that they are not yet.
    followStanding(client, freshOf("recoveryKey", own) ? first : taking);
    attempted(first);
    for (let isDone = await first; !isDone; ) {
        await Promise.race([new Promise((done) => setTimeout(done, AGAIN_MS)), aborted(stopped)]);
        await Promise.race([synced(client), aborted(stopped)]);
        const again = attempt(false);
        attempted(again);
        isDone = await again;
    }
}

function notYet(error: unknown): false {
    console.warn("encryption is not complete", error);
    return false;
}

/**
 * Makes the keys that say who the person is, if there are none yet, and has others know that this device is the person's; false if
 * the server could not be asked. A window that was closed in the middle of it has left one of the steps undone.
 */
async function takePlace(client: MatrixClient, crypto: CryptoApi): Promise<boolean> {
    const own = client.getSafeUserId();
    const device = client.getDeviceId()!;
    try {
        if ((await isOwn(client, crypto)) && kept(own).publishedDevice === device) return true;
        const published = await client.downloadKeysForUsers([own]);
        if (!published.master_keys?.[own]) {
            const publish: BootstrapCrossSigningOpts["authUploadDeviceSigningKeys"] = (request) => withProof((auth) => request(auth ?? null), typed(client));
            await crypto.bootstrapCrossSigning({ setupNewCrossSigning: true, authUploadDeviceSigningKeys: publish });
        } else {
            // Keys that another device has made are taken for the person's from here on.
            await crypto.userHasCrossSigningKeys(own, true);
            if (!(await isOwn(client, crypto))) return true;
            if (!isSigned(published, own, device)) await crypto.crossSignDevice(device);
        }
        keep(own, { publishedDevice: device });
        return true;
    } catch (error) {
        // The server cannot be reached, or another device was first. What is missing is seen once the server answers.
        console.info("encryption could not be set up yet", error);
        return false;
    }
}

/** Whether others see that a device is signed by its owner. */
function isSigned({ device_keys, self_signing_keys }: IDownloadKeyResult, userId: string, deviceId: string): boolean {
    const [signer] = Object.keys(self_signing_keys?.[userId]?.keys ?? {});
    return signer !== undefined && device_keys[userId]?.[deviceId]?.signatures?.[userId]?.[signer] !== undefined;
}

/** Resolves when the server has answered a sync. */
function synced(client: MatrixClient): Promise<void> {
    return new Promise((done) => {
        const heard = (state: string | null) => {
            if (state !== "SYNCING") return;
            client.off("sync" as ClientEvent.Sync, heard);
            done();
        };
        client.on("sync" as ClientEvent.Sync, heard);
    });
}

/** The proof by the password that was typed at the log-in of a moment ago. */
function typed(client: MatrixClient): Auth | undefined {
    const user = client.getSafeUserId();
    const password = freshOf("password", user);
    return password === undefined ? undefined : { type: "m.login.password", identifier: { type: "m.id.user", user }, password };
}

/** What needs the server: the recovery key that came with the session, and the backup. */
async function complete(client: MatrixClient, crypto: CryptoApi): Promise<void> {
    const own = client.getSafeUserId();
    const recoveryKey = freshOf("recoveryKey", own);
    const roomKeys = freshOf("roomKeys", own);
    if (!(await isOwn(client, crypto))) {
        if (recoveryKey !== undefined) await recover(client, recoveryKey);
        forgetFresh("recoveryKey", own);
        await refresh(client);
        if (reminder.peek() === "confirm") opened.value ??= { kind: "confirm" };
    }
    const backup = await crypto.checkKeyBackupAndEnable();
    // A new backup takes the place of every one before, so it is made only where nothing could be got back from them.
    if ((await isOwn(client, crypto)) && (backup ? await isBackupLost(client, crypto) : await isBackupMissing(client))) await replaceBackup(client, crypto);
    if (roomKeys !== undefined) {
        await crypto.importRoomKeysAsJson(roomKeys);
        forgetFresh("roomKeys", own);
    }
    await refresh(client);
}

async function replaceBackup(client: MatrixClient, crypto: CryptoApi): Promise<void> {
    // A recovery key that holds the key of the backup before no longer opens everything, and must not look as if it did.
    if (await client.secretStorage.isStored("m.megolm_backup.v1")) await client.setAccountData("m.megolm_backup.v1", {});
    await crypto.resetKeyBackup();
}

/** Whether the server says that there is no backup. The library answers the same where it could not ask. */
async function isBackupMissing(client: MatrixClient): Promise<boolean> {
    const { Method } = await sdk();
    try {
        await client.http.authedRequest(Method.Get, "/room_keys/version");
    } catch (error) {
        if (isRefusal(error, "M_NOT_FOUND")) return true;
        throw error;
    }
    throw new Error("the backup was not looked at");
}

/** Whether nothing can open the backup any more: its key is not here, nor in secret storage, nor on another device. */
async function isBackupLost(client: MatrixClient, crypto: CryptoApi): Promise<boolean> {
    if (await crypto.getSessionBackupPrivateKey()) return false;
    if (await client.secretStorage.isStored("m.megolm_backup.v1")) return false;
    const own = client.getSafeUserId();
    return (await crypto.getUserDeviceInfo([own], true)).get(own)?.size === 1;
}

/** Takes up the backup once this device was confirmed: what was sent before becomes readable. */
export async function takeUpBackup(client: MatrixClient): Promise<void> {
    const crypto = client.getCrypto();
    if (!crypto) return;
    await crypto.checkKeyBackupAndEnable();
    await refresh(client);
}

/** What secret storage has of an identity, and which key opens it. */
const STORED = ["m.cross_signing.master", "m.cross_signing.self_signing", "m.cross_signing.user_signing", "m.megolm_backup.v1", "m.secret_storage.default_key"];

/** Makes new keys in place of those that nobody can get back. */
export async function beginAnew(client: MatrixClient): Promise<void> {
    const { MatrixEvent } = await sdk();
    // The library empties all of these, and waits each time until a sync tells of it. Of what was never there none does.
    const missing = STORED.filter((type) => !client.store.getAccountData(type));
    client.store.storeAccountDataEvents(missing.map((type) => new MatrixEvent({ type, content: {} })));
    await client.getCrypto()!.resetEncryption((request) => withProof((auth) => request(auth ?? null)));
    keep(client.getSafeUserId(), { publishedDevice: client.getDeviceId()! });
    await takeUpBackup(client);
}
