// The client that runs, for all who ask it something. It needs nothing else of the app, so that whoever needs it can be loaded first.

import { effect, signal } from "@preact/signals";
import type { MatrixClient } from "matrix-js-sdk";

/** What the app uses of the library. */
export type Sdk = typeof import("./library");

/** The library. Its code is in a file of its own, so whoever needs more than its types asks here. */
export const sdk = (): Promise<Sdk> => import("./library");

/** The part of the library that is about encryption. */
export const cryptoApi = () => import("matrix-js-sdk/lib/crypto-api/index.js");

/** The client, once it knows the chats: those that are kept on the disk, or those that the server says. */
export const client = signal<MatrixClient | undefined>(undefined);

/** The client, as soon as it is there. */
export function running(): Promise<MatrixClient> {
    return new Promise((done) => {
        const stop = effect(() => {
            const there = client.value;
            if (!there) return;
            done(there);
            queueMicrotask(() => stop());
        });
    });
}
