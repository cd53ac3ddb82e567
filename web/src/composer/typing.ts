// Telling the others of a chat that somebody writes.

import { typing } from "../settings/choices";

import type { MatrixClient } from "matrix-js-sdk";

/** How long the server takes somebody to be writing, and how often it is told, in milliseconds. */
const LASTS_MS = 20_000;
const AGAIN_MS = 10_000;

export class Typing {
    #toldAt = 0;

    constructor(
        readonly client: MatrixClient,
        readonly roomId: string,
    ) {}

    /** Says that the person writes, if that has not been said lately. */
    writes(): void {
        if (typing.peek() === "off" || Date.now() - this.#toldAt < AGAIN_MS) return;
        this.#toldAt = Date.now();
        this.#tell(true);
    }

    /** Says that the person has ended, if it was said that they write. */
    ends(): void {
        if (this.#toldAt === 0) return;
        this.#toldAt = 0;
        this.#tell(false);
    }

    #tell(isTyping: boolean): void {
        // Nobody misses it where it does not arrive.
        this.client.sendTyping(this.roomId, isTyping, LASTS_MS).catch(() => undefined);
    }
}
