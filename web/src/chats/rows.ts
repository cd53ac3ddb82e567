// The chats of the person as rows of a list. What was shown last is kept, so that the list is there before anything is loaded.

import { batch, computed, effect, signal, type Signal } from "@preact/signals";
import type { MatrixClient, MatrixEvent, Room, RoomMember } from "matrix-js-sdk";

import { disappearsTs } from "../chat/disappears";
import { mxcIn } from "../media/address";
import { platform, serverOf } from "../platform";
import { session, whenAccountChanges } from "../session/session";
import { Alarm } from "../sync/alarm";
import { Gathered } from "../sync/gathered";
import type { Sdk } from "../sync/running";
import { keepPiece, keptPiece } from "../sync/snapshot";
import { blockChanges } from "./blocks";
import { otherPerson } from "./direct";
import { chatName, personName } from "./names";
import { isMessage, oneLine } from "./preview";
import { sendingOf } from "./sending";

/** How far the own last message has come. */
export type Sent = "sending" | "sent" | "read" | "failed";

/** A chat as the list shows it. */
export interface Row {
    id: string;
    name: string;
    /** The `mxc:` address of its picture. */
    avatar?: string;
    /** The other person of a chat of two. */
    person?: string;
    /** The name of whoever sent the last message, in groups, if it is not the person. */
    sender?: string;
    isOwn: boolean;
    /** The last message in one line. */
    preview: string;
    /** When the last message was sent, in milliseconds since the Unix epoch. */
    ts: number;
    /** When it disappears, if it does. */
    disappearsTs?: number;
    unread: number;
    mentions: number;
    /** Whether the person has marked it as unread. */
    isMarked: boolean;
    isMuted: boolean;
    isPinned: boolean;
    isArchived: boolean;
    isEncrypted: boolean;
    isInvitation: boolean;
    isGroup: boolean;
    /** Whether the other person of a chat of two has not come yet. */
    isWaiting: boolean;
    /** How far the last message has come, if it is the person's own. */
    sent?: Sent;
    /** The names of those who write just now. */
    typing: string[];
    /** The server of the other person in a chat of two, if it is another one. */
    elsewhere?: string;
    /** The servers of all who are known to be in it, without the person. */
    servers: string[];
}

/** How many rows are read before the first picture: more than any screen shows. All others follow it. */
const FIRST_ROWS = 60;
/** How long nothing may have changed before the first rows are kept, and before all are, and how long they wait at most where
 * something changes all the time, in milliseconds. */
const KEEP_AFTER_MS = 1000;
const KEEP_WITHIN_MS = 5000;
const KEEP_ALL_AFTER_MS = 10_000;
const KEEP_ALL_WITHIN_MS = 60_000;
/** How long changes are gathered before they are shown, and how long showing them may take at a time, in milliseconds. */
const SHOW_AFTER_MS = 16;
const SHOW_FOR_MS = 8;

const PINNED = "m.favourite";
const ARCHIVED = "m.lowpriority";
export const MARKED = "m.marked_unread";

const rows = new Map<string, Signal<Row>>();
/** Rises when rows came, went, moved, or passed from one part of the list to another. */
const order = signal(0);
/** Whether the server has said everything once. */
export const isComplete = signal(false);

/** The rows in the order in which they are shown: first what is pinned, then the newest. Each changes by itself. */
export const sorted = computed(() => {
    void order.value;
    const byPlace = (one: Row, other: Row) => Number(other.isPinned) - Number(one.isPinned) || other.ts - one.ts;
    return [...rows.values()].sort((one, other) => byPlace(one.peek(), other.peek()));
});

/** Whether a chat has something new: the one answer for the row, the window's title and the app's badge. */
export function isUnread(row: Row): boolean {
    return row.unread > 0 || row.isMarked;
}

function counts(row: Row): boolean {
    return isUnread(row) && !row.isMuted && !row.isArchived && !row.isInvitation;
}

/** How many chats have something new. */
const unreadChats = computed(() => sorted.value.filter((row) => counts(row.peek())).length);

/** The chats that strangers began. */
export const invitations = computed(() => sorted.value.filter((row) => row.peek().isInvitation));

/** Invitations that the person has deleted. They stay invitations to the server's syncs, since nobody is to notice it. */
const deleted = new Set<string>();

/** Takes invitations off the list, for as long as the app is open. */
export function forgetInvitations(ids: Iterable<string>): void {
    for (const id of ids) {
        deleted.add(id);
        if (rows.get(id)?.peek().isInvitation) rows.delete(id);
    }
    order.value++;
}

effect(() => {
    const count = unreadChats.value;
    const name = platform.value?.name ?? "";
    document.title = count > 0 ? `(${count}) ${name}` : name;
    if ("setAppBadge" in navigator) void navigator.setAppBadge(count).catch(() => undefined);
});

/** The pieces of the snapshot that have rows. */
const FIRST = "first rows";
const ALL = "all rows";

/** The account whose chats these are. */
let listed: string | undefined;
/** Whether they are those that its client knows, and not those that were shown last. */
let isFollowed = false;

/** Has the list be that of an account, with the first rows as they were shown last. */
export async function showListOf(userId: string): Promise<void> {
    if (listed === userId) return;
    forgetList();
    listed = userId;
    await restore(userId, FIRST);
}

// The rows of one account are never shown to another.
whenAccountChanges(() => {
    const shown = session.peek();
    if (shown) void showListOf(shown.userId);
    else forgetList();
});

/** Shows all rows as they were shown last. */
export const showAllOf = (userId: string) => restore(userId, ALL);

async function restore(userId: string, name: string): Promise<void> {
    const kept = await keptPiece<Row[]>(userId, name).catch((error: unknown) => void console.warn(error));
    if (!kept || isFollowed || listed !== userId) return;
    const now = Date.now();
    for (const row of kept) {
        if (rows.has(row.id)) continue;
        rows.set(row.id, signal({ ...withoutGone(row, now), typing: [] }));
    }
    order.value++;
}

function keep(userId: string, name: string, count?: number): void {
    if (listed !== userId) return;
    const now = Date.now();
    const kept = sorted.peek().slice(0, count).map((row) => withoutGone(row.peek(), now));
    keepPiece(userId, name, kept).catch(console.warn);
}

/** A row without its message, if that has disappeared. */
function withoutGone(row: Row, now: number): Row {
    return row.disappearsTs !== undefined && row.disappearsTs <= now ? { ...row, preview: "", disappearsTs: undefined } : row;
}

/** Shows nothing any more. */
function forgetList(): void {
    rows.clear();
    deleted.clear();
    listed = undefined;
    isFollowed = false;
    isComplete.value = false;
    order.value++;
}

/** The row of a chat, if it has one. */
export function rowOfChat(id: string): Signal<Row> | undefined {
    void order.value;
    return rows.get(id);
}

/** How many events are looked through for the last message of a chat whose newest events say nothing, such as reactions. */
const LOOK_BACK = 30;
const lookedBack = new WeakSet<Room>();

/** Looks further back for the last message of a chat that has none among the events that came first. */
export async function lookBack(client: MatrixClient, id: string): Promise<void> {
    const room = client.getRoom(id);
    if (!room || lookedBack.has(room)) return;
    lookedBack.add(room);
    try {
        await client.scrollback(room, LOOK_BACK);
    } catch (error) {
        lookedBack.delete(room);
        throw error;
    }
}

/** Has the list follow what a client hears. Many changes at once are one change of the list. */
export class ListFollower {
    readonly #changed = new Set<string>();
    readonly #typing = new Map<string, Map<string, string>>();
    readonly #userId: string;
    readonly #keeping: Gathered;
    readonly #keepingAll: Gathered;
    #hasAll = false;
    #running = 0;
    #isClosed = false;
    /** Waits until the first of the messages that are shown disappears. */
    readonly #vanish = new Alarm(() => this.#noteGone());

    constructor(readonly client: MatrixClient) {
        client.roomNameGenerator = chatName;
        const userId = client.getSafeUserId();
        this.#userId = userId;
        this.#keeping = new Gathered(() => keep(userId, FIRST, FIRST_ROWS), KEEP_AFTER_MS, KEEP_WITHIN_MS);
        this.#keepingAll = new Gathered(() => keep(userId, ALL), KEEP_ALL_AFTER_MS, KEEP_ALL_WITHIN_MS);
    }

    /** Follows nothing any more, and keeps nothing. */
    close(): void {
        this.#isClosed = true;
        clearTimeout(this.#running);
        this.#vanish.clear();
        this.#keeping.close();
        this.#keepingAll.close();
    }

    /** Whether the list is that of this client's account still. */
    get #isListed(): boolean {
        return !this.#isClosed && listed === this.#userId;
    }

    note(room: Room): void {
        if (!this.#isListed) return;
        this.#changed.add(room.roomId);
        // Frames are not drawn while the window is hidden, but its title and the badge have to change then, too.
        this.#running ||= window.setTimeout(() => this.#apply(), SHOW_AFTER_MS);
    }

    /** Follows what else changes rows: marks, tags, rules for notifications, and who writes. */
    listen({ ClientEvent, RoomEvent, RoomMemberEvent, RoomStateEvent }: Sdk): void {
        this.client.on(RoomEvent.Tags, (_event, room) => this.note(room));
        this.client.on(RoomEvent.AccountData, (event, room) => event.getType() === MARKED && this.note(room));
        this.client.on(RoomStateEvent.Members, (_event, _state, member) => this.#noteId(member.roomId));
        this.client.on(RoomMemberEvent.Typing, (_event, member) => this.#noteTyping(member));
        this.client.on(ClientEvent.AccountData, (event) => {
            if (event.getType() === "m.ignored_user_list") blockChanges.value++;
            const isForAll = event.getType() === "m.push_rules" || event.getType() === "m.direct";
            if (isForAll && this.#hasAll && this.#isListed) for (const id of rows.keys()) this.#noteId(id);
        });
    }

    #noteId(id: string): void {
        const room = this.client.getRoom(id);
        if (room) this.note(room);
    }

    #noteTyping(member: RoomMember): void {
        if (member.userId === this.client.getSafeUserId()) return;
        const names = this.#typing.get(member.roomId) ?? new Map<string, string>();
        if (member.typing) names.set(member.userId, personName(member.userId, member.rawDisplayName));
        else names.delete(member.userId);
        this.#typing.set(member.roomId, names);
        this.#noteId(member.roomId);
    }

    /** All rooms that the client knows, once it knows them. */
    noteAll(): void {
        if (!this.#isListed) return;
        const rooms = this.client.getRooms().sort((one, other) => other.getLastActiveTimestamp() - one.getLastActiveTimestamp());
        const known = new Set(rooms.map((room) => room.roomId));
        for (const id of rows.keys()) if (!known.has(id)) rows.delete(id);
        for (const room of rooms) this.note(room);
        this.#hasAll = true;
        isFollowed = true;
        if (rooms.length === 0) isComplete.value = true;
        order.value++;
    }

    #apply(): void {
        this.#running = 0;
        if (!this.#isListed) return;
        const until = performance.now() + SHOW_FOR_MS;
        batch(() => {
            let moved = false;
            for (const id of this.#changed) {
                this.#changed.delete(id);
                moved = this.#update(id) || moved;
                if (performance.now() > until) break;
            }
            if (moved) order.value++;
            if (this.#changed.size === 0 && this.#hasAll) isComplete.value = true;
        });
        if (this.#changed.size > 0) this.#running = window.setTimeout(() => this.#apply());
        this.#keeping.changed();
        this.#keepingAll.changed();
    }

    /** Has rows say something else whose messages have disappeared. */
    #noteGone(): void {
        const now = Date.now();
        for (const row of rows.values()) {
            const { id, disappearsTs: ts = Infinity } = row.peek();
            if (ts <= now) this.#noteId(id);
            else this.#vanish.set(ts);
        }
    }

    /** Whether the place of the row, or the part of the list that it is in, may be another one now. */
    #update(id: string): boolean {
        const room = this.client.getRoom(id);
        const membership = room?.getMyMembership();
        const isThere = membership === "join" || (membership === "invite" && !deleted.has(id));
        if (!room || room.isSpaceRoom() || !isThere) return rows.delete(id);
        const row = { ...rowOf(this.client, room), typing: [...(this.#typing.get(id)?.values() ?? [])] };
        this.#vanish.set(row.disappearsTs ?? Infinity);
        const known = rows.get(id);
        if (!known) {
            rows.set(id, signal(row));
            return true;
        }
        const before = known.peek();
        known.value = row;
        return placeOf(before) !== placeOf(row);
    }
}

/** All of a row that says where in the list it is. */
function placeOf(row: Row): string {
    const signs = [row.isPinned, row.isArchived, row.isInvitation, row.isGroup, row.isMuted, isUnread(row)];
    return `${row.ts} ${signs.map(Number).join("")} ${row.servers.join()}`;
}

function rowOf(client: MatrixClient, room: Room): Row {
    const own = client.getSafeUserId();
    const last = lastMessage(room);
    const person = otherPerson(client, room);
    const servers = serversOf(room, own, person);
    const isMuted = isRoomMuted(client, room.roomId);
    const failed = room.getPendingEvents().some((event) => sendingOf(event) === "failed");
    const isOwn = last?.getSender() === own;
    const sender = last?.getSender();
    return {
        id: room.roomId,
        name: room.name,
        avatar: mxcIn(room.getMxcAvatarUrl()) ?? (person ? mxcIn(room.getAvatarFallbackMember()?.getMxcAvatarUrl()) : undefined),
        person,
        sender: !person && !isOwn && sender ? personName(sender, room.getMember(sender)?.rawDisplayName) : undefined,
        isOwn,
        preview: last ? oneLine(last) : "",
        disappearsTs: last && disappearsTs(last),
        ts: last?.getTs() ?? room.getLastActiveTimestamp(),
        unread: isMuted ? Math.max(room.getUnreadNotificationCount(), Number(hasUnseen(room, own, last))) : room.getUnreadNotificationCount(),
        mentions: room.getUnreadNotificationCount("highlight" as never),
        isMarked: room.getAccountData(MARKED)?.getContent().unread === true,
        isMuted,
        isPinned: PINNED in room.tags,
        isArchived: ARCHIVED in room.tags,
        isEncrypted: room.hasEncryptionStateEvent(),
        isInvitation: room.getMyMembership() === "invite",
        isGroup: !person,
        isWaiting: !!person && room.getMember(person)?.membership === "invite",
        sent: failed ? "failed" : isOwn && last ? sentState(room, last, own) : undefined,
        typing: [],
        elsewhere: person && serverOf(person) !== serverOf(own) ? serverOf(person) : undefined,
        servers,
    };
}

/** A rule of its own that notifies of nothing makes a chat a muted one. Mentions come before such rules. */
export function isRoomMuted(client: MatrixClient, roomId: string): boolean {
    const rule = client.pushRules && client.getRoomPushRule("global", roomId);
    return !!rule && rule.enabled && !rule.actions.includes("notify" as never);
}

/** Servers count nothing in muted chats. Whether the last message was seen is known all the same. */
function hasUnseen(room: Room, own: string, last: MatrixEvent | undefined): boolean {
    const id = last?.getId();
    return !!last && !!id && last.getSender() !== own && !room.hasUserReadEvent(own, id);
}

function lastMessage(room: Room): MatrixEvent | undefined {
    const now = Date.now();
    const isThere = (event: MatrixEvent) => isMessage(event) && (disappearsTs(event) ?? Infinity) > now;
    return room.getPendingEvents().findLast(isThere) ?? room.getLiveTimeline().getEvents().findLast(isThere);
}

function sentState(room: Room, last: MatrixEvent, own: string): Sent {
    const sending = sendingOf(last);
    if (sending !== "sent") return sending;
    const events = room.getLiveTimeline().getEvents();
    const since = events.slice(events.lastIndexOf(last));
    return since.some((event) => room.getReceiptsForEvent(event).some(({ userId }) => userId !== own)) ? "read" : "sent";
}

function serversOf(room: Room, own: string, person: string | undefined): string[] {
    if (person) return [serverOf(person)];
    const servers = new Set<string>();
    for (const { userId } of room.getMembers()) if (userId !== own) servers.add(serverOf(userId));
    return [...servers].sort();
}
