// Finding people of all platforms by what somebody has typed: a name, a handle, a number or an e-mail address.

import type { Signal } from "@preact/signals";

import { ask } from "../sync/ask";
import { client, running } from "../sync/running";
import type { FoundPerson } from "./api";
import { notePerson, type Person } from "./person";

/** How many people a search by name gives. */
const LIMIT = 20;

export type Sought = { kind: "email"; email: string } | { kind: "phone"; phone: string } | { kind: "name"; name: string };

export const EMAIL = /^[^\s@]+@[^\s@]+\.[^\s@]+$/;
/** What people write numbers with. */
export const NUMBER = /^\+?[\d\s().\-/]{6,24}$/;
/** A handle or a user name, with its `@` or without. */
const HANDLE = /^@?[\w.\-=/+]{1,64}$/;

/** A link by which people join a group. Every platform has the same ones, so it is no matter which of them it names. */
const JOIN_LINK = /^https?:\/\/[^\s/]+\/join\/([\w-]+)$/;

/** What the link to a group is known by here, if somebody has pasted one where they search. */
export function joinTokenIn(typed: string): string | undefined {
    return JOIN_LINK.exec(typed.trim())?.[1];
}

/** The country that numbers without one are of: that of the person's language. */
function country(): string | undefined {
    return navigator.languages.map((tag) => new Intl.Locale(tag).region).find(Boolean);
}

/** A number as E.164 has it, or undefined if it is none. */
export async function asNumber(text: string): Promise<string | undefined> {
    const { default: parse } = await import("libphonenumber-js/min");
    const number = parse(text, country() as never);
    return number?.isPossible() ? number.number : undefined;
}

/** What somebody means who has typed this. */
export async function sought(typed: string): Promise<Sought> {
    const text = typed.trim();
    if (EMAIL.test(text)) return { kind: "email", email: text };
    const phone = NUMBER.test(text) ? await asNumber(text) : undefined;
    return phone ? { kind: "phone", phone } : { kind: "name", name: text };
}

/** People whom a search has found, without the person. */
export async function findPeople(typed: string): Promise<Signal<Person>[]> {
    const wanted = await sought(typed);
    const found = wanted.kind === "name" ? await byName(wanted.name) : await exactly(wanted);
    const own = client.peek()?.getUserId();
    const byId = new Map(found.map((person) => [person.user_id, person]));
    return [...byId.values()].filter(({ user_id }) => user_id !== own).map(notePerson);
}

async function exactly(wanted: { email: string } | { phone: string } | { handle: string }): Promise<FoundPerson[]> {
    const body = "email" in wanted ? { email: wanted.email } : "phone" in wanted ? { phone: wanted.phone } : { handle: wanted.handle };
    return (await ask<{ people: FoundPerson[] }>("POST", "/find", body)).people;
}

/** Whoever has just this handle comes first. */
async function byName(name: string): Promise<FoundPerson[]> {
    const there = await running();
    const handle = HANDLE.test(name) ? exactly({ handle: name }).catch(() => []) : [];
    const named = name.startsWith("@") ? { results: [] } : await there.searchUserDirectory({ term: name, limit: LIMIT });
    return [...(await handle), ...named.results];
}
