import AxeBuilder from "@axe-core/playwright";
import type { Route } from "@playwright/test";

import { expect, test } from "./app.ts";
import type { Person } from "./platforms.ts";
import { localpart, openChat, related, sayMany, twoPeople, upload } from "./sayings.ts";

test("two people on two platforms chat", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.two", "Anna Berg");
    const ben = await app.platforms.register("account", "ben.two", "Ben Okafor");
    await anna.chatWith(ben);
    const annas = await app.openFor(browser, "handle", "anna.two");
    const bens = await app.openFor(browser, "account", "ben.two");
    await annas.getByRole("link", { name: "Ben Okafor" }).click();
    await annas.getByRole("textbox", { name: "Message" }).fill("Hi Ben! You write from another app.");
    await annas.keyboard.press("Enter");
    await bens.getByRole("link", { name: "Anna Berg" }).click();
    await expect(bens.getByRole("log")).toContainText("Hi Ben! You write from another app.");
});

test("a chat of two into which a third one was brought says who speaks", async ({ app, browser }) => {
    const { anna, ben, room } = await twoPeople(app);
    const cleo = await app.platforms.register("handle", "cleo.third", "Cleo Third");
    await anna.call("PUT", `/_matrix/client/v3/user/${anna.userId}/account_data/m.direct`, { [ben.userId]: [room] });
    await ben.say(room, "Look who is here");
    await ben.invite(room, cleo);
    await cleo.join(room);
    await cleo.say(room, "It is me");
    const page = await app.openFor(browser, "handle", localpart(anna));
    await openChat(page, room);
    await expect(page.locator(".message", { hasText: "It is me" }).locator(".sender")).toHaveText("Cleo Third");
});

test("formatted text is shown, and nothing in it runs", async ({ app, browser }) => {
    const { anna, ben, room } = await twoPeople(app);
    const formatted_body =
        '<b>bold</b> <span data-mx-spoiler="the end">he lives</span><pre><code>make run</code></pre>' +
        `<a href="https://matrix.to/#/${anna.userId}">somebody</a> <a href="javascript:window.ran=1">press</a>` +
        '<script>window.ran=1</script><img src="https://example.org/a.png" alt="remote" onerror="window.ran=1"><iframe src="https://example.org"></iframe>';
    await ben.send(room, { msgtype: "m.text", body: "bold", format: "org.matrix.custom.html", formatted_body });
    const page = await app.openFor(browser, "handle", localpart(anna));
    const asked: string[] = [];
    page.on("request", (request) => asked.push(new URL(request.url()).host));
    await openChat(page, room);
    const message = page.locator(".message");
    await expect(message.locator("b")).toHaveText("bold");
    await expect(message.locator(".mention")).toHaveText("@Anna Berg");
    await expect(message.locator("script, iframe, img, [onerror], a")).toHaveCount(0);
    await message.getByRole("button", { name: "Hidden text: the end" }).click();
    await expect(message.locator(".spoiler")).toHaveText("he lives");
    expect(await page.evaluate(() => "ran" in window)).toBe(false);
    expect(new Set(asked)).toEqual(new Set([new URL(page.url()).host]));
});

test("unknown kinds and what happened are told in sentences", async ({ app, browser }) => {
    const { anna, ben, room } = await twoPeople(app);
    await ben.send(room, { any: 1 }, "org.example.thing");
    await ben.send(room, { call_id: "1", version: "1", lifetime: 1, offer: {} }, "m.call.invite");
    await ben.send(room, { msgtype: "m.location", body: "here", geo_uri: "geo:59.3293,18.0686" });
    await ben.send(room, { msgtype: "m.image", body: "no address" });
    const page = await app.openFor(browser, "handle", localpart(anna));
    await openChat(page, room);
    const log = page.getByRole("log");
    await log.getByRole("button", { name: "and 2 more" }).click();
    await expect(log).toContainText("Ben Okafor sent something that this app cannot show");
    await expect(log).toContainText("Ben Okafor called");
    await expect(log).toContainText("59.32930, 18.06860");
    await expect(log).toContainText("This app cannot show this kind of message.");
    await log.getByRole("button", { name: "Open a map" }).click();
    await expect(page.getByRole("dialog")).toContainText("openstreetmap.org");
});

test("what no app should send takes nothing along of what others have said", async ({ app, browser }) => {
    const { anna, ben, room } = await twoPeople(app);
    const set = (type: string, key: string, content: object) =>
        ben.call("PUT", `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/state/${type}/${encodeURIComponent(key)}`, content);
    const said = await ben.say(room, "still here");
    const noText = { toString: 1, valueOf: 1 };
    await related(ben, room, "m.reaction", "m.annotation", said, {});
    for (const key of [5, noText]) await ben.send(room, { "m.relates_to": { rel_type: "m.annotation", event_id: said, key } }, "m.reaction");
    await set("m.room.name", "", { name: noText });
    await set("m.room.topic", "", { topic: noText });
    await set("constructor", "", {});
    await ben.send(room, {}, "constructor");
    await ben.send(room, { msgtype: "constructor", body: "of no kind" });
    await set("m.room.member", ben.userId, { membership: "join", displayname: noText, avatar_url: { mxc: 1 } });
    await ben.say(room, "and here");
    const page = await app.openFor(browser, "handle", localpart(anna));
    await openChat(page, room);
    const log = page.getByRole("log");
    for (const text of ["still here", "of no kind", "and here"]) await expect(log).toContainText(text);
    const row = page.getByRole("navigation", { name: "Chats" }).getByRole("link").filter({ hasText: "and here" });
    await expect(row.locator(".name")).toHaveText(localpart(ben));
    // What is kept is read before there is a client.
    await page.reload();
    await expect(log).toContainText("and here");
    await expect(row).toBeVisible();
});

test("reacting, deleting, pinning, starring and reporting", async ({ app, browser }) => {
    const { anna, ben, room } = await twoPeople(app);
    const said = await ben.say(room, "the first");
    await related(ben, room, "m.reaction", "m.annotation", said, {});
    const own = await anna.say(room, "mine");
    const relation = { "m.relates_to": { rel_type: "m.annotation", event_id: said, key: "🎉" } };
    await ben.send(room, relation, "m.reaction");
    const page = await app.openFor(browser, "handle", localpart(anna));
    await openChat(page, room);
    const first = page.locator(".message", { hasText: "the first" });
    await expect(first.getByRole("button", { name: "🎉 from Ben Okafor" })).toBeVisible();
    await first.getByRole("button", { name: "🎉 from Ben Okafor" }).click();
    await expect(first.getByRole("button", { name: "🎉 2 from Ben Okafor, Anna Berg" })).toHaveAttribute("aria-pressed", "true");
    await first.getByRole("button", { name: "🎉 2 from Ben Okafor, Anna Berg" }).click();
    await expect(first.getByRole("button", { name: "🎉 from Ben Okafor", exact: true })).toBeVisible();

    await first.locator(".bubble").click({ button: "right" });
    await page.getByRole("menuitem", { name: "Star", exact: true }).click();
    await expect(first.getByRole("img", { name: "Starred" })).toBeVisible();
    await first.locator(".bubble").click({ button: "right" });
    await page.getByRole("menuitem", { name: "Pin", exact: true }).click();
    await expect(page.getByRole("button", { name: "Pinned message the first" })).toBeVisible();
    await first.locator(".bubble").click({ button: "right" });
    await page.getByRole("menuitem", { name: "Report", exact: true }).click();
    await page.getByRole("dialog").getByRole("textbox").fill("It is rude");
    await page.getByRole("dialog").getByRole("button", { name: "Report", exact: true }).click();
    await expect(page.getByRole("status").filter({ hasText: "It was reported" })).toBeVisible();

    await page.locator(".message", { hasText: "mine" }).locator(".bubble").click({ button: "right" });
    await page.getByRole("menuitem", { name: "Delete for everyone" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete for everyone" }).click();
    await expect(page.getByRole("log")).toContainText("This message was deleted.");
    await expect(page.getByRole("log")).not.toContainText("mine");
    const gone = await ben.call("GET", `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/event/${encodeURIComponent(own)}`);
    expect(gone.content).toEqual({});
});

test("what the server did not take is shown no more, and keeps nothing else from being done", async ({ app, browser }) => {
    const { anna, ben, room } = await twoPeople(app);
    await anna.say(room, "mine");
    const page = await app.openFor(browser, "handle", localpart(anna));
    await openChat(page, room);
    const refuse = (route: Route) => route.fulfill({ status: 400, json: { errcode: "M_UNKNOWN" } });
    const message = (text: string) => page.locator(".message", { hasText: text });
    const remove = async (text: string) => {
        await message(text).locator(".bubble").click({ button: "right" });
        await page.getByRole("menuitem", { name: "Delete for everyone" }).click();
        await page.getByRole("dialog").getByRole("button", { name: "Delete for everyone" }).click();
    };
    const react = async (text: string) => {
        await message(text).locator(".bubble").click({ button: "right" });
        await page.getByRole("menuitemcheckbox", { name: "❤️" }).click();
    };
    const reaction = (text: string) => message(text).getByRole("button", { name: "❤️ from Anna Berg" });

    await page.route("**/redact/**", refuse);
    await remove("mine");
    await expect(page.getByRole("status").filter({ hasText: "It could not be deleted." })).toBeVisible();
    await expect(message("mine")).toBeVisible();

    await page.route("**/send/m.reaction/**", refuse);
    await react("mine");
    await expect(page.getByRole("status").filter({ hasText: "The reaction was not sent." })).toBeVisible();
    await expect(reaction("mine")).toHaveCount(0);
    await page.unroute("**/send/m.reaction/**");

    await page.route("**/send/m.room.message/**", refuse);
    await page.getByRole("textbox", { name: "Message" }).fill("refused");
    await page.keyboard.press("Enter");
    await expect(message("refused").getByRole("img", { name: "Not sent" })).toBeVisible();

    await ben.say(room, "his");
    await react("his");
    await expect(reaction("his")).toBeVisible();
    await page.unroute("**/redact/**");
    await remove("mine");
    await expect(page.getByRole("log")).toContainText("This message was deleted.");
    await expect.poll(async () => (await reactionsTo(ben, room)).length).toBe(1);

    await page.unroute("**/send/m.room.message/**");
    await message("refused").getByRole("button", { name: "Try again" }).click();
    await expect(message("refused").getByRole("img", { name: "Sent", exact: true })).toBeVisible();
});

/** The reactions in a chat that the server has. */
async function reactionsTo(person: Person, room: string): Promise<object[]> {
    const { chunk } = await person.call("GET", `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/messages?dir=b&limit=100`);
    return (chunk as { type: string }[]).filter(({ type }) => type === "m.reaction");
}

test("edits are shown, with what was said before", async ({ app, browser }) => {
    const { anna, ben, room } = await twoPeople(app);
    const said = await ben.say(room, "at eight");
    const page = await app.openFor(browser, "handle", localpart(anna));
    await openChat(page, room);
    await expect(page.getByRole("log")).toContainText("at eight");
    await related(ben, room, "m.room.message", "m.replace", said, { msgtype: "m.text", body: "* at nine", "m.new_content": { msgtype: "m.text", body: "at nine" } });
    await expect(page.getByRole("log")).toContainText("at nine");
    await expect(page.getByRole("log")).not.toContainText("at eight");
    await related(anna, room, "m.room.message", "m.replace", said, { msgtype: "m.text", body: "forged", "m.new_content": { msgtype: "m.text", body: "forged" } });
    await related(ben, room, "m.room.message", "m.replace", said, { msgtype: "m.text", body: "* at no time" });
    await related(ben, room, "m.sticker", "m.replace", said, { body: "* a sticker", "m.new_content": { body: "a sticker" } });
    await ben.say(room, "after");
    await expect(page.getByRole("log")).toContainText("after");
    await expect(page.getByRole("log")).toContainText("at nine");
    await expect(page.getByRole("log")).not.toContainText("forged");
    await page.getByRole("button", { name: "edited" }).click();
    await expect(page.getByRole("dialog")).toContainText("at eight");
});

test("a poll is voted in, and its votes are counted", async ({ app, browser }) => {
    const { anna, ben, room } = await twoPeople(app);
    const text = (body: string) => ({ "org.matrix.msc1767.text": body });
    const start = {
        question: text("Where to?"),
        kind: "org.matrix.msc3381.poll.disclosed",
        max_selections: 1,
        answers: [
            { id: "a", ...text("North") },
            { id: "constructor", ...text("South") },
        ],
    };
    const poll = await ben.send(room, { "org.matrix.msc3381.poll.start": start, ...text("Where to?") }, "org.matrix.msc3381.poll.start");
    const vote = (id: string) => related(ben, room, "org.matrix.msc3381.poll.response", "m.reference", poll, { "org.matrix.msc3381.poll.response": { answers: [id] } });
    await vote("a");
    await vote("constructor");
    const page = await app.openFor(browser, "handle", localpart(anna));
    await openChat(page, room);
    await expect(page.getByText("1 vote", { exact: true })).toBeVisible();
    await page.getByRole("radio", { name: "South" }).click();
    await expect(page.getByText("2 votes", { exact: true })).toBeVisible();
    await expect(page.locator(".answer", { hasText: "South" }).locator(".count")).toHaveText("2");
    await related(ben, room, "org.matrix.msc3381.poll.end", "m.reference", poll, { "org.matrix.msc3381.poll.end": {}, ...text("over") });
    await expect(page.getByRole("group", { name: "Where to?" })).toContainText("The poll has ended.");
    await expect(page.getByRole("radio", { name: "North" })).toBeDisabled();
});

test("the writer sees that a message was read, unless the reader keeps that private", async ({ app, browser }) => {
    const { anna, ben, room } = await twoPeople(app);
    await anna.say(room, "are you there?");
    const annas = await app.openFor(browser, "handle", localpart(anna));
    await openChat(annas, room);
    const state = (text: string, name: string) => annas.locator(".message", { hasText: text }).getByRole("img", { name });
    await expect(state("are you there?", "Sent")).toBeVisible();
    const bens = await app.openFor(browser, "account", localpart(ben));
    await openChat(bens, room);
    await expect(state("are you there?", "Read")).toBeVisible();
    await bens.evaluate(() => localStorage.setItem("linkspan.receipts", "private"));
    await bens.reload();
    await expect(bens.getByRole("log")).toContainText("are you there?");
    await bens.bringToFront();
    const told = bens.waitForRequest((request) => request.url().includes("/read_markers") && request.postData()!.includes("m.read.private"));
    await anna.say(room, "and now?");
    await told;
    await ben.say(room, "later");
    await expect(annas.getByRole("log")).toContainText("later");
});

test("a thread of another app is told, and opened in place", async ({ app, browser }) => {
    const { anna, ben, room } = await twoPeople(app);
    const root = await ben.say(room, "who has a car?");
    await anna.say(room, "something else");
    const inThread = { rel_type: "m.thread", event_id: root, is_falling_back: true, "m.in_reply_to": { event_id: root } };
    await ben.send(room, { msgtype: "m.text", body: "my sister", "m.relates_to": inThread });
    const page = await app.openFor(browser, "handle", localpart(anna));
    await openChat(page, room);
    await expect(page.getByRole("log")).toContainText("my sister");
    await page.getByRole("button", { name: "1 reply" }).click();
    await expect(page.getByRole("heading", { name: "Thread" })).toBeVisible();
    await expect(page.getByRole("log")).toContainText("my sister");
    await expect(page.getByRole("log")).not.toContainText("something else");

    // What a screen reader hears, equal sentences, too.
    await page.evaluate(() => {
        const heard: string[] = [];
        const note = () => heard.push(document.querySelector(".only-said[aria-live]")!.textContent);
        new MutationObserver(note).observe(document.querySelector(".only-said[aria-live]")!, { childList: true, characterData: true, subtree: true });
        Object.assign(window, { heard });
    });
    const heard = () => page.evaluate(() => (window as unknown as { heard: string[] }).heard);
    await ben.say(room, "not in it");
    for (let time = 1; time <= 2; time++) {
        await ben.send(room, { msgtype: "m.text", body: "she says yes", "m.relates_to": inThread });
        await expect.poll(heard).toEqual(Array.from({ length: time }, () => "Ben Okafor: she says yes"));
    }
});

test("several messages are chosen and deleted together", async ({ app, browser }) => {
    const { anna, ben, room } = await twoPeople(app);
    await anna.say(room, "one of mine");
    await anna.say(room, "another of mine");
    await ben.say(room, "his");
    const page = await app.openFor(browser, "handle", localpart(anna));
    await openChat(page, room);
    await page.getByRole("button", { name: "More about this chat" }).click();
    await page.getByRole("menuitem", { name: "Select messages" }).click();
    const choose = (text: string) => page.locator(".message", { hasText: text }).getByRole("checkbox").check();
    await choose("his");
    await expect(page.getByRole("heading", { name: "1 chosen" })).toBeVisible();
    await page.locator(".message", { hasText: "his" }).getByRole("checkbox").uncheck();
    await choose("one of mine");
    await choose("another of mine");
    await expect(page.getByRole("heading", { name: "2 chosen" })).toBeVisible();
    await page.getByRole("button", { name: "Delete for everyone" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete for everyone" }).click();
    await expect(page.getByText("This message was deleted.")).toHaveCount(2);
    await expect(page.getByRole("heading", { name: "Ben Okafor" })).toBeVisible();
});

test("only what can be sent to others is forwarded, also of several that are chosen", async ({ app, browser }) => {
    const { anna, ben, room } = await twoPeople(app);
    const deleted = await ben.say(room, "not for you");
    await ben.call("PUT", `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/redact/${encodeURIComponent(deleted)}/once`, {});
    await ben.say(room, "for everybody");
    const page = await app.openFor(browser, "handle", localpart(anna));
    await openChat(page, room);
    await page.route("**/send/m.room.message/**", (route) => route.abort());
    await page.getByRole("textbox", { name: "Message" }).fill("on its way");
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "More about this chat" }).click();
    await page.getByRole("menuitem", { name: "Select messages" }).click();
    const forward = page.getByRole("button", { name: "Forward" });
    const chosen = (text: string) => page.locator(".message", { hasText: text }).getByRole("checkbox");
    await chosen("for everybody").check();
    await expect(forward).toBeEnabled();
    for (const text of ["This message was deleted.", "on its way"]) {
        await chosen(text).check();
        await expect(forward).toBeDisabled();
        await chosen(text).uncheck();
        await expect(forward).toBeEnabled();
    }
    // Escape closes what is asked, and what is chosen stays so.
    await forward.click();
    await expect(page.getByRole("dialog", { name: "Forward to" })).toBeVisible();
    await page.keyboard.press("Escape");
    await expect(page.getByRole("dialog")).toHaveCount(0);
    await expect(page.getByRole("heading", { name: "1 chosen" })).toBeVisible();
    await page.keyboard.press("Escape");
    await expect(page.getByRole("heading", { name: "Ben Okafor" })).toBeVisible();
});

test("a message that disappears goes when its time is up", async ({ app, browser }) => {
    const { anna, ben, room } = await twoPeople(app);
    await ben.say(room, "this stays");
    const page = await app.openFor(browser, "handle", localpart(anna));
    await page.clock.install();
    await openChat(page, room);
    // The server says when, beside the message.
    await page.route("**/sync?*", async (route) => {
        const answer = await route.fetch();
        const json = (await answer.json()) as { rooms?: { join?: Record<string, { timeline?: { events: { content: { body?: string }; unsigned?: object }[] } }> } };
        for (const event of json.rooms?.join?.[room]?.timeline?.events ?? []) {
            if (event.content.body === "soon gone") event.unsigned = { ...event.unsigned, "org.linkspan.disappears_ts": Date.now() + 3_600_000 };
        }
        await route.fulfill({ response: answer, json });
    });
    // The sync that waits already is not among those that are changed.
    await ben.say(room, "before it");
    await expect(page.getByRole("log")).toContainText("before it");
    const gone = await ben.say(room, "soon gone");
    await expect(page.getByRole("log")).toContainText("soon gone");
    await ben.send(room, { msgtype: "m.text", body: "an answer", "m.relates_to": { "m.in_reply_to": { event_id: gone } } });
    await expect(page.locator(".quote-card")).toContainText("soon gone");
    await ben.call("PUT", `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/state/m.room.pinned_events/`, { pinned: [gone] });
    await expect(page.getByRole("button", { name: "Pinned message soon gone" })).toBeVisible();
    await expect(page.getByRole("img", { name: "Disappears" })).toBeVisible();
    await page.clock.fastForward("01:00:05");
    await expect(page.getByRole("log")).not.toContainText("soon gone");
    await expect(page.getByRole("button", { name: "Pinned message This message is gone." })).toBeVisible();
    await expect(page.getByRole("log")).toContainText("this stays");
    await page.unrouteAll({ behavior: "ignoreErrors" });
});

test("a link has a card, if the person wants that the server is asked", async ({ app, browser }) => {
    const { anna, ben, room } = await twoPeople(app);
    const said = await ben.say(room, "Look: https://example.org/hike");
    const page = await app.openFor(browser, "handle", localpart(anna));
    const asked: string[] = [];
    await page.route("**/preview_url?*", async (route) => {
        asked.push(new URL(route.request().url()).searchParams.get("url")!);
        await route.fulfill({ json: { "og:title": "A hike by the lake", "og:description": "Eight miles" } });
    });
    await openChat(page, room);
    await expect(page.getByRole("link", { name: /A hike by the lake/ })).toHaveAttribute("href", "https://example.org/hike");
    expect(asked).toEqual(["https://example.org/hike"]);
    await page.unroute("**/preview_url?*");
    await page.route("**/preview_url?*", (route) => route.fulfill({ json: {} }));
    const body = "Look: https://example.org/other";
    await related(ben, room, "m.room.message", "m.replace", said, { msgtype: "m.text", body: `* ${body}`, "m.new_content": { msgtype: "m.text", body } });
    await expect(page.getByRole("link", { name: "https://example.org/other", exact: true })).toBeVisible();
    await expect(page.getByRole("link", { name: /A hike by the lake/ })).toHaveCount(0);
    await page.evaluate(() => localStorage.setItem("linkspan.previews", "never"));
    await openChat(page, room);
    await expect(page.getByRole("link", { name: "https://example.org/other", exact: true })).toBeVisible();
    expect(asked).toHaveLength(1);
});

test("by keyboard alone, and as a screen reader hears it", async ({ app, browser }) => {
    const { anna, ben, room } = await twoPeople(app);
    await ben.say(room, "the first");
    await anna.say(room, "the second");
    await ben.say(room, "the third");
    const page = await app.openFor(browser, "handle", localpart(anna));
    await openChat(page, room);
    const third = page.getByRole("article", { name: /^Ben Okafor, the third, \d/ });
    await third.focus();
    await page.keyboard.press("ArrowUp");
    await expect(page.getByRole("article", { name: /^You, the second, .*(Sent|Read)$/ })).toBeFocused();
    await page.keyboard.press("ArrowUp");
    await expect(page.getByRole("article", { name: /^Ben Okafor, the first/ })).toBeFocused();
    await page.keyboard.press("Enter");
    await expect(page.getByRole("menu")).toBeVisible();
    await page.keyboard.press("Escape");
    await expect(page.getByRole("article", { name: /^Ben Okafor, the first/ })).toBeFocused();
    const { violations } = await new AxeBuilder({ page }).include(".chat").analyze();
    expect(violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`)).toEqual([]);
});

test("Tab leads into the row that the arrow keys have led to, where one votes and saves", async ({ app, browser }) => {
    const { anna, ben, room } = await twoPeople(app);
    const url = await upload(ben, Buffer.from("to keep"), "text/plain");
    await ben.send(room, { msgtype: "m.file", body: "notes.txt", info: { size: 7, mimetype: "text/plain" }, url });
    const text = (body: string) => ({ "org.matrix.msc1767.text": body });
    const answers = [
        { id: "a", ...text("North") },
        { id: "b", ...text("South") },
    ];
    const start = { question: text("Where to?"), kind: "org.matrix.msc3381.poll.disclosed", max_selections: 1, answers };
    await ben.send(room, { "org.matrix.msc3381.poll.start": start, ...text("Where to?") }, "org.matrix.msc3381.poll.start");
    const page = await app.openFor(browser, "handle", localpart(anna));
    await openChat(page, room);
    await expect(page.getByRole("radio", { name: "North" })).toBeEnabled();
    await page.getByRole("article", { name: /Where to/ }).focus();
    await page.keyboard.press("Tab");
    await expect(page.getByRole("radio", { name: "North" })).toBeFocused();
    await page.keyboard.press("Space");
    await expect(page.getByText("1 vote", { exact: true })).toBeVisible();
    await page.keyboard.press("Shift+Tab");
    await page.keyboard.press("ArrowUp");
    await expect(page.getByRole("article", { name: /notes\.txt/ })).toBeFocused();
    await page.keyboard.press("Tab");
    await expect(page.getByRole("button", { name: "Save notes.txt" })).toBeFocused();
    const saved = page.waitForEvent("download");
    await page.keyboard.press("Enter");
    expect((await saved).suggestedFilename()).toBe("notes.txt");
    // One row is a stop, not every one of the chat.
    await expect(page.getByRole("radio", { name: "North" })).toHaveAttribute("tabindex", "-1");
});

test("a chat that was marked as unread is no longer once it is read", async ({ app, browser }) => {
    const { anna, ben, room } = await twoPeople(app);
    await ben.say(room, "come back to this");
    const mark = `/_matrix/client/v3/user/${anna.userId}/rooms/${encodeURIComponent(room)}/account_data/m.marked_unread`;
    await anna.call("PUT", mark, { unread: true });
    const page = await app.openFor(browser, "handle", localpart(anna));
    const row = page.getByRole("navigation", { name: "Chats" }).getByRole("link", { name: "Ben Okafor" });
    await expect(row.getByRole("img", { name: /nread/ })).toBeVisible();
    await row.click();
    await expect(page.getByRole("log")).toContainText("come back to this");
    await expect(row.getByRole("img", { name: /nread/ })).toHaveCount(0);
    await expect.poll(() => anna.call("GET", mark)).toEqual({ unread: false });
});

test("people without a name, and people of the same name, are shown without their ids", async ({ app, browser }) => {
    const { anna, ben, room } = await twoPeople(app);
    const [one, other] = [await app.platforms.register("handle", "quist.one", "Nora Quist"), await app.platforms.register("handle", "quist.two", "Nora Quist")];
    const invite = [one.userId, other.userId];
    const { room_id } = await anna.call("POST", "/_matrix/client/v3/createRoom", { preset: "trusted_private_chat", invite });
    for (const person of [one, other]) await person.join(room_id as string);
    await one.say(room_id as string, "we have the same name");
    await ben.call("PUT", `/_matrix/client/v3/profile/${ben.userId}/displayname`, { displayname: "" });
    await ben.say(room, "I have none");
    const page = await app.openFor(browser, "handle", localpart(anna));
    await openChat(page, room);
    const field = page.getByRole("textbox", { name: "Message" });
    await field.pressSequentially("@ben");
    await expect(page.getByRole("option").locator(".label")).toHaveText(localpart(ben));
    await page.keyboard.press("Enter");
    await expect(field).toHaveValue(`@${localpart(ben)} `);
    await field.fill("");
    await page.locator(".message", { hasText: "I have none" }).getByRole("button", { name: "Reply" }).click();
    await expect(page.locator(".about")).toContainText(localpart(ben));
    await expect(page.locator(".about")).not.toContainText(ben.userId);
    const row = page.getByRole("navigation", { name: "Chats" }).getByRole("link").filter({ hasText: "we have the same name" });
    await expect(row.locator(".name")).toHaveText("Nora Quist, Nora Quist");
});

test("votes that could not be loaded are loaded again, and are not taken for none", async ({ app, browser }) => {
    const { anna, ben, room } = await twoPeople(app);
    const text = (body: string) => ({ "org.matrix.msc1767.text": body });
    const answers = ["Tea", "Coffee"].map((name) => ({ id: name, ...text(name) }));
    const start = { question: text("What to drink?"), kind: "org.matrix.msc3381.poll.disclosed", max_selections: 1, answers };
    const poll = await ben.send(room, { "org.matrix.msc3381.poll.start": start, ...text("What to drink?") }, "org.matrix.msc3381.poll.start");
    await related(ben, room, "org.matrix.msc3381.poll.response", "m.reference", poll, { "org.matrix.msc3381.poll.response": { answers: ["Tea"] } });
    const page = await app.openFor(browser, "handle", localpart(anna));
    await page.route("**/relations/**", (route) => route.abort());
    await openChat(page, room);
    await expect(page.getByText("The votes could not be loaded.")).toBeVisible();
    await expect(page.getByRole("radio", { name: "Tea" })).toBeDisabled();
    await page.unroute("**/relations/**");
    await page.getByRole("button", { name: "Try again" }).click();
    await expect(page.getByText("1 vote", { exact: true })).toBeVisible();
    await expect(page.getByRole("radio", { name: "Tea" })).toBeEnabled();
});

test("starred messages that cannot be loaded are not said to be none", async ({ app, browser }) => {
    const { anna, ben, room } = await twoPeople(app);
    const ids = await sayMany(ben, room, "wise word", 80);
    const stars = `/_matrix/client/v3/user/${anna.userId}/rooms/${encodeURIComponent(room)}/account_data/org.linkspan.starred`;
    await anna.call("PUT", stars, { event_ids: ids.slice(0, 20) });
    const page = await app.openFor(browser, "handle", localpart(anna));
    let asked = 0;
    let most = 0;
    let isCut = true;
    await page.route("**/event/*", async (route) => {
        if (isCut) return route.abort();
        most = Math.max(most, ++asked);
        const answer = await route.fetch();
        asked--;
        await route.fulfill({ response: answer });
    });
    // What was not loaded with the chat itself is asked for.
    await page.route("**/messages?*", (route) => route.abort());
    await openChat(page, room);
    await page.getByRole("button", { name: "More about this chat" }).click();
    await page.getByRole("menuitem", { name: "Starred messages" }).click();
    const dialog = page.getByRole("dialog");
    await expect(dialog.getByRole("alert")).toContainText("Messages could not be loaded.");
    await expect(dialog).not.toContainText("No message of this chat has a star.");
    isCut = false;
    await dialog.getByRole("button", { name: "Try again" }).click();
    await expect(dialog.getByRole("listitem")).toHaveCount(20);
    expect(most).toBeLessThanOrEqual(8);
    await page.unrouteAll({ behavior: "ignoreErrors" });
});
