// The encrypted messages that this browser has read, so that they can be searched: no server can do that. What they say is sealed
// with the key of the snapshot. They go when the person logs out, and each goes with its message.

import type { MatrixClient, MatrixEvent } from "matrix-js-sdk";

import { disappearsTs } from "../chat/disappears";
import { saidBy } from "../chat/edits";
import { Alarm } from "../sync/alarm";
import { answer, ended } from "../sync/database";
import type { Sdk } from "../sync/running";
import { openSnapshot, type Sealed, seal, unseal } from "../sync/snapshot";
import { type About, merge } from "./told";

/** A message that was read. */
export interface Seen extends About {
    id: string;
    text: string;
}

/** A message as it lies on the disk. */
interface Kept extends About, Sealed {
    id: string;
}

/** What changes what is kept: something that was read, or messages that are gone. */
export type Change = { told: Seen } | { gone: string[] };

/** The most messages that are kept; then the oldest go. */
const MOST = 50_000;
/** How long messages are gathered before they are written, and how long it takes to try again if that fails, in milliseconds. */
const WRITE_AFTER_MS = 500;
const AGAIN_AFTER_MS = 30_000;
/** The most messages that wait to be written: more than come at a time, even when a chat is read from its beginning. */
const MOST_WAITING = 2000;
/** How many messages are sealed or opened before something else may be done. */
const CHUNK = 500;
/** The most letters of a message that are kept. */
const MOST_LETTERS = 4000;

/** The version of the database. The second one has its messages sealed, and finds them by when they disappear. */
const VERSION = 2;
const nameOf = (userId: string) => `linkspan-seen-${userId}`;

/** What one account has read. */
export class SeenMessages {
    readonly #followers = new Set<(change: Change) => void>();
    /** What was told since the last time that it was written, in this order. */
    #waiting: Seen[] = [];
    /** The chats and ids of messages that were deleted while the app is open: one that is just being written must not come back. */
    readonly #deleted = new Set<string>();
    #opened: Promise<IDBDatabase> | undefined;
    #writing: ReturnType<typeof setTimeout> | undefined;
    /** Waits until the first message disappears. */
    readonly #vanish = new Alarm(() => void this.#sweep().catch(console.warn));
    #isClosed = false;

    constructor(readonly userId: string) {
        void this.#sweep().catch(console.warn);
    }

    /** Tells of each change from now on. */
    follow(tell: (change: Change) => void): void {
        this.#followers.add(tell);
    }

    note(message: Seen): void {
        if (this.#isClosed || this.#deleted.has(placeOf(message))) return;
        this.#waiting.push(message);
        if (this.#waiting.length > MOST_WAITING) this.#waiting.shift();
        this.#tell({ told: message });
        this.#writeLater(WRITE_AFTER_MS);
    }

    /** Forgets a message of a chat. */
    async delete(id: string, room: string): Promise<void> {
        this.#deleted.add(placeOf({ room, id }));
        this.#waiting = this.#waiting.filter((message) => message.id !== id || message.room !== room);
        const messages = await this.#messages("readwrite");
        const kept = (await answer(messages.get(id))) as Kept | undefined;
        if (kept && kept.room !== room) return;
        messages.delete(id);
        this.#tell({ gone: [id] });
    }

    async deleteRoom(room: string): Promise<void> {
        this.#waiting = this.#waiting.filter((message) => message.room !== room);
        const messages = await this.#messages("readwrite");
        const ids = (await answer(messages.index("room").getAllKeys(room))) as string[];
        for (const id of ids) messages.delete(id);
        this.#tell({ gone: ids });
    }

    /** All messages that are kept, with those that are not written yet. */
    async all(): Promise<Seen[]> {
        const kept = (await answer((await this.#messages("readonly")).getAll())) as Kept[];
        const { key } = await openSnapshot(this.userId);
        const byId = new Map<string, Seen>();
        for (let from = 0; from < kept.length; from += CHUNK) {
            const opened = await Promise.all(kept.slice(from, from + CHUNK).map((message) => open(key, message)));
            for (const message of opened) if (message) byId.set(message.id, message);
        }
        for (const told of this.#waiting) byId.set(told.id, withTold(byId.get(told.id), told));
        return [...byId.values()];
    }

    /** When the oldest message was sent that is kept. */
    async oldestTs(): Promise<number | undefined> {
        const first = await answer((await this.#messages("readonly")).index("ts").openKeyCursor());
        const all = this.#waiting.map(({ ts }) => ts);
        if (first) all.push(first.key as number);
        return all.length > 0 ? Math.min(...all) : undefined;
    }

    /** Writes what waits, unless nothing is to be kept any more, and lets go of the disk. */
    async close(isForGood: boolean): Promise<void> {
        clearTimeout(this.#writing);
        this.#vanish.clear();
        if (!isForGood && this.#waiting.length > 0) await this.#write().catch(console.warn);
        this.#isClosed = true;
        this.#waiting = [];
        (await this.#opened?.catch(() => undefined))?.close();
    }

    #tell(change: Change): void {
        for (const tell of this.#followers) tell(change);
    }

    #writeLater(ms: number): void {
        this.#writing ??= setTimeout(() => {
            this.#writing = undefined;
            this.#write().catch((error: unknown) => {
                console.warn(error);
                this.#writeLater(AGAIN_AFTER_MS);
            });
        }, ms);
    }

    async #write(): Promise<void> {
        const told = this.#waiting;
        const { key } = await openSnapshot(this.userId);
        const sealed: Kept[] = [];
        for (let from = 0; from < told.length; from += CHUNK) {
            sealed.push(...(await Promise.all(told.slice(from, from + CHUNK).map((message) => close(key, message)))));
        }
        const messages = await this.#messages("readwrite");
        const isDone = ended(messages.transaction);
        for (const message of sealed) {
            const before = (await answer(messages.get(message.id))) as Kept | undefined;
            const { about, isTold } = merge(before, message);
            if (!this.#deleted.has(placeOf(message))) messages.put({ ...(isTold ? message : before!), ...about });
        }
        const tooMany = await this.#dropOldest(messages);
        await isDone;
        const written = new Set(told);
        this.#waiting = this.#waiting.filter((message) => !written.has(message));
        this.#vanish.set(Math.min(...told.map(({ until }) => until ?? Infinity)));
        if (tooMany.length > 0) this.#tell({ gone: tooMany });
    }

    async #dropOldest(messages: IDBObjectStore): Promise<string[]> {
        const tooMany = (await answer(messages.count())) - MOST;
        if (tooMany <= 0) return [];
        const oldest = (await answer(messages.index("ts").getAllKeys(undefined, tooMany))) as string[];
        for (const id of oldest) messages.delete(id);
        return oldest;
    }

    /** Erases what has disappeared, and comes back when the next message does. */
    async #sweep(): Promise<void> {
        const now = Date.now();
        const messages = await this.#messages("readwrite");
        const byEnd = messages.index("until");
        const gone = (await answer(byEnd.getAllKeys(IDBKeyRange.upperBound(now)))) as string[];
        for (const id of gone) messages.delete(id);
        const next = await answer(byEnd.openKeyCursor(IDBKeyRange.lowerBound(now, true)));
        if (gone.length > 0) this.#tell({ gone });
        if (!this.#isClosed) this.#vanish.set((next?.key as number | undefined) ?? Infinity);
    }

    async #messages(mode: IDBTransactionMode): Promise<IDBObjectStore> {
        return (await this.#database()).transaction("messages", mode).objectStore("messages");
    }

    #database(): Promise<IDBDatabase> {
        if (this.#isClosed) return Promise.reject(new Error("nothing more is kept of what was read"));
        if (this.#opened) return this.#opened;
        const opened = openMessages(this.userId);
        const forget = () => {
            if (this.#opened === opened) this.#opened = undefined;
        };
        this.#opened = opened;
        opened.then((database) => {
            // Another tab has logged out, and waits for this one to let go.
            database.onversionchange = () => {
                database.close();
                forget();
            };
        }, forget);
        return opened;
    }
}

async function openMessages(userId: string): Promise<IDBDatabase> {
    const request = indexedDB.open(nameOf(userId), VERSION);
    let isPlain = false;
    request.onupgradeneeded = ({ oldVersion }) => {
        isPlain = oldVersion === 1;
        const messages = isPlain
            ? request.transaction!.objectStore("messages")
            : request.result.createObjectStore("messages", { keyPath: "id" });
        if (!isPlain) {
            messages.createIndex("ts", "ts");
            messages.createIndex("room", "room");
        }
        messages.createIndex("until", "until");
    };
    const database = await answer(request);
    if (isPlain) await sealAll(userId, database);
    return database;
}

/** Seals what an earlier version of the app has kept in the clear. */
async function sealAll(userId: string, database: IDBDatabase): Promise<void> {
    const { key } = await openSnapshot(userId);
    const plain = (await answer(database.transaction("messages").objectStore("messages").getAll())) as Seen[];
    for (let from = 0; from < plain.length; from += CHUNK) {
        const sealed = await Promise.all(plain.slice(from, from + CHUNK).map((message) => close(key, message)));
        const messages = database.transaction("messages", "readwrite").objectStore("messages");
        for (const message of sealed) messages.put(message);
        await ended(messages.transaction);
    }
}

const placeOf = ({ room, id }: { room: string; id: string }) => `${room} ${id}`;

async function close(key: CryptoKey, { text, ...about }: Seen): Promise<Kept> {
    return { ...about, ...(await seal(key, about.id, text)) };
}

/** A message as it was read; nothing if the key is another one by now. */
async function open(key: CryptoKey, { iv, sealed, ...about }: Kept): Promise<Seen | undefined> {
    const text = await unseal<string>(key, about.id, { iv, sealed }).catch(() => undefined);
    return text === undefined ? undefined : { ...about, text };
}

/** What is known of a message, with what was told of it now. */
export function withTold(known: Seen | undefined, told: Seen): Seen {
    const { about, isTold } = merge(known, told);
    return { id: told.id, text: isTold ? told.text : known!.text, ...about };
}

let followed: SeenMessages | undefined;

/** What the account of this client has read. */
export function seenBy(client: MatrixClient): SeenMessages | undefined {
    return followed?.userId === client.getUserId() ? followed : undefined;
}

/** Keeps what the client decrypts from now on, and forgets what is deleted or left. */
export function followMessages(client: MatrixClient, { EventType, MatrixEventEvent, RoomEvent }: Sdk): SeenMessages {
    const seen = new SeenMessages(client.getSafeUserId());
    followed = seen;
    const note = (event: MatrixEvent) => {
        const message = seenOf(event);
        if (message) seen.note(message);
    };
    client.on(MatrixEventEvent.Decrypted, note);
    // What this browser has encrypted itself is never decrypted here.
    client.on(RoomEvent.LocalEchoUpdated, (event) => event.isEncrypted() && event.getId()?.startsWith("$") && note(event));
    // The library tells of a deletion by itself only if it knows the message, and most that were read are not in its memory.
    client.on(RoomEvent.Timeline, (event) => {
        const [room, ownId] = [event.getRoomId(), event.getId()];
        const isDeletion = event.getType() === EventType.RoomRedaction;
        const id = isDeletion ? (event.event.redacts ?? (event.getContent().redacts as unknown)) : event.isRedacted() && ownId;
        if (room && typeof id === "string") seen.delete(id, room).catch(console.warn);
    });
    client.on(RoomEvent.MyMembership, (room, membership) => {
        if (membership === "leave" || membership === "ban") seen.deleteRoom(room.roomId).catch(console.warn);
    });
    return seen;
}

/** What is kept of an event: what it says, under the id of the message that it is, or that it changes. */
function seenOf(event: MatrixEvent): Seen | undefined {
    const [room, sender, ownId] = [event.getRoomId(), event.getSender(), event.getId()];
    if (event.isDecryptionFailure() || event.isRedacted() || event.getType() !== "m.room.message" || !room || !sender || !ownId) return;
    const relation = event.getRelation();
    const isEdit = relation?.rel_type === "m.replace";
    const content = isEdit ? event.getContent() : saidBy(event);
    const body = (isEdit ? (content["m.new_content"] as { body?: unknown } | undefined)?.body : content.body) as unknown;
    if (typeof body !== "string" || !body) return;
    const until = disappearsTs(event);
    const about = { room, sender, ts: event.getTs(), text: body.slice(0, MOST_LETTERS), ...(until !== undefined && { until }) };
    return isEdit ? { id: relation.event_id ?? ownId, ...about, editedTs: event.getTs() } : { id: ownId, ...about };
}
