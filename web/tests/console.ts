// The operator's console in browsers, and platforms that give operators something to do.

import type { Browser, Page } from "@playwright/test";

import { App, test as base } from "./app.ts";
import { type Kind, PASSWORD, type Person, Platforms } from "./platforms.ts";

export const ADMINISTRATOR = "olga.admin";

/** What has happened on the platform with accounts before its operator looks. */
export interface Operated {
    app: App;
    anna: Person;
    ben: Person;
    /** Where Anna and Ben chat. */
    room: string;
}

export const consoleOf = (app: App, kind: Kind, page = "") => `${app.addresses[kind]}/_linkspan/console/${page}`;

/** Opens the console at its door. */
export async function openConsole(app: App, browser: Browser, kind: Kind, options: Parameters<Browser["newContext"]>[0] = {}): Promise<Page> {
    const page = await app.open(browser, kind, { viewport: { width: 1280, height: 800 }, serviceWorkers: "block", ...options });
    await page.goto(consoleOf(app, kind));
    return page;
}

export async function logInToConsole(page: Page, name = ADMINISTRATOR): Promise<void> {
    await page.locator("input[name=name]").fill(name);
    await page.locator("input[name=password]").fill(PASSWORD);
    await page.locator("input[name=password]").press("Enter");
}

/** Opens the console of somebody who may operate the platform. */
export async function operate(app: App, browser: Browser, kind: Kind, options: Parameters<Browser["newContext"]>[0] = {}): Promise<Page> {
    const page = await openConsole(app, browser, kind, options);
    await logInToConsole(page);
    await page.locator(".console-menu").waitFor({ state: "attached" });
    return page;
}

/** Reports a message, as the app does. */
export async function report(reporter: Person, room: string, event: string, reason: string, more: object = {}): Promise<void> {
    await reporter.call("POST", "/_linkspan/client/v1/reports", { kind: "message", room_id: room, event_id: event, reason, ...more });
}

export async function furnish(app: App): Promise<Operated> {
    const { platforms } = app;
    await platforms.administrator("account", ADMINISTRATOR);
    const anna = await platforms.register("account", "anna.berg", "Anna Berg");
    const ben = await platforms.register("account", "ben.okafor", "Ben Okafor");
    const emil = await platforms.register("phone", "emil", "Emil Lind");
    for (const name of ["chloe.martin", "dilan.yildiz", "eva.lindqvist", "farid.haddad", "grace.oneill", "hiroshi.tanaka"]) {
        await platforms.register("account", name, name);
    }
    const room = await anna.chatWith(ben);
    await anna.say(room, "Hello Ben!");
    const shouted = await ben.say(room, "Buy followers now, only today: https://example.com/followers");
    await report(anna, room, shouted, "He sends this to everybody I know.");
    const encrypted = await ben.send(room, { algorithm: "m.megolm.v1.aes-sha2", ciphertext: "AwgAEn…", session_id: "s", sender_key: "k", device_id: "D" }, "m.room.encrypted");
    const content = { type: "m.room.message", sender: ben.userId, room_id: room, content: { msgtype: "m.text", body: "You will regret that." } };
    await report(anna, room, encrypted, "A threat", { disclose: { content, reporter: true } });
    await anna.call("POST", "/_linkspan/client/v1/reports", { kind: "person", user_id: emil.userId, reason: "Pretends to be my bank" });
    await platforms.operate("account", "PUT", "/users/farid.haddad/suspended", { suspended: true });
    await platforms.operate("account", "PUT", "/users/hiroshi.tanaka/locked", { locked: true });
    return { app, anna, ben, room };
}

interface Fixtures {
    /** Platforms of which the one with handles asks for a registration token, and the one with accounts has reports. */
    operated: Operated;
}

export const test = base.extend<object, Fixtures>({
    operated: [
        async ({}, use) => {
            const app = await App.start(await Platforms.start({ byToken: ["handle"] }));
            await app.platforms.administrator("handle", ADMINISTRATOR);
            const operated = await furnish(app);
            await use(operated);
            await app.stop();
        },
        { scope: "worker", timeout: 120_000 },
    ],
});

interface View {
    name: string;
    /** The looks in which pictures are taken of it. */
    of: string;
    /** What follows in the address of the console. */
    at: string;
    /** What has to be seen. */
    shown: (page: Page) => Promise<void>;
}

const sees = (selector: string) => async (page: Page) => page.locator(selector).first().waitFor();

/** The views that axe looks at and pictures are taken of. */
export const CONSOLE_VIEWS: View[] = [
    { name: "reports", of: "desktop phone", at: "reports", shown: sees(".record") },
    {
        name: "report",
        of: "desktop phone-dark",
        at: "reports",
        shown: async (page) => {
            await page.locator(".record").nth(1).click();
            await page.locator(".disclosed").waitFor();
            await page.locator(".switch").first().waitFor();
        },
    },
    { name: "users", of: "phone desktop-dark", at: "users", shown: sees(".record") },
    {
        name: "user",
        of: "desktop-dark",
        at: "users/ben.okafor",
        shown: async (page) => {
            await page.locator(".steps").waitFor();
            await page.locator(".record").first().waitFor();
        },
    },
    {
        name: "lock",
        of: "desktop",
        at: "users/ben.okafor",
        shown: async (page) => {
            await page.locator(".switch input").first().click();
            await page.locator("dialog").waitFor();
        },
    },
    {
        name: "new-user",
        of: "phone-dark",
        at: "users",
        shown: async (page) => {
            await page.locator(".console-page > header button").click();
            await page.locator("dialog").waitFor();
        },
    },
    { name: "tokens", of: "desktop", at: "tokens", shown: sees(".record") },
    {
        name: "new-token",
        of: "desktop-dark",
        at: "tokens",
        shown: async (page) => {
            await page.locator(".console-page > header button").click();
            await page.locator("dialog").waitFor();
        },
    },
    { name: "overview", of: "desktop desktop-dark phone-dark", at: "overview", shown: sees(".plot") },
    { name: "health", of: "desktop phone", at: "health", shown: sees(".figures >> nth=2") },
    { name: "actions", of: "desktop-dark phone-dark", at: "actions", shown: sees(".record") },
];
