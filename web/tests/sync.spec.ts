import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { mock } from "node:test";

import type { CDPSession, Page } from "@playwright/test";
import { preview } from "vite";

import { Gathered } from "../src/sync/gathered.ts";
import { expect, test } from "./app.ts";
import { signedDevices } from "./encrypting.ts";
import { allOf } from "./kept.ts";

const said = "Are you there?";

test("what was there is shown without a network, from a tab that was closed", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.offline", "Anna Berg");
    const ben = await app.platforms.register("handle", "ben.offline", "Ben Okafor");
    const room = await anna.chatWith(ben);
    await ben.say(room, said);
    const page = await app.openFor(browser, "handle", "anna.offline");
    await page.evaluate(() => navigator.serviceWorker.ready);
    await page.getByRole("link", { name: "Ben Okafor" }).click();
    await expect(page.getByRole("log")).toContainText(said);
    // Leaving the page has the chats written down.
    await page.goto("about:blank");
    const context = page.context();
    await page.close();

    await context.setOffline(true);
    const cold = await context.newPage();
    await cold.goto(`${app.addresses.handle}/chat/${encodeURIComponent(room)}`);
    await expect(cold.getByRole("navigation", { name: "Chats" }).getByRole("link", { name: "Ben Okafor" })).toBeVisible();
    await expect(cold.getByRole("log")).toContainText(said);
    await expect(cold.getByText("Connecting…").first()).toBeVisible();

    await context.setOffline(false);
    await ben.say(room, "Now you are");
    await expect(cold.getByRole("log")).toContainText("Now you are");
    await expect(cold.getByText("Connecting…")).toHaveCount(0);
});

test("a restart of the server is no more than a pause", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.restart", "Anna Berg");
    const ben = await app.platforms.register("handle", "ben.restart", "Ben Okafor");
    const room = await anna.chatWith(ben);
    const page = await app.openFor(browser, "handle", "anna.restart");
    await page.getByRole("link", { name: "Ben Okafor" }).click();
    await ben.say(room, said);
    await expect(page.getByRole("log")).toContainText(said);
    await app.platforms.end();
    await expect(page.getByText("Connecting…").first()).toBeVisible();
    await app.platforms.begin();
    await ben.say(room, "It is back");
    await expect(page.getByRole("log")).toContainText("It is back");
    await expect(page.getByText("Connecting…")).toHaveCount(0);
});

test("the tab that was opened last has the chat, and the other can take it back", async ({ app, browser }) => {
    const anna = await app.platforms.register("phone", "anna.tabs", "Anna Berg");
    const ben = await app.platforms.register("phone", "ben.tabs", "Ben Okafor");
    const room = await anna.chatWith(ben);
    const first = await app.openFor(browser, "phone", "anna.tabs");
    const second = await first.context().newPage();
    await second.goto(app.addresses.phone);
    const away = first.getByRole("dialog", { name: "Chatting goes on in another tab" });
    await expect(away).toBeVisible();
    await second.getByRole("link", { name: "Ben Okafor" }).click();
    await ben.say(room, said).catch(() => undefined);
    await second.getByRole("textbox", { name: "Message" }).fill("From the second tab");
    await second.keyboard.press("Enter");
    await expect(second.getByRole("log")).toContainText("From the second tab");
    await expect(second.getByRole("log").getByRole("img", { name: "Sent" })).toBeVisible();

    await away.getByRole("button", { name: "Use here" }).click();
    await expect(away).toHaveCount(0);
    await expect(second.getByRole("dialog", { name: "Chatting goes on in another tab" })).toBeVisible();
    await first.getByRole("link", { name: "Ben Okafor" }).click();
    await expect(first.getByRole("log")).toContainText("From the second tab");

    // The tab that waits goes on when the other is closed.
    await first.close();
    await expect(second.getByRole("dialog")).toHaveCount(0);
    await second.getByRole("textbox", { name: "Message" }).fill("Back in the second tab");
    await second.keyboard.press("Enter");
    await expect(second.getByRole("log").getByRole("img", { name: "Sent" })).toHaveCount(2);
});

/** What the start of a client asks the network for, at different steps of it. */
const STEPS = { "the code of encryption": "**/*.wasm", "what the server can do": "**/_matrix/client/versions*", "the keys of the person": "**/keys/query*" };

for (const [what, address] of Object.entries(STEPS)) {
    test(`a tab that waits for ${what} gives way to another at once`, async ({ app, browser }) => {
        const name = `anna.early.${what.replaceAll(" ", "")}`;
        const anna = await app.platforms.register("phone", name, "Anna Berg");
        const ben = await app.platforms.register("phone", `ben.${name}`, "Ben Okafor");
        await anna.chatWith(ben);
        const first = await app.open(browser, "phone", { serviceWorkers: "block" });
        const isAsked = first.waitForRequest(address);
        // It is never answered.
        await first.route(address, () => undefined);
        await app.logIn(first, name);
        await isAsked;
        const second = await first.context().newPage();
        await second.goto(app.addresses.phone);
        const away = first.getByRole("dialog", { name: "Chatting goes on in another tab" });
        await expect(away).toBeVisible();
        await second.getByRole("link", { name: "Ben Okafor" }).click();
        await second.getByRole("textbox", { name: "Message" }).fill("From the second tab");
        await second.keyboard.press("Enter");
        await expect(second.getByRole("log").getByRole("img", { name: "Sent" })).toBeVisible();

        await first.unroute(address);
        await second.close();
        await expect(away).toHaveCount(0);
        await first.getByRole("link", { name: "Ben Okafor" }).click();
        await expect(first.getByRole("log")).toContainText("From the second tab");
        await first.context().close();
    });
}

test("of tabs that open, close and load anew at once one has the chat, and no key is lost", async ({ app, browser }) => {
    const anna = await app.platforms.register("phone", "anna.hasty", "Anna Berg");
    const ben = await app.platforms.register("phone", "ben.hasty", "Ben Okafor");
    await anna.chatWith(ben);
    const bens = await app.openFor(browser, "phone", "ben.hasty");
    await bens.getByRole("link", { name: "Anna Berg" }).click();
    const write = async (text: string) => {
        await bens.getByRole("textbox", { name: "Message" }).fill(text);
        await bens.keyboard.press("Enter");
        await expect(bens.getByRole("log")).toContainText(text);
    };
    const first = await app.openFor(browser, "phone", "anna.hasty");
    await expect.poll(() => signedDevices(anna)).toEqual([true]);
    let tabs = [first, ...(await Promise.all([1, 2].map(() => first.context().newPage())))];
    const away = (page: Page) => page.getByRole("dialog", { name: "Chatting goes on in another tab" });
    /** The tab that has the chat, once all others say that they have not. */
    const chosen = async () => {
        let here: Page[] = [];
        await expect.poll(async () => (here = await withoutDialog()).length).toBe(1);
        return here[0]!;
    };
    const withoutDialog = async () => {
        const states = await Promise.all(tabs.map((tab) => away(tab).isVisible()));
        return tabs.filter((_, at) => !states[at]);
    };
    await Promise.all(tabs.map((tab) => tab.goto(app.addresses.phone)));
    await write("While three tabs opened");
    const closed = await chosen();
    tabs = tabs.filter((tab) => tab !== closed);
    await closed.close();
    await write("While one was closed");
    await chosen();
    await Promise.all(tabs.map((tab) => tab.reload()));
    await write("While two loaded anew");
    const last = await chosen();
    await last.getByRole("link", { name: "Ben Okafor" }).click();
    for (const text of ["While three tabs opened", "While one was closed", "While two loaded anew"]) await expect(last.getByRole("log")).toContainText(text);
});

test("a session that the server has ended says so once, and leads to the door", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.ended", "Anna Berg");
    const page = await app.openFor(browser, "handle", "anna.ended");
    const token = await page.evaluate(() => (JSON.parse(localStorage.getItem("linkspan.sessions")!) as { accessToken: string }[])[0]!.accessToken);
    await fetch(`${anna.origin}/_matrix/client/v3/logout`, { method: "POST", headers: { Authorization: `Bearer ${token}` } });
    const dialog = page.getByRole("dialog", { name: "You were logged out" });
    await expect(dialog).toContainText("This device was removed from your account.");
    await dialog.getByRole("button", { name: "Log in again" }).click();
    await expect(page.getByRole("button", { name: "Log in" })).toBeVisible();
});

test("a message is notified of once, and withdrawn when it is read elsewhere", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.notified", "Anna Berg");
    const ben = await app.platforms.register("handle", "ben.notified", "Ben Okafor");
    const room = await anna.chatWith(ben);
    const page = await app.openFor(browser, "handle", "anna.notified", { permissions: ["notifications"] });
    await page.evaluate(() => navigator.serviceWorker.ready);
    const shown = () =>
        page.evaluate(async () => {
            const registration = await navigator.serviceWorker.getRegistration();
            return (await registration!.getNotifications()).map(({ title, body }) => `${title}: ${body}`);
        });
    await page.getByRole("link", { name: "Ben Okafor" }).click();
    await page.getByRole("textbox", { name: "Message" }).fill("Hello Ben");
    await page.keyboard.press("Enter");
    const offer = page.getByRole("complementary", { name: "Get notified of new messages" });
    await offer.getByRole("button", { name: "Allow" }).click();
    await expect(offer).toHaveCount(0);
    // What is on the screen is not notified of.
    await ben.say(room, "Hello Anna");
    await expect(page.getByRole("log")).toContainText("Hello Anna");
    expect(await shown()).toEqual([]);
    await page.goto(app.addresses.handle);
    await expect(page.getByRole("link", { name: /Ben Okafor.*Hello Anna/ })).toBeVisible();
    await page.evaluate(() => Object.defineProperty(document, "hasFocus", { value: () => false }));
    const id = await ben.say(room, said);
    await expect.poll(shown).toEqual([`Ben Okafor: ${said}`]);
    await anna.call("POST", `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/receipt/m.read/${encodeURIComponent(id)}`, {});
    await expect.poll(shown).toEqual([]);
});

/** Has the browser's push service bring the worker of a page something. */
async function pushes(page: Page, origin: string): Promise<(data: object) => Promise<unknown>> {
    const browserSide: CDPSession = await page.context().newCDPSession(page);
    const registered = new Promise<string>((done) => {
        browserSide.on("ServiceWorker.workerRegistrationUpdated", ({ registrations }) => registrations[0] && done(registrations[0].registrationId));
    });
    await browserSide.send("ServiceWorker.enable");
    const registrationId = await registered;
    return (data) => browserSide.send("ServiceWorker.deliverPushMessage", { origin, registrationId, data: JSON.stringify(data) });
}

test("a push that finds no tab shows who wrote what, which the worker asks for itself", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.pushed", "Anna Berg");
    const ben = await app.platforms.register("handle", "ben.pushed", "Ben Okafor");
    const room = await anna.chatWith(ben);
    const page = await app.openFor(browser, "handle", "anna.pushed", { permissions: ["notifications"] });
    await page.evaluate(() => navigator.serviceWorker.ready);
    await page.getByRole("link", { name: "Ben Okafor" }).click();
    await page.getByRole("textbox", { name: "Message" }).fill("Hello Ben");
    await page.keyboard.press("Enter");
    await page.getByRole("complementary", { name: "Get notified of new messages" }).getByRole("button", { name: "Allow" }).click();
    await expect.poll(() => page.evaluate(allOf, { database: "linkspan-worker", store: "accounts" })).toContain("token");

    const push = await pushes(page, app.addresses.handle);
    await page.goto("about:blank");
    const event = await ben.say(room, said);
    const until = Date.now() + 60 * 60_000;
    await push({ room_id: room, event_id: event, counts: { unread: 1 }, "org.linkspan.user_id": anna.userId, "org.linkspan.disappears_ts": until });
    await page.goto(`${app.addresses.handle}/icon.svg`);
    const shown = () =>
        page.evaluate(async () => {
            const registration = await navigator.serviceWorker.getRegistration("/");
            return (await registration!.getNotifications()).map(({ title, body }) => `${title}: ${body}`);
        });
    await expect.poll(shown).toEqual([`Ben Okafor: ${said}`]);
    // The next push that wakes the worker takes away what has disappeared, and nothing else.
    const data = await page.evaluate(async () => {
        const registration = (await navigator.serviceWorker.getRegistration("/"))!;
        const [notification] = await registration.getNotifications();
        const kept = notification!.data as { user: string; until?: number };
        await registration.showNotification("Has disappeared", { data: { ...kept, room: "!other", until: Date.now() } });
        return kept;
    });
    expect(data.until).toBe(until);
    expect(await shown()).toHaveLength(2);
    await push({ counts: { unread: 2 }, "org.linkspan.user_id": anna.userId });
    await expect.poll(shown).toEqual([`Ben Okafor: ${said}`]);
    await push({ counts: { unread: 0 }, "org.linkspan.user_id": anna.userId, "org.linkspan.unread_rooms": [] });
    await expect.poll(shown).toEqual([]);
    // What the server does not tell now is notified of all the same.
    await page.evaluate((userId) => {
        return new Promise<void>((done) => {
            const request = indexedDB.open("linkspan-worker");
            request.onsuccess = () => {
                const accounts = request.result.transaction("accounts", "readwrite").objectStore("accounts");
                const known = accounts.get(userId);
                known.onsuccess = () => (accounts.put({ ...known.result, token: "unknown" }, userId).onsuccess = () => done());
            };
        });
    }, anna.userId);
    const unread = await ben.say(room, "What the worker cannot ask for");
    await push({ room_id: room, event_id: unread, counts: { unread: 1 }, "org.linkspan.user_id": anna.userId });
    await expect.poll(shown).toEqual([expect.stringContaining("New message")]);
});

test("a subscription for another key is made anew, and ends when the last account wants none, also where the server cannot be told", async ({ app, browser }) => {
    await app.platforms.register("handle", "anna.keyed", "Anna Berg");
    const page = await app.open(browser, "handle", { permissions: ["notifications"] });
    // The browser of the tests has no push service.
    await page.addInitScript(() => {
        const subscription = (endpoint: string, key: BufferSource) => ({
            options: { applicationServerKey: key },
            toJSON: () => ({ endpoint, keys: { p256dh: "public", auth: "secret" } }),
            unsubscribe: () => {
                localStorage.removeItem("subscribed");
                return Promise.resolve(true);
            },
        });
        const pushed = PushManager.prototype as unknown as Record<string, unknown>;
        pushed.getSubscription = () => {
            const endpoint = localStorage.getItem("subscribed");
            return Promise.resolve(endpoint && subscription(endpoint, new Uint8Array([4, 1, 2, 3]).buffer));
        };
        pushed.subscribe = () => {
            localStorage.setItem("subscribed", "https://push.example.org/new");
            return Promise.resolve(subscription("https://push.example.org/new", new ArrayBuffer()));
        };
    });
    await page.evaluate(() => localStorage.setItem("subscribed", "https://push.example.org/old"));
    await page.goto(app.addresses.handle);
    await app.logIn(page, "anna.keyed");
    await page.evaluate(() => navigator.serviceWorker.ready);
    await page.route("**/pushers/set", (route) => route.fulfill({ json: {} }));
    await page.getByRole("link", { name: "Settings" }).click();
    await page.getByRole("link", { name: "Notifications" }).click();
    await page.getByRole("switch", { name: "Show notifications" }).check();
    const told = page.waitForRequest("**/pushers/set");
    await page.getByRole("switch", { name: /closed/ }).check();
    expect((await told).postDataJSON()).toMatchObject({ kind: "webpush", data: { url: "https://push.example.org/new" } });

    await page.unroute("**/pushers/set");
    await page.route("**/pushers/set", (route) => route.abort());
    await page.getByRole("switch", { name: "Show notifications" }).uncheck();
    await expect.poll(() => page.evaluate(() => localStorage.getItem("subscribed"))).toBeNull();
    await page.context().close();
});

test("two accounts of one browser are each notified of the same chat, and an address leads to its account", async ({ app, browser }) => {
    const lena = await app.platforms.register("handle", "lena.twofold", "Lena Twofold");
    const mira = await app.platforms.register("handle", "mira.twofold", "Mira Twofold");
    const ben = await app.platforms.register("handle", "ben.twofold", "Ben Okafor");
    const { room_id } = await ben.call("POST", "/_matrix/client/v3/createRoom", { name: "Quartet", preset: "private_chat", invite: [lena.userId, mira.userId] });
    const room = room_id as string;
    for (const person of [lena, mira]) await person.join(room);
    const page = await app.openFor(browser, "handle", "lena.twofold", { permissions: ["notifications"] });
    await page.evaluate(() => navigator.serviceWorker.ready);
    const turnOn = async () => {
        await page.getByRole("link", { name: "Settings" }).click();
        await page.getByRole("link", { name: "Notifications" }).click();
        await page.getByRole("switch", { name: "Show notifications" }).check();
        await expect(page.getByRole("switch")).not.toHaveCount(1);
    };
    await turnOn();
    await page.getByRole("button", { name: "Add another account" }).click();
    await app.logIn(page, "mira.twofold");
    await turnOn();
    const push = await pushes(page, app.addresses.handle);
    const event = await ben.say(room, said);
    const shown = () =>
        page.evaluate(async () => {
            const registration = await navigator.serviceWorker.getRegistration("/");
            return (await registration!.getNotifications()).map(({ data }) => (data as { user: string }).user).sort();
        });
    // The browser's tools drop a push now and then. One that comes twice is shown once.
    await expect(async () => {
        await page.goto("about:blank");
        for (const { userId } of [lena, mira]) await push({ room_id: room, event_id: event, counts: { unread: 1 }, "org.linkspan.user_id": userId });
        await page.goto(`${app.addresses.handle}/icon.svg`);
        await expect.poll(shown, { timeout: 10_000 }).toEqual([lena.userId, mira.userId]);
    }).toPass();

    // Mira's account is the one that was used last.
    await page.goto(`${app.addresses.handle}/chat/${encodeURIComponent(room)}?account=${encodeURIComponent(lena.userId)}`);
    await expect(page.getByRole("log")).toContainText(said);
    expect(new URL(page.url()).search).toBe("");
    await page.goto(`${app.addresses.handle}/settings`);
    await expect(page.getByRole("button", { name: "Switch to Mira Twofold" })).toBeVisible();
    await page.context().close();
});

test("a page that needs newer files is not kept before the files are", async ({ app, browser }) => {
    const folder = await mkdtemp(path.join(tmpdir(), "linkspan-app-"));
    await cp(path.resolve(import.meta.dirname, "..", process.env.APP ?? "dist"), folder, { recursive: true });
    const origin = app.platforms.origins.handle;
    const proxy = Object.fromEntries(["/_matrix", "/_linkspan", "/manifest.webmanifest", "/icon"].map((path) => [path, origin]));
    const server = await preview({ logLevel: "silent", build: { outDir: folder }, preview: { host: "127.0.0.1", port: 0, proxy } });
    const address = `http://127.0.0.1:${(server.httpServer.address() as { port: number }).port}`;
    const context = await browser.newContext({ locale: "en-GB" });
    const page = await context.newPage();
    const logIn = page.getByRole("button", { name: "Log in", exact: true });
    await page.goto(address);
    await expect(logIn).toBeVisible();
    // The first load of a page is not the worker's yet.
    await page.evaluate(() => navigator.serviceWorker.ready);
    await expect.poll(() => page.evaluate(() => navigator.serviceWorker.controller !== null)).toBe(true);

    const index = path.join(folder, "index.html");
    const html = await readFile(index, "utf8");
    await writeFile(index, html.replace(/\/app\/[^"]+\.js/g, "/app/of-a-newer-version.js"));
    await page.reload();
    await expect(logIn).toBeVisible();
    // What the worker still fetches of its own for this page is there.
    await page.waitForLoadState("networkidle");
    await context.setOffline(true);
    await page.reload();
    await expect(logIn).toBeVisible();
    await context.close();
    await server.close();
    await rm(folder, { recursive: true });
});

test("what is gathered is done once nothing changes, and in time where something changes all the time", () => {
    mock.timers.enable({ apis: ["setTimeout", "Date"] });
    try {
        const done: number[] = [];
        const gathered = new Gathered(() => done.push(Date.now()), 10, 60);
        gathered.changed();
        mock.timers.tick(9);
        gathered.changed();
        mock.timers.tick(9);
        expect(done).toEqual([]);
        mock.timers.tick(1);
        expect(done).toEqual([19]);
        for (let ms = 0; ms < 120; ms += 5) {
            gathered.changed();
            mock.timers.tick(5);
        }
        expect(done).toEqual([19, 79, 139]);
        gathered.changed();
        gathered.close();
        mock.timers.tick(100);
        expect(done).toEqual([19, 79, 139]);
    } finally {
        mock.timers.reset();
    }
});
