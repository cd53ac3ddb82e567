// Searching what was said: the server searches what it can read, and the browser what it has read of encrypted chats.

import type { MatrixClient, MatrixEvent } from "matrix-js-sdk";
import MiniSearch from "minisearch";

import { running, sdk } from "../sync/running";
import { plain } from "./plain";
import { oneLine } from "./preview";
import { type Change, seenBy, type Seen, type SeenMessages, withTold } from "./seen";

export interface Hit {
    id: string;
    room: string;
    sender: string;
    ts: number;
    text: string;
}

export interface Hits {
    hits: Hit[];
    /** Whether the person is in encrypted chats, of which only what this browser has read is found. */
    hasEncrypted: boolean;
    /** The oldest message that this browser has read of them, in milliseconds since the Unix epoch. */
    reachesBackTo?: number;
    /** Whether the server could not be asked. */
    isOffline: boolean;
}

const LIMIT = 30;
/** How many messages are indexed before the window may do something else. */
const CHUNK = 500;

/** Words as the language has them, which does not need blanks between them. */
const segmenter = new Intl.Segmenter(undefined, { granularity: "word" });
const wordsOf = (text: string) => [...segmenter.segment(text)].filter(({ isWordLike }) => isWordLike).map(({ segment }) => segment);

/** What can be found of what an account has read. It is built once, and then follows what is read, edited and deleted. */
class MessageIndex {
    readonly #words = new MiniSearch<Seen>({
        fields: ["text"],
        storeFields: ["id", "room", "sender", "ts", "until", "editedTs", "text"],
        tokenize: wordsOf,
        processTerm: plain,
        searchOptions: { prefix: true, fuzzy: (term) => (term.length > 4 ? 0.2 : false), combineWith: "AND" },
    });
    /** What has changed while it is built. */
    #early: Change[] | undefined = [];
    readonly #built: Promise<void>;

    constructor(readonly seen: SeenMessages) {
        seen.follow((change) => (this.#early ? void this.#early.push(change) : this.#apply(change)));
        this.#built = this.#build();
    }

    async #build(): Promise<void> {
        await this.#words.addAllAsync(await this.seen.all(), { chunkSize: CHUNK });
        const early = this.#early ?? [];
        this.#early = undefined;
        for (const change of early) this.#apply(change);
    }

    #apply(change: Change): void {
        if ("gone" in change) {
            for (const id of change.gone) if (this.#words.has(id)) this.#words.discard(id);
            return;
        }
        const { told } = change;
        const known = this.#words.getStoredFields(told.id) as Seen | undefined;
        if (known) this.#words.replace(withTold(known, told));
        else this.#words.add(told);
    }

    async find(term: string, isWanted: (room: string) => boolean): Promise<Hit[]> {
        await this.#built;
        const now = Date.now();
        const found = this.#words.search(term, { filter: ({ room, until = Infinity }) => isWanted(room as string) && (until as number) > now });
        return found.map(({ id, room, sender, ts, text }): Hit => ({ id, room, sender, ts, text }));
    }
}

let index: MessageIndex | undefined;

/** What is found among what this browser has read, and when the oldest of that was sent. */
async function searchSeen(client: MatrixClient, term: string, isWanted: (room: string) => boolean): Promise<{ own: Hit[]; oldest: number | undefined }> {
    const seen = seenBy(client);
    if (!seen) return { own: [], oldest: undefined };
    if (index?.seen !== seen) index = new MessageIndex(seen);
    try {
        return { own: await index.find(term, isWanted), oldest: await seen.oldestTs() };
    } catch (error) {
        // It is built anew when somebody searches again.
        index = undefined;
        throw error;
    }
}

/** Messages with these words, the newest first: of all chats, or of one. */
export async function searchMessages(term: string, roomId?: string): Promise<Hits> {
    const there = await running();
    const isHere = (room: string) => there.getRoom(room)?.getMyMembership() === "join" && (!roomId || room === roomId);
    const { own, oldest } = await searchSeen(there, term, isHere);
    const told = await askServer(term, roomId).catch(() => undefined);
    const ids = new Set(own.map(({ id }) => id));
    const hits = [...own, ...(told ?? []).filter(({ id }) => !ids.has(id))].sort((one, other) => other.ts - one.ts);
    const rooms = roomId ? [there.getRoom(roomId)] : there.getVisibleRooms();
    return {
        hits: hits.slice(0, LIMIT),
        hasEncrypted: rooms.some((room) => room?.hasEncryptionStateEvent()),
        reachesBackTo: oldest,
        isOffline: !told,
    };
}

async function askServer(term: string, roomId?: string): Promise<Hit[]> {
    const there = await running();
    const filter = { limit: LIMIT, ...(roomId && { rooms: [roomId] }) };
    const room_events = { search_term: term, order_by: "recent" as never, filter, keys: ["content.body" as never] };
    const answer = await there.search({ body: { search_categories: { room_events } } });
    const { EventType, MatrixEvent: Event } = await sdk();
    const hits = (answer.search_categories.room_events.results ?? []).flatMap(({ result }) => {
        const event: MatrixEvent = new Event(result as never);
        const [room, sender] = [result.room_id, event.getSender()];
        const { id, body } = shownAs(event);
        if (event.getType() !== EventType.RoomMessage || !id || !room || !sender) return [];
        return [{ id, room, sender, ts: event.getTs(), text: typeof body === "string" ? body : oneLine(event) }];
    });
    // The newest comes first, so a message that was edited is listed once, with what it says now.
    const ids = new Set<string>();
    return hits.filter(({ id }) => !ids.has(id) && ids.add(id));
}

/** The message by which an event is shown, and what it says there: an edit is shown as the message that it changes. */
function shownAs(event: MatrixEvent): { id?: string; body: unknown } {
    const { rel_type, event_id } = event.getRelation() ?? {};
    if (rel_type !== "m.replace") return { id: event.getId(), body: event.getContent().body };
    const after = event.getContent()["m.new_content"] as { body?: unknown } | undefined;
    return { id: event_id, body: after?.body };
}

/** How many letters stand before the word that was searched: a row has to have room for the word, too. */
const LEAD = 14;

/** The part of a text around the first word that was searched, in three pieces of which the second is that word. */
export function around(text: string, term: string): [string, string, string] {
    const flat = text.replace(/\s+/g, " ");
    const wanted = wordsOf(term).map(plain);
    const at = [...segmenter.segment(flat)].find(({ segment }) => wanted.some((word) => plain(segment).startsWith(word)));
    if (!at) return [flat.slice(0, 120), "", ""];
    const from = Math.max(0, at.index - LEAD);
    const end = at.index + at.segment.length;
    return [(from > 0 ? "…" : "") + flat.slice(from, at.index), at.segment, flat.slice(end, end + 100)];
}
