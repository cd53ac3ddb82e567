// Identities, backups, devices and files of keys.

import { OlmMachine } from "@matrix-org/matrix-sdk-crypto-wasm";
import { CryptoEvent, decodeRecoveryKey } from "matrix-js-sdk/lib/crypto-api/index.js";
import { client, crypto, files, secretStorage, withPassword } from "./session.mjs";

const EXPORT_ROUNDS = 10_000;

async function crossSigning() {
    const me = client.getUserId();
    const { privateKeysCachedLocally: here } = await crypto().getCrossSigningStatus();
    const device = await crypto().getDeviceVerificationStatus(me, client.getDeviceId());
    return {
        private: here.masterKey && here.selfSigningKey && here.userSigningKey,
        signed: device?.signedByOwner ?? false,
    };
}

async function isVerified({ user, device }) {
    const identity = await crypto().getUserVerificationStatus(user);
    const trust = device ? await crypto().getDeviceVerificationStatus(user, device) : null;
    return { user: identity.known ? identity.isVerified() : null, device: trust?.isVerified() ?? null };
}

async function enableRecovery() {
    let made;
    await crypto().bootstrapSecretStorage({
        setupNewSecretStorage: true,
        setupNewKeyBackup: true,
        async createSecretStorageKey() {
            made = await crypto().createRecoveryKeyFromPassphrase();
            secretStorage.key = made.privateKey;
            return made;
        },
    });
    return { key: made.encodedPrivateKey };
}

// The library counts what is left after each part, and not at all if nothing was to be done.
function backedUp() {
    const { promise, resolve, reject } = Promise.withResolvers();
    const check = async () => {
        const { total, backedUp } = await crypto().olmMachine.roomKeyCounts();
        if (total === backedUp) resolve({});
    };
    const look = () => check().catch(reject);
    client.on(CryptoEvent.KeyBackupSessionsRemaining, look);
    look();
    return promise.finally(() => client.off(CryptoEvent.KeyBackupSessionsRemaining, look));
}

async function recover({ key }) {
    secretStorage.key = decodeRecoveryKey(key);
    await crypto().bootstrapCrossSigning({});
    await crypto().loadSessionBackupPrivateKeyFromSecretStorage();
    await crypto().checkKeyBackupAndEnable();
    await crypto().restoreKeyBackup();
}

async function exportKeys({ path, passphrase }) {
    const keys = await crypto().exportRoomKeysAsJson();
    await files.write({ path, text: OlmMachine.encryptExportedRoomKeys(keys, passphrase, EXPORT_ROUNDS) });
}

async function importKeys({ path, passphrase }) {
    const text = await files.read({ path });
    await crypto().importRoomKeysAsJson(OlmMachine.decryptExportedRoomKeys(text, passphrase));
}

// Takes first what came for the dehydrated device that is there, then makes another. The library only tells if it could
// not do the first.
async function dehydrate() {
    let keys = null;
    const failure = Promise.withResolvers();
    const progress = (roomKeys) => (keys = roomKeys);
    client.on(CryptoEvent.RehydrationProgress, progress);
    client.on(CryptoEvent.RehydrationError, (message) => failure.reject(new Error(message)));
    await Promise.race([crypto().startDehydration(), failure.promise]);
    client.off(CryptoEvent.RehydrationProgress, progress);
    return { keys };
}

export const commands = {
    bootstrap_cross_signing: ({ password }) =>
        crypto().bootstrapCrossSigning({
            authUploadDeviceSigningKeys: (upload) => withPassword(password, upload),
        }),
    cross_signing: crossSigning,
    is_verified: isVerified,
    enable_recovery: enableRecovery,
    backed_up: backedUp,
    recover,
    dehydrate,
    room_keys: async () => ({ keys: JSON.parse(await crypto().exportRoomKeysAsJson()) }),
    backup: async () => ({ version: await crypto().getActiveSessionBackupVersion() }),
    async devices() {
        const { devices } = await client.getDevices();
        return devices.map((one) => ({ device: one.device_id, name: one.display_name ?? null }));
    },
    delete_device: ({ device, password }) =>
        withPassword(password, (auth) => client.deleteDevice(device, auth ?? undefined)),
    export_keys: exportKeys,
    import_keys: importKeys,
};
