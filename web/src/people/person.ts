// The people whom the app shows: their names, pictures and handles, asked for once.

import { signal, type Signal } from "@preact/signals";

import { personName } from "../chats/names";
import { whenAccountChanges } from "../session/session";
import { client } from "../sync/running";
import { card, type Card, type FoundPerson } from "./api";

export interface Person {
    id: string;
    name: string;
    avatar?: string;
    /** With its `@`. */
    handle?: string;
}

/** How long after the server could not be asked it is asked again, in milliseconds. */
const AGAIN_AFTER_MS = 30_000;

/** Everybody who was shown to the account: others may be told something else of them. */
const people = new Map<string, Signal<Person>>();
/** From when on each may be asked for again. */
const askedUntil = new Map<string, number>();

whenAccountChanges(() => {
    people.clear();
    askedUntil.clear();
});

/** Somebody as the app knows them, without asking for what it does not know: for long lists, of which few rows are shown. */
export function knownPerson(id: string): Signal<Person> {
    const known = people.get(id);
    if (known) return known;
    const user = client.peek()?.getUser(id);
    const person = signal<Person>({ id, name: personName(id, user?.displayName), avatar: user?.avatarUrl });
    people.set(id, person);
    return person;
}

/** Somebody as the app knows them. What it does not know yet is asked for. */
export function personOf(id: string): Signal<Person> {
    const person = knownPerson(id);
    void complete(id, person);
    return person;
}

/** How many cards are asked for at a time. */
const AT_ONCE = 4;
const waiting: (() => void)[] = [];
let asking = 0;

async function askInTurn(id: string): Promise<Card> {
    if (asking >= AT_ONCE) await new Promise<void>((go) => waiting.push(go));
    asking++;
    try {
        return await card(id);
    } finally {
        asking--;
        waiting.shift()?.();
    }
}

async function complete(id: string, person: Signal<Person>): Promise<void> {
    if (Date.now() < (askedUntil.get(id) ?? 0)) return;
    askedUntil.set(id, Infinity);
    let found: Card;
    try {
        found = await askInTurn(id);
    } catch (error) {
        // Whom the server refuses to tell of is not asked for again.
        const isRefused = (error as { httpStatus?: number }).httpStatus !== undefined;
        if (!isRefused && people.get(id) === person) askedUntil.set(id, Date.now() + AGAIN_AFTER_MS);
        return;
    }
    if (people.get(id) !== person) return;
    person.value = {
        id,
        name: personName(id, found.displayname ?? person.peek().name),
        avatar: found.avatar_url,
        handle: found.handle && `@${found.handle}`,
    };
}

/** Notes what a search has told of somebody. */
export function notePerson({ user_id, display_name, avatar_url }: FoundPerson): Signal<Person> {
    const person = knownPerson(user_id);
    if (display_name) person.value = { ...person.peek(), name: display_name, avatar: avatar_url };
    return person;
}
