import type { Page } from "@playwright/test";

import { expect, test } from "./app.ts";
import { comparePictures, log, open, signedDevices, write } from "./encrypting.ts";
import { OldApp } from "./old-app.ts";
import { PASSWORD } from "./platforms.ts";

test("what a stranger writes first can be read before it is accepted, and after", async ({ app, browser }) => {
    const anna = await app.platforms.register("phone", "anna.stranger", "Anna Berg");
    const sam = await app.platforms.register("phone", "sam.stranger", "Sam Stranger");
    const annas = await app.openFor(browser, "phone", "anna.stranger");
    const sams = await app.openFor(browser, "phone", "sam.stranger");
    await expect.poll(() => signedDevices(anna)).toEqual([true]);
    await expect.poll(() => signedDevices(sam)).toEqual([true]);
    await sams.goto(`${app.addresses.phone}/new/with/${encodeURIComponent(anna.userId)}`);
    await sams.getByRole("textbox", { name: "Message to Anna Berg" }).fill("Is this your umbrella?");
    await sams.keyboard.press("Enter");
    await expect(log(sams)).toContainText("Is this your umbrella?");

    await annas.getByRole("link", { name: "Message requests" }).click();
    await annas.getByRole("link", { name: "Sam Stranger" }).click();
    await expect(annas.getByRole("list", { name: "What was said" })).toContainText("Is this your umbrella?");
    await annas.getByRole("button", { name: "Accept" }).click();
    await expect(log(annas)).toContainText("Is this your umbrella?");
});

test("a device that its owner has not signed gets no keys, and says so", async ({ app, browser }) => {
    const anna = await app.platforms.register("phone", "anna.unsigned", "Anna Berg");
    const ben = await app.platforms.register("phone", "ben.unsigned", "Ben Okafor");
    await anna.chatWith(ben);
    const annas = await app.openFor(browser, "phone", "anna.unsigned");
    const signed = await app.openFor(browser, "phone", "ben.unsigned");
    await expect.poll(() => signedDevices(ben)).toEqual([true]);
    const unsigned = await app.openFor(browser, "phone", "ben.unsigned");
    await unsigned.getByRole("dialog").getByRole("button", { name: "Not now" }).click();
    await expect.poll(async () => (await signedDevices(ben)).sort()).toEqual([false, true]);

    await open(annas, "Ben Okafor");
    await write(annas, "For Ben alone");
    await open(signed, "Anna Berg");
    await expect(log(signed)).toContainText("For Ben alone");
    await open(unsigned, "Anna Berg");
    await expect(log(unsigned)).toContainText("Anna Berg did not share this message with a device that is not confirmed.");
    await expect(unsigned.getByText("Confirm this device to write in encrypted chats.")).toBeVisible();
    await expect(unsigned.getByRole("textbox", { name: "Message" })).toHaveCount(0);
});

test("an app that signs no devices is neither read nor written to, and both are said in a sentence", async ({ app, browser }) => {
    const anna = await app.platforms.register("phone", "anna.old", "Anna Berg");
    const ben = await app.platforms.register("phone", "ben.old", "Ben Okafor");
    const room = await anna.chatWith(ben);
    const old = await OldApp.start(ben);
    const annas = await app.openFor(browser, "phone", "anna.old");
    await expect.poll(() => signedDevices(anna)).toEqual([true]);
    await old.say(room, "From the old app");
    await open(annas, "Ben Okafor");
    await expect(log(annas)).toContainText("This message was sent by a device that Ben Okafor has not confirmed.");
    await expect(annas.getByText("Ben Okafor cannot read what you write.")).toBeVisible();
    await write(annas, "Can you read me?");
    await expect.poll(() => old.texts(room).length).toBe(2);
    expect(old.texts(room)).not.toContain("Can you read me?");

    // The app learns to sign: what it has sent is read, and it is written to.
    await old.client.getCrypto()!.bootstrapCrossSigning({ authUploadDeviceSigningKeys: async (request) => void (await request(null)) });
    await expect(log(annas)).toContainText("From the old app");
    await expect(annas.getByText("Ben Okafor cannot read what you write.")).toHaveCount(0);
    await write(annas, "And now?");
    await expect.poll(() => old.texts(room)).toContain("And now?");
    old.stop();
});

test("two people compare pictures, and one is told when the other's keys change", async ({ app, browser }) => {
    const anna = await app.platforms.register("phone", "anna.compare", "Anna Berg");
    const ben = await app.platforms.register("phone", "ben.compare", "Ben Okafor");
    await anna.chatWith(ben);
    const annas = await app.openFor(browser, "phone", "anna.compare");
    const bens = await app.openFor(browser, "phone", "ben.compare");
    await expect.poll(() => signedDevices(anna)).toEqual([true]);
    await expect.poll(() => signedDevices(ben)).toEqual([true]);
    await open(annas, "Ben Okafor");
    await write(annas, "Let us compare");
    await open(bens, "Anna Berg");
    await expect(log(bens)).toContainText("Let us compare");
    const details = (page: Page) => page.getByRole("complementary", { name: "Details" });
    await annas.getByRole("main").getByRole("link", { name: "Ben Okafor" }).click();
    await bens.getByRole("main").getByRole("link", { name: "Anna Berg" }).click();
    await details(annas).getByRole("button", { name: "Compare security codes" }).click();
    await bens.getByRole("dialog").getByRole("button", { name: "Compare", exact: true }).click();
    await annas.getByRole("dialog").getByRole("button", { name: /Compare pictures/ }).click();
    await comparePictures(annas, bens);
    await expect(details(annas)).toContainText("You have compared codes with Ben Okafor: nobody else reads your messages.");
    await expect(details(bens)).toContainText("You have compared codes with Anna Berg: nobody else reads your messages.");

    const anew = await app.openFor(browser, "phone", "ben.compare");
    const dialog = anew.getByRole("dialog");
    await dialog.getByRole("button", { name: /I have neither/ }).click();
    await dialog.getByRole("button", { name: "Begin anew" }).click();
    await dialog.getByLabel("Password").fill(PASSWORD);
    await dialog.getByRole("button", { name: "Continue" }).click();
    await anew.getByRole("button", { name: "I have kept it" }).click();
    const notice = annas.getByRole("status").filter({ hasText: "Ben Okafor’s security code changed." });
    await expect(notice).toContainText("You had compared it.");
    await expect(details(annas).getByRole("button", { name: "Compare security codes" })).toBeVisible();

    // Nothing is sent to somebody who may be another one, until the person has decided.
    await annas.getByRole("textbox", { name: "Message" }).fill("Is it still you?");
    await annas.keyboard.press("Enter");
    await expect(log(annas)).toContainText("It waits until you have compared the changed security code, or gone on without comparing it.");
    // The same holds in a group that opens without him among those who have said something, in a window that does not know of it yet.
    await annas.goto("about:blank");
    const encryption = { type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } };
    const group = await anna.call("POST", "/_matrix/client/v3/createRoom", { name: "Rowing", invite: [ben.userId], initial_state: [encryption] });
    const where = encodeURIComponent(group.room_id as string);
    for (let day = 1; day <= 80; day++) await anna.call("PUT", `/_matrix/client/v3/rooms/${where}/state/m.room.topic/`, { topic: `On day ${day}` });
    await annas.goto(`${app.addresses.phone}/chat/${where}`);
    await annas.getByRole("textbox", { name: "Message" }).fill("Who rows on Sunday?");
    await annas.keyboard.press("Enter");
    await expect(log(annas)).toContainText("It waits until you have compared the changed security code, or gone on without comparing it.");
    await expect(notice).toContainText("You had compared it.");
    await open(annas, "Ben Okafor");
    await notice.getByRole("button", { name: "OK" }).click();
    await expect(notice).toHaveCount(0);
    await expect(log(annas).getByRole("img", { name: "Sent" })).toHaveCount(2);
    await anew.getByRole("link", { name: /^Anna Berg/ }).click();
    await expect(log(anew)).toContainText("Is it still you?");
});

test("codes are compared in no chat that others are in", async ({ app, browser }) => {
    const anna = await app.platforms.register("account", "anna.alone", "Anna Berg");
    const ben = await app.platforms.register("account", "ben.alone", "Ben Okafor");
    const ida = await app.platforms.register("account", "ida.alone", "Ida Strand");
    // Of a group with a name, only those who have spoken last are known at first.
    const group = await ben.call("POST", "/_matrix/client/v3/createRoom", { name: "Rowing", invite: [anna.userId, ida.userId] });
    const encryption = { type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } };
    const chat = await anna.call("POST", "/_matrix/client/v3/createRoom", { is_direct: true, invite: [ben.userId], initial_state: [encryption] });
    for (const person of [anna, ida]) await person.join(group.room_id as string);
    await ben.say(group.room_id as string, "Who rows on Sunday?");
    await anna.call("PUT", `/_matrix/client/v3/user/${anna.userId}/account_data/m.direct`, { [ben.userId]: [chat.room_id] });
    const bens = await app.openFor(browser, "account", "ben.alone");
    await expect.poll(() => signedDevices(ben)).toEqual([true]);
    const annas = await app.openFor(browser, "account", "anna.alone");
    await expect.poll(() => signedDevices(anna)).toEqual([true]);
    await annas.goto(`${app.addresses.account}/chat/${encodeURIComponent(chat.room_id as string)}/details`);
    const compare = annas.getByRole("button", { name: "Compare security codes" });
    await compare.click();
    await expect(annas.getByRole("dialog").getByRole("alert")).toHaveText("Begin a chat with Ben Okafor first.");
    await annas.keyboard.press("Escape");
    await expect(compare).toBeVisible();
    await anna.invite(chat.room_id as string, ida);
    await expect(compare).toHaveCount(0);
    await expect(bens.getByRole("dialog")).toHaveCount(0);
});
