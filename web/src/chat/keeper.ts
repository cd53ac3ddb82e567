// Has what is kept of chats follow what the client hears of them while they are not open: what is new, deleted or left.

import type { MatrixClient, Room } from "matrix-js-sdk";

import { Alarm } from "../sync/alarm";
import type { Sdk } from "../sync/running";
import { dropGone, forgetChat, keptChat, keptChats } from "./kept";
import { Timeline } from "./timeline";

/** How long changes are gathered, in milliseconds. Nobody looks at these chats. */
const KEEP_AFTER_MS = 3000;

export class Keeper {
    readonly #userId: string;
    readonly #changed = new Set<string>();
    #timer = 0;
    /** Waits until the next message disappears of what is kept. */
    readonly #vanish = new Alarm(() => void this.#waitToVanish());
    #isClosed = false;

    constructor(
        readonly client: MatrixClient,
        readonly sdk: Sdk,
    ) {
        this.#userId = client.getSafeUserId();
        const { RoomEvent, MatrixEventEvent } = sdk;
        client.on(RoomEvent.Timeline, (_event, room, isOlder) => room && !isOlder && this.#note(room.roomId));
        client.on(RoomEvent.Redaction, (_event, room) => this.#note(room.roomId));
        client.on(RoomEvent.Receipt, (_event, room) => this.#note(room.roomId));
        client.on(MatrixEventEvent.Decrypted, (event) => this.#note(event.getRoomId() ?? ""));
        client.on(RoomEvent.MyMembership, (room, membership) => {
            if (membership === "leave" || membership === "ban") forgetChat(this.#userId, room.roomId).catch(console.warn);
        });
        void this.#waitToVanish();
    }

    close(): void {
        this.#isClosed = true;
        clearTimeout(this.#timer);
        this.#vanish.clear();
    }

    #note(roomId: string): void {
        if (this.#isClosed) return;
        this.#changed.add(roomId);
        this.#timer ||= window.setTimeout(() => void this.#keepChanged().catch(console.warn), KEEP_AFTER_MS);
    }

    async #keepChanged(): Promise<void> {
        this.#timer = 0;
        const changed = new Set(this.#changed);
        this.#changed.clear();
        for (const roomId of await keptChats(this.#userId)) {
            const room = changed.has(roomId) && !Timeline.isOpen(roomId) ? this.client.getRoom(roomId) : undefined;
            if (room && !this.#isClosed) await this.#keep(room);
        }
        // What was just kept, here or by an open chat, may be the next that disappears.
        await this.#waitToVanish();
    }

    async #keep(room: Room): Promise<void> {
        const kept = await keptChat(this.#userId, room.roomId);
        const timeline = new Timeline(this.client, room, this.sdk, undefined, kept);
        await timeline.recalled();
        timeline.keep();
        timeline.close();
    }

    async #waitToVanish(): Promise<void> {
        const next = await dropGone(this.#userId).catch(() => Infinity);
        if (!this.#isClosed) this.#vanish.set(next);
    }
}
