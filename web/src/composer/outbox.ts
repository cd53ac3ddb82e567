// What was written and is not with the server yet. Each message is shown at once as a pending event of its room, kept in
// the browser's database, and sent in the order of its chat with a transaction id that never changes, so that neither a
// closed app nor a lost answer loses or doubles it. Of several tabs one sends.

import { effect, signal } from "@preact/signals";
import type { MatrixClient, MatrixEvent, Room } from "matrix-js-sdk";

import { hindrance } from "../encryption/hindrance";
import { changes, lookAtEverybody } from "../encryption/identities";
import { standing } from "../encryption/standing";
import { session } from "../session/session";
import { isConnected } from "../sync/connection";
import { client, sdk } from "../sync/running";
import { words } from "../words";
import { type Item, KeptItems, type Uploaded, type WaitingFile, type Way } from "./kept";
import type { Prepared } from "./prepare";
import { explain, outcomeOf } from "./refusal";
import { upload } from "./upload";

/** What a message shows while it is not with the server. */
export interface Waiting {
    state: "waiting" | "sending" | "failed";
    /** One sentence that says why it waits or has failed. */
    cause?: string;
    /** The one thing that helps when it has failed. */
    action?: "retry" | "remove";
    /** How much of its file is uploaded, from 0 to 1. */
    progress?: number;
}

/** A message to be sent. Its file is uploaded before it. */
export interface Outgoing {
    roomId: string;
    type?: string;
    content: Record<string, unknown>;
    file?: WaitingFile;
    /** How the file is to be prepared before it is sent, if it is, and what comes of it. */
    way?: Way;
    prepared?: Promise<Prepared>;
}

/** How long to wait before the next attempt when nothing says that the network is back, in milliseconds. */
const FIRST_WAIT_MS = 2_000;
const LONGEST_WAIT_MS = 60_000;
/** How many files that were sent are still shown without being loaded again. */
const MOST_SHOWN = 30;
/** Names the uploads that a message carries, so that the server deletes them with it. */
const ATTACH_MEDIA = "org.matrix.msc3911.attach_media";

/** What waits, by transaction id. The server has what is not in it. */
export const waiting = signal<ReadonlyMap<string, Waiting>>(new Map());

/** What was written before this tab has a client, and is not with the server yet. */
export const early = signal<readonly Early[]>([]);

interface Early {
    userId: string;
    item: Item;
    /** Whether it is on the disk now. The browser may keep nothing. */
    isKept: Promise<boolean>;
}

effect(() => {
    const userId = session.value?.userId;
    early.value = early.peek().filter((one) => one.userId === userId);
});

let running: Outbox | undefined;
/** Addresses within the page of files that are being sent, or were. */
const addresses = new Map<string, { file: string; thumbnail?: string }>();
/** The ids of messages whose files were sent, the first one first. */
const sentFiles: string[] = [];
/** What comes of the files that this tab prepares, by the ids of their messages. */
const preparing = new Map<string, Promise<Prepared>>();

/** Shows a message and sends it as soon as that is possible. */
export function send(outgoing: Outgoing): void {
    const item = itemOf(outgoing);
    if (outgoing.prepared) preparing.set(item.id, outgoing.prepared);
    const userId = session.peek()?.userId;
    if (running) return running.add(item);
    if (!userId) return;
    showFile(item);
    early.value = [...early.peek(), { userId, item, isKept: keepForLater(userId, item) }];
}

let last = 0;

/** A message with an id of its own, which is later than every one before it. */
function itemOf({ roomId, type = "m.room.message", content, file, way }: Outgoing): Item {
    last = Math.max(Date.now(), last + 1);
    return { id: `linkspan.${crypto.randomUUID()}`, roomId, at: last, type, content, file, way };
}

/** Keeps a message that was written before this tab has a client. It may be another tab that sends it. */
async function keepForLater(userId: string, item: Item): Promise<boolean> {
    try {
        await (await KeptItems.open(userId)).put(item);
    } catch (error) {
        console.warn(error);
        return false;
    }
    const otherTabs = new BroadcastChannel(nameOf(userId));
    otherTabs.postMessage("changed");
    otherTabs.close();
    return true;
}

/** What tabs of an account call each other by, and the lock of the one that sends. */
const nameOf = (userId: string) => `linkspan-outbox-${userId}`;

export const retry = (id: string) => running?.retry(id);

/** Takes back a message that the server does not have. */
export const remove = (id: string) => running?.remove(id);

/** The address within the page of a file that this tab sends, or has sent. */
export const localFile = (id: string) => addresses.get(id)?.file;

export const localThumbnail = (id: string) => addresses.get(id)?.thumbnail;

function showFile({ id, file }: Item): void {
    if (!file || addresses.has(id)) return;
    addresses.set(id, { file: URL.createObjectURL(file.blob), thumbnail: file.thumbnail && URL.createObjectURL(file.thumbnail) });
}

/** Lets go of the files that were sent long ago. */
function releaseOldest(): void {
    for (const id of sentFiles.splice(0, Math.max(0, sentFiles.length - MOST_SHOWN))) {
        const address = addresses.get(id);
        addresses.delete(id);
        for (const url of [address?.file, address?.thumbnail]) if (url) URL.revokeObjectURL(url);
    }
}

function show(id: string, state: Waiting | undefined): void {
    const shown = new Map(waiting.peek());
    if (state) shown.set(id, state);
    else shown.delete(id);
    waiting.value = shown;
}

class Outbox {
    readonly #items = new Map<string, Item>();
    /** The ids of items that are on the disk, or were. */
    readonly #stored = new Set<string>();
    readonly #events = new Map<string, MatrixEvent>();
    /** The event ids of what was sent, by the local ids that answers to it may name. */
    readonly #sent = new Map<string, string>();
    readonly #busy = new Set<string>();
    readonly #uploads = new Map<string, AbortController>();
    readonly #stopped = new AbortController();
    /** Nothing where the browser keeps nothing, as in some private windows. It sends there all the same. */
    readonly #kept: Promise<KeptItems | undefined>;
    readonly #otherTabs: BroadcastChannel;
    #sdk?: Awaited<ReturnType<typeof sdk>>;
    #isSender = false;
    #wakers: (() => void)[] = [];

    constructor(readonly client: MatrixClient) {
        const userId = client.getSafeUserId();
        this.#kept = KeptItems.open(userId).catch((error: unknown) => void console.warn(error));
        this.#otherTabs = new BroadcastChannel(nameOf(userId));
        this.#otherTabs.onmessage = () => void this.read();
        // The library keeps pending events, too. Each would be there twice after the next start.
        client.store.setPendingEvents = () => Promise.resolve();
        const { signal } = this.#stopped;
        window.addEventListener("online", () => this.#wake(), { signal });
        const stopListening = isConnected.subscribe((isBack) => isBack && this.#wake());
        signal.addEventListener("abort", stopListening);
        // What cannot be encrypted may be so when this device is confirmed, or somebody's new keys are accepted.
        const stopFollowing = effect(() => {
            void standing.value;
            void changes.value;
            this.#wake();
        });
        signal.addEventListener("abort", stopFollowing);
        void this.#start(userId);
    }

    stop(): void {
        this.#stopped.abort();
        this.#otherTabs.close();
        for (const abort of this.#uploads.values()) abort.abort();
        this.#wake();
        waiting.value = new Map();
    }

    add(item: Item): void {
        this.#take(item);
        void this.#keep(item).then(() => this.#run(item.roomId));
    }

    retry(id: string): void {
        const item = this.#items.get(id);
        if (!item) return;
        delete item.refused;
        show(id, { state: "sending" });
        this.#redraw(item);
        void this.#keep(item).then(() => this.#run(item.roomId));
        this.#wake();
    }

    remove(id: string): void {
        this.#uploads.get(id)?.abort();
        this.#cancelEcho(id);
        void this.#drop(id);
        // What was written after it need not wait any more.
        this.#wake();
    }

    async #start(userId: string): Promise<void> {
        this.#sdk = await sdk();
        const { ClientEvent, RoomEvent } = this.#sdk;
        const arrived = (room: Room) => this.#echoRoom(room);
        const moved = (room: Room) => this.#explainAgain(room);
        this.client.on(ClientEvent.Room, arrived);
        this.client.on(RoomEvent.MyMembership, moved);
        this.#stopped.signal.addEventListener("abort", () => {
            this.client.off(ClientEvent.Room, arrived);
            this.client.off(RoomEvent.MyMembership, moved);
        });
        await this.#takeEarly(userId);
        await this.read();
        // Whoever has the lock sends. It goes to another tab when this one is closed.
        await navigator.locks
            .request(nameOf(userId), { signal: this.#stopped.signal }, async () => {
                this.#isSender = true;
                await this.read();
                this.#runAll();
                await new Promise((stop) => this.#stopped.signal.addEventListener("abort", stop));
            })
            .catch((error: unknown) => this.#stopped.signal.aborted || Promise.reject(error as Error));
    }

    /** Takes over what was written before there was a client. Nothing is sent before it is known what of it is on the disk. */
    async #takeEarly(userId: string): Promise<void> {
        const own = early.peek().filter((one) => one.userId === userId);
        for (const { item } of own) this.#take(item);
        const keep = async ({ item, isKept }: Early) => {
            if (await isKept) this.#stored.add(item.id);
            else await this.#keep(item);
        };
        await Promise.all(own.map(keep));
    }

    /** Takes over what other tabs have written, and forgets what they have sent. */
    async read(): Promise<void> {
        const items = await this.#kept.then((kept) => kept?.all(this.#items)).catch((error: unknown) => void console.warn(error));
        if (this.#stopped.signal.aborted) return;
        if (!items) return this.#runAll();
        const ids = new Set(items.map(({ id }) => id));
        for (const item of items) {
            this.#stored.add(item.id);
            if (!this.#items.has(item.id)) this.#take(item);
            else this.#items.get(item.id)!.refused = item.refused;
        }
        for (const id of this.#items.keys()) if (!ids.has(id) && this.#stored.has(id)) this.#forget(id);
        this.#runAll();
    }

    #take(item: Item): void {
        this.#items.set(item.id, item);
        last = Math.max(last, item.at);
        showFile(item);
        show(item.id, stateOf(item));
        const room = this.client.getRoom(item.roomId);
        if (room) this.#echo(item, room);
    }

    #echoRoom(room: Room): void {
        for (const item of this.#items.values()) if (item.roomId === room.roomId) this.#echo(item, room);
        void this.#run(room.roomId);
    }

    /** Shows a message in its chat. */
    #echo(item: Item, room: Room): void {
        if (this.#events.has(item.id) || !this.#sdk) return;
        const { EventStatus, MatrixEvent } = this.#sdk;
        const isThere = room.getLiveTimeline().getEvents().some((event) => event.getUnsigned().transaction_id === item.id);
        if (isThere) return;
        const event = new MatrixEvent({
            event_id: localId(item),
            room_id: item.roomId,
            sender: this.client.getSafeUserId(),
            type: item.type,
            content: item.content,
            origin_server_ts: item.at,
        });
        event.setTxnId(item.id);
        event.setStatus(EventStatus.SENDING);
        this.#events.set(item.id, event);
        room.addPendingEvent(event, item.id);
        // The library takes a message that failed as a sign that later ones fail, too.
        event.setStatus(EventStatus.SENDING);
    }

    #cancelEcho(id: string): void {
        const event = this.#events.get(id);
        const room = event && this.client.getRoom(event.getRoomId());
        if (!event || !room || !this.#sdk) return;
        const { EventStatus } = this.#sdk;
        if (event.status !== EventStatus.NOT_SENT) room.updatePendingEvent(event, EventStatus.NOT_SENT);
        room.updatePendingEvent(event, EventStatus.CANCELLED);
    }

    #runAll(): void {
        for (const roomId of new Set([...this.#items.values()].map((item) => item.roomId))) void this.#run(roomId);
    }

    /** Sends what waits in a room, one after the other. */
    async #run(roomId: string): Promise<void> {
        const room = this.client.getRoom(roomId);
        if (!this.#isSender || !room || this.#busy.has(roomId)) return;
        this.#busy.add(roomId);
        try {
            for (let attempt = 0; ; ) {
                const item = this.#next(roomId);
                if (!item || this.#stopped.signal.aborted) return;
                attempt = (await this.#try(item, room, attempt)) ? 0 : attempt + 1;
            }
        } finally {
            this.#busy.delete(roomId);
        }
    }

    #next(roomId: string): Item | undefined {
        const items = [...this.#items.values()].filter((item) => item.roomId === roomId && !item.refused);
        return items.sort((one, other) => one.at - other.at)[0];
    }

    /** Whether the next message can follow at once. */
    async #try(item: Item, room: Room, attempt: number): Promise<boolean> {
        try {
            this.#echo(item, room);
            await this.#prepare(item);
            await this.#upload(item, room);
            const eventId = await this.#put(item, room);
            this.#sent.set(localId(item), eventId);
            await this.#drop(item.id);
            return true;
        } catch (error) {
            if (this.#stopped.signal.aborted || !this.#items.has(item.id)) return true;
            const outcome = outcomeOf(error, room);
            if (!outcome.waits) {
                await this.#refuse(item, outcome.refusal);
                return true;
            }
            const cause = outcome.cause ?? hindrance(room) ?? "composer.waiting";
            this.#showAll(item.roomId, { state: "waiting", cause: words(cause) });
            await this.#rest(outcome.afterMs ?? Math.min(FIRST_WAIT_MS * 2 ** attempt, LONGEST_WAIT_MS));
            this.#showAll(item.roomId, { state: "sending" });
            return false;
        }
    }

    #showAll(roomId: string, state: Waiting): void {
        for (const item of this.#items.values()) if (item.roomId === roomId && !item.refused) show(item.id, state);
    }

    async #refuse(item: Item, refused: NonNullable<Item["refused"]>): Promise<void> {
        item.refused = refused;
        await this.#keep(item);
        show(item.id, stateOf(item));
        this.#redraw(item);
    }

    /** Has its chat show a message anew. For the library one that was refused is on its way still: behind one that has failed,
     * it would send nothing else in the chat. */
    #redraw(item: Item): void {
        const event = this.#events.get(item.id);
        const room = this.client.getRoom(item.roomId);
        if (event && room) room.emit(this.#sdk!.RoomEvent.LocalEchoUpdated, event, room);
    }

    /** Says of what was refused that the person is not in the chat any more, if that is heard only after it. */
    #explainAgain(room: Room): void {
        if (room.getMyMembership() === "join") return;
        for (const item of this.#items.values()) {
            if (item.roomId !== room.roomId || item.refused !== "not_allowed") continue;
            item.refused = "not_member";
            show(item.id, stateOf(item));
            void this.#keep(item);
        }
    }

    /** Makes of the file what is sent. It has its place among the messages before that, because it may take a while. */
    async #prepare(item: Item): Promise<void> {
        if (!item.way || !item.file) return;
        const { prepare, withPrepared } = await import("./prepare");
        const begun = await preparing.get(item.id)?.catch(() => undefined);
        const prepared = begun ?? (await prepare(item.file.blob, item.way));
        preparing.delete(item.id);
        if (!this.#items.has(item.id)) throw new DOMException("it was taken back", "AbortError");
        item.content = withPrepared(item.content, prepared);
        item.file = prepared.file;
        delete item.way;
        const event = this.#events.get(item.id);
        if (event) event.event.content = item.content;
        this.#redraw(item);
        await this.#keep(item);
    }

    async #upload(item: Item, room: Room): Promise<void> {
        if (!item.file || item.uploads) return;
        const abort = new AbortController();
        this.#uploads.set(item.id, abort);
        const isEncrypted = await isToBeEncrypted(this.client, room);
        const one = (blob: Blob, progress: (part: number) => void) =>
            upload(this.client, blob, { name: String(item.content.filename ?? ""), isEncrypted, progress, abort });
        try {
            const { blob, thumbnail } = item.file;
            const small = thumbnail && (await one(thumbnail, () => undefined));
            const file = await one(blob, (progress) => show(item.id, { state: "sending", progress }));
            if (!this.#items.has(item.id)) throw new DOMException("it was taken back", "AbortError");
            item.uploads = { file, thumbnail: small };
            await this.#keep(item);
        } finally {
            this.#uploads.delete(item.id);
        }
    }

    /** Sends a message whose files are uploaded, and returns its id. */
    async #put(item: Item, room: Room): Promise<string> {
        const { EventStatus, Method } = this.#sdk!;
        const event = this.#events.get(item.id);
        // It came back from the server before the answer to sending it did, at the last start.
        if (!event) return "";
        if (!event.isEncrypted()) event.event.content = this.#whole(item);
        await encryptIfNeeded(this.client, event, room).catch((error: unknown) => this.#notEncrypted(error, room));
        const where = `/rooms/${encodeURIComponent(item.roomId)}/send/${encodeURIComponent(event.getWireType())}/${encodeURIComponent(item.id)}`;
        const query = { [ATTACH_MEDIA]: mediaOf(item) };
        const { event_id } = await this.client.http.authedRequest<{ event_id: string }>(Method.Put, where, query, event.getWireContent());
        if (event.status === EventStatus.SENDING) room.updatePendingEvent(event, EventStatus.SENT, event_id);
        // The library leaves it as it is if the chat has the message already, from before the last start.
        if (event.status === EventStatus.SENDING && room.getPendingEvents().includes(event)) this.#cancelEcho(item.id);
        return event_id;
    }

    /** Finds out whether somebody's keys are why a message could not be encrypted, so that the person can be told. */
    async #notEncrypted(error: unknown, room: Room): Promise<never> {
        await lookAtEverybody(this.client, room).catch((failed: unknown) => console.info("whose keys have changed is not known", failed));
        throw error;
    }

    /** The content with the addresses of its files, and the ids of messages that had none when it was written. */
    #whole(item: Item): Record<string, unknown> {
        const content = item.uploads ? withFiles(item.content, item.uploads) : item.content;
        const relation = content["m.relates_to"] as { event_id?: string; "m.in_reply_to"?: { event_id: string } } | undefined;
        const local = relation?.["m.in_reply_to"]?.event_id ?? relation?.event_id;
        if (!relation || !local?.startsWith("~")) return content;
        const event_id = this.#sent.get(local);
        if (!event_id) return { ...content, "m.relates_to": undefined };
        const whole = relation["m.in_reply_to"] ? { ...relation, "m.in_reply_to": { event_id } } : { ...relation, event_id };
        return { ...content, "m.relates_to": whole };
    }

    async #keep(item: Item): Promise<void> {
        try {
            await (await this.#kept)?.put(item);
        } catch (error) {
            // There may be no room for a large file. It is sent all the same.
            console.warn(error);
            return;
        }
        this.#stored.add(item.id);
        this.#otherTabs.postMessage("changed");
    }

    async #drop(id: string): Promise<void> {
        this.#forget(id);
        await (await this.#kept)?.delete(id);
        this.#otherTabs.postMessage("changed");
    }

    #forget(id: string): void {
        this.#items.delete(id);
        this.#events.delete(id);
        preparing.delete(id);
        early.value = early.peek().filter(({ item }) => item.id !== id);
        show(id, undefined);
        if (addresses.has(id)) sentFiles.push(id);
        releaseOldest();
    }

    /** Waits for a while, or until something says that it is worth trying again. */
    #rest(ms: number): Promise<void> {
        return new Promise((end) => {
            const timer = setTimeout(end, ms);
            this.#wakers.push(() => {
                clearTimeout(timer);
                end();
            });
        });
    }

    #wake(): void {
        for (const wake of this.#wakers.splice(0)) wake();
    }
}

const localId = (item: Item) => `~${item.roomId}:${item.id}`;

function stateOf(item: Item): Waiting {
    if (!item.refused) return navigator.onLine ? { state: "sending" } : { state: "waiting", cause: words("composer.waiting") };
    const { cause, action } = explain(item.refused);
    return { state: "failed", cause: words(cause), action };
}

/** A chat that was encrypted once stays so, whatever the server says of it later. */
async function isToBeEncrypted(client: MatrixClient, room: Room): Promise<boolean> {
    return room.hasEncryptionStateEvent() || (await client.getCrypto()?.isEncryptionEnabledInRoom(room.roomId)) === true;
}

/** Encrypts an event of an encrypted chat. Reactions stay readable, as the specification has them. */
export async function encryptIfNeeded(client: MatrixClient, event: MatrixEvent, room: Room): Promise<void> {
    if (event.isEncrypted() || event.getType() === "m.reaction" || !(await isToBeEncrypted(client, room))) return;
    // The library offers this only as a part of its own sending, which does not take the names of the media.
    const crypto = client.getCrypto() as unknown as { encryptEvent(event: MatrixEvent, room: Room): Promise<void> };
    await crypto.encryptEvent(event, room);
}

function mediaOf({ uploads }: Item): string[] {
    return [uploads?.file, uploads?.thumbnail].flatMap((uploaded) => uploaded?.mxc ?? []);
}

/** Puts the addresses of uploaded files into the content of a message. */
function withFiles(content: Record<string, unknown>, { file, thumbnail }: { file: Uploaded; thumbnail?: Uploaded }): Record<string, unknown> {
    const info = { ...(content.info as Record<string, unknown> | undefined) };
    if (thumbnail) Object.assign(info, thumbnail.encryption ? { thumbnail_file: thumbnail.encryption } : { thumbnail_url: thumbnail.mxc });
    const address = file.encryption ? { file: file.encryption } : { url: file.mxc };
    return { ...content, info, ...address };
}

effect(() => {
    const started = client.value;
    running?.stop();
    running = started && new Outbox(started);
});
