import { expect, test } from "./app.ts";
import { PASSWORD } from "./platforms.ts";

test("a new name and handle are saved, and others see the name", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.profile", "Anna Berg");
    const ben = await app.platforms.register("account", "ben.profile", "Ben Okafor");
    await anna.chatWith(ben);
    const page = await app.openFor(browser, "handle", "anna.profile");
    await page.getByRole("link", { name: "Settings" }).click();
    await page.getByRole("link", { name: "Profile", exact: true }).click();
    await page.getByLabel("Your name").fill("Anna Bergström");
    await page.getByRole("button", { name: "Save" }).click();
    await expect(page.getByRole("link", { name: "Anna Bergström" })).toBeVisible();
    await page.getByLabel("Handle").fill("a handle with blanks");
    await page.getByRole("button", { name: "Save" }).click();
    await expect(page.getByRole("alert")).toContainText("A handle has small letters");
    await page.getByLabel("Handle").fill("anna.bergstroem");
    await page.getByRole("button", { name: "Save" }).click();
    await expect(page.getByRole("link", { name: "Anna Bergström" })).toContainText("@anna.bergstroem");
    const profile = await ben.call("GET", `/_matrix/client/v3/profile/${encodeURIComponent(anna.userId)}`);
    expect(profile.displayname).toBe("Anna Bergström");
});

test("a picture is cut to a square and shown", async ({ app, browser }) => {
    const person = await app.platforms.register("handle", "picture.person", "Picture Person");
    const page = await app.openFor(browser, "handle", "picture.person");
    await page.getByRole("link", { name: "Settings" }).click();
    await page.getByRole("link", { name: "Profile", exact: true }).click();
    const wide = await page.evaluate(async () => {
        const canvas = new OffscreenCanvas(300, 100);
        canvas.getContext("2d")!.fillRect(0, 0, 300, 100);
        return [...new Uint8Array(await (await canvas.convertToBlob()).arrayBuffer())];
    });
    await page.locator("input[type=file]").setInputFiles({ name: "me.png", mimeType: "image/png", buffer: Buffer.from(wide) });
    await expect(page.getByRole("button", { name: "Remove the picture" })).toBeVisible();
    const shown = page.locator(".own-picture img");
    await expect(shown).toHaveJSProperty("complete", true);
    expect(await shown.evaluate((image: HTMLImageElement) => image.naturalWidth / image.naturalHeight)).toBe(1);
    await page.locator("input[type=file]").setInputFiles({ name: "me.png", mimeType: "image/png", buffer: Buffer.from("no picture") });
    await expect(page.getByRole("status")).toContainText("This file is not a picture");
    await page.getByRole("button", { name: "Remove the picture" }).click();
    await expect(page.getByRole("button", { name: "Remove the picture" })).toBeHidden();
    const profile = await person.call("GET", `/_matrix/client/v3/profile/${encodeURIComponent(person.userId)}`);
    expect(profile.avatar_url).toBeFalsy();
});

test("an account ends after the password was proved", async ({ app, browser }) => {
    await app.platforms.register("account", "ends.here", "Ends Here");
    const page = await app.openFor(browser, "account", "ends.here");
    await page.getByRole("link", { name: "Settings" }).click();
    await page.getByRole("link", { name: "Account and password" }).click();
    await page.getByRole("button", { name: "Delete account" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete account" }).click();
    const dialog = page.getByRole("dialog", { name: "Is it you?" });
    await dialog.getByLabel("Password").fill("a wrong one");
    await dialog.getByRole("button", { name: "Continue" }).click();
    await expect(dialog.getByRole("alert")).toHaveText("This is not the password of your account.");
    await dialog.getByLabel("Password").fill(PASSWORD);
    await dialog.getByRole("button", { name: "Continue" }).click();
    await page.locator("input[name=name]").fill("ends.here");
    await page.locator("input[name=password]").fill(PASSWORD);
    await page.getByRole("button", { name: "Log in", exact: true }).click();
    await expect(page.getByRole("alert")).toHaveText("The name or the password is not right.");
});

test("colours and language are chosen and stay", async ({ app, browser }) => {
    await app.platforms.register("handle", "looks.person", "Looks Person");
    const page = await app.openFor(browser, "handle", "looks.person", { colorScheme: "light" });
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await ground();
    await page.getByRole("link", { name: "Settings" }).click();
    await page.getByRole("link", { name: "Appearance and language" }).click();
    await page.getByLabel("Dark").check();
    expect(await ground()).not.toBe(light);
    await page.getByLabel("Language").selectOption("fr");
    await expect(page.getByRole("heading", { name: "Réglages" })).toBeVisible();
    const dark = await ground();
    await page.reload();
    await expect(page.getByRole("heading", { name: "Réglages" })).toBeVisible();
    expect(await ground()).toBe(dark);
});
