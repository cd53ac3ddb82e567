// Whether the server hears us, and coming back as soon as it may.

import { signal } from "@preact/signals";
import type { ClientEvent, MatrixClient } from "matrix-js-sdk";

/** How long the server may be silent before anybody is told, in milliseconds. Most breaks are over by then. */
const SAID_AFTER_MS = 5000;

/** Whether the server hears us, or has been silent for no more than a moment. */
export const isConnected = signal(true);

/** Watches one client's connection. */
export class Connection {
    readonly #client: MatrixClient;
    readonly #stopped = new AbortController();
    #timer = 0;

    constructor(client: MatrixClient) {
        this.#client = client;
        client.on("sync" as ClientEvent.Sync, (state) => this.#heard(state === "ERROR" || state === "RECONNECTING"));
        const { signal } = this.#stopped;
        // The library waits longer after each failure. These are signs that the next attempt will succeed.
        addEventListener("online", () => this.#tryNow(), { signal });
        document.addEventListener("visibilitychange", () => document.hidden || this.#tryNow(), { signal });
        addEventListener("offline", () => this.#heard(true), { signal });
        if (!navigator.onLine) this.#heard(true);
    }

    close(): void {
        this.#stopped.abort();
        clearTimeout(this.#timer);
    }

    #tryNow(): void {
        this.#client.retryImmediately();
    }

    #heard(isSilent: boolean): void {
        if (this.#stopped.signal.aborted) return;
        if (!isSilent) {
            clearTimeout(this.#timer);
            this.#timer = 0;
            isConnected.value = true;
        } else {
            this.#timer ||= window.setTimeout(() => (isConnected.value = false), SAID_AFTER_MS);
        }
    }
}
