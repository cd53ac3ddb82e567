import type { BrowserContext, Page } from "@playwright/test";

import { App, expect, test } from "./app.ts";
import { encryptedChat, newest, open, write } from "./encrypting.ts";
import { keptBy } from "./kept.ts";
import type { Kind, Person } from "./platforms.ts";

const SECRET = "Meet me behind the station";

const log = (page: Page) => page.getByRole("log");
const chats = (page: Page) => page.getByRole("navigation", { name: "Chats" });
const pathTo = (room: string) => `/chat/${encodeURIComponent(room)}`;

/** All that lies on the disk of a page's snapshot and in its local storage, as somebody reads it who has the disk. */
function onDisk(page: Page, userId: string): Promise<string> {
    return page.evaluate(async (database) => {
        const done = <Value>(request: IDBRequest<Value>) => new Promise<Value>((resolve) => (request.onsuccess = () => resolve(request.result)));
        const opened = await done(indexedDB.open(database));
        const pieces = await done(opened.transaction("pieces").objectStore("pieces").getAll());
        const key = (await done(opened.transaction("keys").objectStore("keys").get("key"))) as CryptoKey;
        opened.close();
        if (key.extractable) throw new Error("the key can be taken away");
        const sealed = pieces.map((piece) => JSON.stringify({ ...piece, sealed: new TextDecoder("latin1").decode(piece.sealed) }));
        return [...sealed, JSON.stringify(localStorage)].join();
    }, `linkspan-snapshot-${userId}`);
}

/** Opens a page that cannot reach the server, and in which the library never comes. */
async function openWithoutLibrary(context: BrowserContext, address: string): Promise<Page> {
    const page = await context.newPage();
    await page.route(/\/(_matrix|_linkspan\/client)\//, (route) => route.abort());
    await page.route(/library/, () => undefined);
    await page.goto(address);
    return page;
}

interface Chat {
    anna: Person;
    ben: Person;
    room: string;
    page: Page;
}

/** Anna reads what Ben has said, and waits until her browser has kept it. A service worker would hide what the page asks for. */
async function readChat(app: App, browser: Parameters<App["open"]>[0], kind: Kind, name: string, lines: string[]): Promise<Chat> {
    const anna = await app.platforms.register(kind, `anna.${name}`, "Anna Berg");
    const ben = await app.platforms.register(kind, `ben.${name}`, "Ben Okafor");
    const room = await anna.chatWith(ben);
    for (const line of lines) {
        const event = await ben.say(room, line);
        if (line === lines.at(-1)) await anna.call("POST", `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/receipt/m.read/${event}`, {});
    }
    const page = await app.openFor(browser, kind, `anna.${name}`, { serviceWorkers: "block" });
    await page.getByRole("link", { name: "Ben Okafor" }).click();
    await expect(log(page)).toContainText(lines.at(-1)!);
    await expect.poll(() => keptBy(page, anna.userId, `chat ${room}`)).toContain(lines.at(-1));
    await expect.poll(() => keptBy(page, anna.userId, "first rows")).toContain("Ben Okafor");
    return { anna, ben, room, page };
}

const LINES = Array.from({ length: 40 }, (_, at) => `Line ${at} of forty`);

test("the list and the last chat are there before the library, and go on when it comes", async ({ app, browser }) => {
    const { ben, room, page } = await readChat(app, browser, "handle", "warm", LINES);
    const context = page.context();
    await page.close();

    const again = await context.newPage();
    let bring = () => undefined as void;
    const isWanted = new Promise<void>((done) => (bring = done));
    await again.route(/library/, async (route) => {
        await isWanted;
        await route.continue();
    });
    await again.goto(app.addresses.handle);
    const row = chats(again).getByRole("link", { name: "Ben Okafor" });
    await expect(row).toContainText("Line 39 of forty");
    await row.click();
    await expect(log(again)).toHaveAttribute("aria-busy", "true");
    await expect(log(again).getByText("Line 39 of forty")).toBeInViewport();
    const field = again.getByRole("textbox", { name: "Message" });
    await field.fill("Begun before");
    await again.getByRole("button", { name: "Emoji" }).click();
    const search = again.locator("emoji-picker").getByRole("combobox");
    await search.fill("tig");

    bring();
    await expect(log(again)).toHaveAttribute("aria-busy", "false");
    await expect(log(again).getByText("Line 39 of forty")).toBeInViewport();
    await expect(search).toHaveValue("tig");
    await expect(search).toBeFocused();
    await again.keyboard.press("Escape");
    await expect(field).toHaveValue("Begun before");
    await expect(field).toBeFocused();
    await ben.say(room, "And one more");
    await expect(log(again)).toContainText("And one more");
});

test("all messages that were kept are there without a network, also when the client has come", async ({ app, browser }) => {
    const { room, page } = await readChat(app, browser, "handle", "away", LINES);
    // Leaving the page has the chats written down.
    await page.goto("about:blank");
    const again = await page.context().newPage();
    await again.route(/\/(_matrix|_linkspan\/client)\//, (route) => route.abort());
    await again.goto(app.addresses.handle + pathTo(room));
    await expect(log(again)).toHaveAttribute("aria-busy", "false");
    await expect(log(again).getByText("Line 39 of forty")).toBeInViewport();
    await expect(log(again).getByText("Line 25 of forty")).toBeAttached();
    await expect(again.getByText("could not be loaded")).toHaveCount(0);
});

test("what was said in an encrypted chat is shown at once, and lies nowhere in the clear", async ({ app, browser }) => {
    const anna = await app.platforms.register("phone", "anna.sealed", "Anna Berg");
    const ben = await app.platforms.register("phone", "ben.sealed", "Ben Okafor");
    const room = await anna.chatWith(ben);
    const page = await app.openFor(browser, "phone", "anna.sealed", { serviceWorkers: "block" });
    await page.getByRole("link", { name: "Ben Okafor" }).click();
    await page.getByRole("textbox", { name: "Message" }).fill(SECRET);
    await page.keyboard.press("Enter");
    await expect(log(page).getByRole("img", { name: "Sent" })).toBeVisible();
    await expect.poll(() => keptBy(page, anna.userId, `chat ${room}`)).toContain(SECRET);
    await expect.poll(() => keptBy(page, anna.userId, "first rows")).toContain(SECRET);
    expect(await onDisk(page, anna.userId)).not.toContain(SECRET);

    const context = page.context();
    await page.close();
    const again = await openWithoutLibrary(context, app.addresses.phone + pathTo(room));
    await expect(chats(again).getByRole("link", { name: "Ben Okafor" })).toContainText(SECRET);
    await expect(log(again)).toContainText(SECRET);
});

test("a message that has disappeared is not shown again at the next start", async ({ app, browser }) => {
    const { anna, ben, room, page } = await readChat(app, browser, "handle", "gone", ["This one stays"]);
    const timer = { type: "after_send", timer: 86_400_000 };
    await anna.call("PUT", `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/state/com.beeper.disappearing_timer/`, timer);
    await ben.say(room, SECRET);
    await expect.poll(() => keptBy(page, anna.userId, `chat ${room}`)).toContain(SECRET);
    await expect.poll(() => keptBy(page, anna.userId, "first rows")).toContain(SECRET);
    const context = page.context();
    await page.close();

    await context.clock.setFixedTime(Date.now() + 2 * 86_400_000);
    const again = await openWithoutLibrary(context, app.addresses.handle + pathTo(room));
    await expect(log(again)).toContainText("This one stays");
    await expect(again.getByText(SECRET)).toHaveCount(0);
});

test("a chat that was left while it is open is kept no more", async ({ app, browser }) => {
    const { anna, room, page } = await readChat(app, browser, "handle", "left", [SECRET]);
    const cleo = await app.platforms.register("handle", "cleo.left", "Cleo Third");
    const other = await cleo.chatWith(anna);
    await cleo.say(other, "In another chat");
    await expect.poll(() => keptBy(page, anna.userId, `chat ${room}`)).toContain(SECRET);
    await anna.call("POST", `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/leave`, {});
    await expect(chats(page).getByRole("link", { name: "Ben Okafor" })).toHaveCount(0);
    await chats(page).getByRole("link", { name: "Cleo Third" }).click();
    await expect.poll(() => keptBy(page, anna.userId, `chat ${other}`)).toContain("In another chat");
    expect(await keptBy(page, anna.userId, `chat ${room}`)).toBe("");
});

test("who logs out leaves nothing of it behind", async ({ app, browser }) => {
    const { anna, page } = await readChat(app, browser, "handle", "out", [SECRET]);
    await page.getByRole("link", { name: "Settings" }).click();
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Log out" }).click();
    await expect(page.locator("input[name=password]")).toBeVisible();
    const names = () => page.evaluate(async () => (await indexedDB.databases()).map(({ name }) => name).join());
    await expect.poll(names).not.toContain(anna.userId);
    expect(await page.evaluate(() => JSON.stringify(localStorage))).not.toContain(SECRET);
});

test("what is written before the client is there is shown at once, and sent when it comes, also where the browser keeps nothing", async ({ app, browser }) => {
    const { ben, room, page } = await readChat(app, browser, "handle", "early", LINES);
    const context = page.context();
    await page.close();
    const again = await context.newPage();
    await again.addInitScript(() => {
        const open = IDBFactory.prototype.open;
        IDBFactory.prototype.open = function (name, version) {
            if (name.startsWith("linkspan-outbox")) throw new Error("nothing is kept here");
            return open.call(this, name, version);
        };
    });
    let bring = () => undefined as void;
    const isWanted = new Promise<void>((done) => (bring = done));
    await again.route(/library/, async (route) => {
        await isWanted;
        await route.continue();
    });
    await again.goto(app.addresses.handle + pathTo(room));
    await expect(log(again).getByText("Line 39 of forty")).toBeInViewport();
    const field = again.getByRole("textbox", { name: "Message" });
    for (const text of ["Written early", "Written a bit later"]) {
        await field.fill(text);
        await again.keyboard.press("Enter");
        await expect(log(again).getByRole("article").filter({ hasText: text })).toHaveAccessibleName(/Sending/);
        await expect(log(again).getByText(text)).toBeInViewport();
    }
    await expect(log(again)).toHaveAttribute("aria-busy", "true");
    bring();
    const heard = async () => {
        const { chunk } = await ben.call("GET", `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/messages?dir=b&limit=2`);
        return (chunk as { content: { body?: string } }[]).map(({ content }) => content.body);
    };
    await expect.poll(heard).toEqual(["Written a bit later", "Written early"]);
    await expect(log(again).getByRole("article").filter({ hasText: "Written a bit later" })).toHaveAccessibleName(/Sent/);
    await expect(log(again).getByText("Written early")).toHaveCount(1);
});

test("a chat that one is not in says so, and leads back", async ({ app, browser }) => {
    const { ben, page } = await readChat(app, browser, "handle", "absent", ["We are in this one"]);
    const { room_id } = await ben.call("POST", "/_matrix/client/v3/createRoom", { name: "Without Anna" });
    await page.setViewportSize({ width: 400, height: 800 });
    for (const id of [room_id as string, "!nobody:knows.example"]) {
        await page.goto(app.addresses.handle + pathTo(id));
        await expect(page.getByRole("heading", { name: "You are not in this chat" })).toBeVisible();
        await expect(page.getByRole("textbox", { name: "Message" })).toHaveCount(0);
        await expect(page.getByRole("link", { name: "Back" })).toBeVisible();
        await page.getByRole("link", { name: "Go to your chats" }).click();
        await expect(page.getByRole("link", { name: "Ben Okafor" })).toBeVisible();
    }
});

/** What the library has written down for the next start, once it was told that the page may be left. */
function written(page: Page, userId: string): Promise<string> {
    return page.evaluate(async (name) => {
        dispatchEvent(new Event("pagehide"));
        const done = <Value>(request: IDBRequest<Value>) => new Promise<Value>((resolve) => (request.onsuccess = () => resolve(request.result)));
        const database = await done(indexedDB.open(name));
        const kept = await done(database.transaction("sync").objectStore("sync").getAll());
        database.close();
        return JSON.stringify(kept);
    }, `matrix-js-sdk:linkspan-${userId}`);
}

test("encrypted messages that were read are readable at once after a restart, also when the library is late", async ({ app, browser }) => {
    const { anna, ben, room, annas, bens, path } = await encryptedChat(app, browser, "restart");
    const field = bens.getByRole("textbox", { name: "Message" });
    for (const line of LINES.slice(1)) {
        await field.fill(line);
        await bens.keyboard.press("Enter");
    }
    await write(bens, "The very last of forty");
    await expect(log(bens).getByRole("article").filter({ hasText: "The very last of forty" })).toHaveAccessibleName(/Sent|Read/);
    const last = await newest(ben, room);
    await anna.call("POST", `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/receipt/m.read/${last}`, {});
    await expect(annas.getByRole("link", { name: "Ben Okafor" }).getByRole("img", { name: /unread/ })).toHaveCount(0);
    await open(annas, "Ben Okafor");
    await expect(log(annas)).toContainText("The very last of forty");
    // With the own receipt on the disk all of them count as read at the next start.
    const readers = async () => (await written(annas, anna.userId)).split(`"${last}":{"m.read":`)[1]?.split("}}")[0];
    await expect.poll(readers).toContain(anna.userId);
    await expect.poll(() => keptBy(annas, anna.userId, `chat ${room}`)).toContain("The very last of forty");
    const texts = /Line 37 of forty.*Line 38 of forty.*Line 39 of forty.*The very last of forty/s;
    await expect(log(annas)).toContainText(texts);

    // None of them is shown as one that cannot be read, not even for a moment.
    await annas.addInitScript(() => {
        const look = () => document.querySelector('.bubble[data-kind="locked"]') && Object.assign(window, { wasLocked: true });
        new MutationObserver(look).observe(document, { childList: true, subtree: true, attributes: true });
    });
    const wasLocked = () => annas.evaluate(() => "wasLocked" in window);
    // Without a network there is nothing but what is written down.
    await annas.goto("about:blank");
    await annas.route(/\/(_matrix|_linkspan\/client)\//, (route) => route.abort());
    await annas.goto(app.addresses.account + path);
    await expect(log(annas)).toHaveAttribute("aria-busy", "false");
    await expect(log(annas)).toContainText(texts);
    expect(await wasLocked()).toBe(false);

    await annas.goto("about:blank");
    let bring = () => undefined as void;
    const isWanted = new Promise<void>((done) => (bring = done));
    await annas.route(/library/, async (route) => {
        await isWanted;
        await route.continue();
    });
    await annas.goto(app.addresses.account + path);
    await expect(log(annas)).toHaveAttribute("aria-busy", "true");
    await expect(log(annas)).toContainText(texts);
    bring();
    await expect(log(annas)).toHaveAttribute("aria-busy", "false");
    await expect(log(annas)).toContainText(texts);
    expect(await wasLocked()).toBe(false);
});

/** All that lies in a database of the page, as somebody reads it who has the disk. */
function diskOf(page: Page, name: string): Promise<string> {
    return page.evaluate(async (name) => {
        const done = <Value>(request: IDBRequest<Value>) => new Promise<Value>((resolve) => (request.onsuccess = () => resolve(request.result)));
        const database = await done(indexedDB.open(name));
        const stores = [...database.objectStoreNames];
        const kept = stores.length > 0 ? await done(database.transaction(stores).objectStore(stores[0]!).getAll()) : [];
        database.close();
        const read = async (value: unknown): Promise<unknown> => {
            if (value instanceof Blob) return value.text();
            if (value instanceof ArrayBuffer) return new TextDecoder("latin1").decode(value);
            if (value === null || typeof value !== "object") return value;
            return Promise.all(Object.entries(value).map(async ([key, part]) => [key, await read(part)]));
        };
        return JSON.stringify(await read(kept));
    }, name);
}

test("what waits to be sent lies nowhere in the clear, and is sent after a restart with its file", async ({ app, browser }) => {
    const { anna, ben, room, path, annas } = await encryptedChat(app, browser, "waits");
    await open(annas, "Ben Okafor");
    await expect(annas.getByRole("button", { name: "Add", exact: true })).toBeEnabled();
    const sending = /_matrix\/.*(\/rooms\/[^/]*\/send\/|upload)/;
    await annas.route(sending, (route) => route.abort());
    const field = annas.getByRole("textbox", { name: "Message" });
    const chooser = annas.waitForEvent("filechooser");
    await annas.getByRole("button", { name: "Add", exact: true }).click();
    await annas.getByRole("menuitem", { name: "File" }).click();
    await (await chooser).setFiles([{ name: "note.txt", mimeType: "text/plain", buffer: Buffer.from(`In the file: ${SECRET}`) }]);
    await field.press("Enter");
    await field.fill(SECRET);
    await annas.keyboard.press("Enter");
    await expect(log(annas).getByRole("article").filter({ hasText: SECRET })).toHaveAccessibleName(/Sending/);
    const outbox = `linkspan-outbox-${anna.userId}`;
    await expect.poll(async () => (await diskOf(annas, outbox)).split("linkspan.").length).toBeGreaterThan(2);
    expect(await diskOf(annas, outbox)).not.toContain("station");
    expect(await diskOf(annas, outbox)).not.toContain("note.txt");

    await annas.goto("about:blank");
    await annas.goto(app.addresses.account + path);
    await expect(log(annas).getByRole("article").filter({ hasText: SECRET })).toHaveAccessibleName(/Sending/);
    await annas.unroute(sending);
    await annas.reload();
    const own = log(annas).getByRole("article");
    await expect(own.filter({ hasText: SECRET })).toHaveAccessibleName(/Sent|Read/);
    await expect(own.filter({ hasText: "note.txt" })).toHaveAccessibleName(/Sent|Read/);
    const { chunk } = await ben.call("GET", `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/messages?dir=b&limit=10`);
    expect((chunk as { type: string }[]).filter(({ type }) => type === "m.room.encrypted")).toHaveLength(2);
});

test("the words of an encrypted message that is sent later are kept encrypted, and no longer than it waits", async ({ app, browser }) => {
    const { anna, path, annas } = await encryptedChat(app, browser, "later");
    await open(annas, "Ben Okafor");
    const choose = async (item: string) => {
        await annas.getByRole("button", { name: "Add", exact: true }).click();
        await annas.getByRole("menuitem", { name: item }).click();
    };
    await annas.getByRole("textbox", { name: "Message" }).fill(SECRET);
    await choose("Send later");
    await annas.getByRole("dialog").getByRole("button", { name: "Schedule" }).click();
    await expect.poll(() => keptBy(annas, anna.userId, "scheduled")).toContain(SECRET);
    await expect(annas.getByRole("dialog")).toHaveCount(0);
    expect(await onDisk(annas, anna.userId)).not.toContain("station");

    await annas.goto(app.addresses.account + path);
    const entry = annas.getByRole("dialog").getByRole("listitem");
    await expect(annas.getByRole("button", { name: "Add", exact: true })).toBeEnabled();
    await choose("Scheduled messages");
    await expect(entry).toContainText(SECRET);
    await annas.keyboard.press("Escape");
    const later = "/_matrix/client/unstable/org.matrix.msc4140/delayed_events";
    const { delayed_events } = await anna.call("GET", later);
    const [{ delay_id }] = delayed_events as [{ delay_id: string }];
    // Another device takes it back.
    await anna.call("POST", `${later}/${delay_id}/cancel`, {});
    await choose("Scheduled messages");
    await expect(annas.getByRole("dialog")).toContainText(/no/i);
    await expect.poll(() => keptBy(annas, anna.userId, "scheduled")).not.toContain(SECRET);
});

test("a browser that cannot open what it keeps says so, and begins when it can again", async ({ app, browser }) => {
    await app.platforms.register("handle", "anna.shut", "Anna Berg");
    const page = await app.openFor(browser, "handle", "anna.shut");
    await page.evaluate(() => localStorage.setItem("shut", "1"));
    await page.addInitScript(() => {
        const open = IDBFactory.prototype.open;
        IDBFactory.prototype.open = function (name, version) {
            if (localStorage.getItem("shut") && name.includes("matrix-sdk-crypto")) throw new DOMException("no room", "QuotaExceededError");
            return open.call(this, name, version);
        };
    });
    await page.reload();
    const alert = page.getByRole("alert").filter({ hasText: "This browser could not open your chats." });
    await expect(alert).toBeVisible();
    await page.evaluate(() => localStorage.removeItem("shut"));
    await alert.getByRole("button", { name: "Try again" }).click();
    await page.getByRole("link", { name: "Settings" }).click();
    await expect(page.getByRole("link", { name: "Anna Berg" })).toBeVisible();
    await expect(alert).toHaveCount(0);
    await page.context().close();
});

test("a first visit that does not reach the server says so, and goes on", async ({ app, browser }) => {
    const context = await browser.newContext({ locale: "en-GB", serviceWorkers: "block" });
    const page = await context.newPage();
    await page.route("**/_linkspan/client/v1/platform", (route) => route.abort());
    await page.goto(app.addresses.handle);
    await expect(page.getByRole("alert")).toHaveText("The server cannot be reached. Check your connection, and try again.");
    await page.unroute("**/_linkspan/client/v1/platform");
    await page.getByRole("button", { name: "Try again" }).click();
    await expect(page.getByRole("button", { name: "Log in", exact: true })).toBeVisible();
    await context.close();
});

test("an address that cannot be decoded, and a part that fails, leave the rest of the window as it is", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.torn", "Anna Berg");
    const ben = await app.platforms.register("handle", "ben.torn", "Ben Okafor");
    await anna.chatWith(ben);
    const page = await app.openFor(browser, "handle", "anna.torn", { serviceWorkers: "block" });
    await expect(chats(page).getByRole("link", { name: "Ben Okafor" })).toBeVisible();
    await page.evaluate(() => history.pushState(null, "", "/chat/!a%b"));
    await expect(page.locator(".panes[data-open]")).toBeVisible();
    await expect(chats(page).getByRole("link", { name: "Ben Okafor" })).toBeVisible();
    await chats(page).getByRole("link", { name: "Ben Okafor" }).click();
    await expect(log(page)).toBeVisible();
    // The list cannot say when something was said.
    await page.addInitScript(() => {
        const { DateTimeFormat } = Intl;
        Intl.DateTimeFormat = new Proxy(DateTimeFormat, {
            construct: (made, options) => {
                if (sessionStorage.getItem("torn")) throw new Error("torn");
                return Reflect.construct(made, options) as object;
            },
        });
    });
    await page.evaluate(() => sessionStorage.setItem("torn", "1"));
    await page.goto(`${app.addresses.handle}/settings`);
    await expect(page.getByRole("navigation", { name: "Settings" })).toBeVisible();
    await page.getByRole("link", { name: "Back" }).click();
    const broken = page.getByRole("alert").filter({ hasText: "Something went wrong here." }).first();
    await expect(broken).toBeVisible();
    await expect(page.getByRole("main")).toContainText("Choose a chat");
    await page.evaluate(() => sessionStorage.removeItem("torn"));
    await broken.getByRole("button", { name: "Try again" }).click();
    await expect(chats(page).getByRole("link", { name: "Ben Okafor" })).toBeVisible();
    await page.context().close();
});

test("a part whose code does not come says so, and can be tried again", async ({ app, browser }) => {
    await app.platforms.register("handle", "anna.parted", "Anna Berg");
    const page = await app.openFor(browser, "handle", "anna.parted", { serviceWorkers: "block" });
    await page.route("**/app/*.js", (route) => route.abort());
    await page.getByRole("link", { name: "Settings" }).click();
    const broken = page.getByRole("alert").filter({ hasText: "Something went wrong here." });
    await expect(broken).toBeVisible();
    await expect(page.getByText("There is a new version of the app.")).toBeVisible();
    await page.unroute("**/app/*.js");
    await broken.getByRole("button", { name: "Try again" }).click();
    await expect(page.getByRole("link", { name: "Anna Berg" })).toBeVisible();
    await page.context().close();
});
