// An open chat: what is loaded of it, the rows that show it, and how far the person has read.

import { batch, signal, type Signal } from "@preact/signals";
import type { MatrixClient, MatrixEvent, Room, RoomMember } from "matrix-js-sdk";

import { otherPerson } from "../chats/direct";
import { oneLine } from "../chats/preview";
import { MARKED } from "../chats/rows";
import { announce, notify } from "../ui/notice";
import { words } from "../words";
import { receipts } from "../settings/choices";
import { Alarm } from "../sync/alarm";
import type { Sdk } from "../sync/running";
import { disappearsTs, isGone } from "./disappears";
import { keepChat, type KeptChat, MOST_ROWS } from "./kept";
import { keyOf, type Surroundings } from "./message";
import { type Person, personOf } from "./people";
import { PollCounter } from "./polls";
import { Related } from "./related";
import { isShown, type Row, rowsOf } from "./rows";
import { starredIn } from "./stars";
import { isInThread, type Source, Stretch, ThreadStretch } from "./stretch";

/** How many rows a chat has at least when it is opened, if it has so many. */
const FIRST_ROWS = 30;
/** How long changes are gathered before they are kept for the next start, in milliseconds. */
const KEEP_AFTER_MS = 1000;
/** How many pages are loaded to find what was read last. */
const MAX_PAGES_TO_UNREAD = 4;
/** How long a message that one has jumped to stands out, in milliseconds. */
const HIGHLIGHT_MS = 2000;

export interface RowHandle {
    key: string;
    row: Signal<Row>;
}

/** Where the window has to go. Each is a new object, so that one can go to the same place twice. */
export interface Place {
    to: "end" | { key: string };
    isSmooth?: boolean;
}

/** What may fail to load: as much as fills the window, what is older or newer, and a place in the chat. */
type Lost = "opening" | "older" | "newer" | { eventId: string };

export class Timeline {
    /** Those that are shown. */
    static readonly #open = new Set<Timeline>();

    readonly rows = signal<RowHandle[]>([]);
    readonly isOpening = signal(true);
    readonly hasOlder = signal(true);
    readonly hasNewer = signal(false);
    /** How many messages came that the person has not been shown. */
    readonly newer = signal(0);
    readonly place = signal<Place | undefined>(undefined);
    readonly highlighted = signal<string | undefined>(undefined);
    readonly typing = signal<string[]>([]);
    readonly pinned = signal<string[]>([]);
    /** What the pinned messages say that are known, by their ids. */
    readonly pinnedTexts = signal<ReadonlyMap<string, string>>(new Map());
    /** What could not be loaded, to be tried again. */
    readonly lost = signal<Lost | undefined>(undefined);
    readonly own: string;
    isAtEnd = true;

    readonly #stretch: Stretch;
    readonly #source: Source;
    readonly #related = new Related();
    readonly #polls = new Map<string, PollCounter>();
    readonly #kept = new Map<string, { text: string; handle: RowHandle }>();
    /** Pinned messages that were loaded by themselves. */
    readonly #pins = new Map<string, MatrixEvent>();
    #byId = new Map<string, MatrixEvent>();
    #events: MatrixEvent[] = [];
    readonly #stops: (() => void)[] = [];
    #readUpTo: string | undefined;
    #marked: string | undefined;
    #isUnmarked = false;
    #cameFrom: string | undefined;
    #frame = 0;
    /** Waits until the next message disappears. */
    readonly #vanish = new Alarm(() => this.#read());
    #fade = 0;
    #keeping = 0;
    #loading: Promise<void> | undefined;
    #isClosed = false;

    constructor(
        readonly client: MatrixClient,
        readonly room: Room,
        sdk: Sdk,
        readonly threadRoot?: string,
        kept?: KeptChat,
    ) {
        this.own = client.getSafeUserId();
        this.#stretch = new Stretch(client, room);
        if (kept) this.#stretch.recall(kept);
        this.#source = threadRoot ? new ThreadStretch(client, room, threadRoot) : this.#stretch;
        this.#follow(sdk);
        this.#read();
    }

    #follow({ RoomEvent, MatrixEventEvent, RoomMemberEvent, RoomStateEvent }: Sdk): void {
        const on = (name: string, listener: (...what: never[]) => void) => {
            this.client.on(name as never, listener as never);
            this.#stops.push(() => this.client.off(name as never, listener as never));
        };
        const isHere = (room?: Room | null) => room?.roomId === this.room.roomId;
        const changedIn = (_: unknown, room?: Room) => isHere(room) && this.#changed();
        const changed = (event: MatrixEvent) => event.getRoomId() === this.room.roomId && this.#changed();
        on(RoomEvent.Timeline, (event: MatrixEvent, room?: Room, isOlder?: boolean) => isHere(room) && this.#heard(event, isOlder === true));
        on(RoomEvent.TimelineReset, (room?: Room) => isHere(room) && void this.#closeGap());
        on(RoomEvent.LocalEchoUpdated, (_: unknown, room: Room, echoId?: string) => {
            if (!isHere(room)) return;
            if (echoId) this.#related.forget(echoId);
            this.#changed();
        });
        on(RoomEvent.Redaction, changedIn);
        on(RoomEvent.RedactionCancelled, changedIn);
        on(RoomEvent.Receipt, changedIn);
        on(RoomEvent.AccountData, changedIn);
        on(MatrixEventEvent.Decrypted, changed);
        on(MatrixEventEvent.Replaced, changed);
        on(RoomStateEvent.Events, changed);
        on(RoomMemberEvent.Typing, (_: unknown, member: RoomMember) => member.roomId === this.room.roomId && this.#readTyping());
    }

    static isOpen(roomId: string): boolean {
        return [...Timeline.#open].some(({ room }) => room.roomId === roomId);
    }

    /** Waits until what was kept can be read. */
    async recalled(): Promise<void> {
        await Promise.all(this.#events.map((event) => this.client.decryptEventIfNeeded(event)));
        if (!this.#isClosed) this.#read();
    }

    /** Whether it is a chat of two, which may be known only once its people are. */
    get isDirect(): boolean {
        return otherPerson(this.client, this.room) !== undefined;
    }

    /** Opens the chat: at an event, at the first unread message, or at the end. */
    async open(eventId?: string): Promise<void> {
        Timeline.#open.add(this);
        if (eventId) return this.jumpTo(eventId);
        await this.#attempt("opening", async () => {
            if (!this.threadRoot) await this.#loadToUnread();
            await this.#fill();
        });
        this.#opened();
    }

    /** Loads so many rows that they fill the window. */
    async #fill(): Promise<void> {
        while (this.#source.hasOlder && this.rows.peek().length < FIRST_ROWS && !this.#isClosed) {
            await this.#source.loadOlder();
            this.#read();
        }
    }

    /** Loads something; if that fails, remembers what. Whether it is there. */
    async #attempt(what: Lost, load: () => Promise<void>): Promise<boolean> {
        try {
            await load();
            this.lost.value = undefined;
            return true;
        } catch (error) {
            console.warn(error);
            this.lost.value = what;
            return false;
        }
    }

    /** Loads what could not be loaded before. */
    async retry(): Promise<void> {
        const what = this.lost.peek();
        this.lost.value = undefined;
        if (what === "older" || what === "newer") return this.load(what);
        if (typeof what === "object") return this.jumpTo(what.eventId);
        if (what) await this.#attempt(what, () => this.#fill());
        if (!this.#isClosed) this.#read();
    }

    #opened(): void {
        batch(() => {
            this.isOpening.value = false;
            this.#read();
            const isUnread = this.rows.peek().some(({ key }) => key === "unread");
            this.place.value = { to: isUnread ? { key: "unread" } : "end" };
        });
    }

    /** Loads back to what was read last, which may be far away. */
    async #loadToUnread(): Promise<void> {
        if ((this.room.getUnreadNotificationCount() ?? 0) === 0) return;
        const receipt = this.room.getEventReadUpTo(this.own) ?? undefined;
        const isRead = (event: MatrixEvent) => (receipt ? event.getId() === receipt : event.getSender() === this.own && !event.status);
        const find = () => this.#stretch.events().findLast(isRead)?.getId();
        for (let page = 0; page < MAX_PAGES_TO_UNREAD && find() === undefined && this.#stretch.hasOlder; page++) await this.#stretch.loadOlder();
        if (receipt && find() === undefined && this.#stretch.hasOlder) await this.#stretch.jumpTo(receipt).catch(() => this.#stretch.jumpToEnd());
        else if (this.#stretch.hasOlder) await this.#stretch.loadOlder();
        this.#readUpTo = find() ?? (this.#stretch.hasOlder ? undefined : this.#stretch.events()[0]?.getId());
    }

    /** Keeps the end of the chat as it is, for the next start. */
    keep(): void {
        clearTimeout(this.#keeping);
        if (this.threadRoot || this.#source.hasNewer || this.room.getMyMembership() !== "join") return;
        const shown = this.rows.peek().map(({ row }) => row.peek());
        const rows = shown.filter(({ kind }) => kind !== "unread").slice(-MOST_ROWS);
        const kept = { rows, isDirect: this.isDirect, ...this.#stretch.toKeep(MOST_ROWS) };
        keepChat(this.own, this.room.roomId, kept).catch(console.warn);
    }

    close(): void {
        if (Timeline.#open.delete(this) && !this.isOpening.peek()) this.keep();
        this.#isClosed = true;
        for (const stop of this.#stops) stop();
        cancelAnimationFrame(this.#frame);
        this.#vanish.clear();
        clearTimeout(this.#fade);
    }

    /** Loads what is older or newer than what is there. One at a time: whoever asks meanwhile gets the same. */
    load(direction: "older" | "newer"): Promise<void> {
        const has = direction === "older" ? this.#source.hasOlder : this.#source.hasNewer;
        if (!has || this.isOpening.peek()) return Promise.resolve();
        const run = direction === "older" ? () => this.#source.loadOlder() : () => this.#source.loadNewer();
        this.#loading ??= this.#attempt(direction, run).then(() => {
            this.#loading = undefined;
            if (!this.#isClosed) this.#read();
        });
        return this.#loading;
    }

    /** Shows a message, wherever in the chat it is, and has it stand out for a moment. */
    async jumpTo(eventId: string, from?: string): Promise<void> {
        this.#cameFrom = from;
        if (!this.#byId.has(eventId)) {
            let isGone = false;
            const isThere = await this.#attempt({ eventId }, () =>
                this.#stretch.jumpTo(eventId).catch((error: { httpStatus?: number }) => {
                    isGone = [403, 404].includes(error.httpStatus ?? 0);
                    if (!isGone) throw error;
                }),
            );
            if (isGone) notify({ text: words("message.gone") });
            if (isGone || !isThere) {
                if (!this.isOpening.peek()) return;
                const missed = this.lost.peek();
                await this.open();
                // What the person wanted to see is what is to be tried again.
                if (missed) this.lost.value = missed;
                return;
            }
            if (this.#isClosed) return;
        }
        batch(() => {
            this.#read();
            const key = this.#rowKeyOf(eventId);
            if (key) this.place.value = { to: { key } };
            this.isOpening.value = false;
            this.highlighted.value = eventId;
        });
        clearTimeout(this.#fade);
        this.#fade = window.setTimeout(() => (this.highlighted.value = undefined), HIGHLIGHT_MS);
    }

    #rowKeyOf(eventId: string): string | undefined {
        const holds = (row: Row) => row.kind === "message" && row.messages.some(({ id }) => id === eventId);
        return this.rows.peek().find(({ row }) => holds(row.peek()))?.key;
    }

    /** Goes back to the message that led away from it, or else to the end. */
    async jumpToEnd(): Promise<void> {
        if (this.#cameFrom) return this.jumpTo(this.#cameFrom);
        if (this.#stretch.hasNewer) {
            this.#stretch.jumpToEnd();
            this.isOpening.value = true;
            this.#read();
            // What is older is all that can be missing: the end itself is what the client has heard.
            await this.#attempt("opening", () => this.#fill());
            this.isOpening.value = false;
        }
        batch(() => {
            this.#read();
            this.place.value = { to: "end", isSmooth: true };
        });
    }

    event(id: string): MatrixEvent | undefined {
        return this.#byId.get(id) ?? this.room.findEventById(id);
    }

    /** A message, wherever in the chat it is. An error of the server says that there is none. */
    async find(id: string): Promise<MatrixEvent> {
        const found = this.event(id) ?? this.client.getEventMapper()(await this.client.fetchRoomEvent(this.room.roomId, id));
        await this.client.decryptEventIfNeeded(found);
        return found;
    }

    /** Loads a pinned message that is not known yet. An error of the server says that there is none. */
    async loadPin(id: string): Promise<void> {
        this.#pins.set(id, await this.find(id));
        if (!this.#isClosed) this.#read();
    }

    /** Others who have read a message, and when the app heard of it: those whose receipts are at it or after it. */
    readersOf(id: string): { person: Person; ts: number }[] {
        const from = this.#events.findIndex((event) => event.getId() === id);
        const sender = this.#events[from]?.getSender();
        const later = from < 0 ? [] : this.#events.slice(from);
        const receipts = [...later.flatMap((event) => this.room.getReceiptsForEvent(event)), ...this.#receiptsBeyond()];
        const others = receipts.filter(({ userId }) => userId !== this.own && userId !== sender);
        return others.map(({ userId, data }) => ({ person: personOf(this.room, userId), ts: data.ts }));
    }

    /** The receipts of those who have read beyond what is loaded. */
    #receiptsBeyond(): { userId: string; data: { ts: number } }[] {
        return this.#source.hasNewer ? this.room.getMembers().flatMap(({ userId }) => this.#receiptBeyond(userId) ?? []) : [];
    }

    /** The receipt of somebody, if it is after the last event that is loaded. */
    #receiptBeyond(userId: string): { userId: string; data: { ts: number } } | undefined {
        const receipt = this.room.getReadReceiptForUserId(userId);
        const last = this.#events.findLast((event) => !event.status);
        const isBeyond = receipt && last && !this.#byId.has(receipt.eventId) && receipt.data.ts >= last.getTs();
        return isBeyond ? { userId, data: receipt.data } : undefined;
    }

    poll(id: string): PollCounter {
        let counter = this.#polls.get(id);
        if (!counter) {
            counter = new PollCounter(this.client, this.room.roomId, id, () => this.#related.references(id));
            this.#polls.set(id, counter);
        }
        return counter;
    }

    /** The person has seen the chat up to the row of this key. */
    async seen(key: string): Promise<void> {
        void this.#unmark();
        const to = this.#events.findLastIndex((event) => keyOf(event) === key);
        const isLast = this.rows.peek().at(-1)?.key === key;
        const event = isLast && !this.hasNewer.peek() ? this.#events.findLast((event) => !event.status) : this.#events[to];
        const id = event?.getId();
        if (!event || !id || event.status || id === this.#marked || this.threadRoot) return;
        const before = this.#marked ?? this.room.getEventReadUpTo(this.own);
        const from = this.#events.findIndex((known) => known.getId() === before);
        if (from >= 0 && from >= this.#events.indexOf(event)) return;
        this.#marked = id;
        const marks = receipts.peek() === "public" ? ([event, undefined] as const) : ([undefined, event] as const);
        await this.client.setRoomReadMarkers(this.room.roomId, id, ...marks).catch((error: unknown) => {
            console.warn(error);
            this.#marked = undefined;
        });
    }

    /** Takes away the mark that the person has put on the chat to come back to it. One that is put while it is open stays. */
    async #unmark(): Promise<void> {
        if (this.#isUnmarked || this.threadRoot) return;
        this.#isUnmarked = true;
        if (this.room.getAccountData(MARKED)?.getContent().unread !== true) return;
        await this.client.setRoomAccountData(this.room.roomId, MARKED as never, { unread: false } as never).catch((error: unknown) => {
            console.warn(error);
            this.#isUnmarked = false;
        });
    }

    #heard(event: MatrixEvent, isOlder: boolean): void {
        if (isOlder) return;
        if (event.getType() === "m.room.redaction") this.#takeAway(event);
        if (event.getSender() !== this.own && !event.status) void this.#tell(event);
        this.#changed();
    }

    /** Tells of what somebody else has said, once it can be read. */
    async #tell(event: MatrixEvent): Promise<void> {
        if (this.threadRoot && !isInThread(event, this.threadRoot)) return;
        if (event.isBeingDecrypted()) await event.getDecryptionPromise();
        if (!isShown(event) || this.#isClosed) return;
        if (!this.isAtEnd || document.hidden) this.newer.value++;
        const { name } = personOf(this.room, event.getSender() ?? "");
        announce(words("chat.heard", { name, text: oneLine(event) }));
    }

    /** Events that only this chat has loaded are not known to the library, which redacts those that it knows. */
    #takeAway(redaction: MatrixEvent): void {
        const id = redaction.getAssociatedId();
        const event = id ? (this.#byId.get(id) ?? this.#pins.get(id)) : undefined;
        if (event && !event.isRedacted()) event.makeRedacted(redaction, this.room);
        if (id) this.#related.forget(id);
    }

    async #closeGap(): Promise<void> {
        await this.#stretch.closeGap(this.isAtEnd);
        if (!this.#isClosed) this.#read();
    }

    #readTyping(): void {
        const writing = this.room.getMembers().filter((member) => member.typing && member.userId !== this.own);
        this.typing.value = writing.map((member) => personOf(this.room, member.userId).name);
    }

    #changed(): void {
        this.#frame ||= requestAnimationFrame(() => this.#read());
    }

    #read(): void {
        this.#frame = 0;
        const pending = this.#source.hasNewer ? [] : this.room.getPendingEvents();
        const now = Date.now();
        this.#events = [...this.#source.events(), ...pending];
        this.#byId = new Map(this.#events.map((event) => [event.getId() ?? "", event]));
        const known = [...this.#events, ...this.#pins.values()];
        for (const event of known) this.#note(event);
        for (const event of known) this.#applyEdit(event);
        const pinned = this.room.currentState.getStateEvents("m.room.pinned_events", "")?.getContent().pinned as unknown;
        const pins = Array.isArray(pinned) ? pinned.filter((id): id is string => typeof id === "string") : [];
        const around: Surroundings = {
            room: this.room,
            own: this.own,
            related: this.#related,
            pinned: new Set(pins),
            starred: starredIn(this.room),
            find: (id) => this.event(id),
            now,
        };
        const rows = rowsOf(this.#withoutEchoes(), around, {
            isBeginning: !this.#source.hasOlder && !this.threadRoot,
            readUpTo: this.#readUpTo,
            isReadToEnd: this.#isReadBeyond(),
            isDirect: this.isDirect,
        });
        const texts = this.#textsOf(pins, now);
        batch(() => {
            this.hasOlder.value = this.#source.hasOlder;
            this.hasNewer.value = this.#source.hasNewer;
            if (JSON.stringify(pins) !== JSON.stringify(this.pinned.peek())) this.pinned.value = pins;
            if (JSON.stringify([...texts]) !== JSON.stringify([...this.pinnedTexts.peek()])) this.pinnedTexts.value = texts;
            this.#show(rows);
        });
        for (const counter of this.#polls.values()) counter.count();
        this.#waitToVanish(now);
        if (this.isOpening.peek() || !Timeline.#open.has(this)) return;
        clearTimeout(this.#keeping);
        this.#keeping = window.setTimeout(() => this.keep(), KEEP_AFTER_MS);
    }

    #textsOf(pins: string[], now: number): Map<string, string> {
        const textOf = (event: MatrixEvent) => (isGone(event, now) ? words("message.gone") : oneLine(event));
        return new Map(
            pins.flatMap((id): [string, string][] => {
                const event = this.event(id) ?? this.#pins.get(id);
                return event ? [[id, textOf(event)]] : [];
            }),
        );
    }

    /** Events whose echo is still there while the event itself has come already. */
    #withoutEchoes(): MatrixEvent[] {
        const seen = new Set<string>();
        return this.#events.filter((event) => {
            const key = keyOf(event);
            if (seen.has(key)) return false;
            seen.add(key);
            return true;
        });
    }

    /** Takes note of an event, and of the edit that came with it. The library decrypts only what it needs itself. */
    #note(event: MatrixEvent): void {
        const edit = event.replacingEvent();
        for (const one of edit ? [event, edit] : [event]) {
            void this.client.decryptEventIfNeeded(one);
            this.#related.note(one);
        }
    }

    /** Has an event say what it was changed to last, in place of what the library takes for that. */
    #applyEdit(event: MatrixEvent): void {
        if (!isShown(event) || event.isRedacted()) return;
        const edit = this.#related.edit(event);
        if (edit !== (event.replacingEvent() ?? undefined)) event.makeReplaced(edit);
    }

    /** Whether the other one of a chat of two has read beyond what is loaded. */
    #isReadBeyond(): boolean {
        const other = this.isDirect ? otherPerson(this.client, this.room) : undefined;
        return other !== undefined && this.#receiptBeyond(other) !== undefined;
    }

    #show(rows: Row[]): void {
        const handles = rows.map((row) => {
            const text = JSON.stringify(row);
            const kept = this.#kept.get(row.key);
            if (!kept) {
                const handle = { key: row.key, row: signal(row) };
                this.#kept.set(row.key, { text, handle });
                return handle;
            }
            if (kept.text !== text) {
                kept.text = text;
                kept.handle.row.value = row;
            }
            return kept.handle;
        });
        const before = this.rows.peek();
        if (handles.length === before.length && handles.every((handle, at) => handle === before[at])) return;
        if (this.#kept.size > handles.length) {
            const keys = new Set(handles.map(({ key }) => key));
            for (const key of this.#kept.keys()) if (!keys.has(key)) this.#kept.delete(key);
        }
        this.rows.value = handles;
    }

    #waitToVanish(now: number): void {
        this.#vanish.clear();
        const known = [...this.#events, ...this.#pins.values()];
        const next = Math.min(...known.map((event) => disappearsTs(event) ?? Infinity).filter((ts) => ts > now));
        this.#vanish.set(next);
    }
}
