// The part of a chat that is in memory: events without gaps, oldest first, that grow at both ends and are given up at the
// end that is farther away. The library's own timelines never shrink, so only their live end is used.

import type { Direction, EventTimeline, MatrixClient, MatrixEvent, Method, Room } from "matrix-js-sdk";

import type { KeptChat, Raw } from "./kept";

/** How many events are asked for at a time. */
export const PAGE = 50;
/** How many messages are kept besides those that came while the app was open. */
const MAX_MESSAGES = 500;
/** Who came and went is folded into one row. So many of such events count as one message, so that what is kept fills the window. */
const FOLDED_PER_MESSAGE = 10;
/** How many events are kept for the next start at most: one cannot go on from the middle of those that came by themselves. */
const MAX_KEPT = 300;
/** How many pages are loaded to close a gap before what is older is given up instead. */
const MAX_GAP_PAGES = 4;

const BACKWARD = "b" as Direction;
const FORWARD = "f" as Direction;

/** Events that the server gave at once, with the tokens to go on from both ends. */
interface Page {
    events: MatrixEvent[];
    /** Without it, nothing is older. */
    before?: string;
    /** Without it, nothing is newer, or the live end follows. */
    after?: string;
}

/** What a chat's messages are read from: the chat itself, or one thread of it. */
export interface Source {
    readonly hasOlder: boolean;
    readonly hasNewer: boolean;
    events(): MatrixEvent[];
    loadOlder(): Promise<void>;
    loadNewer(): Promise<void>;
}

export class Stretch implements Source {
    #pages: Page[] = [];
    #live: EventTimeline;
    /** The first event of the live end that follows the pages. */
    #tailStart: string | undefined;
    /** The token of what is before the live end. */
    #tailBefore: string | undefined;
    /** Whether the live end belongs to the stretch. */
    #isLive = true;
    /** Set while what is before the live end is loaded. Until it is there, the live end is not shown, so that no gap is. Whoever
     * goes elsewhere meanwhile takes it away, and nothing comes of what was loaded. */
    #closing: symbol | undefined;

    constructor(
        readonly client: MatrixClient,
        readonly room: Room,
    ) {
        this.#live = room.getLiveTimeline();
        this.#beginAtLive();
    }

    #beginAtLive(): void {
        this.#live = this.room.getLiveTimeline();
        this.#pages = [];
        this.#tailStart = this.#live.getEvents()[0]?.getId();
        this.#tailBefore = this.#live.getPaginationToken(BACKWARD) ?? undefined;
        this.#isLive = true;
        this.#closing = undefined;
    }

    get hasOlder(): boolean {
        return this.#oldestToken() !== undefined;
    }

    get hasNewer(): boolean {
        return !this.#isLive;
    }

    #oldestToken(): string | undefined {
        return this.#pages.length > 0 ? this.#pages[0]!.before : this.#tailBefore;
    }

    events(): MatrixEvent[] {
        const all = this.#pages.flatMap((page) => page.events);
        if (!this.#isLive || this.#closing) return all;
        const known = new Set(all.map((event) => event.getId()));
        return [...all, ...this.#tail().filter((event) => !known.has(event.getId()))];
    }

    /** The events of the live end that follow the pages. Others may have loaded what is before them, into the library. */
    #tail(): MatrixEvent[] {
        const live = this.#live.getEvents();
        const start = live.findIndex((event) => event.getId() === this.#tailStart);
        const last = this.#pages.at(-1)?.events.at(-1);
        return live.slice(Math.max(0, start, last ? live.lastIndexOf(last) + 1 : 0));
    }

    /** Takes over events that were kept, if what the library has goes on from them without a gap. */
    recall({ events, members, before }: KeptChat): void {
        const start = events.findIndex(({ event_id }) => event_id !== undefined && event_id === this.#tailStart);
        if (start <= 0) return;
        const page = { events: this.#map(events.slice(0, start), members), before };
        const byId = new Map(page.events.map((event) => [event.getId(), event]));
        for (const event of this.#tail()) {
            if (event.getType() === "m.room.redaction") byId.get(event.getAssociatedId())?.makeRedacted(event, this.room);
        }
        this.#pages = [page];
    }

    /** The newest events, at least as many if there are as many, to be recalled at the next start. */
    toKeep(atLeast: number): Pick<KeptChat, "events" | "members" | "before"> {
        const nothing = { events: [], members: [] };
        if (!this.#isLive || this.#closing) return nothing;
        let events = this.#tail();
        let before = this.#tailBefore;
        for (const page of this.#pages.toReversed()) {
            if (events.length >= atLeast) break;
            events = [...page.events, ...events];
            before = page.before;
        }
        if (events.length > MAX_KEPT) return nothing;
        const senders = new Set(events.map((event) => event.getSender() ?? ""));
        const members = [...senders].flatMap((id) => this.room.getMember(id)?.events.member?.event ?? []);
        return { events: events.map(({ event }) => event), members, before };
    }

    async loadOlder(): Promise<void> {
        const from = this.#oldestToken();
        if (from === undefined) return;
        const page = await this.#load(from, BACKWARD);
        if (this.#oldestToken() !== from) return;
        this.#pages.unshift(page);
        if (this.#weight() > MAX_MESSAGES) this.#dropNewest();
    }

    async loadNewer(): Promise<void> {
        const from = this.#pages.at(-1)?.after;
        if (this.#isLive || from === undefined) return;
        const page = await this.#load(from, FORWARD);
        if (this.#pages.at(-1)?.after !== from) return;
        if (page.events.length > 0) this.#pages.push(page);
        if (page.after === undefined) this.#joinLive();
        while (this.#weight() > MAX_MESSAGES && this.#pages.length > 1) this.#pages.shift();
    }

    #joinLive(): void {
        this.#live = this.room.getLiveTimeline();
        this.#tailStart = undefined;
        this.#isLive = true;
    }

    /** How much is kept, in messages. */
    #weight(): number {
        const folded = ({ events }: Page) => events.filter((event) => event.isState()).length;
        const weightOf = (page: Page) => page.events.length - folded(page) * (1 - 1 / FOLDED_PER_MESSAGE);
        return this.#pages.reduce((sum, page) => sum + weightOf(page), 0);
    }

    #dropNewest(): void {
        while (this.#weight() > MAX_MESSAGES && this.#pages.length > 1) {
            const dropped = this.#pages.pop()!;
            this.#pages.at(-1)!.after = dropped.before;
            this.#isLive = false;
            this.#closing = undefined;
        }
    }

    /** Puts the stretch around an event. */
    async jumpTo(eventId: string): Promise<void> {
        const path = `/rooms/${encodeURIComponent(this.room.roomId)}/context/${encodeURIComponent(eventId)}`;
        const answer = await this.client.http.authedRequest<{
            start?: string;
            end?: string;
            event: Raw;
            events_before?: Raw[];
            events_after?: Raw[];
            state?: Raw[];
        }>("GET" as Method, path, { limit: PAGE });
        const { events_before = [], event, events_after = [] } = answer;
        const events = this.#map([...events_before.reverse(), event, ...events_after], answer.state);
        this.#pages = [{ events, before: answer.start, after: answer.end }];
        this.#isLive = false;
        this.#closing = undefined;
        if (events_after.length === 0) await this.loadNewer();
    }

    jumpToEnd(): void {
        this.#beginAtLive();
    }

    /** Closes the gap after the server has left out events because there were too many. `isAtEnd` says whether the person
     * looks at the newest. What cannot be closed is not bridged: the stretch then begins anew at the live end. */
    async closeGap(isAtEnd: boolean): Promise<void> {
        if (!this.#isLive) return;
        if (this.#closing) return this.#beginAtLive();
        this.#pages.push({ events: this.#tail(), before: this.#tailBefore });
        this.#live = this.room.getLiveTimeline();
        this.#tailStart = undefined;
        const closing = Symbol();
        this.#closing = closing;
        try {
            const between = await this.#loadBack(this.#live.getPaginationToken(BACKWARD) ?? undefined);
            const after = between.isClosed || isAtEnd ? undefined : await this.#tokenAfter(this.#pages);
            if (this.#closing !== closing) return;
            if (between.isClosed) this.#pages.push(...between.pages);
            else if (isAtEnd) this.#pages = between.pages;
            else this.#leaveLive(after);
            this.#closing = undefined;
        } catch (error) {
            console.warn(error);
            if (this.#closing === closing) this.#beginAtLive();
        }
    }

    /** Loads what is before a token, back to what is there already. */
    async #loadBack(from: string | undefined): Promise<{ pages: Page[]; isClosed: boolean }> {
        const known = new Set(this.#pages.flatMap((page) => page.events.map((event) => event.getId())));
        const pages: Page[] = [];
        while (from !== undefined && pages.length < MAX_GAP_PAGES) {
            const page = await this.#load(from, BACKWARD);
            pages.unshift(page);
            const overlap = page.events.findLastIndex((event) => known.has(event.getId()));
            if (overlap >= 0) {
                page.events.splice(0, overlap + 1);
                return { pages, isClosed: true };
            }
            from = page.before;
        }
        return { pages, isClosed: from === undefined };
    }

    /** The token to go on from after the last event of pages. */
    async #tokenAfter(pages: Page[]): Promise<string | undefined> {
        const last = pages.flatMap((page) => page.events).at(-1);
        const path = `/rooms/${encodeURIComponent(this.room.roomId)}/context/${encodeURIComponent(last?.getId() ?? "")}`;
        const { end } = await this.client.http.authedRequest<{ end?: string }>("GET" as Method, path, { limit: 0 });
        return end;
    }

    /** Ends the stretch after its last event, from where one can go on. */
    #leaveLive(after: string | undefined): void {
        this.#pages.at(-1)!.after = after;
        this.#isLive = false;
    }

    async #load(from: string, direction: Direction): Promise<Page> {
        const answer = await this.client.createMessagesRequest(this.room.roomId, from, PAGE, direction);
        const events = this.#map(answer.chunk, answer.state);
        return direction === BACKWARD
            ? { events: events.reverse(), before: answer.end, after: from }
            : { events, before: from, after: answer.end };
    }

    #map(chunk: Raw[], state: Raw[] | undefined): MatrixEvent[] {
        const map = this.client.getEventMapper();
        if (state) this.room.currentState.setUnknownStateEvents(state.map(map));
        return chunk.map(map);
    }
}

/** One thread: its root, and what was said in it. */
export class ThreadStretch implements Source {
    #events: MatrixEvent[] = [];
    #from: string | undefined;
    #isBegun = false;
    readonly hasNewer = false;

    constructor(
        readonly client: MatrixClient,
        readonly room: Room,
        readonly rootId: string,
    ) {}

    get hasOlder(): boolean {
        return !this.#isBegun || this.#from !== undefined;
    }

    events(): MatrixEvent[] {
        const known = new Set(this.#events.map((event) => event.getId()));
        const live = this.room.getLiveTimeline().getEvents();
        return [...this.#events, ...live.filter((event) => isInThread(event, this.rootId) && !known.has(event.getId()))];
    }

    async loadOlder(): Promise<void> {
        const options = { dir: BACKWARD, limit: PAGE, ...(this.#from && { from: this.#from }) };
        const { originalEvent, events, nextBatch } = await this.client.relations(
            this.room.roomId,
            this.rootId,
            "m.thread",
            undefined,
            options,
        );
        const root = this.#events[0] ?? originalEvent;
        this.#events = [...(root ? [root] : []), ...events.reverse(), ...this.#events.slice(1)];
        this.#from = nextBatch ?? undefined;
        this.#isBegun = true;
    }

    async loadNewer(): Promise<void> {}
}

/** Whether an event is said in a thread. */
export function isInThread(event: MatrixEvent, rootId: string): boolean {
    const relation = event.getRelation();
    return relation?.rel_type === "m.thread" && relation.event_id === rootId;
}
