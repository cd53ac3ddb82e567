import { expect, test } from "./app.ts";
import type { Person } from "./platforms.ts";

const pathOf = (userId: string) => `/new/with/${encodeURIComponent(userId)}`;

/** How many devices of a person messages can be encrypted for. */
async function devicesWithKeys(person: Person): Promise<number> {
    const answer = await person.call("POST", "/_matrix/client/v3/keys/query", { device_keys: { [person.userId]: [] } });
    return Object.keys((answer.device_keys as Record<string, object>)[person.userId] ?? {}).length;
}

test("somebody of another platform is found by handle, written to, and accepts", async ({ app, browser }) => {
    await app.platforms.register("handle", "hilde.meet", "Hilde Brandt");
    const gerd = await app.platforms.register("account", "gerd.meet", "Gerd Vogel");
    const hildes = await app.openFor(browser, "handle", "hilde.meet");
    const gerds = await app.openFor(browser, "account", "gerd.meet");
    // Keys can only be sent to a device that has told its own.
    await expect.poll(() => devicesWithKeys(gerd)).toBe(1);
    await hildes.getByRole("link", { name: "New chat" }).click();
    await hildes.getByRole("searchbox").fill("gerd.meet");
    await hildes.getByRole("region", { name: "On all platforms" }).getByRole("link", { name: "Gerd Vogel" }).click();
    await hildes.getByRole("textbox", { name: "Message to Gerd Vogel" }).fill("Is this your umbrella? https://example.org/umbrella");
    await hildes.keyboard.press("Enter");
    await expect(hildes.getByRole("log")).toContainText("Is this your umbrella?");

    await gerds.getByRole("link", { name: "Message requests" }).click();
    await gerds.getByRole("link", { name: "Hilde Brandt" }).click();
    const said = gerds.getByRole("list", { name: "What was said" });
    await expect(said).toContainText("Is this your umbrella?");
    await expect(said.getByRole("link")).toHaveCount(0);
    await expect(gerds.getByRole("main")).toContainText("@hilde.meet");
    await expect(gerds).toHaveTitle("Parlune");
    await gerds.getByRole("button", { name: "Accept" }).click();
    await expect(gerds.getByRole("log")).toContainText("Is this your umbrella?");
    await expect(gerds.getByRole("link", { name: "Message requests" })).toHaveCount(0);
    await gerds.getByRole("textbox", { name: "Message" }).fill("It is!");
    await gerds.keyboard.press("Enter");
    await expect(hildes.getByRole("log")).toContainText("It is!");
    await hildes.context().close();
    await gerds.context().close();
});

test("a request is deleted, and its sender keeps waiting", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.delete", "Anna Berg");
    const sam = await app.platforms.register("account", "sam.delete", "Sam Stranger");
    const request = { is_direct: true, preset: "trusted_private_chat", invite: [anna.userId] };
    const { room_id } = await sam.call("POST", "/_matrix/client/v3/createRoom", request);
    await sam.say(room_id as string, "Buy this!");
    const page = await app.openFor(browser, "handle", "anna.delete");
    const sams = await app.openFor(browser, "account", "sam.delete");
    await page.getByRole("link", { name: "Message requests" }).click();
    await page.getByRole("link", { name: "Sam Stranger" }).click();
    await page.getByRole("button", { name: "Delete" }).click();
    await expect(page.getByText("Nobody is waiting for you.")).toBeVisible();
    await sams.getByRole("link", { name: "Anna Berg" }).click();
    await sams.getByRole("main").getByRole("link", { name: "Anna Berg" }).first().click();
    await expect(sams.getByRole("main").getByText("Waiting until Anna Berg accepts")).toBeVisible();
    await page.context().close();
    await sams.context().close();
});

test("who is blocked with a request is on the list, and does not get through again", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.block", "Anna Berg");
    const sam = await app.platforms.register("account", "sam.block", "Sam Stranger");
    const request = { is_direct: true, preset: "trusted_private_chat", invite: [anna.userId] };
    await sam.call("POST", "/_matrix/client/v3/createRoom", request);
    const page = await app.openFor(browser, "handle", "anna.block");
    await page.getByRole("link", { name: "Message requests" }).click();
    await page.getByRole("link", { name: "Sam Stranger" }).click();
    await page.getByRole("button", { name: "Block" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("switch", { name: /Report/ }).check();
    await dialog.getByRole("textbox").fill("He sells bicycles.");
    await dialog.getByRole("button", { name: "Block and report" }).click();
    await expect(page.getByText("Nobody is waiting for you.")).toBeVisible();
    const { blocked } = await anna.call("GET", "/_linkspan/client/v1/blocks");
    expect(blocked).toEqual([sam.userId]);
    await sam.call("POST", "/_matrix/client/v3/createRoom", request);
    await page.reload();
    await expect(page.getByText("Nobody is waiting for you.")).toBeVisible();
    await page.context().close();
});

test("looking at somebody does not reach them, and what was begun is kept", async ({ app, browser }) => {
    await app.platforms.register("handle", "anna.draft", "Anna Berg");
    const ben = await app.platforms.register("account", "ben.draft", "Ben Okafor");
    const page = await app.openFor(browser, "handle", "anna.draft");
    await page.goto(app.addresses.handle + pathOf(ben.userId));
    await page.getByRole("textbox", { name: "Message to Ben Okafor" }).fill("I wanted to say");
    await page.goto(app.addresses.handle);
    const row = page.getByRole("link", { name: "Ben Okafor" });
    await expect(row).toContainText("Draft: I wanted to say");
    await row.click();
    await expect(page.getByRole("textbox", { name: "Message to Ben Okafor" })).toHaveValue("I wanted to say");
    expect((await ben.call("GET", "/_linkspan/client/v1/requests")).requests).toEqual([]);
    await page.context().close();
});

test("whoever has a chat with somebody is led to it", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.again", "Anna Berg");
    const ben = await app.platforms.register("handle", "ben.again", "Ben Okafor");
    await ben.say(await ben.chatWith(anna), "We know each other");
    const page = await app.openFor(browser, "handle", "anna.again");
    await page.getByRole("link", { name: "New chat" }).click();
    await page.getByRole("searchbox").fill("Ben Okafor");
    await page.getByRole("region", { name: "On all platforms" }).getByRole("link", { name: "Ben Okafor" }).first().click();
    await expect(page.getByRole("log")).toContainText("We know each other");
    await page.context().close();
});

test("a first message makes one chat, however often it is tried, and is kept until the server has it", async ({ app, browser }) => {
    await app.platforms.register("handle", "ulrike.first", "Ulrike Sand");
    const theo = await app.platforms.register("account", "theo.first", "Theo Winkel");
    const page = await app.openFor(browser, "handle", "ulrike.first");
    await expect(page.getByRole("link", { name: "New chat" })).toBeVisible();
    let noted = 0;
    await page.route("**/account_data/m.direct", (route) =>
        route.request().method() === "PUT" && noted++ === 0 ? route.fulfill({ status: 500, json: { errcode: "M_UNKNOWN" } }) : route.fallback(),
    );
    let sent = 0;
    await page.route("**/send/m.room.encrypted/**", (route) =>
        sent++ === 0 ? route.fulfill({ status: 400, json: { errcode: "M_UNKNOWN", error: "no" } }) : route.fallback(),
    );
    await page.goto(app.addresses.handle + pathOf(theo.userId));
    const field = page.getByRole("textbox", { name: "Message to Theo Winkel" });
    await field.fill("I have *your* umbrella");
    await page.keyboard.press("Enter");
    await expect(page.getByRole("alert")).toHaveText("That did not work. Try again.");
    await field.press("Enter");
    const log = page.getByRole("log");
    await expect(log.locator("strong")).toHaveText("your");
    await log.getByRole("button", { name: "Try again" }).click();
    await expect(log.getByRole("img", { name: "Sent" })).toBeVisible();
    expect((await theo.call("GET", "/_linkspan/client/v1/requests")).requests).toHaveLength(1);
    await page.context().close();
});

test("what was begun to somebody is gone with the account of whoever logs out", async ({ app, browser }) => {
    await app.platforms.register("account", "ulrike.out", "Ulrike Sand");
    await app.platforms.register("account", "ulrike.other", "Ulrike Sand");
    const theo = await app.platforms.register("handle", "theo.out", "Theo Winkel");
    const page = await app.openFor(browser, "account", "ulrike.out");
    await page.goto(app.addresses.account + pathOf(theo.userId));
    await page.getByRole("textbox", { name: "Message to Theo Winkel" }).fill("Nobody else may read this");
    await page.goto(`${app.addresses.account}/settings`);
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Log out" }).click();
    await expect(page.locator("input[name=password]")).toBeVisible();
    expect(await page.evaluate(() => JSON.stringify(localStorage))).not.toContain("Nobody else may read this");
    await app.logIn(page, "ulrike.other");
    await page.goto(app.addresses.account + pathOf(theo.userId));
    await expect(page.getByRole("textbox", { name: "Message to Theo Winkel" })).toHaveValue("");
    await page.context().close();
});

test("of many contacts, only those that are shown are asked for", async ({ app, browser }) => {
    await app.platforms.register("handle", "anna.many", "Anna Berg");
    const page = await app.openFor(browser, "handle", "anna.many");
    const contacts = Array.from({ length: 300 }, (_, at) => ({ user_id: `@c${String(at).padStart(3, "0")}:messenger.localhost`, since_ts: 1, how: "accepted" }));
    const asked = new Set<string>();
    await page.route("**/client/v1/contacts", (route) => route.fulfill({ json: { contacts } }));
    await page.route("**/client/v1/contacts/*/card", (route) => {
        const user_id = decodeURIComponent(/contacts\/([^/]+)\/card/.exec(route.request().url())![1]!);
        asked.add(user_id);
        return route.fulfill({ json: { user_id, displayname: `Contact ${user_id.slice(2, 5)}`, accounts: [] } });
    });
    await page.getByRole("link", { name: "New chat" }).click();
    const list = page.getByRole("region", { name: "Contacts" });
    await expect(list.getByRole("link", { name: "Contact 000" })).toBeVisible();
    await expect(list.getByRole("link", { name: "Contact 005" })).toBeVisible();
    expect(await list.getByRole("link").count()).toBeLessThan(40);
    expect(asked.size).toBeLessThan(40);
    await page.locator(".results").evaluate((results) => results.scrollTo(0, results.scrollHeight));
    await expect(list.getByRole("link", { name: "Contact 299" })).toBeVisible();
    await expect(list.getByRole("listitem").filter({ hasText: "Contact 299" })).toHaveAttribute("aria-posinset", "300");
    expect(asked.size).toBeLessThan(80);
    await page.getByRole("searchbox").fill("c151");
    await expect(list.getByRole("link", { name: "Contact 151" })).toBeVisible();
    await page.context().close();
});

test("of many requests, only those that are shown are looked into, and not for ever", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.asked", "Anna Berg");
    for (let number = 0; number < 3; number++) {
        const sender = await app.platforms.register("account", `sender${number}.asked`, `Many Sender ${number}`);
        for (let at = 0; at < 10; at++) {
            await sender.call("POST", "/_matrix/client/v3/createRoom", { is_direct: true, preset: "trusted_private_chat", invite: [anna.userId] });
        }
    }
    const page = await app.open(browser, "handle");
    await page.clock.install();
    const looks: URL[] = [];
    page.on("request", (request) => {
        const url = new URL(request.url());
        if (url.pathname.endsWith("/preview")) looks.push(url);
    });
    await app.logIn(page, "anna.asked");
    await page.getByRole("link", { name: "Message requests" }).click();
    const rows = page.getByRole("listitem").filter({ hasText: "Many Sender" });
    await expect(rows.first()).toHaveAttribute("aria-setsize", "30");
    await expect(rows.first()).toContainText("Parlune");
    expect(await rows.count()).toBeLessThan(25);
    expect(new Set(looks.map(({ pathname }) => pathname)).size).toBeLessThan(25);
    await page.getByRole("link", { name: "Many Sender" }).first().click();
    await expect(page.getByRole("main")).toContainText("Nothing has been said yet");
    // The open request looks for what was said in it, as the rows do.
    const looksOfOpen = () => looks.filter(({ search }) => search === "?limit=20").length;
    await expect(async () => {
        await page.clock.fastForward(60_000);
        expect(looksOfOpen()).toBeGreaterThanOrEqual(5);
    }).toPass();
    await page.evaluate(() => fetch("/_matrix/client/versions"));
    await page.clock.fastForward(600_000);
    await page.evaluate(() => fetch("/_matrix/client/versions"));
    expect(looksOfOpen()).toBe(5);
    await page.context().close();
});
