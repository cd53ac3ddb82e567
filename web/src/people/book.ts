// Who of an address book is here, found out without telling the server the book.

import { email, phoneNumber } from "@linkspan/address-book";

import { running } from "../sync/running";
import type { BookEntry } from "./book-file";
import { asNumber } from "./find";
import type { Outcome, Task } from "./matching-worker";

export interface Match {
    entry: BookEntry;
    userId: string;
}

export interface Matched {
    here: Match[];
    others: BookEntry[];
}

/** Matching was refused: too much was asked for today. */
export class TooMuch extends Error {}

export async function match(entries: BookEntry[]): Promise<Matched> {
    const byAddress = new Map<string, BookEntry>();
    for (const entry of entries) for (const address of await addressesOf(entry)) byAddress.set(address, entry);
    const found = byAddress.size > 0 ? await matchApart([...byAddress.keys()]) : [];
    const own = (await running()).getSafeUserId();
    const here = new Map<string, Match>();
    for (const { address, userId } of found) if (userId !== own) here.set(userId, { entry: byAddress.get(address)!, userId });
    const matched = new Set([...here.values()].map(({ entry }) => entry));
    return { here: [...here.values()], others: entries.filter((entry) => !matched.has(entry)) };
}

/** The addresses of an entry as the library takes them. What is no address is left out. */
async function addressesOf({ numbers, emails }: BookEntry): Promise<string[]> {
    const whole = await Promise.all(numbers.map(asNumber));
    const named = [...whole.map((number) => number && (() => phoneNumber(number))), ...emails.map((address) => () => email(address))];
    return named.flatMap((name) => {
        try {
            return name ? [name()] : [];
        } catch {
            return [];
        }
    });
}

async function matchApart(addresses: string[]): Promise<{ address: string; userId: string }[]> {
    const there = await running();
    const worker = new Worker(new URL("./matching-worker.ts", import.meta.url), { type: "module" });
    try {
        const outcome = await new Promise<Outcome>((done, fail) => {
            worker.onmessage = ({ data }: MessageEvent<Outcome>) => done(data);
            worker.onerror = ({ message }) => fail(new Error(message));
            worker.postMessage({ addresses, origin: location.origin, token: there.getAccessToken() ?? "" } satisfies Task);
        });
        if ("found" in outcome) return outcome.found;
        throw outcome.status === 429 ? new TooMuch(outcome.failed) : new Error(outcome.failed);
    } finally {
        worker.terminate();
    }
}
