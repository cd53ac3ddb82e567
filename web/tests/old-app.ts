// An app that encrypts, and knows nothing of people who sign their devices.

import { createClient, EventType, type MatrixClient, MsgType, type Room } from "matrix-js-sdk";
import type { Logger } from "matrix-js-sdk/lib/logger.js";

import type { Person } from "./platforms.ts";

const silent: Logger = {
    trace: () => undefined,
    debug: () => undefined,
    info: () => undefined,
    warn: () => undefined,
    error: () => undefined,
    getChild: () => silent,
};

export class OldApp {
    readonly client: MatrixClient;

    private constructor(client: MatrixClient) {
        this.client = client;
    }

    /** Runs it as the device that somebody has registered with, until it has told its keys and knows the chats. */
    static async start({ origin, userId, deviceId, token }: Person): Promise<OldApp> {
        const client = createClient({ baseUrl: origin, userId, deviceId, accessToken: token, logger: silent });
        await client.initRustCrypto({ useIndexedDB: false });
        const isSynced = new Promise<void>((done) => client.on("sync" as never, ((state: string) => state === "SYNCING" && done()) as never));
        await client.startClient();
        await isSynced;
        return new OldApp(client);
    }

    /** Sends a text, encrypted where the chat is. */
    async say(room: string, body: string): Promise<void> {
        await this.client.joinRoom(room);
        await this.#knows(room);
        await this.client.sendEvent(room, EventType.RoomMessage, { msgtype: MsgType.Text, body });
    }

    /** What the texts of a chat say here, those that cannot be read as what is said of them. */
    texts(room: string): string[] {
        const events = this.client.getRoom(room)?.getLiveTimeline().getEvents() ?? [];
        return events.filter((event) => event.getType() === "m.room.message").map((event) => String(event.getContent().body));
    }

    stop(): void {
        this.client.stopClient();
    }

    async #knows(room: string): Promise<void> {
        const isThere = (known: Room | null) => known?.getMyMembership() === "join" && known.hasEncryptionStateEvent();
        if (isThere(this.client.getRoom(room))) return;
        await new Promise<void>((done) => {
            const look = () => {
                if (!isThere(this.client.getRoom(room))) return;
                this.client.off("sync" as never, look as never);
                done();
            };
            this.client.on("sync" as never, look as never);
        });
    }
}
