// Encrypted chats of Anna's. Only apps can write in them, so the people who do have one each.

import type { Browser, Page } from "@playwright/test";

import type { App } from "./app.ts";
import type { Furniture } from "./full.ts";
import { localpart } from "./sayings.ts";
import { go } from "./views.ts";

async function write(page: Page, room: string, lines: string[]): Promise<void> {
    await go(page, `/chat/${encodeURIComponent(room)}`);
    const field = page.locator(".composer textarea");
    for (const line of lines) {
        await field.fill(line);
        await field.press("Enter");
        await page.locator(".message", { hasText: line }).locator("[data-sent], .meta .icon").first().waitFor();
    }
    await page.waitForFunction(() => !document.querySelector(".messages [data-own] progress"));
}

/** Begins chats with three people of three platforms and a group of all of them, and has everybody write. */
export async function sealedChats(app: App, browser: Browser, { full }: Furniture, annas: Page): Promise<void> {
    const { anna, people, rooms } = full;
    const writers = ["ben", "chloe", "dilan"] as const;
    const encryption = { type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } };
    for (const short of writers) {
        const request = { is_direct: true, preset: "trusted_private_chat", invite: [people[short]!.userId], initial_state: [encryption] };
        rooms[short] = (await anna.call("POST", "/_matrix/client/v3/createRoom", request)).room_id as string;
        await people[short]!.join(rooms[short]);
    }
    const request = { name: "Hiking on Sunday ⛰️", preset: "private_chat", initial_state: [encryption], invite: writers.map((short) => people[short]!.userId) };
    rooms.hike = (await anna.call("POST", "/_matrix/client/v3/createRoom", request)).room_id as string;
    for (const short of writers) await people[short]!.join(rooms.hike);
    const pages: Record<string, Page> = {};
    for (const short of writers) {
        pages[short] = await app.openFor(browser, people[short]!.kind, localpart(people[short]!));
    }
    await write(pages.ben!, rooms.ben!, ["Hi Anna, did you find the house key?"]);
    await write(annas, rooms.ben!, ["Yes, it was in the blue jacket all the time 🙈", "I can bring it over tonight"]);
    await write(pages.ben!, rooms.ben!, ["You are the best", "I am at home from seven on"]);
    await write(annas, rooms.hike, ["Good morning everybody! Who is in for Sunday?"]);
    await write(pages.chloe!, rooms.hike, ["Me! 🙋‍♀️", "I can bring the thermos"]);
    await write(pages.dilan!, rooms.hike, ["Count me in", "Shall we take the early train? The later one is always full, and we would only be at the top at noon."]);
    await write(annas, rooms.hike, ["The early one, yes"]);
    await write(pages.dilan!, rooms.dilan!, ["The parcel is here"]);
    await write(pages.chloe!, rooms.chloe!, ["Are we still on for lunch?", "I could be there at half past twelve"]);
    for (const page of Object.values(pages)) await page.context().close();
}
