// What is kept of somebody: they get all of it, and it goes when they go.

import { execFileSync } from "node:child_process";

import type { Page } from "@playwright/test";

import { expect, test } from "./app.ts";
import { PASSWORD } from "./platforms.ts";
import { log, message, row, sessionOf, signUpByPhone } from "./together.ts";

/** The files of an archive, by their names. */
type Archive = Record<string, string>;

/** Opens an archive and says what is in it, as JSON. */
const UNZIP = `
import json, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as archive:
    print(json.dumps({name: archive.read(name).decode(errors="replace") for name in archive.namelist()}))
`;

/** Asks for one's data, proves who one is as the page wants it, and opens what was downloaded. */
async function getData(page: Page, prove: () => Promise<void>): Promise<Archive> {
    await page.getByRole("link", { name: "Settings" }).click();
    await page.getByRole("link", { name: "My data" }).click();
    // A test cannot choose a file in the browser's own dialog.
    await page.evaluate(() => delete (window as { showSaveFilePicker?: unknown }).showSaveFilePicker);
    await page.getByRole("button", { name: "Get my data" }).click();
    const downloading = page.waitForEvent("download");
    await prove();
    const download = await downloading;
    expect(download.suggestedFilename()).toMatch(/\.zip$/);
    await expect(page.getByRole("status").filter({ hasText: "Your data are saved." })).toBeVisible();
    return JSON.parse(execFileSync("python3", ["-c", UNZIP, await download.path()], { encoding: "utf8" })) as Archive;
}

const lines = (text: string) => text.split("\n").filter(Boolean).map((line) => JSON.parse(line) as Record<string, unknown>);

/** What somebody has said in a room, as their archive has it. */
function saidIn(archive: Archive, room: string): { type: string; content: Record<string, unknown> }[] {
    const entry = lines(archive["rooms.ndjson"]!).find(({ room_id }) => room_id === room)!;
    return lines(archive[entry.messages as string]!) as { type: string; content: Record<string, unknown> }[];
}

test("somebody with a password gets a copy of what they have said, and not of what others have", async ({ app, browser }) => {
    const person = await app.platforms.register("account", "data.person", "Data Person");
    const other = await app.platforms.register("account", "data.other", "Data Other");
    const room = await person.chatWith(other);
    await person.say(room, "This is in my copy.");
    await other.say(room, "This is not in it.");
    const page = await app.openFor(browser, "account", "data.person");
    const archive = await getData(page, async () => {
        await page.getByRole("dialog").getByLabel("Password").fill(PASSWORD);
        await page.getByRole("dialog").getByRole("button", { name: "Continue" }).click();
    });
    expect(JSON.parse(archive["about.json"]!)).toMatchObject({ user_id: person.userId });
    expect(JSON.parse(archive["profile.json"]!)).toMatchObject({ displayname: "Data Person" });
    expect(saidIn(archive, room).map(({ content }) => content.body)).toContain("This is in my copy.");
    expect(Object.values(archive).join()).not.toContain("This is not in it.");
    await page.context().close();
});

test("somebody with a phone number gets it by a code, and what was encrypted stays so", async ({ proving, browser }) => {
    const { app, post } = proving;
    const number = "+491713920301";
    const page = await signUpByPhone(app, post, browser, "Cleo Winter", number);
    await app.platforms.register("handle", "eva.data", "Eva Lindqvist");
    await page.getByRole("link", { name: "New chat" }).click();
    await page.getByRole("searchbox").fill("@eva.data");
    await page.getByRole("region", { name: "On all platforms" }).getByRole("link", { name: "Eva Lindqvist" }).click();
    await page.getByRole("textbox", { name: "Message to Eva Lindqvist" }).fill("Nobody else reads this");
    await page.keyboard.press("Enter");
    await expect(message(page, "Nobody else reads this").getByRole("img", { name: "Sent" })).toBeVisible();
    const room = decodeURIComponent(/\/chat\/([^/]+)/.exec(page.url())![1]!);
    const { userId } = await sessionOf(page);
    const archive = await getData(page, async () => {
        const dialog = page.getByRole("dialog");
        await dialog.getByRole("button", { name: "Continue" }).click();
        await dialog.getByLabel("Code").fill(await post.code(number));
        await dialog.getByRole("button", { name: "Continue" }).click();
    });
    expect(JSON.parse(archive["about.json"]!)).toMatchObject({ user_id: userId });
    // Matrix writes numbers without the sign before the country code.
    expect(archive["account.json"]).toContain(`"${number.slice(1)}"`);
    expect(saidIn(archive, room).filter(({ type }) => type === "m.room.encrypted")).toHaveLength(1);
    expect(Object.values(archive).join()).not.toContain("Nobody else reads this");
    await page.context().close();
});

test("when somebody deletes their account, others see that they have left, and cannot write to them", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.goes", "Anna Berg");
    const gerd = await app.platforms.register("account", "gerd.stays", "Gerd Vogel");
    const room = await gerd.chatWith(anna);
    await anna.say(room, "Farewell");
    const gerds = await app.openFor(browser, "account", "gerd.stays");
    await row(gerds, "Anna Berg").click();
    await expect(log(gerds)).toContainText("Farewell");
    const annas = await app.openFor(browser, "handle", "anna.goes");
    await annas.getByRole("link", { name: "Settings" }).click();
    await annas.getByRole("link", { name: "Account and password" }).click();
    await annas.getByRole("button", { name: "Delete account" }).click();
    await annas.getByRole("dialog").getByRole("button", { name: "Delete account" }).click();
    const dialog = annas.getByRole("dialog", { name: "Is it you?" });
    await dialog.getByLabel("Password").fill(PASSWORD);
    await dialog.getByRole("button", { name: "Continue" }).click();
    await expect(annas.getByRole("button", { name: "Log in", exact: true })).toBeVisible();
    await expect(log(gerds)).toContainText(/(Anna Berg|anna\.goes) left/);
    await expect(gerds.getByText(/has left this chat\.$/)).toBeVisible();
    await expect(gerds.getByRole("textbox", { name: "Message" })).toHaveCount(0);
    await gerds.goto(app.addresses.account);
    await gerds.getByRole("link", { name: "New chat" }).click();
    await gerds.getByRole("searchbox").fill("@anna.goes");
    await expect(gerds.getByText("Nobody was found by this.")).toBeVisible();
    await annas.context().close();
    await gerds.context().close();
});
