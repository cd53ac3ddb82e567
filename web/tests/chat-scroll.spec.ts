import type { Locator, Page } from "@playwright/test";

import { expect, test } from "./app.ts";
import { localpart, openChat, sayMany, twoPeople } from "./sayings.ts";

/** How many rows the chat has loaded. */
const loaded = (page: Page) => page.locator(".messages li").first().getAttribute("aria-setsize").then(Number);

const chat = (page: Page) => page.getByRole("log");

/** The first message that is wholly within the window, and where it is. */
function topRow(page: Page): Promise<{ key: string; top: number }> {
    return page.locator(".messages").evaluate((list) => {
        const top = list.getBoundingClientRect().top;
        const rows = [...list.querySelectorAll<HTMLElement>(".message")].sort((one, other) => one.getBoundingClientRect().top - other.getBoundingClientRect().top);
        const row = rows.find((row) => row.getBoundingClientRect().top >= top)!;
        return { key: row.dataset.key!, top: row.getBoundingClientRect().top };
    });
}

const placeOf = (page: Page, key: string) => page.locator(`.message[data-key="${key}"]`).evaluate((row) => row.getBoundingClientRect().top);

test("older messages come without moving what one reads", async ({ app, browser }) => {
    const { anna, ben, room } = await twoPeople(app);
    await sayMany(ben, room, "line", 260);
    await anna.call("POST", `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/receipt/m.read/${encodeURIComponent(await anna.say(room, "end"))}`, {});
    const page = await app.openFor(browser, "handle", localpart(anna));
    await openChat(page, room);
    await expect(chat(page).getByText("end", { exact: true })).toBeInViewport();
    for (let round = 0; round < 3; round++) {
        // Answers wait until the place of the row is known.
        let answer = () => {};
        const held = new Promise<void>((done) => (answer = done));
        await page.route("**/messages?*", async (route) => {
            await held;
            await route.continue();
        });
        const before = await loaded(page);
        const asked = page.waitForRequest("**/messages?*");
        await page.locator(".messages").evaluate((list) => (list.scrollTop = 300));
        await asked;
        await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
        const row = await topRow(page);
        answer();
        await expect.poll(() => loaded(page)).toBeGreaterThan(before);
        await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
        expect(Math.abs((await placeOf(page, row.key)) - row.top)).toBeLessThanOrEqual(1);
        await page.unroute("**/messages?*");
    }
});

test("whoever is at the end stays there when the window becomes smaller", async ({ app, browser }) => {
    const { anna, ben, room } = await twoPeople(app);
    for (let at = 0; at < 60; at++) await ben.say(room, `${at} ${"many words that need some lines ".repeat(1 + (at % 5))}`);
    await anna.say(room, "end");
    const page = await app.openFor(browser, "handle", localpart(anna));
    await openChat(page, room);
    await expect(chat(page).getByText("end", { exact: true })).toBeInViewport();
    await page.setViewportSize({ width: 900, height: 500 });
    await expect(chat(page).getByText("end", { exact: true })).toBeInViewport();
});

test("a chat opens at the first unread message, which stays marked", async ({ app, browser }) => {
    const { anna, ben, room } = await twoPeople(app);
    await sayMany(ben, room, "old", 30);
    await anna.say(room, "seen by me");
    await sayMany(ben, room, "new", 80);
    const page = await app.openFor(browser, "handle", localpart(anna));
    await openChat(page, room);
    await expect(page.getByRole("separator")).toBeInViewport();
    await expect(chat(page).getByText("new 1", { exact: true })).toBeInViewport();
    await expect(chat(page).getByText("new 80", { exact: true })).not.toBeInViewport();
    await page.getByRole("button", { name: /Jump to the end/ }).click();
    await expect(chat(page).getByText("new 80", { exact: true })).toBeInViewport();
    await expect(page.getByRole("button", { name: /Jump to the end/ })).toBeHidden();
});

test("a quote leads far back, and one comes back to the end", async ({ app, browser }) => {
    const { anna, ben, room } = await twoPeople(app);
    const [first] = await sayMany(ben, room, "line", 150);
    await anna.send(room, { msgtype: "m.text", body: "as you said", "m.relates_to": { "m.in_reply_to": { event_id: first } } });
    const page = await app.openFor(browser, "handle", localpart(anna));
    await openChat(page, room);
    await page.getByRole("button", { name: "An earlier message" }).click();
    await expect(page.locator("[data-highlighted]")).toContainText("line 1");
    await expect(chat(page).getByText("line 1", { exact: true })).toBeInViewport();
    await sayMany(ben, room, "later", 60);
    // The first press goes back to where one came from, the second to the end.
    await page.getByRole("button", { name: /Jump to the end/ }).click();
    await expect(page.locator("[data-highlighted]")).toContainText("as you said");
    await page.getByRole("button", { name: /Jump to the end/ }).click();
    await expect(chat(page).getByText("later 60", { exact: true })).toBeInViewport();
});

test("an address leads to a message", async ({ app, browser }) => {
    const { anna, ben, room } = await twoPeople(app);
    const ids = await sayMany(ben, room, "line", 120);
    const page = await app.openFor(browser, "handle", localpart(anna));
    await openChat(page, room, `/${encodeURIComponent(ids[9]!)}`);
    await expect(chat(page).getByText("line 10", { exact: true })).toBeInViewport();
    await expect(page.locator("[data-highlighted]")).toContainText("line 10");
});

test("what came while one was away is there without a gap", async ({ app, browser }) => {
    const { anna, ben, room } = await twoPeople(app);
    await sayMany(ben, room, "before", 5);
    const page = await app.openFor(browser, "handle", localpart(anna));
    await openChat(page, room);
    await expect(chat(page).getByText("before 5", { exact: true })).toBeInViewport();
    await page.context().setOffline(true);
    await sayMany(ben, room, "away", 70);
    await page.context().setOffline(false);
    await expect(chat(page).getByText("away 70", { exact: true })).toBeAttached();
    const seen = new Set<string>();
    await expect
        .poll(async () => {
            for (const text of await page.locator(".message .text").allInnerTexts()) seen.add(text);
            await page.locator(".messages").evaluate((list) => (list.scrollTop -= 300));
            return seen.has("before 5");
        })
        .toBe(true);
    for (let at = 1; at <= 70; at++) expect(seen).toContain(`away ${at}`);
});

test("whoever goes far back while a gap is closed finds none there", async ({ app, browser }) => {
    const { anna, ben, room } = await twoPeople(app);
    const [first] = await sayMany(ben, room, "step", 120);
    await ben.send(room, { msgtype: "m.text", body: "an answer", "m.relates_to": { "m.in_reply_to": { event_id: first } } });
    await anna.say(room, "end");
    const page = await app.openFor(browser, "handle", localpart(anna));
    await openChat(page, room);
    const quote = page.locator(".quote-card");
    await expect(quote).toBeInViewport();
    await page.context().setOffline(true);
    await sayMany(ben, room, "away", 70);
    let release = () => {};
    const held = new Promise<void>((done) => (release = done));
    await page.route("**/messages?*", async (route) => {
        await held;
        await route.continue();
    });
    const asked = page.waitForRequest("**/messages?*");
    await page.context().setOffline(false);
    await asked;
    await quote.click();
    await expect(chat(page).getByText("step 1", { exact: true })).toBeInViewport();
    const answered = page.waitForEvent("requestfinished", (request) => request.url().includes("/messages?"));
    release();
    await answered;
    const seen = new Set<string>();
    await expect
        .poll(async () => {
            for (const text of await page.locator(".message .text").allInnerTexts()) seen.add(text);
            await page.locator(".messages").evaluate((list) => (list.scrollTop += 300));
            return seen.has("away 70");
        })
        .toBe(true);
    for (let at = 1; at <= 120; at++) expect(seen).toContain(`step ${at}`);
    for (let at = 1; at <= 70; at++) expect(seen).toContain(`away ${at}`);
});

test("who has read a message is known far back, too", async ({ app, browser }) => {
    const { anna, ben, room } = await twoPeople(app);
    const old = await anna.say(room, "long ago");
    const ids = await sayMany(anna, room, "line", 80);
    await ben.call("POST", `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/receipt/m.read/${encodeURIComponent(ids.at(-1)!)}`, {});
    const page = await app.openFor(browser, "handle", localpart(anna));
    await openChat(page, room, `/${encodeURIComponent(old)}`);
    await page.locator(".message", { hasText: "long ago" }).locator(".bubble").click({ button: "right" });
    await page.getByRole("menuitem", { name: "About this message" }).click();
    await expect(page.getByRole("dialog")).toContainText("Read by 1 person");
    await expect(page.getByRole("dialog")).toContainText("Ben Okafor");
});

test("a long chat keeps no more than a part of it", async ({ app, browser }) => {
    const { anna, ben, room } = await twoPeople(app);
    await sayMany(ben, room, "line", 700);
    await anna.say(room, "end");
    const page = await app.openFor(browser, "handle", localpart(anna));
    await openChat(page, room);
    await expect
        .poll(async () => {
            await page.locator(".messages").evaluate((list) => (list.scrollTop = 200));
            expect(await loaded(page)).toBeLessThan(600);
            return chat(page).getByText("line 5", { exact: true }).count();
        })
        .toBe(1);
    await page.getByRole("button", { name: /Jump to the end/ }).click();
    await expect(chat(page).getByText("end", { exact: true })).toBeInViewport();
});

/** Has what could not be loaded be loaded again, unless the chat itself does so first. */
async function retry(lost: Locator): Promise<void> {
    await expect(async () => {
        if (await lost.isVisible()) await lost.getByRole("button", { name: "Try again" }).click({ timeout: 1000 });
        await expect(lost).toHaveCount(0, { timeout: 1000 });
    }).toPass();
}

test("going to the end without a network shows what is known, and what is missing can be loaded again", async ({ app, browser }) => {
    const { anna, ben, room } = await twoPeople(app);
    const [first] = await sayMany(ben, room, "step", 150);
    await anna.say(room, "the very end");
    const page = await app.openFor(browser, "handle", localpart(anna));
    await openChat(page, room, `/${encodeURIComponent(first!)}`);
    await expect(chat(page).getByText("step 1", { exact: true })).toBeInViewport();
    await page.route("**/messages?*", (route) => route.abort());
    await page.getByRole("button", { name: /end/ }).click();
    await expect(chat(page).getByText("the very end")).toBeInViewport();
    await expect(chat(page)).toHaveAttribute("aria-busy", "false");
    const lost = page.getByRole("status").filter({ hasText: "Messages could not be loaded." });
    await expect(lost).toBeVisible();
    const asked = page.waitForRequest("**/messages?*");
    await lost.getByRole("button", { name: "Try again" }).click();
    await asked;
    await page.unroute("**/messages?*");
    await retry(lost);
    await expect(chat(page).getByText("step 150", { exact: true })).toBeInViewport();
});

test("newer messages that could not be loaded are those that are tried again", async ({ app, browser }) => {
    const { anna, ben, room } = await twoPeople(app);
    const [first] = await sayMany(ben, room, "stone", 150);
    const page = await app.openFor(browser, "handle", localpart(anna));
    // The first page begins in the middle of the chat, and nothing before it is asked for.
    await page.route(/messages\?.*dir=f/, (route) => route.abort());
    await openChat(page, room, `/${encodeURIComponent(first!)}`);
    const lost = page.getByRole("status").filter({ hasText: "Messages could not be loaded." });
    await page.locator(".messages").evaluate((list) => (list.scrollTop = list.scrollHeight));
    await expect(lost).toBeVisible();
    const asked = page.waitForRequest(/messages\?.*dir=f/);
    await lost.getByRole("button", { name: "Try again" }).click();
    await asked;
    await page.unroute(/messages\?.*dir=f/);
    await retry(lost);
});
