// Writing and sending: what is written is neither lost nor sent twice, and looks to the others as it was meant.

import { expect, test } from "./app.ts";
import { bodies, field, heard, pair, say } from "./composer.ts";

test("what is written without the server is sent once and in order when it is back, also after a reload", async ({ app, browser }) => {
    const chat = await pair(app, browser);
    await app.platforms.end();
    await say(chat.page, "one");
    await say(chat.page, "two");
    await expect(chat.page.getByRole("log")).toContainText("two");
    await chat.page.reload();
    await app.platforms.begin();
    await expect.poll(() => bodies(chat)).toEqual(["one", "two"]);
    await say(chat.page, "three");
    await expect.poll(() => bodies(chat)).toEqual(["one", "two", "three"]);
});

test("a message whose answer was lost is sent again as the same", async ({ app, browser }) => {
    const chat = await pair(app, browser);
    const transactions: string[] = [];
    await chat.page.route("**/send/m.room.message/**", async (route) => {
        transactions.push(new URL(route.request().url()).pathname);
        if (transactions.length > 1) return route.fallback();
        await route.fetch();
        await route.abort();
    });
    await say(chat.page, "only once");
    await expect.poll(() => transactions.length).toBe(2);
    expect(transactions[0]).toBe(transactions[1]);
    await say(chat.page, "and then this");
    await expect.poll(() => bodies(chat)).toEqual(["only once", "and then this"]);
});

test("a message that the server wants later is sent later by itself", async ({ app, browser }) => {
    const chat = await pair(app, browser);
    let attempts = 0;
    await chat.page.route("**/send/m.room.message/**", (route) => {
        const slower = { errcode: "M_LIMIT_EXCEEDED", error: "slower", retry_after_ms: 5 };
        return attempts++ < 2 ? route.fulfill({ status: 429, json: slower }) : route.fallback();
    });
    await say(chat.page, "in a moment");
    await say(chat.page, "and after it");
    await expect.poll(() => bodies(chat)).toEqual(["in a moment", "and after it"]);
    await expect(chat.page.getByRole("log").getByRole("img", { name: "Sent" })).toHaveCount(2);
});

test("what cannot be sent yet can be taken back, and what was written after it is sent", async ({ app, browser }) => {
    const chat = await pair(app, browser);
    const { page } = chat;
    const takeBack = async (text: string) => {
        await page.locator(".message", { hasText: text }).locator(".bubble").click({ button: "right" });
        await page.getByRole("menuitem", { name: "Remove" }).click();
        await expect(page.getByRole("log")).not.toContainText(text);
    };
    await page.route("**/send/m.room.message/**", (route) =>
        route.request().postData()?.includes("breaks it") ? route.fulfill({ status: 500, json: { errcode: "M_UNKNOWN" } }) : route.fallback(),
    );
    await say(page, "breaks it");
    await say(page, "after the first");
    await expect(page.getByRole("log")).toContainText("Waiting for the network");
    await takeBack("breaks it");
    await expect.poll(() => bodies(chat)).toEqual(["after the first"]);
    // A large file is one whose upload takes long.
    await page.route("**/upload*", () => undefined);
    const chooser = page.waitForEvent("filechooser");
    await page.getByRole("button", { name: "Add", exact: true }).click();
    await page.getByRole("menuitem", { name: "File" }).click();
    await (await chooser).setFiles([{ name: "film.bin", mimeType: "application/octet-stream", buffer: Buffer.from("long") }]);
    await field(page).press("Enter");
    await say(page, "after the second");
    await takeBack("film.bin");
    await expect.poll(() => bodies(chat)).toEqual(["after the first", "after the second"]);
});

test("a draft survives a reload, and is not the draft of another chat", async ({ app, browser }) => {
    const chat = await pair(app, browser);
    const eva = await app.platforms.register("account", "eva.drafts", "Eva Lindqvist");
    await eva.chatWith(chat.anna);
    await field(chat.page).fill("I have not decided yet");
    await chat.page.reload();
    await expect(field(chat.page)).toHaveValue("I have not decided yet");
    await chat.page.getByRole("link", { name: "Eva Lindqvist" }).click();
    await expect(field(chat.page)).toHaveValue("");
    await chat.page.getByRole("link", { name: "Ben Okafor" }).click();
    await expect(field(chat.page)).toHaveValue("I have not decided yet");
});

test("a draft still answers its message after a reload, also when that is far away", async ({ app, browser }) => {
    const chat = await pair(app, browser);
    const { page, ben, room } = chat;
    const asked = await ben.say(room, "Who brings the tent?");
    const about = page.locator(".composer .about");
    await page.getByRole("log").getByText("Who brings the tent?").click({ button: "right" });
    await page.getByRole("menuitem", { name: "Reply" }).click();
    await field(page).fill("I do");
    for (let at = 0; at < 60; at++) await ben.say(room, `Line ${at}`);
    await page.reload();
    await expect(about).toContainText("Who brings the tent?");
    await page.reload();
    await expect(about).toContainText("Who brings the tent?");
    await expect(field(page)).toHaveValue("I do");
    await page.keyboard.press("Enter");
    await expect.poll(() => bodies(chat)).toEqual(["I do"]);
    const [answer] = await heard(chat);
    expect(answer!.content["m.relates_to"]).toEqual({ "m.in_reply_to": { event_id: asked } });
    await page.reload();
    await expect(page.getByRole("log")).toHaveAttribute("aria-busy", "false");
    await expect(page.getByRole("navigation", { name: "Chats" }).getByRole("link", { name: "Ben Okafor" })).toContainText("I do");
    await expect(about).toHaveCount(0);
    await expect(field(page)).toHaveValue("");
});

test("signs and keys make formatted text, and a name tells its person", async ({ app, browser }) => {
    const chat = await pair(app, browser);
    const { page } = chat;
    await field(page).fill("see _this_ ");
    await page.keyboard.press("Control+b");
    await page.keyboard.type("now");
    await page.keyboard.press("End");
    await page.keyboard.type(" @Ben");
    await page.getByRole("option", { name: "Ben Okafor" }).waitFor();
    await page.keyboard.press("Enter");
    await expect(field(page)).toHaveValue("see _this_ *now* @Ben Okafor ");
    await page.keyboard.press("Enter");
    await expect.poll(() => bodies(chat)).toEqual(["see _this_ *now* @Ben Okafor"]);
    const [message] = await heard(chat);
    const link = `https://matrix.to/#/${encodeURIComponent(chat.ben.userId)}`;
    expect(message!.content.formatted_body).toBe(`see <em>this</em> <strong>now</strong> <a href="${link}">Ben Okafor</a>`);
    expect(message!.content["m.mentions"]).toEqual({ user_ids: [chat.ben.userId] });
});

test("the arrow key changes the last message, and Escape does not", async ({ app, browser }) => {
    const chat = await pair(app, browser);
    const { page } = chat;
    await say(page, "Hello Bne");
    await expect.poll(() => bodies(chat)).toHaveLength(1);
    await expect(page.getByRole("log").getByRole("img", { name: "Sent" })).toBeVisible();
    // A place has no words that one could change.
    await chat.anna.send(chat.room, { msgtype: "m.location", body: "here", geo_uri: "geo:59.3293,18.0686" });
    await expect(page.getByRole("log")).toContainText("59.32930, 18.06860");
    await page.keyboard.press("ArrowUp");
    await expect(field(page)).toHaveValue("Hello Bne");
    await page.keyboard.press("Escape");
    await expect(field(page)).toHaveValue("");
    await page.keyboard.press("ArrowUp");
    await say(page, "Hello Ben");
    await expect.poll(() => bodies(chat)).toEqual(["Hello Bne", "here", "* Hello Ben"]);
    const [first, , second] = await heard(chat);
    expect(second!.content["m.relates_to"]).toEqual({ rel_type: "m.replace", event_id: first!.event_id });
    expect(second!.content["m.new_content"]).toMatchObject({ msgtype: "m.text", body: "Hello Ben" });
});

test("a message to a chat that one was removed from says so, and can only be deleted", async ({ app, browser }) => {
    const chat = await pair(app, browser, ["account", "handle"]);
    const { page, anna, ben } = chat;
    const group = await ben.call("POST", "/_matrix/client/v3/createRoom", { name: "Hiking", preset: "public_chat" });
    const room = group.room_id as string;
    await anna.join(room);
    await page.getByRole("link", { name: "Hiking" }).click();
    await expect(field(page)).toBeFocused();
    await page.context().setOffline(true);
    await say(page, "Are you there?");
    await expect(page.getByRole("log")).toContainText("Waiting for the network");
    await ben.call("POST", `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/kick`, { user_id: anna.userId });
    await page.context().setOffline(false);
    await expect(page.getByText("You were removed from this chat.")).toBeVisible();
    await expect(page.getByRole("log")).toContainText("You are no longer in this chat.");
    await page.getByRole("log").getByRole("button", { name: "Delete" }).click();
    await expect(page.getByRole("log")).not.toContainText("Are you there?");
});

test("the emoji picker keeps to the page's security policy, and its emoji come into the text", async ({ app, browser }) => {
    const { page } = await pair(app, browser);
    const policy = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self' blob:; worker-src 'self'";
    const broken: string[] = [];
    page.on("console", (message) => message.text().includes("Content Security Policy") && broken.push(message.text()));
    await page.route("**/chat/**", async (route) => {
        const answer = await route.fetch();
        await route.fulfill({ response: answer, headers: { ...answer.headers(), "content-security-policy": policy } });
    });
    await page.reload();
    // What is open above the field closes when the chat takes the place of what was kept of it.
    await expect(page.getByRole("log")).toHaveAttribute("aria-busy", "false");
    await page.getByRole("button", { name: "Emoji" }).click();
    await page.getByRole("combobox", { name: "Search" }).fill("lion");
    await page.getByRole("option", { name: /^🦁/ }).click();
    await expect(field(page)).toHaveValue("🦁");
    await field(page).press("End");
    await page.keyboard.type(" :tiger");
    await page.getByRole("option", { name: "tiger face" }).click();
    await expect(field(page)).toHaveValue("🦁 🐯 ");
    expect(broken).toEqual([]);
});

test("Enter in a message that was emptied while it is changed sends nothing", async ({ app, browser }) => {
    const chat = await pair(app, browser);
    const { page } = chat;
    await say(page, "Keep me");
    await expect(page.getByRole("log").getByRole("img", { name: "Sent" })).toBeVisible();
    // It can be changed once the server has said what it is called.
    await expect(async () => {
        await page.keyboard.press("ArrowUp");
        await expect(field(page)).toHaveValue("Keep me", { timeout: 500 });
    }).toPass();
    await say(page, "");
    await expect(page.getByRole("button", { name: "Save" })).toBeDisabled();
    await say(page, "Keep me too");
    await expect.poll(() => bodies(chat)).toEqual(["Keep me", "* Keep me too"]);
});

test("a message is forwarded to one of many chats, of which only those that are seen are drawn", async ({ app, browser }) => {
    const chat = await pair(app, browser);
    const { anna, ben, page } = chat;
    const make = async (name: string) => (await ben.call("POST", "/_matrix/client/v3/createRoom", { name, preset: "public_chat" })).room_id as string;
    let first = "";
    for (let at = 0; at < 60; at++) {
        const room = await make(at === 0 ? "Première équipe" : at === 59 ? "Only read" : `Team ${at}`);
        if (at === 59) {
            const power = { events_default: 50 };
            await ben.call("PUT", `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/state/m.room.power_levels`, power);
        }
        await anna.join(room);
        first ||= room;
    }
    await say(page, "for the first team");
    await expect(page.getByRole("log").getByRole("img", { name: "Sent" })).toBeVisible();
    await page.getByRole("log").getByText("for the first team").click({ button: "right" });
    await page.getByRole("menuitem", { name: "Forward" }).click();
    const dialog = page.getByRole("dialog", { name: "Forward to" });
    await expect(dialog.getByRole("checkbox", { name: "Only read" })).toBeDisabled();
    await expect(dialog.getByRole("listitem").filter({ hasText: "Only read" })).toContainText("Only some people may write here.");
    await expect(dialog.getByRole("listitem").first()).toHaveAttribute("aria-setsize", "61");
    expect(await dialog.getByRole("checkbox").count()).toBeLessThan(40);
    await dialog.getByRole("searchbox").fill("premiere");
    await dialog.getByRole("checkbox", { name: "Première équipe" }).check();
    await dialog.getByRole("button", { name: "Forward", exact: true }).click();
    await expect.poll(() => bodies({ ...chat, room: first })).toEqual(["for the first team"]);
});
