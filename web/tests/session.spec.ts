import type { Page } from "@playwright/test";

import { expect, test } from "./app.ts";
import { log, open, signedDevices, write } from "./encrypting.ts";
import { allOf, keptBy, namesOf } from "./kept.ts";
import { asPerson, sessionOf, signUpByEmail } from "./together.ts";

/** Logs out by the settings. */
async function logOut(page: Page): Promise<void> {
    await page.getByRole("link", { name: "Settings" }).click();
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Log out" }).click();
}

const door = (page: Page) => page.locator("input[name=password]");

test("somebody signs up with a handle, logs out, and logs in again", async ({ app, browser }) => {
    await app.platforms.register("handle", "taken.one", "Somebody");
    const page = await app.open(browser, "handle");
    await page.getByRole("button", { name: "Create account" }).click();
    await page.getByLabel("Your name").fill("Hilde Brandt");
    await page.getByLabel("Handle").fill("taken.one");
    await expect(page.getByRole("alert")).toHaveText("Somebody has this handle already. Try another.");
    // What could not be asked is no reason against a handle.
    await page.route("**/register/available*", (route) => route.abort());
    const failed = page.waitForEvent("requestfailed");
    await page.getByLabel("Handle").fill("@Hilde.Brandt");
    await failed;
    await expect(page.getByRole("alert")).toHaveCount(0);
    await page.getByLabel("Choose a password").fill("correct horse battery staple");
    await page.getByRole("button", { name: "Create account" }).click();
    await page.getByRole("link", { name: "Settings" }).click();
    await expect(page.getByRole("link", { name: "Hilde Brandt" })).toContainText("@hilde.brandt");

    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Log out" }).click();
    await page.getByLabel("Handle").fill("@hilde.brandt");
    await page.getByLabel("Password").fill("a wrong one");
    await page.getByRole("button", { name: "Log in", exact: true }).click();
    await expect(page.getByRole("alert")).toHaveText("The name or the password is not right.");
    await page.getByLabel("Password").fill("correct horse battery staple");
    await page.getByRole("button", { name: "Log in", exact: true }).click();
    await expect(page.getByRole("navigation", { name: "Chats" })).toBeVisible();
});

test("somebody signs up with an email address and a code, and comes back with another code", async ({ proving, browser }) => {
    const { app, post } = proving;
    const page = await app.open(browser, "account");
    await page.getByLabel("Email address").fill("gerd@example.org");
    await page.getByRole("button", { name: "Continue" }).click();
    await page.getByLabel("Code").fill(await post.code("gerd@example.org"));
    await page.getByLabel("Your name").fill("Gerd Sommer");
    await page.getByRole("button", { name: "Create account" }).click();
    await page.getByRole("link", { name: "Settings" }).click();
    await expect(page.getByRole("link", { name: "Gerd Sommer" })).toContainText("gerd@example.org");

    const other = await app.open(browser, "account");
    await other.getByLabel("Email address").fill("gerd@example.org");
    await other.getByRole("button", { name: "Continue" }).click();
    const code = await post.code("gerd@example.org");
    await other.getByLabel("Code").fill(code === "000000" ? "000001" : "000000");
    await expect(other.getByRole("alert")).toContainText("This is not the code that was sent.");
    await other.getByLabel("Code").fill(code);
    await expect(other.getByRole("navigation", { name: "Chats" })).toBeVisible();
});

test("somebody signs up with a phone number, and has a password as a second step", async ({ proving, browser }) => {
    const { app, post } = proving;
    const page = await app.open(browser, "phone");
    await page.getByLabel("Country").selectOption("DE");
    await page.getByLabel("Phone number").fill("0171 3920044");
    await page.getByRole("button", { name: "Continue" }).click();
    await page.getByLabel("Code").fill(await post.code("+491713920044"));
    await page.getByLabel("Your name").fill("Cleo Sommer");
    await page.getByRole("button", { name: "Create account" }).click();
    await page.getByRole("link", { name: "Settings" }).click();
    await expect(page.getByRole("link", { name: "Cleo Sommer" })).toContainText("+491713920044");
    await page.getByRole("link", { name: "Account and password" }).click();
    await page.getByLabel("New password").fill("a second step of mine");
    await page.getByRole("button", { name: "Change password" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("button", { name: "Continue" }).click();
    await dialog.getByLabel("Code").fill(await post.code("+491713920044"));
    await dialog.getByRole("button", { name: "Continue" }).click();
    await expect(page.getByRole("status").filter({ hasText: "Saved." })).toBeVisible();

    const other = await app.open(browser, "phone");
    await other.getByLabel("Country").selectOption("DE");
    await other.getByLabel("Phone number").fill("171 3920044");
    await other.getByRole("button", { name: "Continue" }).click();
    await other.getByLabel("Code").fill(await post.code("+491713920044"));
    await other.getByLabel("Password").fill("not this one");
    await other.getByRole("button", { name: "Log in" }).click();
    await expect(other.getByRole("alert")).toHaveText("This is not the password of your account.");
    await other.getByLabel("Password").fill("a second step of mine");
    await other.getByRole("button", { name: "Log in" }).click();
    await expect(other.getByRole("navigation", { name: "Chats" })).toBeVisible();
});

test("who logs in again with an address is who they were here: in a session that goes on, and in one that has run out", async ({ proving, browser }) => {
    const { app, post } = proving;
    const address = "again@example.org";
    const enter = async () => {
        await page.getByLabel("Email address").fill(address);
        await page.getByRole("button", { name: "Continue" }).click();
        await page.getByLabel("Code").fill(await post.code(address));
        await expect(page.getByRole("navigation", { name: "Chats" })).toBeVisible();
    };
    const page = await signUpByEmail(app, post, browser, "Ada Again", address);
    const ada = await asPerson(page, app, "account");
    await page.getByRole("link", { name: "Settings" }).click();
    await page.getByRole("button", { name: "Add another account" }).click();
    await enter();
    expect(await sessionOf(page)).toMatchObject({ deviceId: ada.deviceId, accessToken: ada.token });
    const devices = async () => (await ada.call("GET", "/_matrix/client/v3/devices")).devices;
    await expect.poll(devices).toHaveLength(1);

    await page.route("**/sync?*", (route) => route.fulfill({ status: 401, json: { errcode: "M_UNKNOWN_TOKEN", error: "It has expired.", soft_logout: true } }));
    await page.reload();
    const ended = page.getByRole("dialog").filter({ hasText: "your messages are still here" });
    await expect(ended).toBeVisible();
    await page.unroute("**/sync?*");
    await ended.getByRole("button", { name: "Log in again" }).click();
    await enter();
    expect((await sessionOf(page)).deviceId).toBe(ada.deviceId);
    await page.context().close();
});

test("two accounts of one browser are shown in turn", async ({ app, browser }) => {
    await app.platforms.register("account", "first.account", "First Account");
    await app.platforms.register("account", "second.account", "Second Account");
    const page = await app.openFor(browser, "account", "first.account");
    await page.getByRole("link", { name: "Settings" }).click();
    await expect(page.getByRole("link", { name: "First Account" })).toBeVisible();
    await page.getByRole("button", { name: "Add another account" }).click();
    await app.logIn(page, "second.account");
    await page.getByRole("link", { name: "Settings" }).click();
    await expect(page.getByRole("link", { name: "Second Account" })).toBeVisible();
    await page.getByRole("button", { name: "Switch to First Account" }).click();
    await page.getByRole("link", { name: "Settings" }).click();
    await expect(page.getByRole("link", { name: "First Account" })).toBeVisible();
});

test("somebody continues as one of the demo's people in one click", async ({ demo, browser }) => {
    const page = await demo.open(browser, "handle");
    await page.getByRole("button", { name: "Continue as Anna" }).click();
    await expect(page.getByRole("navigation", { name: "Chats" })).toBeVisible();
});

test("the chats of one account come neither into the list of another nor onto its disk", async ({ app, browser }) => {
    const mara = await app.platforms.register("handle", "mara.apart", "Mara Apart");
    const nils = await app.platforms.register("handle", "nils.apart", "Nils Apart");
    const jules = await app.platforms.register("handle", "jules.apart", "Jules Thirdperson");
    const kira = await app.platforms.register("handle", "kira.apart", "Kira Fourthperson");
    const room = await jules.chatWith(mara);
    await kira.chatWith(nils);
    const page = await app.open(browser, "handle", { serviceWorkers: "block" });
    await page.clock.install();
    await page.reload();
    await app.logIn(page, "nils.apart");
    await expect(page.getByRole("link", { name: "Kira Fourthperson" })).toBeVisible();
    await page.getByRole("link", { name: "Settings" }).click();
    await page.getByRole("button", { name: "Add another account" }).click();
    await app.logIn(page, "mara.apart");
    await page.getByRole("link", { name: "Settings" }).click();
    await expect(page.getByRole("button", { name: "Switch to Nils Apart" })).toBeVisible();
    await page.getByRole("link", { name: "Back" }).click();
    await jules.say(room, "Only for Mara");
    await expect(page.getByRole("link", { name: "Jules Thirdperson" })).toContainText("Only for Mara");
    await page.getByRole("link", { name: "Settings" }).click();
    await page.getByRole("button", { name: "Switch to Nils Apart" }).click();
    await expect(page.getByRole("link", { name: "Kira Fourthperson" })).toBeVisible();
    await expect(page.getByRole("link", { name: "Jules Thirdperson" })).toHaveCount(0);
    // Whatever still waits to be shown or kept is done now.
    await page.clock.fastForward(120_000);
    await expect.poll(() => keptBy(page, nils.userId, "all rows")).toContain("Kira Fourthperson");
    expect(await keptBy(page, nils.userId, "all rows")).not.toContain("Jules Thirdperson");
    expect(await keptBy(page, mara.userId, "all rows")).not.toContain("Kira Fourthperson");
    await expect(page.getByRole("link", { name: "Jules Thirdperson" })).toHaveCount(0);
    await page.context().close();
});

test("the settings of one account say nothing of another, even before its own are there", async ({ app, browser }) => {
    await app.platforms.register("account", "own.first", "Ida Ownfirst");
    await app.platforms.register("account", "own.second", "Odo Ownsecond");
    const page = await app.openFor(browser, "account", "own.second");
    await page.getByRole("link", { name: "Settings" }).click();
    await expect(page.getByRole("link", { name: "Odo Ownsecond" })).toBeVisible();
    await page.getByRole("button", { name: "Add another account" }).click();
    await app.logIn(page, "own.first");
    await page.getByRole("link", { name: "Settings" }).click();
    await expect(page.getByRole("link", { name: "Ida Ownfirst" })).toBeVisible();
    // What the account is called is not answered.
    await page.route("**/profile/**", () => undefined);
    await page.getByRole("button", { name: "Switch to Odo Ownsecond" }).click();
    await page.getByRole("link", { name: "Settings" }).click();
    await expect(page.getByRole("button", { name: "Switch to Ida Ownfirst" })).toBeVisible();
    await expect(page.getByRole("button", { name: "Switch to Odo Ownsecond" })).toHaveCount(0);
    await expect(page.getByRole("link", { name: "Ida Ownfirst" })).toHaveCount(0);
    await page.context().close();
});

test("who logs out leaves nothing in the browser, and a server that could not be told is told later", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.untold", "Anna Berg");
    const ben = await app.platforms.register("handle", "ben.untold", "Ben Okafor");
    const room = await ben.chatWith(anna);
    const page = await app.openFor(browser, "handle", "anna.untold", { permissions: ["notifications"] });
    await page.evaluate(() => navigator.serviceWorker.ready);
    const { accessToken } = await sessionOf(page);
    await page.getByRole("link", { name: "Settings" }).click();
    await page.getByRole("link", { name: "Notifications" }).click();
    await page.getByRole("switch", { name: "Show notifications" }).check();
    const known = () => page.evaluate(allOf, { database: "linkspan-worker", store: "accounts" });
    await expect.poll(known).toContain(accessToken);
    await page.getByRole("link", { name: "Back" }).first().click();
    await page.evaluate(() => Object.defineProperty(document, "hasFocus", { value: () => false }));
    await ben.say(room, "Shown before the log-out");
    const shown = () => page.evaluate(async () => (await (await navigator.serviceWorker.getRegistration())!.getNotifications()).length);
    await expect.poll(shown).toBe(1);

    await page.route("**/logout", (route) => route.abort());
    await logOut(page);
    await expect(door(page)).toBeVisible();
    await expect(page.getByText("The server cannot be reached: it is told as soon as it can be.")).toBeVisible();
    await expect.poll(() => namesOf(page, anna.userId)).toEqual([]);
    expect(await known()).not.toContain(accessToken);
    expect(await shown()).toBe(0);
    const isTaken = async () => {
        const answer = await fetch(`${anna.origin}/_matrix/client/v3/account/whoami`, { headers: { Authorization: `Bearer ${accessToken}` } });
        return answer.ok;
    };
    expect(await isTaken()).toBe(true);
    await page.unroute("**/logout");
    await page.reload();
    await expect.poll(isTaken).toBe(false);
    await expect.poll(() => page.evaluate(() => localStorage.getItem("linkspan.leaving"))).toBeNull();
    await page.context().close();
});

test("somebody logs out though another window holds what is kept, which goes at the next start", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.held", "Anna Berg");
    const page = await app.openFor(browser, "handle", "anna.held");
    await page.getByRole("link", { name: "Settings" }).click();
    await expect(page.getByRole("link", { name: "Anna Berg" })).toBeVisible();
    await page.getByRole("link", { name: "Back" }).click();
    const other = await page.context().newPage();
    await other.goto(`${app.addresses.handle}/icon.svg`);
    // It does not let go when it is asked to.
    await other.evaluate(
        (name) =>
            new Promise<void>((done) => {
                const request = indexedDB.open(name);
                request.onsuccess = () => {
                    (window as unknown as Record<string, unknown>).held = request.result;
                    done();
                };
            }),
        `linkspan-${anna.userId}::matrix-sdk-crypto`,
    );
    await logOut(page);
    await expect(door(page)).toBeVisible();
    const context = page.context();
    await page.close();
    await other.close();
    const again = await context.newPage();
    await again.goto(app.addresses.handle);
    await expect(door(again)).toBeVisible();
    await expect.poll(() => namesOf(again, anna.userId)).toEqual([]);
    await app.logIn(again, "anna.held");
    await expect(again.getByRole("navigation", { name: "Chats" })).toBeVisible();
    await again.context().close();
});

test("a tab that waits for its turn does not bring back an account that has logged out in another", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.undead", "Anna Berg");
    const first = await app.openFor(browser, "handle", "anna.undead");
    const second = await first.context().newPage();
    await second.goto(app.addresses.handle);
    await expect(first.getByRole("dialog", { name: "Chatting goes on in another tab" })).toBeVisible();
    await logOut(second);
    await expect(door(second)).toBeVisible();
    await expect(door(first)).toBeVisible();
    const turns = () =>
        first.evaluate(async () => {
            const { held, pending } = await navigator.locks.query();
            return [...held!, ...pending!].flatMap(({ name }) => (name!.startsWith("linkspan-turn") ? [name] : []));
        });
    await expect.poll(turns).toEqual([]);
    await expect.poll(() => namesOf(first, anna.userId)).toEqual([]);
    await first.context().close();
});

test("logging out right after a start ends, however often, when a recovery key is saved", async ({ app, browser }) => {
    const anna = await app.platforms.register("phone", "anna.swift", "Anna Berg");
    const ben = await app.platforms.register("phone", "ben.swift", "Ben Okafor");
    await anna.chatWith(ben);
    const page = await app.openFor(browser, "phone", "anna.swift");
    await open(page, "Ben Okafor");
    await write(page, "Said before all of it");
    await page.getByRole("complementary", { name: "Save your recovery key" }).getByRole("button", { name: "Save" }).click();
    const key = await page.getByRole("status", { name: "Recovery key" }).filter({ hasText: /^E/ }).textContent();
    await page.getByRole("button", { name: "I have kept it" }).click();
    for (let time = 0; time < 3; time++) {
        await page.goto(`${app.addresses.phone}/settings`);
        await page.getByRole("button", { name: "Log out" }).click();
        await page.getByRole("dialog").getByRole("button", { name: "Log out" }).click();
        await expect(door(page).or(page.getByRole("button", { name: "Log in with a password" }))).toBeVisible();
        await expect.poll(() => namesOf(page, anna.userId)).toEqual([]);
        await app.logIn(page, "anna.swift");
        const dialog = page.getByRole("dialog");
        await dialog.getByRole("button", { name: /Enter the recovery key/ }).click();
        await dialog.getByRole("textbox", { name: "Recovery key" }).fill(key!);
        await dialog.getByRole("button", { name: "Go on" }).click();
        await expect(dialog).toHaveCount(0);
        await open(page, "Ben Okafor");
        await expect(log(page)).toContainText("Said before all of it");
    }
    await expect.poll(async () => (await signedDevices(anna)).at(-1)).toBe(true);
    await page.context().close();
});

test("a server that answers nothing keeps nobody from logging out", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.silent", "Anna Berg");
    const page = await app.openFor(browser, "handle", "anna.silent", { serviceWorkers: "block" });
    await expect(page.getByRole("link", { name: "Settings" })).toBeVisible();
    await page.route(/\/_matrix\/client\/.*\/(sync|logout)/, () => undefined);
    await page.goto(`${app.addresses.handle}/settings`);
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Log out" }).click();
    await expect(page.getByText("Logging out takes a moment")).toBeVisible();
    const warning = page.getByRole("dialog").filter({ hasText: "The server cannot be reached" });
    await warning.getByRole("button", { name: "Log out" }).click();
    await expect(door(page)).toBeVisible();
    await expect.poll(() => namesOf(page, anna.userId)).toEqual([]);
    await page.context().close();
});

test("who goes on to another account while a log-out waits is logged out of neither", async ({ app, browser }) => {
    await app.platforms.register("handle", "first.wavering", "First Wavering");
    await app.platforms.register("handle", "second.wavering", "Second Wavering");
    const page = await app.openFor(browser, "handle", "first.wavering", { serviceWorkers: "block" });
    await page.getByRole("link", { name: "Settings" }).click();
    await expect(page.getByRole("link", { name: "First Wavering" })).toBeVisible();
    await page.getByRole("button", { name: "Add another account" }).click();
    await app.logIn(page, "second.wavering");
    await page.getByRole("link", { name: "Settings" }).click();
    await expect(page.getByRole("link", { name: "Second Wavering" })).toBeVisible();
    const { accessToken } = await sessionOf(page);
    await page.route("**/sync?*", (route) => (route.request().headers().authorization === `Bearer ${accessToken}` ? undefined : route.continue()));
    await page.clock.install();
    await page.goto(`${app.addresses.handle}/settings`);
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Log out" }).click();
    await expect(page.getByRole("dialog")).toHaveCount(0);
    await page.getByRole("button", { name: "Switch to First Wavering" }).click();
    await page.getByRole("link", { name: "Settings" }).click();
    await expect(page.getByRole("link", { name: "First Wavering" })).toBeVisible();
    // The log-out has waited for as long as it does.
    await page.clock.fastForward(20_000);
    await page.getByRole("link", { name: "Profile" }).first().click();
    await expect(page.getByRole("textbox", { name: "Your name" })).toHaveValue("First Wavering");
    await expect(page.getByRole("dialog")).toHaveCount(0);
    await expect(page.getByRole("button", { name: "Switch to Second Wavering" })).toBeVisible();
    await page.context().close();
});

test("a tab logs out the session that another tab has renewed", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.renewed", "Anna Berg");
    const first = await app.openFor(browser, "handle", "anna.renewed");
    const { accessToken } = await sessionOf(first);
    const second = await first.context().newPage();
    await second.goto(`${app.addresses.handle}/settings`);
    await second.getByRole("button", { name: "Add another account" }).click();
    await app.logIn(second, "anna.renewed");
    const renewed = await sessionOf(second);
    expect(renewed.accessToken).not.toBe(accessToken);
    await expect(first.getByRole("dialog", { name: "Chatting goes on in another tab" })).toBeVisible();
    await second.close();
    await expect(first.getByRole("dialog")).toHaveCount(0);
    await logOut(first);
    await expect(door(first)).toBeVisible();
    const isTaken = async () => {
        const answer = await fetch(`${anna.origin}/_matrix/client/v3/account/whoami`, { headers: { Authorization: `Bearer ${renewed.accessToken}` } });
        return answer.ok;
    };
    await expect.poll(isTaken).toBe(false);
    await first.context().close();
});

test("a locked account is said wherever it matters, and goes on when it is open again", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.locked", "Anna Berg");
    const ben = await app.platforms.register("handle", "ben.locked", "Ben Okafor");
    await anna.chatWith(ben);
    const page = await app.openFor(browser, "handle", "anna.locked", { serviceWorkers: "block" });
    await open(page, "Ben Okafor");
    await expect(log(page)).toHaveAttribute("aria-busy", "false");
    const asked = /\/_matrix\/client\/v3\/(sync|login|rooms\/[^/]*\/send)/;
    await page.context().route(asked, (route) => route.fulfill({ status: 401, json: { errcode: "M_USER_LOCKED", error: "It is locked.", soft_logout: true } }));
    await page.reload();
    const alert = page.getByRole("alert").filter({ hasText: "Your account is locked. Ask the people who run the platform." });
    await expect(alert.getByRole("button", { name: "Try again" })).toBeVisible();
    await page.getByRole("textbox", { name: "Message" }).fill("Can you hear me?");
    await page.keyboard.press("Enter");
    await expect(log(page)).toContainText("Your account is locked. This is sent once it is not any more.");
    const other = await page.context().newPage();
    await other.goto(`${app.addresses.handle}/settings`);
    await other.getByRole("button", { name: "Add another account" }).click();
    await other.locator("input[name=name]").fill("anna.locked");
    await door(other).fill("any password");
    await door(other).press("Enter");
    await expect(other.getByRole("alert")).toHaveText("This account is locked. Ask the people who run the platform.");
    await other.close();

    await page.context().unroute(asked);
    await alert.getByRole("button", { name: "Try again" }).click();
    await expect(alert).toHaveCount(0);
    await expect(log(page).getByRole("img", { name: "Sent" })).toBeVisible();
    await page.context().close();
});
