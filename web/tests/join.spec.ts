// Links to join a group: made by one, followed by others on any platform, and taken back.

import { type Browser, type Page } from "@playwright/test";

import { type App, expect, test } from "./app.ts";
import type { Person } from "./platforms.ts";
import { chats, details, log, row } from "./together.ts";

let made = 0;

interface Choir {
    anna: Person;
    room: string;
    /** Anna's app, which shows the links of her group. */
    page: Page;
    /** What Anna's app shows of her link. */
    address: string;
    /** What stands in the link for the group. */
    token: string;
}

/** Anna has a group, and has made a link to it in her app. */
async function choir(app: App, browser: Browser): Promise<Choir> {
    const localpart = `anna.links${made++}`;
    const anna = await app.platforms.register("handle", localpart, "Anna Berg");
    const group = { name: "Choir", topic: "We sing on Mondays", preset: "private_chat" };
    const { room_id } = await anna.call("POST", "/_matrix/client/v3/createRoom", group);
    const room = room_id as string;
    await anna.say(room, "Before anybody came");
    const page = await app.openFor(browser, "handle", localpart);
    await row(page, "Choir").click();
    await page.getByRole("main").getByRole("link", { name: "Choir" }).first().click();
    const side = details(page);
    await side.getByRole("link", { name: "Links to join" }).click();
    await side.getByRole("combobox", { name: "How long a new link works" }).selectOption("1 day");
    await side.getByRole("button", { name: "Make a link" }).click();
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await side.getByRole("button", { name: "Copy" }).click();
    await expect(page.getByRole("status").filter({ hasText: "Copied" })).toBeVisible();
    const address = await page.evaluate(() => navigator.clipboard.readText());
    return { anna, room, page, address, token: /\/join\/(.+)$/.exec(address)![1]! };
}

test("somebody who is logged out follows a link, logs in, sees what it leads to, and joins", async ({ app, browser }) => {
    const { anna, room, page: annas, token } = await choir(app, browser);
    await app.platforms.register("account", "gerd.follows", "Gerd Vogel");
    const page = await app.open(browser, "account");
    await page.goto(`${app.addresses.account}/join/${token}`);
    await app.logIn(page, "gerd.follows");
    const preview = page.getByRole("main");
    await expect(preview).toContainText("Choir");
    await expect(preview).toContainText("We sing on Mondays");
    await expect(preview).toContainText("1 member · Glimbry");
    await expect(preview).not.toContainText("Before anybody came");
    await preview.getByRole("button", { name: "Join group" }).click();
    await expect(page.getByRole("main").getByRole("heading", { name: "Choir" })).toBeVisible();
    await expect(row(page, "Choir")).toBeVisible();
    await anna.say(room, "Welcome!");
    await expect(log(page)).toContainText("Welcome!");
    // Anna sees who has come, and by what.
    await expect(annas.getByRole("main")).toContainText("Gerd Vogel joined");
    await details(annas).getByRole("link", { name: "Back" }).click();
    await details(annas).getByRole("link", { name: "Links to join" }).click();
    await expect(details(annas)).toContainText("1 person has joined with it.");
    // Whoever is in the group is led to it at once.
    await page.goto(`${app.addresses.account}/join/${token}`);
    await expect(log(page)).toContainText("Welcome!");
});

test("a link that was pasted where one searches leads to the group, on any platform", async ({ app, browser }) => {
    const { address, token } = await choir(app, browser);
    await app.platforms.register("account", "gerd.pastes", "Gerd Vogel");
    const page = await app.openFor(browser, "account", "gerd.pastes");
    await page.getByRole("searchbox", { name: "Search" }).fill(address);
    await expect(page.getByRole("link", { name: "Look at the group that this link leads to" })).toHaveAttribute("href", `/join/${token}`);
    await page.getByRole("searchbox", { name: "Search" }).fill("");
    await page.getByRole("link", { name: "New chat" }).click();
    await page.getByRole("searchbox").fill(` https://glimbry.example/join/${token} `);
    await page.getByRole("link", { name: "Look at the group that this link leads to" }).click();
    await page.getByRole("button", { name: "Join group" }).click();
    await expect(page.getByRole("main").getByRole("heading", { name: "Choir" })).toBeVisible();
});

test("a link that was taken back or has expired says so", async ({ app, browser }) => {
    const { anna, room, page: annas, token } = await choir(app, browser);
    await app.platforms.register("account", "gerd.late", "Gerd Vogel");
    const page = await app.openFor(browser, "account", "gerd.late");
    await page.goto(`${app.addresses.account}/join/${token}`);
    await expect(page.getByRole("button", { name: "Join group" })).toBeVisible();
    await details(annas).getByRole("button", { name: "Take back" }).click();
    await expect(annas.getByRole("button", { name: "Take back" })).toHaveCount(0);
    // What was on the screen before does not work any more either.
    await page.getByRole("button", { name: "Join group" }).click();
    await expect(page.getByRole("main")).toContainText("This link does not work any more. Ask for a new one.");
    await expect(page.getByRole("button", { name: "Join group" })).toHaveCount(0);
    await page.reload();
    await expect(page.getByRole("alert")).toHaveText("This link does not work any more. Ask for a new one.");

    const short = await anna.call("POST", `/_linkspan/client/v1/rooms/${encodeURIComponent(room)}/join_links`, { valid_for_ms: 1 });
    await page.goto(`${app.addresses.account}/join/${short.token as string}`);
    await expect(page.getByRole("alert")).toHaveText("This link does not work any more. Ask for a new one.");
    await expect(chats(page).getByRole("link", { name: "Choir" })).toHaveCount(0);
});

test("why somebody cannot join is said in their language", async ({ app, browser }) => {
    const { anna, room, token } = await choir(app, browser);
    const dora = await app.platforms.register("phone", "dora.refused", "Dora Stern");
    const page = await app.openFor(browser, "phone", "dora.refused", { locale: "fr-FR" });
    await page.goto(`${app.addresses.phone}/join/${token}`);
    const encryption = "Vous ne pouvez pas rejoindre ce groupe, car une de ses plateformes ne le permet pas, en raison de ses règles de chiffrement.";
    await expect(page.getByRole("main").locator(".warning")).toHaveText(encryption);
    await anna.call("POST", `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/ban`, { user_id: dora.userId });
    await page.reload();
    const banned = "Vous ne pouvez pas rejoindre ce groupe, car votre accès y a été retiré définitivement.";
    await expect(page.getByRole("main").locator(".warning")).toHaveText(banned);
});
