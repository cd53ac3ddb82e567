// What the server says of people: their cards, the person's contacts, and reporting somebody. `docs/openapi/client-v1.json`
// describes what it answers.

import { ask } from "../sync/ask";

export interface CardAccount {
    user_id: string;
    displayname?: string;
    avatar_url?: string;
    handle?: string;
}

/** Who somebody is. */
export interface Card extends CardAccount {
    /** The linked accounts, as far as the person is shown them. */
    accounts: CardAccount[];
    messages_arrive_at?: string;
}

export interface FoundPerson {
    user_id: string;
    display_name?: string;
    avatar_url?: string;
}

export interface Contact {
    user_id: string;
    since_ts: number;
    how: "accepted" | "wrote_first";
}

/** All pages of a list of contacts. */
export async function contacts(): Promise<Contact[]> {
    const all: Contact[] = [];
    let from: string | undefined;
    do {
        const where: string = from ? `/contacts?from=${encodeURIComponent(from)}` : "/contacts";
        const page = await ask<{ contacts: Contact[]; next_batch?: string }>("GET", where);
        all.push(...page.contacts);
        from = page.next_batch;
    } while (from);
    return all;
}

export const card = (userId: string) => ask<Card>("GET", `/contacts/${encodeURIComponent(userId)}/card`);

/** What is reported to the people who run the platforms. */
type Reported =
    | { kind: "person"; user_id: string }
    | { kind: "room"; room_id: string }
    | { kind: "message"; room_id: string | undefined; event_id: string | undefined; disclose: object };

export function report(what: Reported, reason: string): Promise<unknown> {
    return ask("POST", "/reports", { ...what, reason });
}
