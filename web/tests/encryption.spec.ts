import { expect, test } from "./app.ts";
import { comparePictures, encryptedChat, log, newest, open, signedDevices, write } from "./encrypting.ts";
import { PASSWORD } from "./platforms.ts";

test("the first device sets encryption up without asking anything", async ({ app, browser }) => {
    const anna = await app.platforms.register("phone", "anna.first", "Anna Berg");
    const page = await app.openFor(browser, "phone", "anna.first");
    await expect.poll(() => signedDevices(anna)).toEqual([true]);
    const backup = () => anna.call("GET", "/_matrix/client/v3/room_keys/version").catch(() => undefined);
    await expect.poll(backup).toMatchObject({ algorithm: "m.megolm_backup.v1.curve25519-aes-sha2" });
    await expect(page.getByRole("dialog")).toHaveCount(0);
    await expect(page.getByText("Save your recovery key")).toHaveCount(0);
});

test("a recovery key is offered once it matters, and opens everything on a new device", async ({ app, browser }) => {
    const anna = await app.platforms.register("phone", "anna.key", "Anna Berg");
    const ben = await app.platforms.register("phone", "ben.key", "Ben Okafor");
    await anna.chatWith(ben);
    const first = await app.openFor(browser, "phone", "anna.key");
    await open(first, "Ben Okafor");
    await write(first, "Only Ben can read this");

    const banner = first.getByRole("complementary", { name: "Save your recovery key" });
    await banner.getByRole("button", { name: "Save" }).click();
    const key = await first.getByRole("status", { name: "Recovery key" }).filter({ hasText: /^E/ }).textContent();
    await first.getByRole("button", { name: "I have kept it" }).click();
    await expect(banner).toHaveCount(0);

    const second = await app.openFor(browser, "phone", "anna.key");
    const dialog = second.getByRole("dialog");
    await dialog.getByRole("button", { name: /Enter the recovery key/ }).click();
    await dialog.getByRole("textbox", { name: "Recovery key" }).fill(key!.replace(/[a-z]/, "x"));
    await dialog.getByRole("button", { name: "Go on" }).click();
    await expect(dialog.getByRole("alert")).toContainText("not your recovery key");
    await dialog.getByRole("textbox", { name: "Recovery key" }).fill(key!);
    await dialog.getByRole("button", { name: "Go on" }).click();
    await expect(dialog).toHaveCount(0);
    await open(second, "Ben Okafor");
    await expect(log(second)).toContainText("Only Ben can read this");
    await expect.poll(() => signedDevices(anna)).toEqual([true, true]);
});

test("another device confirms a new one by pictures, and what could not be read heals in place", async ({ app, browser }) => {
    const anna = await app.platforms.register("phone", "anna.emoji", "Anna Berg");
    const ben = await app.platforms.register("phone", "ben.emoji", "Ben Okafor");
    await anna.chatWith(ben);
    const first = await app.openFor(browser, "phone", "anna.emoji");
    // The key of the message reaches the server only after the other device has asked for it.
    let letKeysGo = () => {};
    const asked = new Promise<void>((done) => (letKeysGo = done));
    await first.route("**/room_keys/keys*", async (route) => {
        await asked;
        await route.continue();
    });
    await open(first, "Ben Okafor");
    await write(first, "Written on the first device");

    const second = await app.openFor(browser, "phone", "anna.emoji");
    const onSecond = second.getByRole("dialog");
    await onSecond.getByRole("button", { name: "Not now" }).click();
    await open(second, "Ben Okafor");
    await expect(log(second)).toBeVisible();
    await expect(log(second)).not.toContainText("Written on the first device");
    await expect(second.getByRole("complementary", { name: "Confirm this device" })).toHaveCount(0);
    // The reminder stays away for seven days, unless the browser has forgotten that it was put off.
    await second.evaluate(() => localStorage.removeItem(`linkspan.encryption.${JSON.parse(localStorage.getItem("linkspan.sessions")!)[0].userId}`));
    await second.reload();
    await onSecond.getByRole("button", { name: /Use another device/ }).click();

    const onFirst = first.getByRole("dialog");
    await onFirst.getByRole("button", { name: "Yes, it is me" }).click();
    await onSecond.getByRole("button", { name: /Compare pictures/ }).click();
    await comparePictures(first, second);
    await expect(log(second)).toContainText("Its key is being fetched");
    letKeysGo();
    await expect(log(second)).toContainText("Written on the first device");
    await expect.poll(() => signedDevices(anna)).toEqual([true, true]);
});

test("a passphrase opens everything on a new device, and a wrong one says so", async ({ app, browser }) => {
    const anna = await app.platforms.register("phone", "anna.phrase", "Anna Berg");
    const ben = await app.platforms.register("phone", "ben.phrase", "Ben Okafor");
    await anna.chatWith(ben);
    const first = await app.openFor(browser, "phone", "anna.phrase");
    await open(first, "Ben Okafor");
    await write(first, "Only Ben can read this");
    await first.getByRole("complementary", { name: "Save your recovery key" }).getByRole("button", { name: "Save" }).click();
    const save = first.getByRole("dialog");
    await save.getByRole("button", { name: "Choose a passphrase instead" }).click();
    const set = async (passphrase: string, again: string) => {
        await save.getByLabel("Passphrase").fill(passphrase);
        await save.getByLabel("The same again").fill(again);
        await save.getByRole("button", { name: "Use it" }).click();
    };
    await set("too short", "too short");
    await expect(save.getByRole("alert")).toContainText("at least 12 characters");
    await set("correct horse battery", "correct house battery");
    await expect(save.getByRole("alert")).toContainText("The two are not the same.");
    await set("correct horse battery", "correct horse battery");
    await expect(save).toHaveCount(0);

    const second = await app.openFor(browser, "phone", "anna.phrase");
    const dialog = second.getByRole("dialog");
    await dialog.getByRole("button", { name: /Enter the recovery key/ }).click();
    await dialog.getByRole("textbox", { name: "Recovery key" }).fill("correct house battery");
    await dialog.getByRole("button", { name: "Go on" }).click();
    await expect(dialog.getByRole("alert")).toContainText("not your recovery key");
    await dialog.getByRole("textbox", { name: "Recovery key" }).fill("correct horse battery");
    await dialog.getByRole("button", { name: "Go on" }).click();
    await expect(dialog).toHaveCount(0);
    await open(second, "Ben Okafor");
    await expect(log(second)).toContainText("Only Ben can read this");
    await expect.poll(() => signedDevices(anna)).toEqual([true, true]);
});

test("a backup that the server could not be asked for once is not replaced", async ({ app, browser }) => {
    const anna = await app.platforms.register("phone", "anna.backup", "Anna Berg");
    const ben = await app.platforms.register("phone", "ben.backup", "Ben Okafor");
    await anna.chatWith(ben);
    const page = await app.openFor(browser, "phone", "anna.backup", { serviceWorkers: "block" });
    await open(page, "Ben Okafor");
    await write(page, "Its key is in the backup");
    const backup = () => anna.call("GET", "/_matrix/client/v3/room_keys/version");
    await expect.poll(async () => (await backup().catch(() => undefined))?.count).toBeGreaterThan(0);
    const { version } = await backup();

    // The library asks once before the first sync, which is of no matter, and the app has it ask again after that.
    let isSynced = false;
    let refused = 0;
    await page.route("**/sync?*", async (route) => {
        const answer = await route.fetch().catch(() => undefined);
        isSynced = true;
        if (answer) await route.fulfill({ response: answer });
    });
    await page.route("**/room_keys/version", (route) => {
        if (!isSynced || route.request().method() !== "GET" || refused > 0) return route.continue();
        refused++;
        return route.abort();
    });
    await page.goto(`${app.addresses.phone}/settings/encryption`);
    await expect(page.getByText("Your messages are backed up, encrypted.")).toBeVisible();
    await expect.poll(() => refused).toBe(1);
    await page.getByRole("button", { name: "Save a recovery key" }).click();
    await page.getByRole("button", { name: "I have kept it" }).click();
    expect((await backup()).version).toBe(version);
    await page.goto(app.addresses.phone);
    await open(page, "Ben Okafor");
    await expect(log(page)).toContainText("Its key is in the backup");
});

test("logging out without a recovery key asks before, and leads to saving it", async ({ app, browser }) => {
    const anna = await app.platforms.register("phone", "anna.leave", "Anna Berg");
    const ben = await app.platforms.register("phone", "ben.leave", "Ben Okafor");
    await anna.chatWith(ben);
    const page = await app.openFor(browser, "phone", "anna.leave");
    await open(page, "Ben Okafor");
    await write(page, "Written before logging out");
    await page.goto(`${app.addresses.phone}/settings`);
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Log out" }).click();
    const warning = page.getByRole("dialog").filter({ hasText: "You have not saved a recovery key." });
    await warning.getByRole("button", { name: "Save the key first" }).click();
    await expect(page.getByRole("status", { name: "Recovery key" }).filter({ hasText: /^E/ })).toBeVisible();
    await page.getByRole("button", { name: "I have kept it" }).click();
    await expect(warning).toHaveCount(0);
});

test("keys that are in no backup yet are said before logging out", async ({ app, browser }) => {
    const anna = await app.platforms.register("phone", "anna.nowhere", "Anna Berg");
    const ben = await app.platforms.register("phone", "ben.nowhere", "Ben Okafor");
    await anna.chatWith(ben);
    const page = await app.open(browser, "phone", { serviceWorkers: "block" });
    await page.route("**/room_keys/version", (route) => (route.request().method() === "POST" ? route.abort() : route.continue()));
    await app.logIn(page, "anna.nowhere");
    await expect.poll(() => signedDevices(anna)).toEqual([true]);
    await page.getByRole("link", { name: "Settings" }).click();
    await page.getByRole("link", { name: "Encryption" }).click();
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByRole("button", { name: "I have kept it" }).click();
    await page.goto(app.addresses.phone);
    await open(page, "Ben Okafor");
    await write(page, "Its key is in no backup");
    await page.goto(`${app.addresses.phone}/settings`);
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Log out" }).click();
    const warning = page.getByRole("dialog").filter({ hasText: "The server cannot be reached" });
    await expect(warning).toBeVisible();
    await warning.getByRole("button", { name: "Stay logged in" }).click();
    await expect(warning).toHaveCount(0);
});

test("keys that the server does not take are said before logging out", async ({ app, browser }) => {
    const anna = await app.platforms.register("phone", "anna.newest", "Anna Berg");
    const ben = await app.platforms.register("phone", "ben.newest", "Ben Okafor");
    await anna.chatWith(ben);
    const page = await app.openFor(browser, "phone", "anna.newest");
    await expect.poll(() => signedDevices(anna)).toEqual([true]);
    await page.route("**/room_keys/keys*", (route) => route.abort());
    await page.getByRole("link", { name: "Settings" }).click();
    await page.getByRole("link", { name: "Encryption" }).click();
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByRole("button", { name: "I have kept it" }).click();
    await page.goto(app.addresses.phone);
    await open(page, "Ben Okafor");
    await write(page, "Its key is only here");
    await page.goto(`${app.addresses.phone}/settings`);
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Log out" }).click();
    const warning = page.getByRole("dialog").filter({ hasText: "The server cannot be reached" });
    await expect(warning).toBeVisible();
    await warning.getByRole("button", { name: "Stay logged in" }).click();
    await expect(warning).toHaveCount(0);
});

test("a device logs all others out, and what only one of them could read goes on there after a new log-in", async ({ app, browser }) => {
    const anna = await app.platforms.register("phone", "anna.others", "Anna Berg");
    const ben = await app.platforms.register("phone", "ben.others", "Ben Okafor");
    await anna.chatWith(ben);
    const first = await app.openFor(browser, "phone", "anna.others");
    await expect.poll(() => signedDevices(anna)).toEqual([true]);
    // Nothing of what is written now is backed up.
    await first.route("**/room_keys/keys*", (route) => route.abort());
    await open(first, "Ben Okafor");
    await write(first, "Its key is only here");

    const second = await app.openFor(browser, "phone", "anna.others");
    const dialog = second.getByRole("dialog");
    await dialog.getByRole("button", { name: /I have neither/ }).click();
    await dialog.getByRole("button", { name: "Begin anew" }).click();
    await dialog.getByLabel("Password").fill(PASSWORD);
    await dialog.getByRole("button", { name: "Continue" }).click();
    await second.getByRole("button", { name: "I have kept it" }).click();
    await second.goto(`${app.addresses.phone}/settings/devices`);
    await second.getByRole("button", { name: "Log out all other devices" }).click();
    await dialog.getByLabel("Password").fill(PASSWORD);
    await dialog.getByRole("button", { name: "Continue" }).click();
    await expect(second.getByText("2 devices were logged out.")).toBeVisible();
    await expect(second.getByRole("heading", { name: "Other devices" })).toHaveCount(0);

    const ended = first.getByRole("dialog", { name: "You were logged out" });
    await expect(ended).toContainText("log in again without closing this window");
    await first.unroute("**/room_keys/keys*");
    await ended.getByRole("button", { name: "Log in again" }).click();
    await app.logIn(first, "anna.others");
    await first.getByRole("dialog").getByRole("button", { name: "Not now" }).click();
    await open(first, "Ben Okafor");
    await expect(log(first)).toContainText("Its key is only here");
});

test("what is not encrypted in an encrypted chat is told apart, and changes nothing that is", async ({ app, browser }) => {
    const { ben, room, annas, bens } = await encryptedChat(app, browser, "exposed");
    await write(bens, "Meet me at eight");
    await open(annas, "Ben Okafor");
    await expect(log(annas)).toContainText("Meet me at eight");
    const event_id = await newest(ben, room);
    const changed = { msgtype: "m.text", body: "Meet me at nine" };
    await ben.send(room, { ...changed, "m.new_content": changed, "m.relates_to": { rel_type: "m.replace", event_id } });
    await ben.say(room, "Bring all your money");

    const isTold = async () => {
        const message = (text: string) => log(annas).getByRole("article").filter({ hasText: text });
        await expect(message("Bring all your money").getByRole("img", { name: "Not encrypted" })).toBeVisible();
        await expect(message("Bring all your money")).toHaveAccessibleName(/Not encrypted: those who run the platforms may have written it/);
        await expect(message("Meet me at eight")).toBeVisible();
        await expect(message("Meet me at eight").getByRole("img", { name: "Not encrypted" })).toHaveCount(0);
        await expect(message("Meet me at eight").getByRole("button", { name: "edited" })).toHaveCount(0);
        await expect(annas.getByText("Meet me at nine")).toHaveCount(0);
    };
    await isTold();
    // The server gives the last change along with a message, too.
    await annas.reload();
    await expect(log(annas)).toHaveAttribute("aria-busy", "false");
    await isTold();
    // What the person changes is still shown.
    await write(bens, "Bring an umbrella");
    await bens.keyboard.press("ArrowUp");
    await bens.getByRole("textbox", { name: "Message" }).fill("Bring two umbrellas");
    await bens.keyboard.press("Enter");
    await expect(log(bens)).toContainText("Bring two umbrellas");
    await expect(log(annas)).toContainText("Bring two umbrellas");
});

test("a recovery key is replaced only when that is wanted, and counts as kept only when it is", async ({ app, browser }) => {
    const anna = await app.platforms.register("phone", "anna.replace", "Anna Berg");
    const ben = await app.platforms.register("phone", "ben.replace", "Ben Okafor");
    await anna.chatWith(ben);
    const page = await app.openFor(browser, "phone", "anna.replace");
    await page.evaluate(() => (navigator.clipboard.writeText = () => Promise.reject(new Error("it may not be used"))));
    await open(page, "Ben Okafor");
    await write(page, "Only Ben can read this");
    const banner = page.getByRole("complementary", { name: "Save your recovery key" });
    await banner.getByRole("button", { name: "Save" }).click();
    const dialog = page.getByRole("dialog");
    const key = page.getByRole("status", { name: "Recovery key" }).filter({ hasText: /^E/ });
    await expect(key).toBeVisible();
    await dialog.getByRole("button", { name: "Copy" }).click();
    // Outside of the dialog nobody would hear of it.
    await expect(dialog.getByRole("status").filter({ hasText: "The recovery key could not be copied." })).toBeVisible();
    await page.keyboard.press("Escape");
    await expect(dialog).toHaveCount(0);
    await expect(banner).toBeVisible();

    const current = () => anna.call("GET", `/_matrix/client/v3/user/${anna.userId}/account_data/m.secret_storage.default_key`);
    const before = await current();
    await banner.getByRole("button", { name: "Save" }).click();
    await expect(dialog).toContainText("You have a recovery key.");
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await expect(dialog).toHaveCount(0);
    expect(await current()).toEqual(before);
    await banner.getByRole("button", { name: "Save" }).click();
    await dialog.getByRole("button", { name: "Make a new one" }).click();
    await expect(key).toBeVisible();
    expect(await current()).not.toEqual(before);
    await dialog.getByRole("button", { name: "I have kept it" }).click();
    await expect(banner).toHaveCount(0);

    // A key that does not open everything is one that the person has, too.
    const kept = await current();
    await anna.call("PUT", `/_matrix/client/v3/user/${anna.userId}/account_data/m.megolm_backup.v1`, {});
    await page.reload();
    await banner.getByRole("button", { name: "Save" }).click();
    await expect(dialog).toContainText("You have a recovery key.");
    expect(await current()).toEqual(kept);
});

test("a recovery key that nobody has seen, because the window was closed, does not count as kept", async ({ app, browser }) => {
    const anna = await app.platforms.register("phone", "anna.unseen", "Anna Berg");
    const ben = await app.platforms.register("phone", "ben.unseen", "Ben Okafor");
    await anna.chatWith(ben);
    const page = await app.openFor(browser, "phone", "anna.unseen", { serviceWorkers: "block" });
    await open(page, "Ben Okafor");
    await write(page, "Only Ben can read this");
    // The server takes the last secret, and the window is closed before it hears so.
    let note = () => {};
    const stored = new Promise<void>((done) => (note = done));
    await page.route("**/account_data/m.megolm_backup.v1", async (route) => {
        await route.fetch();
        note();
    });
    const banner = page.getByRole("complementary", { name: "Save your recovery key" });
    await banner.getByRole("button", { name: "Save" }).click();
    await stored;
    await page.goto(`${app.addresses.phone}/settings/encryption`);
    await expect(page.getByText("You have a recovery key.")).toBeVisible();
    await page.getByRole("link", { name: "Back" }).first().click();
    await expect(banner).toBeVisible();
});

test("a request to compare keys waits until the dialog that is open is closed", async ({ app, browser }) => {
    const anna = await app.platforms.register("phone", "anna.patient", "Anna Berg");
    const first = await app.openFor(browser, "phone", "anna.patient");
    await expect.poll(() => signedDevices(anna)).toEqual([true]);
    const second = await app.openFor(browser, "phone", "anna.patient");
    const choice = second.getByRole("dialog").getByRole("button", { name: /Use another device/ });
    await choice.waitFor();
    await first.goto(`${app.addresses.phone}/settings/encryption`);
    await first.getByRole("button", { name: "Save a recovery key" }).click();
    const key = first.getByRole("status", { name: "Recovery key" }).filter({ hasText: /^E/ });
    await expect(key).toBeVisible();
    // The request comes with a sync. Whoever asks for the next one has done with it.
    const heard = first.waitForResponse(async (answer) => answer.url().includes("/sync?") && (await answer.text()).includes("m.key.verification.request"));
    await choice.click();
    await heard;
    const next = first.waitForRequest("**/sync?*");
    await anna.call("PUT", `/_matrix/client/v3/user/${anna.userId}/account_data/org.example.new`, { said: "something" });
    await next;
    await expect(key).toBeVisible();
    await first.getByRole("button", { name: "I have kept it" }).click();
    await expect(first.getByRole("dialog").getByRole("button", { name: "Yes, it is me" })).toBeVisible();
});

test("another device that cannot be asked is said", async ({ app, browser }) => {
    const anna = await app.platforms.register("phone", "anna.unasked", "Anna Berg");
    await app.openFor(browser, "phone", "anna.unasked");
    await expect.poll(() => signedDevices(anna)).toEqual([true]);
    const second = await app.openFor(browser, "phone", "anna.unasked");
    const choice = second.getByRole("dialog").getByRole("button", { name: /Use another device/ });
    await choice.waitFor();
    await second.route("**/sendToDevice/**", (route) => route.fulfill({ status: 403, json: { errcode: "M_FORBIDDEN", error: "It is refused." } }));
    await choice.click();
    await expect(second.getByRole("status").filter({ hasText: "That did not work." })).toBeVisible();
});
