// The key of secret storage while it is needed: in memory, and never for longer than the page is open.

import type { CryptoCallbacks } from "matrix-js-sdk/lib/crypto-api/index.js";

const known = new Map<string, Uint8Array<ArrayBuffer>>();

/** Remembers the key of secret storage that has this id. */
export function remember(id: string, key: Uint8Array<ArrayBuffer>): void {
    known.set(id, key);
}

/** Forgets every key: those of an account are of no use to another one. */
export function forgetKeys(): void {
    known.clear();
}

/** What the library asks when it opens secret storage. */
export const secretCallbacks: CryptoCallbacks = {
    getSecretStorageKey: ({ keys }) => {
        const id = Object.keys(keys).find((id) => known.has(id));
        return Promise.resolve(id ? [id, known.get(id)!] : null);
    },
    cacheSecretStorageKey: (id, _description, key) => remember(id, key),
};
