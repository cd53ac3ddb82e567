// What the app showed last, kept so that the next start can show it before anything is loaded. It is encrypted by a key that this
// browser does not give out: the list and the chats have in them what was said in encrypted ones. All goes at log-out.

import { isKnown } from "../session/session";
import { answer } from "./database";

/** What only this browser can read. */
export interface Sealed {
    iv: Uint8Array<ArrayBuffer>;
    sealed: ArrayBuffer;
}

/** A piece of the snapshot as it lies on the disk. */
interface Piece extends Sealed {
    name: string;
    /** When it was last kept, in milliseconds since the Unix epoch. */
    ts: number;
    /** When the first message in it disappears. */
    until?: number;
}

interface Opened {
    database: IDBDatabase;
    key: CryptoKey;
}

const ALGORITHM = "AES-GCM";
/** The length of what makes two pieces of the same content different, in bytes. */
const IV_BYTES = 12;

const opened = new Map<string, Promise<Opened>>();

/** The version of the database. The second one finds pieces by their times. */
const VERSION = 2;

const nameOf = (userId: string) => `linkspan-snapshot-${userId}`;

/** Opens the snapshot of an account. Until then, and after it was forgotten, nothing is kept. */
export function openSnapshot(userId: string): Promise<Opened> {
    let there = opened.get(userId);
    if (!there) {
        // What somebody who has logged out kept is gone, and does not come back because a part of the app still asks for it.
        if (!isKnown(userId)) return Promise.reject(new Error("the account has logged out"));
        there = open(userId);
        opened.set(userId, there);
        // It may have been closed by then, so that it can be tried again.
        there.catch(() => opened.delete(userId));
    }
    return there;
}

async function open(userId: string): Promise<Opened> {
    const request = indexedDB.open(nameOf(userId), VERSION);
    request.onupgradeneeded = ({ oldVersion }) => {
        const made = request.result;
        if (oldVersion === 0) made.createObjectStore("keys");
        const pieces = oldVersion === 0 ? made.createObjectStore("pieces", { keyPath: "name" }) : request.transaction!.objectStore("pieces");
        pieces.createIndex("ts", "ts");
        pieces.createIndex("until", "until");
    };
    const database = await answer(request);
    // Another tab has logged out, and waits for this one to let go.
    database.onversionchange = () => {
        database.close();
        opened.delete(userId);
    };
    const kept = (await answer(database.transaction("keys").objectStore("keys").get("key"))) as CryptoKey | undefined;
    return { database, key: kept ?? (await makeKey(database)) };
}

/** Makes the key. Of two tabs that make one at once, both take the one that was kept first. */
async function makeKey(database: IDBDatabase): Promise<CryptoKey> {
    const made = await crypto.subtle.generateKey({ name: ALGORITHM, length: 256 }, false, ["encrypt", "decrypt"]);
    const keys = database.transaction("keys", "readwrite").objectStore("keys");
    const before = (await answer(keys.get("key"))) as CryptoKey | undefined;
    if (before) return before;
    await answer(keys.put(made, "key"));
    return made;
}

/** The name of a piece is part of what is sealed, so that none can be put in the place of another. */
function parameters(name: string, iv: Uint8Array<ArrayBuffer>): AesGcmParams {
    return { name: ALGORITHM, iv, additionalData: new TextEncoder().encode(name) };
}

/** Encrypts something that is kept, here or elsewhere, under a name of its own. */
export async function sealBytes(key: CryptoKey, name: string, bytes: BufferSource): Promise<Sealed> {
    const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES));
    return { iv, sealed: await crypto.subtle.encrypt(parameters(name, iv), key, bytes) };
}

export function unsealBytes(key: CryptoKey, name: string, { iv, sealed }: Sealed): Promise<ArrayBuffer> {
    return crypto.subtle.decrypt(parameters(name, iv), key, sealed);
}

export function seal(key: CryptoKey, name: string, value: unknown): Promise<Sealed> {
    return sealBytes(key, name, new TextEncoder().encode(JSON.stringify(value)));
}

export async function unseal<Value>(key: CryptoKey, name: string, sealed: Sealed): Promise<Value> {
    return JSON.parse(new TextDecoder().decode(await unsealBytes(key, name, sealed))) as Value;
}

/** Keeps a piece. `until` says when it has to be looked through, because something in it disappears. */
export async function keepPiece(userId: string, name: string, value: unknown, until?: number): Promise<void> {
    const there = opened.get(userId);
    if (!there) return;
    const { database, key } = await there;
    const sealed = await seal(key, name, value);
    if (opened.get(userId) !== there) return;
    const piece: Piece = { name, ...sealed, ts: Date.now(), until };
    await answer(database.transaction("pieces", "readwrite").objectStore("pieces").put(piece));
}

export async function keptPiece<Value>(userId: string, name: string): Promise<Value | undefined> {
    const { database, key } = await openSnapshot(userId);
    const piece = (await answer(database.transaction("pieces").objectStore("pieces").get(name))) as Piece | undefined;
    return piece && unseal<Value>(key, name, piece);
}

export async function forgetPiece(userId: string, name: string): Promise<void> {
    const there = await opened.get(userId);
    if (there) await answer(there.database.transaction("pieces", "readwrite").objectStore("pieces").delete(name));
}

/** The names of all pieces, those that were kept last first. */
export async function piecesOf(userId: string): Promise<string[]> {
    const { database } = await openSnapshot(userId);
    const names = await answer(database.transaction("pieces").objectStore("pieces").index("ts").getAllKeys());
    return (names as string[]).reverse();
}

/** The names of the pieces that have to be looked through by now, and when the next one has to. */
export async function piecesToLookThrough(userId: string, now: number): Promise<{ due: string[]; next: number }> {
    const { database } = await openSnapshot(userId);
    const byEnd = database.transaction("pieces").objectStore("pieces").index("until");
    const [due, next] = await Promise.all([
        answer(byEnd.getAllKeys(IDBKeyRange.upperBound(now))),
        answer(byEnd.openKeyCursor(IDBKeyRange.lowerBound(now, true))),
    ]);
    return { due: due as string[], next: (next?.key as number | undefined) ?? Infinity };
}
