import type { Page } from "@playwright/test";

import { merge } from "../src/chats/told.ts";
import { expect, test } from "./app.ts";
import { signedDevices } from "./encrypting.ts";
import { openFromList, sessionOf } from "./together.ts";

const rowOf = (page: Page, name: string) => page.getByRole("navigation", { name: "Chats" }).getByRole("link", { name });

test("a new message counts in its row, in the title and in the filter", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.list", "Anna Berg");
    const ben = await app.platforms.register("account", "ben.list", "Ben Okafor");
    const eva = await app.platforms.register("handle", "eva.list", "Eva Lindqvist");
    const room = await ben.chatWith(anna);
    await eva.chatWith(anna);
    const page = await app.openFor(browser, "handle", "anna.list");
    await expect(rowOf(page, "Ben Okafor")).toBeVisible();
    await expect(page).toHaveTitle("Glimbry");
    await ben.say(room, "Are you there?");
    await expect(rowOf(page, "Ben Okafor").getByRole("img", { name: "1 unread message" })).toBeVisible();
    await expect(rowOf(page, "Ben Okafor")).toContainText("Are you there?");
    await expect(page).toHaveTitle("(1) Glimbry");
    await page.getByRole("button", { name: "Unread" }).click();
    await expect(rowOf(page, "Eva Lindqvist")).toHaveCount(0);
    await rowOf(page, "Ben Okafor").click({ button: "right" });
    await page.getByRole("menuitem", { name: "Mark as read" }).click();
    await expect(page).toHaveTitle("Glimbry");
    await expect(page.getByText("You have read everything")).toBeVisible();
    await page.context().close();
});

test("a row says what was said last, also when somebody has reacted since", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.back", "Anna Berg");
    const ben = await app.platforms.register("account", "ben.back", "Ben Okafor");
    const room = await ben.chatWith(anna);
    const said = await ben.say(room, "Did you see it?");
    await anna.send(room, { "m.relates_to": { rel_type: "m.annotation", event_id: said, key: "👍" } }, "m.reaction");
    const page = await app.openFor(browser, "handle", "anna.back");
    await expect(rowOf(page, "Ben Okafor")).toContainText("Did you see it?");
    await page.context().close();
});

test("a row of a group says in one line who has said what", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.line", "Anna Berg");
    const ben = await app.platforms.register("account", "ben.line", "Ben Okafor");
    const group = { name: "Choir", preset: "private_chat", invite: [ben.userId] };
    const { room_id } = await anna.call("POST", "/_matrix/client/v3/createRoom", group);
    await ben.join(room_id as string);
    await ben.say(room_id as string, "Tonight at eight");
    const page = await app.openFor(browser, "handle", "anna.line");
    // The open chat has styles of its own, which must not reach the list.
    await rowOf(page, "Choir").click();
    await expect(page.getByRole("log")).toContainText("Tonight at eight");
    const line = rowOf(page, "Choir").locator(".row-line");
    await expect(line).toHaveText("Ben Okafor: Tonight at eight");
    expect(await line.evaluate((line) => line.scrollHeight - line.clientHeight)).toBeLessThanOrEqual(1);
    await page.context().close();
});

test("the menu of a row pins, mutes, marks and archives", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.menu", "Anna Berg");
    const ben = await app.platforms.register("handle", "ben.menu", "Ben Okafor");
    const eva = await app.platforms.register("handle", "eva.menu", "Eva Lindqvist");
    const room = await ben.chatWith(anna);
    await eva.say(await eva.chatWith(anna), "The newest");
    const page = await app.openFor(browser, "handle", "anna.menu");
    const rows = page.getByRole("navigation", { name: "Chats" }).locator(".rows").getByRole("link");
    await expect(rows.first()).toContainText("Eva");
    const choose = async (item: string) => {
        await rowOf(page, "Ben Okafor").click({ button: "right" });
        await page.getByRole("menuitem", { name: item, exact: true }).click();
    };
    await choose("Pin");
    await expect(rowOf(page, "Ben Okafor").getByRole("img", { name: "Pinned" })).toBeVisible();
    await expect(rows.first()).toContainText("Ben");
    await choose("Mute");
    await expect(rowOf(page, "Ben Okafor").getByRole("img", { name: "Muted" })).toBeVisible();
    await ben.say(room, "Nobody hears this");
    await expect(rowOf(page, "Ben Okafor").getByRole("img", { name: "Unread" })).toBeVisible();
    await expect(page).toHaveTitle("(1) Glimbry");
    await choose("Mark as read");
    await expect(rowOf(page, "Ben Okafor").getByRole("img", { name: "Unread" })).toHaveCount(0);
    await choose("Mark as unread");
    await expect(rowOf(page, "Ben Okafor").getByRole("img", { name: "Unread" })).toBeVisible();
    await choose("Block");
    const question = page.getByRole("dialog", { name: "Block Ben Okafor?" });
    await expect(question.getByRole("switch", { name: "Report" })).toBeVisible();
    await question.getByRole("button", { name: "Cancel" }).click();
    await choose("Archive");
    await expect(rowOf(page, "Ben Okafor")).toHaveCount(0);
    await page.getByRole("button", { name: "Archived" }).click();
    await choose("Move to chats");
    await expect(rows).toHaveCount(2);
    await page.context().close();
});

test("Tab stops once in the list, arrow keys move, and Ctrl+K leads to the search", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.keys", "Anna Berg");
    for (const name of ["Ada", "Bea", "Cleo"]) {
        await (await app.platforms.register("handle", `${name.toLowerCase()}.keys`, name)).chatWith(anna);
    }
    const page = await app.openFor(browser, "handle", "anna.keys");
    await expect(rowOf(page, "Ada")).toBeVisible();
    await expect(page.locator(".rows a[tabindex='0']")).toHaveCount(1);
    await page.keyboard.press("Control+k");
    await expect(page.getByRole("searchbox", { name: "Search" })).toBeFocused();
    await page.keyboard.press("ArrowDown");
    await expect(rowOf(page, "Cleo")).toBeFocused();
    await page.keyboard.press("ArrowDown");
    await expect(rowOf(page, "Bea")).toBeFocused();
    await page.keyboard.press("End");
    await expect(rowOf(page, "Ada")).toBeFocused();
    await expect(page.locator(".rows a[tabindex='0']")).toHaveCount(1);
    // The menu has the keys while it is open, and what is behind it stays as it is.
    await page.keyboard.press("Shift+F10");
    const items = page.getByRole("menu", { name: "Ada" }).getByRole("menuitem");
    await expect(items.first()).toBeFocused();
    await page.keyboard.press("ArrowDown");
    await expect(items.nth(1)).toBeFocused();
    await page.keyboard.press("End");
    await expect(items.last()).toBeFocused();
    await page.keyboard.press("Enter");
    await expect(page.getByRole("dialog", { name: /Ada/ })).toBeVisible();
    await page.keyboard.press("Escape");
    await expect(page.getByRole("dialog")).toHaveCount(0);
    await expect(rowOf(page, "Ada")).toBeFocused();
    await page.keyboard.press("Enter");
    await expect(page.getByRole("heading", { name: "Ada" })).toBeVisible();
    await page.context().close();
});

/** A joined room of a sync, in which one message was said. Later numbers are older. */
function chatCalled(name: string, own: string, number: number): object {
    const origin_server_ts = 1_700_000_000_000 - number * 1000;
    const event = (type: string, content: object, state_key?: string) => ({ type, content, state_key, sender: own, event_id: `$${type}${number}`, origin_server_ts });
    const state = [event("m.room.create", { room_version: "11" }, ""), event("m.room.member", { membership: "join" }, own), event("m.room.name", { name }, "")];
    const timeline = { events: [event("m.room.message", { msgtype: "m.text", body: "Hello" })], limited: true, prev_batch: "before" };
    return { state: { events: state }, timeline, account_data: { events: [] }, ephemeral: { events: [] }, unread_notifications: {} };
}

test("a long list has few rows in the page, and its end is reached", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.long", "Anna Berg");
    const page = await app.openFor(browser, "handle", "anna.long");
    // The server says it at once; making as many chats takes it minutes.
    const join = Object.fromEntries(Array.from({ length: 1000 }, (_, at) => [`!${at}:instagram.localhost`, chatCalled(`Person ${at}`, anna.userId, at)]));
    await page.route("**/_matrix/client/**/sync*", async (route) => {
        const isFirst = !route.request().url().includes("since=many");
        if (isFirst) await route.fulfill({ json: { next_batch: "many", rooms: { join } } });
    });
    await page.reload();
    await expect(rowOf(page, "Person 0 ")).toBeVisible();
    await page.locator(".rows a").first().focus();
    // Rows come a few at a time, and the end is the end of those that are there.
    await expect(async () => {
        await page.keyboard.press("End");
        await expect(rowOf(page, "Person 999")).toBeFocused({ timeout: 1000 });
    }).toPass();
    expect(await page.locator(".rows li").count()).toBeLessThan(60);
    await page.context().close();
});

test("chats are shown by platform", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.filter", "Anna Berg");
    await (await app.platforms.register("account", "ben.filter", "Ben Okafor")).chatWith(anna);
    await (await app.platforms.register("handle", "eva.filter", "Eva Lindqvist")).chatWith(anna);
    const page = await app.openFor(browser, "handle", "anna.filter");
    await page.getByRole("group", { name: "Which chats are shown" }).getByRole("button", { name: /parlune/i }).click();
    await expect(rowOf(page, "Eva Lindqvist")).toHaveCount(0);
    await expect(rowOf(page, "Ben Okafor")).toBeVisible();
    await page.reload();
    await expect(rowOf(page, "Ben Okafor")).toBeVisible();
    await expect(rowOf(page, "Eva Lindqvist")).toHaveCount(0);
    await page.context().close();
});

test("one search finds chats, people of all platforms and messages", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.search", "Anna Berg");
    const ben = await app.platforms.register("handle", "ben.search", "Zacharias Okafor");
    await app.platforms.register("account", "zach.search", "Zacharias Lind");
    await ben.say(await ben.chatWith(anna), "The umbrella of Zacharias is red");
    const page = await app.openFor(browser, "handle", "anna.search");
    await expect(rowOf(page, "Zacharias Okafor")).toBeVisible();
    await page.getByRole("searchbox", { name: "Search" }).fill("zachar");
    await expect(page.getByRole("region", { name: "Chats" }).getByRole("link", { name: "Zacharias Okafor" })).toBeVisible();
    await expect(page.getByRole("region", { name: "People" }).getByRole("link", { name: "Zacharias Lind" })).toContainText(/parlune/i);
    await page.getByRole("searchbox", { name: "Search" }).fill("umbrella");
    await expect(page.getByRole("region", { name: "Messages" }).getByRole("link")).toContainText("The umbrella of Zacharias");
    await page.context().close();
});

test("an edited message is found once, as it says now, and pressing it leads to it each time", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.edited", "Anna Berg");
    const ben = await app.platforms.register("handle", "ben.edited", "Ben Okafor");
    const room = await ben.chatWith(anna);
    const id = await ben.say(room, "The umbrella is red");
    const after = { msgtype: "m.text", body: "The umbrella is green" };
    const relation = { rel_type: "m.replace", event_id: id };
    await ben.send(room, { msgtype: "m.text", body: "* The umbrella is green", "m.new_content": after, "m.relates_to": relation });
    for (let line = 0; line < 40; line++) await ben.say(room, `Line ${line}`);
    const page = await app.openFor(browser, "handle", "anna.edited");
    await page.getByRole("searchbox", { name: "Search" }).fill("umbrella");
    const found = page.getByRole("region", { name: "Messages" }).getByRole("link");
    await expect(found).toHaveCount(1);
    await expect(found.locator(".preview")).toHaveText("The umbrella is green");
    const message = page.getByRole("log").locator(".message", { hasText: "The umbrella is green" });
    const toEnd = page.getByRole("button", { name: /Jump to the end/ });
    for (const _time of ["first", "again"]) {
        await found.click();
        await expect(message).toBeInViewport();
        await toEnd.click();
        await expect(message).not.toBeInViewport();
    }
    await page.context().close();
});

test("encrypted messages are found that were read here, and it is said how far back", async ({ app, browser }) => {
    await app.platforms.register("phone", "anna.seen", "Anna Berg");
    const ben = await app.platforms.register("phone", "ben.seen", "Ben Okafor");
    const page = await app.openFor(browser, "phone", "anna.seen");
    await page.goto(`${app.addresses.phone}/new/with/${encodeURIComponent(ben.userId)}`);
    await page.getByRole("textbox", { name: /Message to/ }).fill("The lighthouse is open");
    await page.keyboard.press("Enter");
    await expect(page.getByRole("log")).toContainText("The lighthouse is open");
    await page.getByRole("searchbox", { name: "Search" }).fill("lighthouse");
    const messages = page.getByRole("region", { name: "Messages" });
    await expect(messages.getByRole("link")).toContainText("The lighthouse is open");
    await expect(messages).toContainText("back to: Today");
    await page.context().close();
});

test("a message that disappears gives its place in the list to the one before it", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.fades", "Anna Berg");
    const ben = await app.platforms.register("handle", "ben.fades", "Ben Okafor");
    const room = await anna.chatWith(ben);
    const page = await app.open(browser, "handle", { serviceWorkers: "block" });
    await page.clock.install();
    await page.reload();
    await app.logIn(page, "anna.fades");
    await ben.say(room, "This one stays");
    await expect(rowOf(page, "Ben Okafor")).toContainText("This one stays");
    const timer = { type: "after_send", timer: 86_400_000 };
    await anna.call("PUT", `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/state/com.beeper.disappearing_timer/`, timer);
    await ben.say(room, "This one goes");
    await expect(rowOf(page, "Ben Okafor")).toContainText("This one goes");
    await page.clock.fastForward(2 * 86_400_000);
    await expect(rowOf(page, "Ben Okafor")).toContainText("This one stays");
    await expect(rowOf(page, "Ben Okafor")).not.toContainText("This one goes");
    await page.context().close();
});

test("the row that has the focus keeps it when rows change their places", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.focus", "Anna Berg");
    const others = [];
    for (const name of ["Fritz", "Gitta", "Heiko"]) others.push(await app.platforms.register("handle", `${name.toLowerCase()}.focus`, name));
    const rooms = [];
    for (const other of others) rooms.push(await other.chatWith(anna));
    const page = await app.openFor(browser, "handle", "anna.focus");
    await expect(rowOf(page, "Fritz")).toBeVisible();
    await rowOf(page, "Heiko").focus();
    await page.keyboard.press("ArrowDown");
    await expect(rowOf(page, "Gitta")).toBeFocused();
    await others[0]!.say(rooms[0]!, "I am the newest now");
    await expect(page.locator(".rows a").first()).toContainText("I am the newest now");
    await expect(rowOf(page, "Gitta")).toBeFocused();
    await expect(page.locator(".rows a[tabindex='0']")).toContainText("Gitta");
    // It is also the one that moves.
    await others[1]!.say(rooms[1]!, "No, I am");
    await expect(page.locator(".rows a").first()).toContainText("No, I am");
    await expect(rowOf(page, "Gitta")).toBeFocused();
    await page.keyboard.press("ArrowDown");
    await expect(rowOf(page, "Fritz")).toBeFocused();
    await page.context().close();
});

test("Ctrl+K leads to the search from the settings, and Escape back to them", async ({ app, browser }) => {
    await app.platforms.register("handle", "anna.everywhere", "Anna Berg");
    const page = await app.openFor(browser, "handle", "anna.everywhere");
    await page.getByRole("link", { name: "Settings" }).click();
    await page.getByRole("link", { name: "Notifications" }).click();
    await page.keyboard.press("Control+k");
    await expect(page.getByRole("searchbox", { name: "Search" })).toBeFocused();
    await page.keyboard.press("Escape");
    await expect(page.getByRole("heading", { name: "Notifications" })).toBeVisible();
    await page.context().close();
});

test("of a message and its edits the newest of its own sender counts, in whichever order they are read", () => {
    const about = { room: "!room", sender: "@ben:here", ts: 10 };
    const first = { ...about, ts: 20, editedTs: 20 };
    const second = { ...about, ts: 30, editedTs: 30 };
    const foreign = { ...about, sender: "@mallory:here", ts: 40, editedTs: 40 };
    const elsewhere = { ...about, room: "!other", ts: 40, editedTs: 40 };
    const all = (...told: (typeof first | typeof about)[]) => {
        let known: ReturnType<typeof merge>["about"] | undefined;
        let counts = -1;
        for (const [at, one] of told.entries()) {
            const merged = merge(known, one);
            known = merged.about;
            if (merged.isTold) counts = at;
        }
        return { known, counts };
    };
    expect(all(about, first, second)).toEqual({ known: { ...about, editedTs: 30 }, counts: 2 });
    expect(all(about, second, first)).toEqual({ known: { ...about, editedTs: 30 }, counts: 1 });
    expect(all(second, about)).toEqual({ known: { ...about, editedTs: 30 }, counts: 0 });
    expect(all(about, foreign)).toEqual({ known: about, counts: 0 });
    expect(all(about, elsewhere)).toEqual({ known: about, counts: 0 });
    expect(all(foreign, about)).toEqual({ known: about, counts: 1 });
});

/** What a browser has kept of the messages that somebody has read, as it lies on the disk. */
function seenOf(page: Page, userId: string): Promise<{ ids: string[]; text: string }> {
    return page.evaluate(
        (name) =>
            new Promise((done) => {
                const request = indexedDB.open(name);
                request.onsuccess = () => {
                    const all = request.result.transaction("messages").objectStore("messages").getAll();
                    all.onsuccess = () => {
                        request.result.close();
                        const kept = all.result as { id: string; sealed?: ArrayBuffer }[];
                        const text = kept.map((one) => JSON.stringify(one) + new TextDecoder("latin1").decode(one.sealed ?? new ArrayBuffer(0))).join();
                        done({ ids: kept.map(({ id }) => id), text });
                    };
                };
            }),
        `linkspan-seen-${userId}`,
    );
}

test("what was read of encrypted chats follows edits and deletions, lies sealed on the disk, and disappears there, too", async ({ app, browser }) => {
    const anna = await app.platforms.register("phone", "anna.sought", "Anna Berg");
    const ben = await app.platforms.register("phone", "ben.sought", "Ben Okafor");
    const room = await anna.chatWith(ben);
    const bens = await app.openFor(browser, "phone", "ben.sought");
    await openFromList(bens, "Anna Berg");
    const page = await app.open(browser, "phone", { serviceWorkers: "block" });
    await page.clock.install();
    await page.reload();
    await app.logIn(page, "anna.sought");
    // Nobody can encrypt for a device that is not signed yet.
    await expect.poll(() => signedDevices(anna)).toEqual([true]);
    await openFromList(page, "Ben Okafor");
    const write = async (text: string) => {
        await bens.getByRole("textbox", { name: "Message" }).fill(text);
        await bens.keyboard.press("Enter");
        await expect(page.getByRole("log")).toContainText(text);
    };
    const search = page.getByRole("searchbox", { name: "Search" });
    const found = page.getByRole("region", { name: "Messages" }).getByRole("link");
    await write("The windmill is open");
    await search.fill("windmill");
    await expect(found).toContainText("The windmill is open");
    // The index is there now, and follows.
    await write("The watermill, too");
    await search.fill("watermill");
    await expect(found).toContainText("The watermill, too");
    await bens.keyboard.press("ArrowUp");
    await bens.getByRole("textbox", { name: "Message" }).fill("The sawmill, too");
    await bens.keyboard.press("Enter");
    await expect(page.getByRole("log")).toContainText("The sawmill, too");
    await search.fill("sawmill");
    await expect(found).toContainText("The sawmill, too");
    await search.fill("watermill");
    await expect(page.getByText("No message with “watermill” was found.")).toBeVisible();
    await expect.poll(async () => (await seenOf(page, anna.userId)).ids.length).toBe(2);
    expect((await seenOf(page, anna.userId)).text).not.toContain("mill");

    // The library forgets the chat, as it forgets most messages that were read.
    await page.goto(`${app.addresses.phone}/icon.svg`);
    await page.evaluate(
        (name) => new Promise((done) => (indexedDB.deleteDatabase(name).onsuccess = done)),
        `matrix-js-sdk:linkspan-${anna.userId}`,
    );
    const { accessToken } = await sessionOf(bens);
    const before = (await seenOf(page, anna.userId)).ids;
    const gone = before[0]!;
    await page.goto(app.addresses.phone);
    await expect(rowOf(page, "Ben Okafor")).toContainText("mill");
    const where = `${ben.origin}/_matrix/client/v3/rooms/${encodeURIComponent(room)}/redact/${encodeURIComponent(gone)}/once`;
    await fetch(where, { method: "PUT", headers: { Authorization: `Bearer ${accessToken}` }, body: "{}" });
    await expect.poll(async () => (await seenOf(page, anna.userId)).ids).toEqual(before.slice(1));

    const timer = { type: "after_send", timer: 86_400_000 };
    await ben.call("PUT", `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/state/com.beeper.disappearing_timer/`, timer);
    await expect(bens.getByRole("log")).toContainText(/disappear/);
    await openFromList(page, "Ben Okafor");
    await write("The papermill for a day");
    await expect.poll(async () => (await seenOf(page, anna.userId)).ids.length).toBe(2);
    await page.clock.fastForward(2 * 86_400_000);
    await expect.poll(async () => (await seenOf(page, anna.userId)).ids).toEqual(before.slice(1));
    await page.context().close();
    await bens.context().close();
});
