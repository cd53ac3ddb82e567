// People whose keys have become others: a new phone after all was lost, or somebody who pretends to be them.

import type { MatrixClient, Room } from "matrix-js-sdk";
import type { CryptoEvent, UserVerificationStatus } from "matrix-js-sdk/lib/crypto-api/index.js";

import { isShown, perAccount } from "../session/session";

/** How many people of a chat are looked at when it is opened. In a crowd nobody compares codes. */
const LOOKED_AT = 30;

/** How somebody's keys have changed: since they were first seen, or since they were compared. */
export type Change = "changed" | "no longer verified";

/** The people whose keys have changed, by user id. */
export const changes = perAccount<ReadonlyMap<string, Change>>(new Map());

/** The people whose codes were compared, and are still the same. */
export const compared = perAccount<ReadonlySet<string>>(new Set());

/** Follows the keys of everybody. */
export function followIdentities(client: MatrixClient): void {
    changes.value = new Map();
    compared.value = new Set();
    client.on("userTrustStatusChanged" as CryptoEvent.UserTrustStatusChanged, (userId, status) => {
        if (userId !== client.getSafeUserId()) take(client, userId, status);
    });
}

/** Looks at the people of a chat that somebody opens. */
export async function lookAt(client: MatrixClient, room: Room): Promise<void> {
    if (!room.hasEncryptionStateEvent()) return;
    const others = recipients(room).filter((userId) => userId !== client.getSafeUserId());
    for (const userId of others.slice(0, LOOKED_AT)) await lookAtPerson(client, userId);
}

/** Looks at everybody for whom a chat is encrypted: it is not, as long as there is one whose keys are others than those that were compared. */
export async function lookAtEverybody(client: MatrixClient, room: Room): Promise<void> {
    const others = (await room.getEncryptionTargetMembers()).filter(({ userId }) => userId !== client.getSafeUserId());
    for (const { userId } of others) await lookAtPerson(client, userId);
}

/** The people who can read what is written in a chat, as far as they are known. Those who are invited can, too. */
export function recipients(room: Room): string[] {
    return room.getMembers().flatMap(({ userId, membership }) => (membership === "join" || membership === "invite" ? userId : []));
}

/** Looks at one person. */
export async function lookAtPerson(client: MatrixClient, userId: string): Promise<void> {
    const status = await client.getCrypto()?.getUserVerificationStatus(userId);
    if (status) take(client, userId, status);
}

function take(client: MatrixClient, userId: string, status: UserVerificationStatus): void {
    if (!isShown(client.getUserId())) return;
    const isCompared = status.isCrossSigningVerified();
    if (compared.peek().has(userId) !== isCompared) {
        const others = [...compared.peek()].filter((other) => other !== userId);
        compared.value = new Set(isCompared ? [...others, userId] : others);
    }
    const change = changeOf(status);
    if (changes.peek().get(userId) === change) return;
    const all = new Map(changes.peek());
    if (change) all.set(userId, change);
    else all.delete(userId);
    changes.value = all;
}

function changeOf(status: UserVerificationStatus): Change | undefined {
    if (status.wasCrossSigningVerified() && !status.isCrossSigningVerified()) return "no longer verified";
    return status.needsUserApproval ? "changed" : undefined;
}

/** Goes on with somebody's new keys without comparing them. */
export async function accept(client: MatrixClient, userId: string): Promise<void> {
    const crypto = client.getCrypto();
    if (!crypto) return;
    if (changes.peek().get(userId) === "no longer verified") await crypto.withdrawVerificationRequirement(userId);
    else await crypto.pinCurrentUserIdentity(userId);
    await lookAtPerson(client, userId);
}
