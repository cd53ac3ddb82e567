// Opening secret storage with the recovery key, or with the passphrase that it was made from.

import type { MatrixClient } from "matrix-js-sdk";
import type { CryptoApi } from "matrix-js-sdk/lib/crypto-api/index.js";

import { cryptoApi } from "../sync/running";
import { remember } from "./secrets";

/** What came of it. A key that is right may still open no more than older messages. */
export type Recovered = "done" | "wrong" | "none" | "messages";

/** The secrets that make a device the person's own. */
const IDENTITY = ["m.cross_signing.master", "m.cross_signing.self_signing", "m.cross_signing.user_signing"] as const;

export async function recover(client: MatrixClient, typed: string): Promise<Recovered> {
    const storage = await client.secretStorage.getKey();
    if (!storage) return "none";
    const [id, description] = storage;
    const key = await keyOf(typed, description.passphrase, (key) => client.secretStorage.checkKey(key, description));
    if (!key) return "wrong";
    remember(id, key);
    const crypto = client.getCrypto()!;
    const hasIdentity = await takeIdentity(client, crypto);
    const hasBackup = await takeBackup(client, crypto);
    if (hasIdentity) return "done";
    return hasBackup ? "messages" : "none";
}

/** The key that was typed: by itself, or as the passphrase that it comes from. */
async function keyOf(
    typed: string,
    passphrase: { salt: string; iterations: number; bits?: number } | undefined,
    isRight: (key: Uint8Array<ArrayBuffer>) => Promise<boolean>,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const { decodeRecoveryKey, deriveRecoveryKeyFromPassphrase } = await cryptoApi();
    let key: Uint8Array<ArrayBuffer> | undefined;
    try {
        key = decodeRecoveryKey(typed);
    } catch {
        // It is no recovery key, so it may be a passphrase.
    }
    if (key && (await isRight(key))) return key;
    if (!passphrase) return undefined;
    key = await deriveRecoveryKeyFromPassphrase(typed, passphrase.salt, passphrase.iterations, passphrase.bits);
    return (await isRight(key)) ? key : undefined;
}

/** Makes this device the person's own. Without the secrets for it the library would make a new identity, which nobody asked for. */
async function takeIdentity(client: MatrixClient, crypto: CryptoApi): Promise<boolean> {
    const stored = await Promise.all(IDENTITY.map((name) => client.secretStorage.isStored(name)));
    if (stored.includes(null)) return false;
    // The public keys have to be known for the private ones to be taken.
    await crypto.userHasCrossSigningKeys(client.getSafeUserId(), true);
    await crypto.bootstrapCrossSigning({});
    return true;
}

async function takeBackup(client: MatrixClient, crypto: CryptoApi): Promise<boolean> {
    if (!(await client.secretStorage.isStored("m.megolm_backup.v1"))) return false;
    await crypto.loadSessionBackupPrivateKeyFromSecretStorage();
    await crypto.checkKeyBackupAndEnable();
    return true;
}
