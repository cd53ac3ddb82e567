// What the tabs and the service worker both have to know of each account. A service worker cannot read what pages keep in
// `localStorage`, so this is in a database of its own.

import { answer } from "./database";

export interface Account {
    /** The access token, with which the worker asks what a notification is about. */
    token: string;
    /** Whether notifications show what was written. */
    hasPreview: boolean;
    hasSound: boolean;
    /** Whether the server pushes to this browser when no tab is open. */
    hasPush: boolean;
    /** What the worker says, in the person's language. */
    words: { message: string; photo: string };
}

const DATABASE = "linkspan-worker";
const ACCOUNTS = "accounts";

async function accounts<Value>(mode: IDBTransactionMode, use: (store: IDBObjectStore) => Promise<Value>): Promise<Value> {
    const opening = indexedDB.open(DATABASE, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(ACCOUNTS);
    const database = await answer(opening);
    try {
        return await use(database.transaction(ACCOUNTS, mode).objectStore(ACCOUNTS));
    } finally {
        database.close();
    }
}

/** The account of this user id, if it wants to be notified here. */
export function account(userId: string): Promise<Account | undefined> {
    return accounts("readonly", (store) => answer(store.get(userId) as IDBRequest<Account | undefined>));
}

/** All accounts that want to be notified here. */
export function allAccounts(): Promise<Account[]> {
    return accounts("readonly", (store) => answer(store.getAll() as IDBRequest<Account[]>));
}

/** Changes how an account is notified here, from what is usual if it was not before. The words are those of now. Answers how it is then. */
export async function changeAccount(userId: string, usual: Account, changes: Partial<Account>): Promise<Account> {
    return accounts("readwrite", async (store) => {
        const before = await answer(store.get(userId) as IDBRequest<Account | undefined>);
        const changed = { ...usual, ...before, words: usual.words, ...changes };
        await answer(store.put(changed, userId));
        return changed;
    });
}

export async function removeAccount(userId: string): Promise<void> {
    await accounts("readwrite", (store) => answer(store.delete(userId)));
}
