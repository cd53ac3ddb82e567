// When what the client knows is written to the disk. The library by itself does it every five minutes, and whoever closes the
// window before that waits longer at the next start.

import type { ClientEvent, IndexedDBStore, MatrixClient } from "matrix-js-sdk";

import { Gathered } from "./gathered";

/** How long nothing may have happened before it is written, and how long it waits where something happens all the time, in
 * milliseconds. Writing many chats takes a moment. */
const QUIET_MS = 10_000;
const LONGEST_MS = 60_000;

export class KeepingStore {
    readonly #store: IndexedDBStore;
    readonly #stopped = new AbortController();
    readonly #writing = new Gathered(() => void this.#save().catch(console.warn), QUIET_MS, LONGEST_MS);
    #hasChanged = false;

    constructor(client: MatrixClient, store: IndexedDBStore) {
        this.#store = store;
        client.on("sync" as ClientEvent.Sync, (_state, _before, data) => {
            if (data && !data.fromCache && data.nextSyncToken !== data.oldSyncToken) this.#changed();
        });
        const { signal } = this.#stopped;
        document.addEventListener("visibilitychange", () => document.hidden && void this.#save(), { signal });
        addEventListener("pagehide", () => void this.#save(), { signal });
    }

    /** Writes what has not been written, and writes nothing after that. */
    async close(): Promise<void> {
        this.#stopped.abort();
        this.#writing.close();
        await this.#save();
    }

    /** Writes nothing any more. */
    forget(): void {
        this.#stopped.abort();
        this.#writing.close();
    }

    #changed(): void {
        if (this.#stopped.signal.aborted) return;
        this.#hasChanged = true;
        this.#writing.changed();
    }

    async #save(): Promise<void> {
        if (!this.#hasChanged) return;
        this.#hasChanged = false;
        await this.#store.save(true);
    }
}
