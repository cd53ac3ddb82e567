// The key of secret storage while it is needed: in memory, and never for longer than the page is open.

import type { CryptoCallbacks } from "matrix-js-sdk/lib/crypto-api/index.js";

import { whenAccountChanges } from "../session/session";
import { note } from "./standing";

const known = new Map<string, Uint8Array<ArrayBuffer>>();

/** Remembers the key of secret storage that has this id. */
export function remember(id: string, key: Uint8Array<ArrayBuffer>): void {
    known.set(id, key);
}

// Those of an account are of no use to another one.
whenAccountChanges(() => known.clear());

/** What the library asks when it opens secret storage, and what it says when it has made a new key. */
export const secretCallbacksOf = (userId: string): CryptoCallbacks => ({
    getSecretStorageKey: ({ keys }) => {
        const id = Object.keys(keys).find((id) => known.has(id));
        return Promise.resolve(id ? [id, known.get(id)!] : null);
    },
    cacheSecretStorageKey: (id, _description, key) => {
        remember(id, key);
        // It is noted before anything lies under the key: the window may be closed before the person has seen it.
        note(userId, { unsavedKey: id });
    },
});
