// Where this device stands: whether it belongs to the person in the eyes of others, and whether its keys can be got back if it
// is lost. It is worked out anew whenever keys come or change.

import { computed, signal } from "@preact/signals";
import type { ClientEvent, MatrixClient, MatrixEvent, RoomEvent } from "matrix-js-sdk";
import type { CryptoApi, CryptoEvent } from "matrix-js-sdk/lib/crypto-api/index.js";

import { isShown, perAccount } from "../session/session";
import { keep, kept } from "./kept";

const DAY_MS = 86_400_000;
/** How long a reminder stays away when somebody has put it off. */
const QUIET_MS = 7 * DAY_MS;

interface Standing {
    /** Whether another device or the recovery key has said that this device is the person's. */
    isConfirmed: boolean;
    /** Whether there is a recovery key that opens everything. */
    hasRecovery: boolean;
    /** The recovery key of the account, if it has any. */
    keyId: string | null;
    /** Whether keys of messages are kept at the server. */
    isBackedUp: boolean;
}

/** Unknown until the server or an earlier visit has said it. */
export const standing = perAccount<Standing | undefined>(undefined);

const now = signal(Date.now());
const remembered = perAccount<ReturnType<typeof kept>>({});

/** Whether somebody has kept a recovery key that opens everything. */
const isSaved = computed(() => standing.value?.hasRecovery === true && remembered.value.unsavedKey !== standing.value.keyId);

/** What the person should be reminded of. */
export const reminder = computed<"confirm" | "save" | undefined>(() => {
    const here = standing.value;
    const { quietUntil = 0, isUsed, since = now.value } = remembered.value;
    if (!here || quietUntil > now.value) return undefined;
    if (!here.isConfirmed) return "confirm";
    return !isSaved.value && (isUsed || now.value - since > DAY_MS) ? "save" : undefined;
});

/** Whether encrypted messages could not be got back if this device logged out, as far as is known here. */
export const losesMessages = computed(() => standing.value?.isConfirmed === true && remembered.value.isUsed === true && !isSaved.value);

/** Puts the reminder off. */
export function remindLater(userId: string): void {
    note(userId, { quietUntil: Date.now() + QUIET_MS });
}

/** Remembers something of what the person was told. */
export function note(userId: string, changes: ReturnType<typeof kept>): void {
    keep(userId, changes);
    if (!isShown(userId)) return;
    remembered.value = kept(userId);
    now.value = Date.now();
}

const CHANGES = [
    "crossSigning.keysChanged",
    "userTrustStatusChanged",
    "crypto.keyBackupStatus",
    "crypto.keyBackupDecryptionKeyCached",
    "crypto.devicesUpdated",
] as CryptoEvent.KeysChanged[];

/** Follows the standing of a client's device, from when it has had the time to take its place. */
export function followStanding(client: MatrixClient, settled: Promise<unknown>): void {
    const userId = client.getSafeUserId();
    standing.value = undefined;
    note(userId, { since: kept(userId).since ?? Date.now() });
    let { isUsed } = kept(userId);
    let isAsked = false;
    const update = () => {
        isAsked = false;
        void refresh(client);
    };
    const changed = () => {
        if (isAsked) return;
        isAsked = true;
        void settled.then(update, update);
    };
    for (const event of CHANGES) client.on(event, changed);
    client.on("accountData" as ClientEvent.AccountData, (event) => event.getType().startsWith("m.secret_storage") && changed());
    client.on("sync" as ClientEvent.Sync, (state) => state === "PREPARED" && changed());
    changed();
    client.on("Room.timeline" as RoomEvent.Timeline, (event) => {
        if (isUsed || !isEncryptedMessage(event)) return;
        isUsed = true;
        note(userId, { isUsed });
    });
}

function isEncryptedMessage(event: MatrixEvent): boolean {
    return event.getWireType() === "m.room.encrypted";
}

/** Whether the person has confirmed this device, or has made the keys with which devices are confirmed on it. */
export async function isOwn(client: MatrixClient, crypto: CryptoApi): Promise<boolean> {
    if (await crypto.getCrossSigningKeyId()) return true;
    const status = await crypto.getDeviceVerificationStatus(client.getSafeUserId(), client.getDeviceId()!);
    return status?.crossSigningVerified === true;
}

/** Works out anew where the device stands. */
export async function refresh(client: MatrixClient): Promise<void> {
    const crypto = client.getCrypto();
    if (!crypto) return;
    try {
        const [isConfirmed, storage, backup] = await Promise.all([
            isOwn(client, crypto),
            crypto.getSecretStorageStatus(),
            crypto.getActiveSessionBackupVersion(),
        ]);
        if (!isShown(client.getUserId())) return;
        standing.value = {
            isConfirmed,
            hasRecovery: storage.ready,
            keyId: storage.defaultKeyId,
            isBackedUp: backup !== null,
        };
    } catch (error) {
        // Without the server it stays as it was; the next sign of the server asks again.
        console.info("the standing of this device is not known", error);
    }
}
