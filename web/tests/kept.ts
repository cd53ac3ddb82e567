// What the app keeps in a browser, as a page of the same address finds it.

import type { Page } from "@playwright/test";

/** What the snapshot of somebody has under a name that begins so, as only this browser can read it. */
export function keptBy(page: Page, userId: string, name: string): Promise<string> {
    return page.evaluate(
        async ([database, name]) => {
            const done = <Value>(request: IDBRequest<Value>) =>
                new Promise<Value>((resolve, reject) => {
                    request.onsuccess = () => resolve(request.result);
                    request.onerror = () => reject(request.error);
                });
            const opened = await done(indexedDB.open(database!));
            const key = (await done(opened.transaction("keys").objectStore("keys").get("key"))) as CryptoKey;
            const pieces = await done(opened.transaction("pieces").objectStore("pieces").getAll());
            opened.close();
            const piece = pieces.find((piece) => piece.name.startsWith(name));
            if (!piece) return "";
            const additionalData = new TextEncoder().encode(piece.name);
            return new TextDecoder().decode(await crypto.subtle.decrypt({ name: "AES-GCM", iv: piece.iv, additionalData }, key, piece.sealed));
        },
        [`linkspan-snapshot-${userId}`, name],
    );
}

/** The names of all that a browser keeps of an account: its databases, and what is in its local storage. */
export function namesOf(page: Page, userId: string): Promise<string[]> {
    return page.evaluate(async (userId) => {
        const databases = (await indexedDB.databases()).map(({ name }) => name ?? "");
        return [...databases, ...Object.keys(localStorage)].filter((name) => name.includes(userId));
    }, userId);
}

/** All that a store of a database has, as text: to be run in the page. */
export function allOf({ database, store }: { database: string; store: string }): Promise<string> {
    return new Promise((done) => {
        const request = indexedDB.open(database);
        request.onsuccess = () => {
            const opened = request.result;
            if (!opened.objectStoreNames.contains(store)) {
                opened.close();
                return done("");
            }
            const all = opened.transaction(store).objectStore(store).getAll();
            all.onsuccess = () => {
                opened.close();
                done(JSON.stringify(all.result));
            };
        };
    });
}
