// What the tests of writing and sending share: two people with a chat, and what the other has heard.

import type { Browser, BrowserContextOptions, Page } from "@playwright/test";

import { type App, expect } from "./app.ts";
import type { Kind, Person } from "./platforms.ts";

export interface Pair {
    anna: Person;
    ben: Person;
    room: string;
    /** Anna's app, with the chat open. */
    page: Page;
}

let pairs = 0;

/** Anna and Ben, who have a chat that Anna has open. */
export async function pair(app: App, browser: Browser, kinds: [Kind, Kind] = ["handle", "account"], options?: BrowserContextOptions): Promise<Pair> {
    const number = pairs++;
    const anna = await app.platforms.register(kinds[0], `anna.writes${number}`, "Anna Berg");
    const ben = await app.platforms.register(kinds[1], `ben.reads${number}`, "Ben Okafor");
    const room = await anna.chatWith(ben);
    const page = await app.openFor(browser, kinds[0], `anna.writes${number}`, options);
    await page.getByRole("link", { name: "Ben Okafor" }).click();
    await expect(page.getByRole("button", { name: "Add" })).toBeEnabled();
    return { anna, ben, room, page };
}

export interface HeardEvent {
    type: string;
    sender: string;
    event_id: string;
    content: Record<string, unknown>;
}

/** What Ben has heard from Anna, the oldest first. */
export async function heard({ anna, ben, room }: Pair): Promise<HeardEvent[]> {
    const { chunk } = await ben.call("GET", `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/messages?dir=b&limit=100`);
    const events = (chunk as (HeardEvent & { state_key?: string })[]).filter((event) => event.state_key === undefined);
    return events.filter(({ sender }) => sender === anna.userId).reverse();
}

export const bodies = async (pair: Pair) => (await heard(pair)).map(({ content }) => content.body);

export const field = (page: Page) => page.getByRole("textbox", { name: "Message" });

export async function say(page: Page, text: string): Promise<void> {
    await field(page).fill(text);
    await page.keyboard.press("Enter");
}
