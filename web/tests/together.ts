// What tests share in which several people have the app open, each on their platform: signing up, and what one does in a chat.

import type { Browser, BrowserContextOptions, Locator, Page } from "@playwright/test";

import { type App, expect } from "./app.ts";
import { signedDevices } from "./encrypting.ts";
import { type Kind, Person } from "./platforms.ts";
import type { Post } from "./post.ts";

/** Signs up on the platform where people have a handle and a password. */
export async function signUpByHandle(app: App, browser: Browser, name: string, handle: string, password: string): Promise<Page> {
    const page = await app.open(browser, "handle");
    await page.getByRole("button", { name: "Create account" }).click();
    await page.getByLabel("Your name").fill(name);
    await page.getByLabel("Handle").fill(handle);
    await page.getByLabel("Choose a password").fill(password);
    await page.getByRole("button", { name: "Create account" }).click();
    await isThere(page, app, "handle");
    return page;
}

/** Signs up on the platform where people have an email address, to which a code is sent. */
export async function signUpByEmail(app: App, post: Post, browser: Browser, name: string, address: string): Promise<Page> {
    const page = await app.open(browser, "account");
    await page.getByLabel("Email address").fill(address);
    await enterCode(page, post, address);
    await callOneself(page, name);
    await isThere(page, app, "account");
    return page;
}

/** Signs up on the platform where people have a phone number, to which a code is sent. The number has a country code. */
export async function signUpByPhone(app: App, post: Post, browser: Browser, name: string, number: string, options?: BrowserContextOptions): Promise<Page> {
    const page = await app.open(browser, "phone", options);
    await page.getByLabel("Phone number").fill(number);
    await enterCode(page, post, number);
    await callOneself(page, name);
    await isThere(page, app, "phone");
    return page;
}

async function enterCode(page: Page, post: Post, address: string): Promise<void> {
    await page.getByRole("button", { name: "Continue" }).click();
    await page.getByLabel("Code").fill(await post.code(address));
}

async function callOneself(page: Page, name: string): Promise<void> {
    await page.getByLabel("Your name").fill(name);
    await page.getByRole("button", { name: "Create account" }).click();
}

/** Waits until somebody who has signed up sees the chats, and has signed the device, before which nobody can encrypt for it. */
async function isThere(page: Page, app: App, kind: Kind): Promise<void> {
    await expect(chats(page)).toBeVisible();
    const person = await asPerson(page, app, kind);
    await expect.poll(() => signedDevices(person)).toEqual([true]);
}

/** Somebody who uses the app, to ask the server what it has. */
export async function asPerson(page: Page, app: App, kind: Kind): Promise<Person> {
    const { userId, accessToken, deviceId } = await sessionOf(page);
    return new Person(kind, app.platforms.origins[kind], userId, accessToken, deviceId);
}

export const chats = (page: Page): Locator => page.getByRole("navigation", { name: "Chats" });
/** The row of a chat in the list, by what the chat is called. */
export const row = (page: Page, name: string): Locator => chats(page).getByRole("link").filter({ has: page.locator(".name", { hasText: name }) });
export const log = (page: Page): Locator => page.getByRole("log");
export const message = (page: Page, text: string | RegExp): Locator => log(page).locator(".message", { hasText: text });

/** Shows the list, where something else is in its place. */
export async function toList(page: Page): Promise<void> {
    const back = page.getByRole("link", { name: "Back" });
    await chats(page).or(back).first().waitFor();
    if (!(await chats(page).isVisible())) await back.first().click();
}

/** Opens a chat from the list. */
export async function openFromList(page: Page, name: string): Promise<void> {
    await toList(page);
    await row(page, name).click();
    await expect(page.getByRole("main").getByRole("heading", { name })).toBeVisible();
}

/** What is shown of a chat beside it. */
export const details = (page: Page): Locator => page.locator(".details-pane");

/** Chooses what one can do with a message. */
export async function choose(page: Page, text: string | RegExp, item: string): Promise<void> {
    await message(page, text).locator(".bubble").click({ button: "right" });
    await page.getByRole("menuitem", { name: item, exact: true }).click();
}

/** Chooses what one can add to a message. */
export async function add(page: Page, item: string): Promise<void> {
    await page.getByRole("button", { name: "Add", exact: true }).click();
    await page.getByRole("menuitem", { name: item }).click();
}

/** Answers somebody who has asked to chat. */
export async function answerRequest(page: Page, name: string, answer: "Accept" | "Delete"): Promise<void> {
    await toList(page);
    await page.getByRole("link", { name: "Message requests" }).click();
    await page.getByRole("link", { name }).click();
    await page.getByRole("button", { name: answer }).click();
}

/** The session of the app, by which a test can ask the server what it has. */
export async function sessionOf(page: Page): Promise<{ userId: string; accessToken: string; deviceId: string }> {
    return page.evaluate(() => (JSON.parse(localStorage.getItem("linkspan.sessions")!) as { userId: string; accessToken: string; deviceId: string }[])[0]!);
}
