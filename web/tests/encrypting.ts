// What tests of encryption do over and over.

import type { Browser, Page } from "@playwright/test";

import { type App, expect } from "./app.ts";
import type { Person } from "./platforms.ts";

export const open = (page: Page, name: string) => page.getByRole("link", { name }).click();
export const log = (page: Page) => page.getByRole("log");

export async function write(page: Page, text: string): Promise<void> {
    await page.getByRole("textbox", { name: "Message" }).fill(text);
    await page.keyboard.press("Enter");
    await expect(log(page)).toContainText(text);
    await expect(log(page).getByRole("img", { name: "Sent" }).last()).toBeVisible();
}

/** Anna and Ben, who have an encrypted chat on a platform that does not require it. Ben has it open. */
export async function encryptedChat(app: App, browser: Browser, tag: string): Promise<{ anna: Person; ben: Person; room: string; path: string; annas: Page; bens: Page }> {
    const anna = await app.platforms.register("account", `anna.${tag}`, "Anna Berg");
    const ben = await app.platforms.register("account", `ben.${tag}`, "Ben Okafor");
    const encryption = { type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } };
    const request = { is_direct: true, preset: "trusted_private_chat", invite: [ben.userId], initial_state: [encryption] };
    const room = (await anna.call("POST", "/_matrix/client/v3/createRoom", request)).room_id as string;
    await ben.join(room);
    const annas = await app.openFor(browser, "account", `anna.${tag}`, { serviceWorkers: "block" });
    const bens = await app.openFor(browser, "account", `ben.${tag}`, { serviceWorkers: "block" });
    for (const person of [anna, ben]) await expect.poll(() => signedDevices(person)).toEqual([true]);
    await open(bens, "Anna Berg");
    return { anna, ben, room, path: `/chat/${encodeURIComponent(room)}`, annas, bens };
}

interface Keys {
    device_keys: Record<string, Record<string, { signatures: Record<string, object> }>>;
    self_signing_keys?: Record<string, { keys: object }>;
}

/** The devices of somebody that have keys, and whether each is signed by its owner, as others see them. */
export async function signedDevices(person: Person): Promise<boolean[]> {
    const answer = await person.call("POST", "/_matrix/client/v3/keys/query", { device_keys: { [person.userId]: [] } });
    const { device_keys, self_signing_keys } = answer as unknown as Keys;
    const [signer] = Object.keys(self_signing_keys?.[person.userId]?.keys ?? {});
    const devices = Object.values(device_keys[person.userId] ?? {});
    return devices.map(({ signatures }) => signer !== undefined && signer in signatures[person.userId]!);
}

/** Compares the pictures that two windows show, which have to be in a comparison, and says on both that they are the same. */
export async function comparePictures(one: Page, other: Page): Promise<void> {
    const pictures = (page: Page) => page.getByRole("list", { name: "Pictures to compare" });
    await expect(pictures(one).getByRole("listitem")).toHaveCount(7);
    expect(await pictures(one).textContent()).toBe(await pictures(other).textContent());
    for (const page of [one, other]) await page.getByRole("dialog").getByRole("button", { name: "They are the same" }).click();
    for (const page of [one, other]) await page.getByRole("dialog").getByRole("button", { name: "Done" }).click();
}

/** The id of the newest encrypted event of a chat. */
export async function newest(person: Person, room: string): Promise<string> {
    const { chunk } = await person.call("GET", `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/messages?dir=b&limit=10`);
    return (chunk as { type: string; event_id: string }[]).find(({ type }) => type === "m.room.encrypted")!.event_id;
}
