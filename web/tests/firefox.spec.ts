// The app in a real Firefox, which Playwright cannot drive as distributions have it; Puppeteer can, by WebDriver BiDi.

import { existsSync } from "node:fs";

import puppeteer, { type Browser as Firefox } from "puppeteer-core";

import { expect, test } from "./app.ts";
import { say } from "./composer.ts";
import { PASSWORD } from "./platforms.ts";
import { log, message } from "./together.ts";

const NAMES = ["firefox", "firefox-esr"];
const folders = (process.env.PATH ?? "").split(":");
const program = process.env.FIREFOX ?? folders.flatMap((folder) => NAMES.map((name) => `${folder}/${name}`)).find(existsSync);

/** A message of the open chat that has these words. */
const said = (text: string) => `[role=log] .message ::-p-text(${text})`;

let firefox: Firefox | undefined;
test.afterEach(() => firefox?.close());

test("somebody logs in with Firefox, reads an encrypted chat and answers", async ({ app, browser }) => {
    test.skip(!program || program === "none", "there is no Firefox: install it, or say in FIREFOX where it is");
    const anna = await app.platforms.register("phone", "anna.firefox", "Anna Berg");
    await app.platforms.register("account", "gerd.firefox", "Gerd Vogel");
    firefox = await puppeteer.launch({ browser: "firefox", executablePath: program!, headless: true, protocolTimeout: 120_000 });
    const page = await firefox.newPage();
    page.setDefaultTimeout(60_000);
    await page.goto(app.addresses.phone);
    await page.locator("input[name=name]").fill("anna.firefox");
    await page.locator("input[name=password]").fill(PASSWORD);
    await page.keyboard.press("Enter");
    await page.locator(".pane.chats").wait();
    const hasKeys = async () => {
        const { device_keys } = await anna.call("POST", "/_matrix/client/v3/keys/query", { device_keys: { [anna.userId]: [] } });
        return Object.keys((device_keys as Record<string, object>)[anna.userId] ?? {}).length;
    };
    // Keys can only be sent to a device that has told its own.
    await expect.poll(hasKeys).toBe(1);

    const gerds = await app.openFor(browser, "account", "gerd.firefox");
    await gerds.goto(`${app.addresses.account}/new/with/${encodeURIComponent(anna.userId)}`);
    await gerds.getByRole("textbox", { name: "Message to Anna Berg" }).fill("Which browser do you have?");
    await gerds.keyboard.press("Enter");
    await page.locator("a[href='/requests']").click();
    await page.locator("::-p-text(Gerd Vogel)").click();
    await page.locator("button ::-p-text(Accept)").click();
    await page.locator(said("Which browser do you have?")).wait();
    await page.locator(".composer textarea").fill("Firefox, for years");
    await page.keyboard.press("Enter");
    await expect(log(gerds)).toContainText("Firefox, for years");
    await say(gerds, "I should try it");
    await page.locator(said("I should try it")).wait();
    await expect(message(gerds, "I should try it").getByRole("img", { name: "Read" })).toBeVisible();
    const room = /\/chat\/([^/?]+)/.exec(page.url())![1]!;
    const { chunk } = await anna.call("GET", `/_matrix/client/v3/rooms/${room}/messages?dir=b&limit=20`);
    const types = (chunk as { type: string; state_key?: string }[]).filter(({ state_key }) => state_key === undefined).map(({ type }) => type);
    expect(types).toEqual(["m.room.encrypted", "m.room.encrypted", "m.room.encrypted"]);
    await gerds.context().close();
});
