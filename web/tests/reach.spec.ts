// Who reaches and finds somebody: what they set by a click, and what others then see in their apps.

import type { Locator, Page } from "@playwright/test";

import { expect, test } from "./app.ts";
import { say } from "./composer.ts";
import { details, log, row, signUpByEmail, signUpByPhone, toList } from "./together.ts";

async function openSettings(page: Page, name: string): Promise<void> {
    await toList(page);
    await page.getByRole("link", { name: "Settings" }).click();
    await page.getByRole("link", { name, exact: true }).click();
}

/** Searches somebody, as one does to begin a chat. */
async function find(page: Page, term: string): Promise<void> {
    await page.getByRole("searchbox").fill("");
    await page.getByRole("searchbox").fill(term);
}

/** Searches until the search shows what a change of the settings has it show. */
async function finds(page: Page, term: string, shown: Locator): Promise<void> {
    await expect(async () => {
        await find(page, term);
        await expect(shown).toBeVisible({ timeout: 5_000 });
    }).toPass();
}

const found = (page: Page) => page.getByRole("region", { name: "On all platforms" });

test("who can message somebody is what they have chosen", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.reach", "Anna Berg");
    await app.platforms.register("account", "gerd.reach", "Gerd Vogel");
    const dora = await app.platforms.register("account", "dora.reach", "Dora Stern");
    const annas = await app.openFor(browser, "handle", "anna.reach");
    const gerds = await app.openFor(browser, "account", "gerd.reach");
    await openSettings(annas, "Who can message me");
    const direct = annas.getByRole("table", { name: "Who can message you?" });
    await expect(direct.getByRole("radio", { name: "Others on Parlune: Requests" })).toBeChecked();
    await direct.getByRole("radio", { name: "Others on Parlune: Chats" }).check();
    await expect.poll(async () => JSON.stringify(await anna.call("GET", "/_linkspan/client/v1/reach"))).toContain("straight");

    // What a stranger begins is a chat at once.
    await gerds.goto(`${app.addresses.account}/new/with/${encodeURIComponent(anna.userId)}`);
    await gerds.getByRole("textbox", { name: "Message to Anna Berg" }).fill("Straight to you");
    await gerds.keyboard.press("Enter");
    await annas.goto(app.addresses.handle);
    await row(annas, "Gerd Vogel").click();
    await expect(log(annas)).toContainText("Straight to you");

    // Then nobody of that platform whom she does not know gets through, and none of them learns of it.
    await annas.goto(app.addresses.handle);
    await openSettings(annas, "Who can message me");
    await expect(direct.getByRole("radio", { name: "Others on Parlune: Chats" })).toBeChecked();
    await direct.getByRole("radio", { name: "Others on Parlune: Nobody" }).check();
    await expect.poll(async () => JSON.stringify(await anna.call("GET", "/_linkspan/client/v1/reach"))).toContain("ignored");
    const request = { is_direct: true, preset: "trusted_private_chat", invite: [anna.userId] };
    await dora.call("POST", "/_matrix/client/v3/createRoom", request);
    await annas.goto(app.addresses.handle);
    await say(gerds, "Still here");
    await expect(row(annas, "Gerd Vogel")).toContainText("Still here");
    await expect(annas.getByRole("link", { name: "Message requests" })).toHaveCount(0);
    await expect(row(annas, "Dora Stern")).toHaveCount(0);
    await annas.context().close();
    await gerds.context().close();
});

test("who does not want to be found by number, address or name is not", async ({ proving, browser }) => {
    const { app, post } = proving;
    const [cleos, gerds] = await Promise.all([
        signUpByPhone(app, post, browser, "Cleo Wanderlust", "+491713920201"),
        signUpByEmail(app, post, browser, "Gerd Wanderlust", "gerd.found@example.org"),
    ]);
    await gerds.getByRole("link", { name: "New chat" }).click();
    await find(gerds, "+49 171 3920201");
    await expect(found(gerds).getByRole("link", { name: "Cleo Wanderlust" })).toBeVisible();
    await openSettings(cleos, "Who can find me");
    const by = (question: string) => cleos.getByRole("group", { name: question });
    await by("Who can find you by your phone number?").getByRole("radio", { name: "Nobody" }).check();
    await finds(gerds, "+49 171 3920201", found(gerds).getByText("Nobody was found by +491713920201."));
    await expect(found(gerds).getByRole("link", { name: "Cleo Wanderlust" })).toHaveCount(0);

    // By name she is still found, until she does not want that either.
    await find(gerds, "Wanderlust");
    await by("Who can find you by your name?").getByRole("radio", { name: "Everybody, on all platforms" }).check();
    await finds(gerds, "Wanderlust", found(gerds).getByRole("link", { name: "Cleo Wanderlust" }));
    await by("Who can find you by your name?").getByRole("radio", { name: "People on Telloby, and my contacts" }).check();
    await finds(gerds, "Wanderlust", found(gerds).getByText("Nobody was found by this."));

    await cleos.goto(app.addresses.phone);
    await cleos.getByRole("link", { name: "New chat" }).click();
    await openSettings(gerds, "Who can find me");
    const byEmail = gerds.getByRole("group", { name: "Who can find you by your email address?" });
    await byEmail.getByRole("radio", { name: "Everybody, on all platforms" }).check();
    await finds(cleos, "gerd.found@example.org", found(cleos).getByRole("link", { name: "Gerd Wanderlust" }));
    await byEmail.getByRole("radio", { name: "Nobody" }).check();
    await finds(cleos, "gerd.found@example.org", found(cleos).getByText("Nobody was found by gerd.found@example.org."));
    await cleos.context().close();
    await gerds.context().close();
});

test("nothing of somebody who is blocked arrives, until they are taken off the list", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.blocks", "Anna Berg");
    const gerd = await app.platforms.register("account", "gerd.blocks", "Gerd Vogel");
    const eva = await app.platforms.register("handle", "eva.blocks", "Eva Lindqvist");
    const [room, other] = [await gerd.chatWith(anna), await eva.chatWith(anna)];
    const page = await app.openFor(browser, "handle", "anna.blocks");
    await row(page, "Gerd Vogel").click();
    await page.getByRole("main").getByRole("link", { name: "Gerd Vogel" }).first().click();
    await details(page).getByRole("button", { name: "Block" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Block", exact: true }).click();
    await expect(page.getByText("You have blocked Gerd Vogel.")).toBeVisible();
    await gerd.say(room, "Do you not hear me?");
    await eva.say(other, "Hello from Eva");
    await expect(row(page, "Eva Lindqvist")).toContainText("Hello from Eva");
    await expect(log(page)).not.toContainText("Do you not hear me?");
    await page.goto(app.addresses.handle);
    await openSettings(page, "Blocked people");
    const blocked = page.getByRole("main").getByRole("listitem").filter({ hasText: "Gerd Vogel" });
    await expect(blocked).toContainText("Parlune");
    await blocked.getByRole("button", { name: "Unblock" }).click();
    await expect(page.getByText("You block nobody.")).toBeVisible();
    await page.goto(app.addresses.handle);
    await row(page, "Gerd Vogel").click();
    await gerd.say(room, "And now?");
    await expect(log(page)).toContainText("And now?");
    await page.context().close();
});

test("two accounts of one person are linked, and contacts see that if they may", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.linked", "Anna Berg");
    await app.platforms.register("account", "anna.berg.too", "Anna Berg at work");
    const gerd = await app.platforms.register("account", "gerd.linked", "Gerd Vogel");
    await gerd.chatWith(anna);
    const annas = await app.openFor(browser, "handle", "anna.linked");
    const others = await app.openFor(browser, "account", "anna.berg.too");
    await openSettings(annas, "Linked accounts");
    await openSettings(others, "Linked accounts");
    await annas.getByRole("button", { name: "Show a code" }).click();
    const shown = annas.getByRole("status", { name: "Code" });
    await expect(shown).toHaveText(/\w{4,}/);
    await others.getByRole("button", { name: "Enter a code" }).click();
    await others.getByRole("dialog").getByLabel("Code").fill((await shown.textContent())!);
    await others.getByRole("dialog").getByRole("button", { name: "Next" }).click();
    const question = annas.getByRole("dialog", { name: "Is this your account?" });
    await expect(question).toContainText("Anna Berg at work");
    await expect(question).toContainText("Parlune");
    await expect(question).not.toContainText("messenger.localhost");
    await question.getByRole("button", { name: "Yes, it is mine" }).click();
    await expect(annas.getByRole("main").getByRole("listitem")).toContainText("Anna Berg at work");

    const gerds = await app.openFor(browser, "account", "gerd.linked");
    const card = `${app.addresses.account}/new/with/${encodeURIComponent(anna.userId)}`;
    const linked = gerds.getByRole("list", { name: "Other accounts of theirs" });
    await row(gerds, "Anna Berg").click();
    await gerds.getByRole("main").getByRole("link", { name: "Anna Berg" }).first().click();
    await expect(details(gerds)).toContainText("On Glimbry");
    await expect(linked).toHaveCount(0);
    await annas.getByRole("switch", { name: "Show linked accounts to contacts" }).check();
    await expect(annas.getByRole("group", { name: "Where do chats with this account arrive?" })).toBeVisible();
    await gerds.goto(card);
    await gerds.getByRole("main").getByRole("link", { name: "Anna Berg" }).first().click();
    await expect(linked).toContainText("Parlune");
    await annas.getByRole("button", { name: "Unlink" }).click();
    await annas.getByRole("dialog").getByRole("button", { name: "Unlink" }).click();
    await expect(annas.getByRole("button", { name: "Unlink" })).toHaveCount(0);
    await others.reload();
    await expect(others.getByText("Link your accounts on other platforms")).toBeVisible();
    for (const page of [annas, others, gerds]) await page.context().close();
});
