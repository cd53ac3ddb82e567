// Who cannot read what is written in a chat, because none of their devices is signed by them.

import type { MatrixClient, Room } from "matrix-js-sdk";
import type { CryptoApi, CryptoEvent } from "matrix-js-sdk/lib/crypto-api/index.js";

import { isShown, perAccount } from "../session/session";
import { recipients } from "./identities";
import { fetchDevices } from "./inside";

/** How many people of a chat are looked at when it is opened. */
const LOOKED_AT = 30;

/** People who have devices that could decrypt, and have signed none of them. */
export const unreached = perAccount<ReadonlySet<string>>(new Set());

/** Whose devices were looked at. Changes of them are told. */
let known = new Set<string>();

export function followRecipients(client: MatrixClient): void {
    unreached.value = new Set();
    known = new Set();
    const changed = (userIds: string[]) => void look(client, userIds.filter((userId) => known.has(userId)));
    client.on("crypto.devicesUpdated" as CryptoEvent.DevicesUpdated, changed);
    client.on("userTrustStatusChanged" as CryptoEvent.UserTrustStatusChanged, (userId) => changed([userId]));
}

/** Looks at the people of a chat that somebody opens. */
export async function lookAtRecipients(client: MatrixClient, room: Room): Promise<void> {
    if (!room.hasEncryptionStateEvent()) return;
    const others = recipients(room).filter((userId) => userId !== client.getSafeUserId() && !known.has(userId));
    await look(client, others.slice(0, LOOKED_AT));
}

async function look(client: MatrixClient, userIds: string[]): Promise<void> {
    const crypto = client.getCrypto();
    if (!crypto || userIds.length === 0) return;
    const looked = known;
    const devices = await crypto.getUserDeviceInfo(userIds, true);
    for (const userId of userIds) {
        looked.add(userId);
        const ids = [...(devices.get(userId)?.keys() ?? [])];
        const isUnreached = ids.length > 0 && !(await hasSigned(client, crypto, userId, ids));
        if (!isShown(client.getUserId())) return;
        if (unreached.peek().has(userId) === isUnreached) continue;
        const all = new Set(unreached.peek());
        if (isUnreached) all.add(userId);
        else all.delete(userId);
        unreached.value = all;
    }
}

/** Whether somebody has signed one of their devices. */
async function hasSigned(client: MatrixClient, crypto: CryptoApi, userId: string, deviceIds: string[]): Promise<boolean> {
    const statuses = () => Promise.all(deviceIds.map((deviceId) => crypto.getDeviceVerificationStatus(userId, deviceId)));
    let found = await statuses();
    // The library may not know them yet, when nothing was written in the chat so far.
    if (found.includes(null)) {
        await fetchDevices(client, userId);
        found = await statuses();
    }
    return found.some((status) => status?.signedByOwner);
}
