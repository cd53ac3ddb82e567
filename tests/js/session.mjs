// The client of this person, and where what it sees is told.

import * as sdk from "matrix-js-sdk";

export let client;
export let write;
// Files of the machine, which a page has no other way to.
export let files;
// The key of the secret storage, once the person has made or typed it.
export const secretStorage = { key: undefined };

let keysAreUploaded;
export const hasUploadedKeys = () => keysAreUploaded === undefined;

export function connect(told, machine) {
    write = told;
    files = machine;
}

export const unauthenticated = (server) => sdk.createClient({ baseUrl: server });

export class Unsupported extends Error {
    errcode = "unsupported";
}

// Makes the client of a device that the server knows. `lasting`: whether its keys stay when the program ends.
// `known`: whether the server has its keys. `oauth`: how a session of OAuth 2.0 is refreshed.
export async function resume(server, session, { encrypted = false, lasting = false, known = false, oauth = {} }) {
    const { user_id: userId, device_id: deviceId, access_token: accessToken } = session;
    const { promise, resolve } = Promise.withResolvers();
    client = sdk.createClient({
        baseUrl: server,
        userId,
        deviceId,
        accessToken,
        ...oauth,
        verificationMethods: ["m.sas.v1"],
        cryptoCallbacks: { getSecretStorageKey },
        fetchFn: (...request) => noteUpload(request, resolve),
    });
    keysAreUploaded = encrypted && !known ? promise : undefined;
    if (encrypted) await client.initRustCrypto({ useIndexedDB: lasting });
    return { user: userId, device: deviceId, token: accessToken };
}

async function getSecretStorageKey({ keys }) {
    return secretStorage.key ? [Object.keys(keys)[0], secretStorage.key] : null;
}

// The library does not tell when it has uploaded the keys of its device.
async function noteUpload([url, options], uploaded) {
    const response = await fetch(url, options);
    if (response.ok && new URL(url).pathname.endsWith("/keys/upload")) uploaded();
    return response;
}

// How many events of each room are asked for at first.
const ROOM_EVENTS = 20;

// Starts to sync.
export async function startSync(initialSyncLimit = ROOM_EVENTS) {
    const prepared = Promise.withResolvers();
    client.on(sdk.ClientEvent.Sync, (state, _, data) => {
        if (state === "ERROR") prepared.reject(data?.error);
        else if (state === "PREPARED") prepared.resolve();
    });
    await client.startClient({ initialSyncLimit, threadSupport: true, lazyLoadMembers: true });
    await prepared.promise;
    await keysAreUploaded;
    keysAreUploaded = undefined;
}

export const crypto = () => client.getCrypto();

// What the server wants a password for.
export async function withPassword(password, request) {
    try {
        return await request(null);
    } catch (error) {
        if (error.httpStatus !== 401 || !error.data?.session) throw error;
        const identifier = { type: "m.id.user", user: client.getUserId() };
        return request({ type: "m.login.password", identifier, password, session: error.data.session });
    }
}

export const sent = async (sending) => (await sending).event_id;

export function known(room, event) {
    if (!event) return undefined;
    const found = client.getRoom(room)?.findEventById(event);
    if (!found) throw new Error(`the library does not know ${event}`);
    return found;
}
