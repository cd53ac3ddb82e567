// Chats with much in them, as tests of the open chat need them.

import type { Page } from "@playwright/test";

import type { App } from "./app.ts";
import type { Person } from "./platforms.ts";

let made = 0;

/** Anna and Ben, on two platforms, in a chat of their own. */
export async function twoPeople(app: App): Promise<{ anna: Person; ben: Person; room: string }> {
    made++;
    const anna = await app.platforms.register("handle", `anna.${made}.${process.pid}`, "Anna Berg");
    const ben = await app.platforms.register("account", `ben.${made}.${process.pid}`, "Ben Okafor");
    return { anna, ben, room: await ben.chatWith(anna) };
}

export const localpart = (person: Person) => person.userId.slice(1, person.userId.indexOf(":"));

/** Says many things, one after the other: "word 1", "word 2" and so on. */
export async function sayMany(person: Person, room: string, word: string, count: number): Promise<string[]> {
    const ids: string[] = [];
    for (let at = 1; at <= count; at++) ids.push(await person.say(room, `${word} ${at}`));
    return ids;
}

export function related(person: Person, room: string, type: string, rel_type: string, event_id: string, content: object): Promise<string> {
    return person.send(room, { ...content, "m.relates_to": { rel_type, event_id } }, type);
}

export async function openChat(page: Page, room: string, rest = ""): Promise<void> {
    const address = new URL(page.url());
    await page.goto(`${address.origin}/chat/${encodeURIComponent(room)}${rest}`);
    await page.locator(".message").first().waitFor();
}

export async function upload(person: Person, bytes: Uint8Array<ArrayBuffer>, type: string): Promise<string> {
    const answer = await fetch(`${person.origin}/_matrix/media/v3/upload`, {
        method: "POST",
        headers: { Authorization: `Bearer ${person.token}`, "Content-Type": type },
        body: bytes,
    });
    return ((await answer.json()) as { content_uri: string }).content_uri;
}
