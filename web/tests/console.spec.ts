// The operator's console: what an operator does by a click, and what becomes of it.

import { readFileSync } from "node:fs";
import path from "node:path";

import AxeBuilder from "@axe-core/playwright";
import type { Page } from "@playwright/test";

import { expect } from "./app.ts";
import { ADMINISTRATOR, CONSOLE_VIEWS, consoleOf, logInToConsole, openConsole, operate, report, test } from "./console.ts";
import { PASSWORD } from "./platforms.ts";

const menu = (page: Page) => page.getByRole("navigation", { name: "Console" });
const status = (page: Page) => page.getByRole("status").first();
const plot = (page: Page, title: string) => page.getByRole("slider", { name: title });

/** Whether somebody can log in with the password of everybody. */
async function canLogIn(origin: string, user: string): Promise<boolean> {
    const body = JSON.stringify({ type: "m.login.password", identifier: { type: "m.id.user", user }, password: PASSWORD });
    return (await fetch(`${origin}/_matrix/client/v3/login`, { method: "POST", body })).ok;
}

test("a report is seen when it comes, handled, and closed with a note", async ({ operated: { app, anna, ben, room }, browser }) => {
    const page = await operate(app, browser, "account");
    await expect(page.getByRole("heading", { name: "Reports" })).toBeVisible();
    const said = await ben.say(room, "Something that is reported while the operator looks");
    await report(anna, room, said, "It goes on and on");
    const row = page.getByRole("link", { name: /It goes on and on/ });
    await expect(row).toBeVisible();
    await expect(menu(page).getByRole("link", { name: /Reports \d+ open reports/ })).toBeVisible();
    await row.click();
    await expect(page.locator(".disclosed")).toContainText("Something that is reported while the operator looks");
    await expect(page.getByText("This is the message as the server has it.")).toBeVisible();
    const person = page.getByRole("region", { name: "The person reported" });
    await expect(person).toContainText("@ben.okafor");
    await person.getByRole("switch", { name: /Suspended/ }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Suspend" }).click();
    await expect(status(page)).toContainText("@ben.okafor is suspended.");
    await expect(person.getByRole("switch", { name: /Suspended/ })).toBeChecked();
    await expect(ben.say(room, "No more")).rejects.toThrow("M_USER_SUSPENDED");
    await person.getByRole("switch", { name: /Suspended/ }).click();
    await expect(status(page)).toContainText("is not suspended any more");
    await page.getByLabel("Note").fill("Warned");
    await page.getByRole("button", { name: "Close report" }).click();
    await expect(status(page)).toContainText("is closed.");
    await expect(page).toHaveURL(/\/reports$/);
    await expect(row).toHaveCount(0);
    await page.getByRole("button", { name: "Closed" }).click();
    await page.getByRole("link", { name: /Warned/ }).click();
    await expect(page.locator(".facts")).toContainText("Warned");
    await expect(page.getByRole("button", { name: "Close report" })).toHaveCount(0);
    await page.goto(consoleOf(app, "account", "actions"));
    await expect(page.getByRole("listitem").filter({ hasText: "Closed a report" })).toContainText(`@${ADMINISTRATOR}`);
});

test("what was disclosed of an encrypted message is said to be the reporter's word, and people of other platforms are left to their operators", async ({
    operated: { app },
    browser,
}) => {
    const page = await operate(app, browser, "account");
    await page.getByRole("link", { name: /A threat/ }).click();
    await expect(page.locator(".disclosed")).toContainText("You will regret that.");
    await expect(page.getByText("the server cannot check it")).toBeVisible();
    await page.getByRole("link", { name: "Back" }).click();
    await page.getByRole("link", { name: /Pretends to be my bank/ }).click();
    const person = page.getByRole("region", { name: "The person reported" });
    await expect(person).toContainText("This person is on Telloby.");
    await expect(person.getByRole("switch")).toHaveCount(0);
});

test("a token is made, copied, used to sign up, and deleted", async ({ operated: { app }, browser }) => {
    const page = await operate(app, browser, "handle", { permissions: ["clipboard-read", "clipboard-write"] });
    await menu(page).getByRole("link", { name: "Sign-up codes" }).click();
    await expect(page.getByText("No codes yet")).toBeVisible();
    await page.getByRole("button", { name: "New code" }).click();
    const dialog = page.getByRole("dialog", { name: "New code" });
    await dialog.getByLabel("How many people can use it").fill("1");
    await dialog.getByLabel("How long it can be used").selectOption("7");
    await dialog.getByRole("button", { name: "Make code" }).click();
    const row = page.getByRole("listitem").filter({ hasText: "Used 0 of 1 times" });
    await expect(row).toContainText("until");
    await row.getByRole("button", { name: /Copy/ }).click();
    await expect(status(page)).toContainText("Copied.");
    const token = await page.evaluate(() => navigator.clipboard.readText());
    expect(token.length).toBeGreaterThan(6);

    const newcomer = await app.open(browser, "handle");
    await newcomer.getByRole("button", { name: "Create account" }).click();
    await newcomer.getByLabel("Your name").fill("Nora New");
    await newcomer.getByLabel("Handle").fill("nora.new");
    await newcomer.getByLabel("Choose a password").fill(PASSWORD);
    await newcomer.getByLabel("Sign-up code").fill(token);
    await newcomer.getByRole("button", { name: "Create account" }).click();
    await newcomer.locator(".pane.chats").waitFor();

    await page.reload();
    await expect(page.getByRole("listitem").filter({ hasText: "Used 1 of 1 times" })).toContainText("Used up or expired");
    await page.getByRole("button", { name: `Delete ${token}` }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await expect(page.getByText("No codes yet")).toBeVisible();
});

test("a user is found, locked and unlocked, gets a password, and is deactivated", async ({ operated: { app }, browser }) => {
    const origin = app.platforms.origins.account;
    await app.platforms.register("account", "marta.lock", "Marta");
    const page = await operate(app, browser, "account");
    await menu(page).getByRole("link", { name: "Users" }).click();
    await page.getByRole("searchbox").fill("nobody-like-this");
    await expect(page.getByText("Nobody is called “nobody-like-this”")).toBeVisible();
    await page.getByRole("searchbox").fill("marta");
    await page.getByRole("link", { name: /@marta.lock/ }).click();
    await expect(page.getByRole("heading", { name: "@marta.lock" })).toBeFocused();

    const locked = page.getByRole("switch", { name: /Locked/ });
    await locked.click();
    await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
    await expect(locked).not.toBeChecked();
    expect(await canLogIn(origin, "marta.lock")).toBe(true);
    await locked.click();
    await page.getByRole("dialog").getByRole("button", { name: "Lock", exact: true }).click();
    await expect(locked).toBeChecked();
    await expect(page.locator(".chip")).toHaveText("Locked");
    expect(await canLogIn(origin, "marta.lock")).toBe(false);
    await locked.click();
    await expect(locked).not.toBeChecked();
    expect(await canLogIn(origin, "marta.lock")).toBe(true);

    const devices = page.locator(".records > li");
    await page.reload();
    await expect(devices.first()).toBeVisible();
    const before = await devices.count();
    expect(before).toBeGreaterThan(1);
    await devices.first().getByRole("button", { name: /Log out/ }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Log out" }).click();
    await expect(devices).toHaveCount(before - 1);
    await page.getByRole("button", { name: "Log out everywhere" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Log out" }).click();
    await expect(page.getByText("No device is logged in")).toBeVisible();

    await page.getByRole("button", { name: "Reset password" }).click();
    const password = page.getByRole("dialog").getByLabel("Password", { exact: true });
    await page.getByRole("dialog").getByRole("button", { name: "Make one up" }).click();
    await expect(password).toHaveValue(/^(\w{5}-){3}\w{5}$/);
    await page.getByRole("dialog").getByRole("button", { name: "Set password" }).click();
    await expect(status(page)).toContainText("@marta.lock has a new password.");
    expect(await canLogIn(origin, "marta.lock")).toBe(false);

    await page.getByRole("button", { name: "Deactivate for good" }).click();
    const sure = page.getByRole("dialog").getByRole("button", { name: "Deactivate" });
    await expect(sure).toBeDisabled();
    await page.getByRole("dialog").getByRole("textbox").fill("marta.lock");
    await sure.click();
    await expect(page.getByText("This account was deactivated for good.")).toBeVisible();
});

test("a user is created, made an administrator, and uses the console", async ({ operated: { app }, browser }) => {
    const page = await operate(app, browser, "account");
    await menu(page).getByRole("link", { name: "Users" }).click();
    await page.getByRole("button", { name: "Create user" }).click();
    const dialog = page.getByRole("dialog", { name: "Create user" });
    await dialog.getByLabel("Username").fill("Not A Name");
    await dialog.getByLabel("Password", { exact: true }).fill(PASSWORD);
    await dialog.getByRole("button", { name: "Create" }).click();
    await expect(dialog.getByRole("alert")).toContainText("A name has small letters");
    await dialog.getByLabel("Username").fill("second.admin");
    await dialog.getByRole("button", { name: "Create" }).click();
    await expect(page.getByRole("heading", { name: "@second.admin" })).toBeVisible();
    await page.getByRole("switch", { name: /Administrator/ }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Make administrator" }).click();
    await expect(page.getByRole("switch", { name: /Administrator/ })).toBeChecked();

    const second = await openConsole(app, browser, "account");
    await logInToConsole(second, "second.admin");
    await expect(second.getByRole("heading", { name: "Reports" })).toBeVisible();
    await second.goto(consoleOf(app, "account", "users/second.admin"));
    await expect(second.getByRole("switch", { name: /Administrator/ })).toBeDisabled();
    // Whoever is no administrator any more is told so.
    await page.getByRole("switch", { name: /Administrator/ }).click();
    await expect(page.getByRole("switch", { name: /Administrator/ })).not.toBeChecked();
    await second.reload();
    await expect(second.getByRole("alert")).toHaveText("This account is not an administrator any more.");
});

test("an account that is no administrator is told so, and leaves no session", async ({ operated: { app, anna }, browser }) => {
    const page = await openConsole(app, browser, "account");
    const devices = async () => ((await anna.call("GET", "/_matrix/client/v3/devices")).devices as unknown[]).length;
    const before = await devices();
    await logInToConsole(page, "anna.berg");
    await expect(page.getByRole("alert")).toHaveText("This account is no administrator of Parlune. Only administrators can use the console.");
    expect(await devices()).toBe(before);
    await page.locator("input[name=password]").fill("a wrong one");
    await page.getByRole("button", { name: "Log in" }).click();
    await expect(page.getByRole("alert")).toHaveText("The name or the password is not right.");
    // Another platform's console knows nothing of this platform's administrators.
    await page.goto(consoleOf(app, "phone"));
    await logInToConsole(page);
    await expect(page.getByRole("alert")).toHaveText("The name or the password is not right.");
});

test("who is logged in to the app goes on with a click, and stays logged in to it", async ({ operated: { app }, browser }) => {
    const page = await app.open(browser, "account", { serviceWorkers: "block" });
    const inApp = { userId: `@${ADMINISTRATOR}:messenger.localhost`, deviceId: "APP" };
    const body = { type: "m.login.password", identifier: { type: "m.id.user", user: ADMINISTRATOR }, password: PASSWORD, device_id: "APP" };
    const answer = await fetch(`${app.platforms.origins.account}/_matrix/client/v3/login`, { method: "POST", body: JSON.stringify(body) });
    const { access_token: accessToken } = (await answer.json()) as { access_token: string };
    await page.evaluate((session) => localStorage.setItem("linkspan.sessions", JSON.stringify([session])), { ...inApp, accessToken });
    await page.goto(consoleOf(app, "account", "users"));
    await page.getByRole("button", { name: `Continue as @${ADMINISTRATOR}` }).click();
    await expect(page.getByRole("link", { name: /@anna.berg/ })).toBeVisible();
    await menu(page).getByRole("button", { name: "Log out" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Log out" }).click();
    await expect(page.getByRole("button", { name: `Continue as @${ADMINISTRATOR}` })).toBeVisible();
    const whoami = await fetch(`${app.platforms.origins.account}/_matrix/client/v3/account/whoami`, { headers: { Authorization: `Bearer ${accessToken}` } });
    expect(whoami.ok).toBe(true);
});

test("plots move under load", async ({ operated: { app, anna, ben, room }, browser }) => {
    const page = await operate(app, browser, "account");
    await menu(page).getByRole("link", { name: "Overview" }).click();
    const now = async (title: string) => (await plot(page, title).getAttribute("aria-valuetext")) ?? "";
    const figure = async (title: string) => Number(/: (?:half )?([\d.,]+)/.exec(await now(title))?.[1]?.replace(",", "") ?? 0);
    await expect(plot(page, "Messages per second")).toBeVisible();
    // A client that waits for news, as every app does.
    const first = (await ben.call("GET", "/_matrix/client/v3/sync?timeout=0")).next_batch as string;
    const waiting = ben.call("GET", `/_matrix/client/v3/sync?timeout=30000&filter={"room":{"rooms":[]}}&since=${encodeURIComponent(first)}`);
    let isLoading = true;
    const load = (async () => {
        while (isLoading) await Promise.all(Array.from({ length: 5 }, (_, at) => anna.say(room, `Load ${at}`)));
    })();
    await expect.poll(() => figure("Messages per second")).toBeGreaterThan(1);
    expect(await figure("Requests per second")).toBeGreaterThan(1);
    expect(await figure("Time to send")).toBeGreaterThan(0);
    await expect.poll(() => figure("Connected apps")).toBeGreaterThan(0);
    const moved = page.locator(".plot").filter({ hasText: "Messages per second" }).locator(".line");
    expect(await moved.getAttribute("d")).toMatch(/L/);
    isLoading = false;
    await Promise.all([load, waiting]);
    await expect.poll(() => figure("Messages per second")).toBe(0);
    expect(await now("Messages per second")).not.toMatch(/last hour: 0$/);
    // The past is there when the page opens anew, and is read by keys.
    await page.reload();
    await plot(page, "Messages per second").focus();
    const newest = Number(await plot(page, "Messages per second").getAttribute("aria-valuenow"));
    await page.keyboard.press("ArrowLeft");
    expect(Number(await plot(page, "Messages per second").getAttribute("aria-valuenow"))).toBeLessThan(newest + 1);
    await page.goto(consoleOf(app, "account", "health"));
    await expect(page.getByText("The server is well")).toBeVisible();
    await expect(page.getByRole("row", { name: /Telloby/ })).toBeVisible();
    await expect(page.getByRole("row", { name: /Rooms that a person is in 10,000/ })).toBeVisible();
});

test("a report is handled by the keyboard alone", async ({ operated: { app, anna, ben, room }, browser }) => {
    const said = await ben.say(room, "For the keyboard");
    await report(anna, room, said, "By the keyboard");
    const page = await openConsole(app, browser, "account");
    await page.getByLabel("Username or email address").focus();
    await page.keyboard.type(ADMINISTRATOR);
    await page.keyboard.press("Tab");
    await page.keyboard.type(PASSWORD);
    await page.keyboard.press("Enter");
    const row = page.getByRole("link", { name: /By the keyboard/ });
    await row.waitFor();
    const tabTo = async (wanted: ReturnType<Page["locator"]>) => {
        for (let presses = 0; presses < 60; presses++) {
            if (await wanted.evaluate((element) => element === document.activeElement)) return;
            await page.keyboard.press("Tab");
        }
        throw new Error("the keyboard does not get there");
    };
    await tabTo(row);
    await page.keyboard.press("Enter");
    await expect(page.getByRole("heading", { name: /^Report \d+/ })).toBeFocused();
    const locked = page.getByRole("switch", { name: /Locked/ });
    await locked.waitFor();
    await tabTo(page.getByLabel("Note"));
    await page.keyboard.type("Done without a mouse");
    await tabTo(locked);
    await page.keyboard.press("Space");
    await page.getByRole("dialog").waitFor();
    await page.keyboard.press("Escape");
    await expect(page.getByRole("dialog")).toHaveCount(0);
    await expect(locked).toBeFocused();
    await expect(locked).not.toBeChecked();
    const close = page.getByRole("button", { name: "Close report" });
    for (let presses = 0; presses < 10 && !(await close.evaluate((element) => element === document.activeElement)); presses++) await page.keyboard.press("Shift+Tab");
    await page.keyboard.press("Enter");
    await expect(status(page)).toContainText("is closed.");
    await expect(page.getByRole("heading", { name: "Reports" })).toBeFocused();
});

test("what cannot be reached says so, and is there when it is tried again", async ({ operated: { app }, browser }) => {
    const page = await operate(app, browser, "account");
    await page.route("**/_linkspan/admin/v1/users*", (route) => route.abort());
    await menu(page).getByRole("link", { name: "Users" }).click();
    await expect(page.getByRole("alert")).toContainText("The server cannot be reached.");
    await page.unroute("**/_linkspan/admin/v1/users*");
    await page.getByRole("button", { name: "Try again" }).click();
    await expect(page.getByRole("link", { name: /@anna.berg/ })).toBeVisible();
});

const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const LOOKS = { desktop: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } };

for (const [look, viewport] of Object.entries(LOOKS)) {
    test(`axe finds nothing in the console, ${look}`, async ({ operated: { app }, browser }) => {
        await app.platforms.operate("account", "POST", "/registration_tokens", { token: `axe-${look}` });
        const page = await openConsole(app, browser, "account", { viewport, isMobile: look === "phone", hasTouch: look === "phone" });
        const findings = async () => {
            const lines: string[] = [];
            for (const colorScheme of ["light", "dark"] as const) {
                await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
                const { violations } = await new AxeBuilder({ page }).withTags(RULES).analyze();
                lines.push(...violations.flatMap(({ id, nodes }) => nodes.map(({ html, any }) => `${colorScheme} ${id}: ${html.slice(0, 200)} ${any[0]?.message ?? ""}`)));
            }
            return lines;
        };
        const found: Record<string, string[]> = { door: await findings() };
        await logInToConsole(page);
        await page.locator(".console-menu").waitFor({ state: "attached" });
        found.menu = await findings();
        for (const { name, at, shown } of CONSOLE_VIEWS) {
            await page.goto(consoleOf(app, "account", at));
            await shown(page);
            found[name] = await findings();
            // Nothing is wider than the window.
            const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
            if (overflow > 0) found[name].push(`${overflow} pixels too wide`);
        }
        expect(Object.fromEntries(Object.entries(found).filter(([, lines]) => lines.length > 0))).toEqual({});
    });
}

test("every page is French for somebody French", async ({ operated: { app }, browser }) => {
    await app.platforms.operate("account", "POST", "/registration_tokens", { token: "fr-1", uses_allowed: 3 });
    const read = (file: string) => Object.values(JSON.parse(readFileSync(path.resolve(import.meta.dirname, "../src", file), "utf8")) as Record<string, string>);
    const french = new Set([...read("console/words/fr.json"), ...read("words/fr.json")]);
    const english = new Set([...read("console/words/en.json"), ...read("words/en.json")].filter((text) => !french.has(text) && !text.includes("{")));
    const ENGLISH = /\b(the|you|your|with|this|that|not|are|was|has|have|of|who)\b/i;
    const page = await operate(app, browser, "account", { locale: "fr-FR" });
    const problems: string[] = [];
    for (const { name, at, shown } of CONSOLE_VIEWS) {
        await page.goto(consoleOf(app, "account", at));
        await shown(page);
        const texts = await page.evaluate(() => {
            const theirs = new Set([...document.querySelectorAll(".more-of-it[dir=auto], .reason, .disclosed, .raw, option, [dir=auto], code")]);
            const lines: string[] = [document.title];
            const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
            for (let node = walk.nextNode(); node; node = walk.nextNode()) {
                const inside = (element: Element | null): boolean => element !== null && (theirs.has(element) || inside(element.parentElement));
                if (!inside(node.parentElement)) lines.push(node.textContent ?? "");
            }
            for (const element of document.querySelectorAll("[aria-label], [placeholder], [title]")) {
                lines.push(...["aria-label", "placeholder", "title", "aria-valuetext"].map((label) => element.getAttribute(label) ?? ""));
            }
            return lines;
        });
        problems.push(...texts.map((text) => text.trim()).filter((text) => english.has(text) || ENGLISH.test(text)).map((text) => `${name}: ${text}`));
    }
    expect(problems).toEqual([]);
});
