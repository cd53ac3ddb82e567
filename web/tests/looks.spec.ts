// How the app looks and behaves, as far as it can be measured: sizes, sides, what stays where it is, and what a keyboard reaches.

import type { Locator, Page } from "@playwright/test";

import { expect } from "./app.ts";
import { localpart } from "./sayings.ts";
import { go } from "./views.ts";
import { DESKTOP, test } from "./windows.ts";

async function open(page: Page, room: string): Promise<void> {
    await go(page, `/chat/${encodeURIComponent(room)}`);
    await page.locator(".messages .message").first().waitFor();
}

const boxOf = async (element: Locator) => (await element.boundingBox())!;
const messageWith = (page: Page, text: string) => page.locator(".message", { hasText: text }).last();
const bubbleWith = (page: Page, text: string) => messageWith(page, text).locator(".bubble");

test("rows of the list are 68 pixels high, and a name of 60 characters is cut off", async ({ desk }) => {
    await go(desk, "/");
    const row = desk.locator(".rows a", { hasText: "Katarzyna" });
    const pane = await boxOf(desk.locator(".rows"));
    const box = await boxOf(row);
    expect(box.height).toBe(68);
    expect(box.x + box.width).toBeLessThanOrEqual(pane.x + pane.width);
    expect(await row.locator(".name").evaluate((name) => name.scrollWidth > name.clientWidth)).toBe(true);
    await expect(row.locator(".time")).toBeVisible();
});

test("the preview of a group says who and what", async ({ desk }) => {
    await go(desk, "/");
    const preview = desk.locator(".rows a", { hasText: "Hiking on Sunday" }).locator(".row-line");
    await expect(preview).toHaveText("Chloé Martin: That would be me");
    const line = await boxOf(preview);
    expect(line.height).toBeLessThan(24);
    const name = await boxOf(preview.locator("bdi"));
    expect(name.width).toBeLessThan(line.width);
});

test("own messages are at the end and others’ at the beginning, in groups, in bubbles of 65 characters at most", async ({ desk, full: { full } }) => {
    await open(desk, full.rooms.hike!);
    const log = await boxOf(desk.getByRole("log"));
    const middle = log.x + log.width / 2;
    const own = await boxOf(bubbleWith(desk, "Good point, I add it"));
    expect(own.x + own.width / 2).toBeGreaterThan(middle);
    // An answer to it quotes it.
    const other = desk.locator(".bubble", { hasText: "The forecast says" }).first();
    const box = await boxOf(other);
    expect(box.x + box.width / 2).toBeLessThan(middle);
    const most = await other.evaluate((bubble) => {
        const ruler = Object.assign(document.createElement("span"), { className: "ruler" });
        ruler.style.width = "65ch";
        ruler.style.position = "absolute";
        bubble.append(ruler);
        const { width } = ruler.getBoundingClientRect();
        ruler.remove();
        return width;
    });
    expect(box.width).toBeLessThanOrEqual(most + 1);
    // Only the first message of a group says who has sent it, and only the last shows the face.
    await expect(messageWith(desk, "🎉🎉🎉").locator(".sender")).toHaveText("Chloé Martin");
    await expect(messageWith(desk, "That would be me").locator(".sender")).toHaveCount(0);
    await expect(messageWith(desk, "That would be me").locator(".face .avatar")).toBeVisible();
});

test("people who spoke before the app was opened have their pictures", async ({ desk, full: { full } }) => {
    await open(desk, full.rooms.hike!);
    await expect(messageWith(desk, "I have a spare seat").locator(".face img")).toBeVisible();
});

test("the date stays in view while one scrolls, and does not lie over the line of a day", async ({ desk, full: { full } }) => {
    await open(desk, full.rooms.family!);
    await desk.getByRole("log").hover();
    await desk.mouse.wheel(0, -900);
    await expect(desk.locator(".sticky-day[data-shown]")).toHaveText("Today");
    await desk.getByRole("log").evaluate((log) => (log.scrollTop = 0));
    const day = desk.locator("li > .day").first();
    await expect(day).toBeVisible();
    await desk.getByRole("log").evaluate((log) => {
        const line = log.querySelector("li > .day")!.getBoundingClientRect();
        log.scrollTop += line.top - log.getBoundingClientRect().top - 10;
    });
    await expect(desk.locator(".sticky-day")).not.toHaveAttribute("data-shown");
});

test("the line before new messages stays until the chat is left", async ({ desk, full: { full } }) => {
    await full.people.eva!.say(full.rooms.eva!, "Thank you!");
    await full.people.eva!.say(full.rooms.eva!, "It was a lovely evening");
    const row = desk.locator(".rows a", { hasText: "Eva Lindqvist" });
    await expect(row.locator(".badge")).toHaveText("2");
    await open(desk, full.rooms.eva!);
    const line = desk.getByRole("log").getByRole("separator");
    await expect(line).toHaveText("New messages");
    await desk.bringToFront();
    await expect(row.locator(".badge")).toHaveCount(0);
    await expect(line).toBeVisible();
    await open(desk, full.rooms.layla!);
    await open(desk, full.rooms.eva!);
    await expect(messageWith(desk, "a lovely evening")).toBeVisible();
    await expect(line).toHaveCount(0);
});

test("a button leads to the end, and counts what came meanwhile", async ({ desk, full: { full } }) => {
    await open(desk, full.rooms.ines!);
    for (let at = 0; at < 30; at++) await full.people.ines!.say(full.rooms.ines!, `Foto ${at}`);
    await expect(messageWith(desk, "Foto 29")).toBeVisible();
    await desk.getByRole("log").hover();
    await desk.mouse.wheel(0, -900);
    await expect(desk.getByRole("button", { name: "Jump to the end", exact: true })).toBeVisible();
    await full.people.ines!.say(full.rooms.ines!, "Una más");
    const button = desk.getByRole("button", { name: "Jump to the end, 1 new message" });
    await expect(button).toHaveText("1");
    await button.click();
    await expect(messageWith(desk, "Una más")).toBeVisible();
    await expect(button).toHaveCount(0);
});

test("the place of a picture is there before the picture, and nothing moves when it comes", async ({ desk, full: { full } }) => {
    const held: (() => void)[] = [];
    let isOpen = false;
    await desk.route("**/media/**", async (route) => {
        if (!isOpen) await new Promise<void>((letGo) => held.push(letGo));
        await route.continue();
    });
    await open(desk, full.rooms.grace!);
    const place = desk.locator(".message .media-place, .message .photo").first();
    const before = await boxOf(place);
    expect(before.height).toBeGreaterThan(100);
    await expect.poll(() => held.length).toBeGreaterThan(0);
    isOpen = true;
    for (const letGo of held) letGo();
    await expect(place.locator("img").or(desk.locator(".message .photo img")).first()).toBeVisible();
    expect(await boxOf(place)).toEqual(before);
    await desk.unroute("**/media/**");
});

test("many reactions wrap, and none lies over another", async ({ phone, full: { full } }) => {
    const { anna, people, rooms } = full;
    const said = await people.maria!.say(rooms.maria!, "Как вам?");
    for (const key of ["👍", "❤️", "😂", "😮", "😢", "🙏", "🎉", "🔥", "👏", "🤔", "🥳", "👀"]) {
        await anna.send(rooms.maria!, { "m.relates_to": { rel_type: "m.annotation", event_id: said, key } }, "m.reaction");
    }
    await open(phone, rooms.maria!);
    const buttons = messageWith(phone, "Как вам?").locator(".reactions button");
    await expect(buttons).toHaveCount(13);
    const boxes = await Promise.all((await buttons.all()).map(boxOf));
    for (const [at, one] of boxes.entries()) {
        for (const other of boxes.slice(at + 1)) {
            const isApart = one.x + one.width <= other.x || other.x + other.width <= one.x || one.y + one.height <= other.y || other.y + other.height <= one.y;
            expect(isApart).toBe(true);
        }
    }
    expect(new Set(boxes.map(({ y }) => y)).size).toBeGreaterThan(1);
});

test("the field grows to two fifths of the window, and then scrolls", async ({ desk, full: { full } }) => {
    await open(desk, full.rooms.layla!);
    const field = desk.getByRole("textbox", { name: "Message" });
    await field.fill(Array.from({ length: 60 }, (_, at) => `Line ${at}`).join("\n"));
    expect((await boxOf(field)).height).toBe(320);
    expect(await field.evaluate((area) => area.scrollHeight > area.clientHeight)).toBe(true);
    await field.fill("");
});

test("who types moves nothing", async ({ desk, full: { full } }) => {
    const { people, rooms } = full;
    await open(desk, rooms.layla!);
    const last = bubbleWith(desk, "ممتاز");
    const before = [await boxOf(last), await boxOf(desk.locator(".composer"))];
    const where = `/_matrix/client/v3/rooms/${encodeURIComponent(rooms.layla!)}/typing/${encodeURIComponent(people.layla!.userId)}`;
    await people.layla!.call("PUT", where, { typing: true, timeout: 30_000 });
    await expect(desk.locator(".typing")).toHaveText("ليلى حسن is typing");
    expect([await boxOf(last), await boxOf(desk.locator(".composer"))]).toEqual(before);
    await people.layla!.call("PUT", where, { typing: false });
});

test("being offline is said where nothing moves for it", async ({ desk, full: { full } }) => {
    await open(desk, full.rooms.layla!);
    const first = desk.locator(".rows a").first();
    const before = [await boxOf(first), await boxOf(bubbleWith(desk, "ممتاز")), await boxOf(desk.locator(".composer"))];
    await desk.context().setOffline(true);
    await expect(desk.locator(".chats > header .pill")).toBeVisible();
    expect([await boxOf(first), await boxOf(bubbleWith(desk, "ممتاز")), await boxOf(desk.locator(".composer"))]).toEqual(before);
    await desk.context().setOffline(false);
    await expect(desk.locator(".chats > header .pill")).toHaveCount(0);
});

/** The longest a change of looks takes, in milliseconds, and how many animations run. */
const motion = (page: Page) =>
    page.evaluate(() => {
        const times = [...document.querySelectorAll("*")].map((element) => getComputedStyle(element).transitionDuration.split(",").map(parseFloat));
        return { longest: Math.max(...times.flat()) * 1000, running: document.getAnimations().length };
    });

test("changes take 200 ms at most, and none is shown to who wants none", async ({ desk, full: { full } }) => {
    const { people, rooms } = full;
    await open(desk, rooms.layla!);
    const where = `/_matrix/client/v3/rooms/${encodeURIComponent(rooms.layla!)}/typing/${encodeURIComponent(people.layla!.userId)}`;
    await people.layla!.call("PUT", where, { typing: true, timeout: 30_000 });
    await expect(desk.locator(".typing .dots")).toBeVisible();
    const usual = await motion(desk);
    expect(usual.longest).toBeGreaterThan(0);
    expect(usual.longest).toBeLessThanOrEqual(200);
    expect(usual.running).toBeGreaterThan(0);
    await desk.emulateMedia({ reducedMotion: "reduce" });
    expect(await motion(desk)).toEqual({ longest: 0, running: 0 });
    await desk.emulateMedia({ reducedMotion: null });
    await people.layla!.call("PUT", where, { typing: false });
});

test("on a phone of 360 pixels there is one pane, and Back leads to the same place of the list", async ({ phone }) => {
    await go(phone, "/");
    const rows = phone.locator(".rows");
    await rows.evaluate((scroller) => (scroller.scrollTop = 300));
    await expect.poll(() => rows.evaluate((scroller) => scroller.scrollTop)).toBe(300);
    const row = phone.locator(".rows a", { hasText: "Grace" });
    const before = await boxOf(row);
    await row.click();
    await expect(phone.getByRole("log")).toBeVisible();
    await expect(phone.locator(".pane.chats")).toBeHidden();
    expect(await phone.evaluate(() => document.documentElement.scrollWidth)).toBe(360);
    await phone.goBack();
    await expect(phone.getByRole("log")).toHaveCount(0);
    expect(await boxOf(row)).toEqual(before);
});

/** Has the keyboard of a phone lie over the lower part of the window, as browsers tell of it that do not make the window smaller. */
const showKeyboard = (page: Page, height: number) =>
    page.evaluate((height) => {
        Object.defineProperty(visualViewport, "height", { configurable: true, value: window.innerHeight - height });
        visualViewport!.dispatchEvent(new Event("resize"));
    }, height);

test("the keyboard of a phone covers neither the field nor what was said last", async ({ phone, full: { full } }) => {
    await open(phone, full.rooms.layla!);
    const field = phone.getByRole("textbox", { name: "Message" });
    await field.focus();
    await showKeyboard(phone, 300);
    const free = 740 - 300;
    for (const element of [field, bubbleWith(phone, "ممتاز")]) {
        await expect.poll(async () => (await boxOf(element)).y + (await boxOf(element)).height).toBeLessThanOrEqual(free);
    }
    await showKeyboard(phone, 0);
    await expect.poll(async () => (await boxOf(field)).y).toBeGreaterThan(free);
});

/** What can be pressed and is smaller than it should be. Words within a sentence are no targets; what is small within a message is
 * in its menu, too, which opens by pressing it long. */
const smallTargets = (page: Page, least: number) =>
    page.evaluate((size) => {
        const targets = document.querySelectorAll<HTMLElement>("a[href], button, input:not([type=radio], [type=checkbox], [type=range]), textarea, select, summary");
        return [...targets].flatMap((target) => {
            const { width, height } = (target.closest("label") ?? target).getBoundingClientRect();
            const isShown = target.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && width > 0;
            const isInMessage = size > 24 && target.closest(".message");
            const isInText = getComputedStyle(target).display === "inline";
            return isShown && !isInText && !isInMessage && Math.min(width, height) < size - 0.5 ? [`${target.outerHTML.slice(0, 120)}: ${width}×${height}`] : [];
        });
    }, least);

const PLACES = ["/", "/new", "/requests", "/settings", "/settings/profile", "/settings/devices", "/settings/appearance", "/settings/reach"];

test("what fingers press is 44 pixels, and what a pointer presses 24", async ({ desk, phone, full: { full } }) => {
    for (const place of [...PLACES, `/chat/${encodeURIComponent(full.rooms.layla!)}`, `/chat/${encodeURIComponent(full.rooms.hike!)}/details`]) {
        for (const [page, least] of [[phone, 44], [desk, 24]] as const) {
            await go(page, place);
            await page.locator(".pane:visible").last().waitFor();
            expect.soft(await smallTargets(page, least), `${place} ${least}`).toEqual([]);
        }
    }
});

test("nothing has to be scrolled sideways at 200 %", async ({ desk, full: { full } }) => {
    // A window of half the size is what zooming to 200 % makes of it.
    await desk.setViewportSize({ width: 640, height: 400 });
    for (const place of [...PLACES, ...["ben", "hike", "katarzyna"].flatMap((room) => [`/chat/${encodeURIComponent(full.rooms[room]!)}`, `/chat/${encodeURIComponent(full.rooms[room]!)}/details`])]) {
        await go(desk, place);
        await desk.locator(".pane:visible").last().waitFor();
        const wide = await desk.evaluate(() => {
            const panes = [document.documentElement, ...document.querySelectorAll(".pane-body, .messages, .rows, .results")];
            return panes.filter((pane) => pane.scrollWidth > pane.clientWidth).map((pane) => pane.className);
        });
        expect.soft(wide, place).toEqual([]);
    }
    await desk.setViewportSize(DESKTOP.viewport);
});

test("Ctrl+K leads to the search, and Escape back to where one was", async ({ desk, full: { full } }) => {
    await open(desk, full.rooms.layla!);
    const field = desk.getByRole("textbox", { name: "Message" });
    await field.focus();
    await desk.keyboard.press("Control+k");
    await expect(desk.getByRole("searchbox", { name: "Search" })).toBeFocused();
    await desk.keyboard.type("ben");
    await expect(desk.getByRole("heading", { name: "Chats" })).toBeVisible();
    await desk.keyboard.press("Escape");
    await expect(field).toBeFocused();
    await expect(desk.getByRole("heading", { name: "Chats" })).toHaveCount(0);
});

test("a screen reader finds each message as one stop, with who, what, when and how far it is", async ({ desk, full: { full } }) => {
    await open(desk, full.rooms.family!);
    const log = desk.getByRole("log");
    await expect(log).toHaveAttribute("aria-live", "off");
    // The chat opens at its first new message.
    await desk.getByRole("button", { name: /Jump to the end/ }).click();
    await expect(log.locator("[tabindex='0']")).toHaveCount(1);
    const last = messageWith(desk, "Who brings the cake?");
    await expect(last).toHaveAttribute("aria-label", /Inés Álvarez.*Who brings the cake\?.*\d:\d\d/s);
    const item = last.locator("xpath=ancestor::li");
    const [at, of] = [await item.getAttribute("aria-posinset"), await item.getAttribute("aria-setsize")];
    expect(at).toBe(of);
    // What has the focus stays in the page, however far away one scrolls.
    await last.focus();
    await log.evaluate((scroller) => (scroller.scrollTop = 0));
    await expect(last).not.toBeInViewport();
    await expect(last).toBeFocused();
    await open(desk, full.rooms.eva!);
    await expect(messageWith(desk, "Happy birthday!")).toHaveAttribute("aria-label", /You.*Happy birthday!.*Read/s);
});

test("from right to left bubbles change sides, and the way of sounds does not", async ({ desk, full: { full } }) => {
    await open(desk, full.rooms.ben!);
    await expect(bubbleWith(desk, "On my way")).toBeVisible();
    // Styles are built to go by the language for browsers that do not know directions.
    await desk.evaluate(() => Object.assign(document.documentElement, { dir: "rtl", lang: "ar" }));
    const log = await boxOf(desk.getByRole("log"));
    const own = await boxOf(bubbleWith(desk, "On my way"));
    expect(own.x + own.width / 2).toBeLessThan(log.x + log.width / 2);
    expect(await desk.locator(".sound-player").first().evaluate((player) => getComputedStyle(player).direction)).toBe("ltr");
    expect(await desk.locator(".tools .icon[data-pointing]").first().evaluate((icon) => getComputedStyle(icon).transform)).toBe("matrix(-1, 0, 0, 1, 0, 0)");
    await desk.evaluate(() => Object.assign(document.documentElement, { dir: "", lang: "en" }));
});

test("no view shows an id", async ({ desk, full: { full } }) => {
    const { rooms } = full;
    const chats = ["ben", "hike", "katarzyna"].flatMap((room) => ["", "/details", "/details/members"].map((page) => `/chat/${encodeURIComponent(rooms[room]!)}${page}`));
    for (const place of [...PLACES, ...chats]) {
        await go(desk, place);
        await desk.locator(".pane:visible").last().waitFor();
        const said = await desk.evaluate(() => document.body.innerText + [...document.querySelectorAll("[aria-label], [title], [alt]")].map((one) => ["aria-label", "title", "alt"].map((name) => one.getAttribute(name)).join(" ")).join(" "));
        expect.soft(said.match(/mxc:\/\/\S*|[!#$]\S{20,}|@\S+:\S+/g), place).toBeNull();
    }
});

test("an empty list has one thing to do", async ({ full: { app }, browser }) => {
    const nobody = await app.platforms.register("account", "nobody.looks", "Zoë Nobel");
    const page = await app.openFor(browser, "account", localpart(nobody));
    await expect(page.getByText("No chats yet")).toBeVisible();
    await expect(page.locator(".nothing").getByRole("link")).toHaveCount(1);
    await expect(page.locator(".nothing").getByRole("link", { name: "Find somebody" })).toBeVisible();
    await page.context().close();
});
