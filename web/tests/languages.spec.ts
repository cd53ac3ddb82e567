// The app in another language, and with what people write from right to left.

import { readFileSync } from "node:fs";
import path from "node:path";

import type { Locator, Page } from "@playwright/test";

import { expect, test } from "./app.ts";
import { details, log, message, row } from "./together.ts";

const read = (language: string) =>
    JSON.parse(readFileSync(path.resolve(import.meta.dirname, `../src/words/${language}.json`), "utf8")) as Record<string, string>;
const french = new Set(Object.values(read("fr")));
/** What the app says in English and not in French, without what is put together of parts. */
const english = new Set(Object.values(read("en")).filter((text) => !french.has(text) && !text.includes("{")));
/** Words that nearly every English sentence has one of, and no French one. */
const ENGLISH_WORDS = /\b(the|you|your|with|this|that|and|not|are|was|has|have|of|to|who|what)\b/i;
const RAW_ID = /[@!]\S+:/;

/** Everything that somebody reads or hears of what is shown. */
async function readable(page: Page): Promise<string[]> {
    const texts = await page.evaluate(() => {
        const named = [...document.querySelectorAll<HTMLElement>("[aria-label], [title], [placeholder], [alt]")].filter((element) => element.checkVisibility());
        const labels = named.flatMap((element) => ["aria-label", "title", "placeholder", "alt"].map((name) => element.getAttribute(name) ?? ""));
        return [document.title, ...document.body.innerText.split("\n"), ...labels];
    });
    return texts.map((text) => text.trim()).filter(Boolean);
}

test("every main view is French for somebody French, and shows no ids", async ({ app, browser }) => {
    const { platforms } = app;
    const anna = await platforms.register("handle", "anna.fr", "Anna Berg");
    const gerd = await platforms.register("account", "gerd.fr", "Gerd Vogel");
    const cleo = await platforms.register("phone", "cleo.fr", "Cleo Lind");
    const group = { name: "Randonnée", topic: "Dimanche", preset: "private_chat", invite: [gerd.userId] };
    const { room_id } = await anna.call("POST", "/_matrix/client/v3/createRoom", group);
    const room = room_id as string;
    await gerd.join(room);
    const said = await gerd.say(room, "Bonjour !");
    await gerd.send(room, { "m.relates_to": { rel_type: "m.annotation", event_id: said, key: "👍" } }, "m.reaction");
    await gerd.send(room, { msgtype: "m.location", body: "Lac", geo_uri: "geo:59.3293,18.0686" });
    await gerd.send(room, { any: 1 }, "org.example.thing");
    await gerd.chatWith(anna);
    const request = { is_direct: true, preset: "trusted_private_chat", invite: [anna.userId] };
    const asked = await cleo.call("POST", "/_matrix/client/v3/createRoom", request);
    const choir = await gerd.call("POST", "/_matrix/client/v3/createRoom", { name: "Chorale", preset: "private_chat" });
    const { token } = await gerd.call("POST", `/_linkspan/client/v1/rooms/${encodeURIComponent(choir.room_id as string)}/join_links`, {});

    const page = await app.open(browser, "handle", { locale: "fr-FR" });
    const origin = app.addresses.handle;
    const problems: string[] = [];
    const look = async (view: string, shown: Locator) => {
        await shown.first().waitFor();
        for (const text of await readable(page)) {
            if (english.has(text) || ENGLISH_WORDS.test(text) || RAW_ID.test(text)) problems.push(`${view}: ${text}`);
        }
    };
    await look("the door", page.getByRole("button", { name: "Se connecter" }));
    await page.getByRole("button", { name: "Créer un compte" }).click();
    await look("signing up", page.getByLabel("Votre nom"));
    await page.goto(origin);
    await app.logIn(page, "anna.fr");
    await look("the list", page.locator(".pane.chats").getByRole("link", { name: /Randonnée/ }));
    await page.locator(".pane.chats").getByRole("link", { name: /Randonnée/ }).click();
    await look("a group", log(page).getByText("Bonjour !"));
    await message(page, "Bonjour !").locator(".bubble").click({ button: "right" });
    await look("the menu of a message", page.getByRole("menu"));
    await page.keyboard.press("Escape");
    const at = `/chat/${encodeURIComponent(room)}/details`;
    const side = details(page);
    const settings = "profile account links reach discovery blocked privacy devices encryption notifications appearance data about".split(" ");
    const views: [string, Locator][] = [
        [at, side.getByText("Randonnée")],
        [`${at}/members`, side.getByRole("button", { name: /Gerd Vogel/ })],
        [`${at}/add`, side.getByRole("searchbox")],
        [`${at}/links`, side.getByRole("button", { name: "Créer un lien" })],
        [`${at}/permissions`, side.getByRole("combobox")],
        [`${at}/edit`, side.getByRole("textbox")],
        [`${at}/media`, side.getByRole("heading")],
        ["/requests", page.getByRole("link", { name: /Cleo Lind/ })],
        [`/requests/${encodeURIComponent(asked.room_id as string)}`, page.getByRole("button", { name: "Accepter" })],
        ["/new", page.getByRole("searchbox")],
        ["/new/group", page.getByRole("checkbox", { name: "Gerd Vogel" })],
        ["/new/book", page.locator("input[type=file]")],
        [`/new/with/${encodeURIComponent(cleo.userId)}`, page.getByRole("main").getByRole("heading", { name: "Cleo Lind" })],
        ["/search", page.getByRole("searchbox")],
        [`/join/${token as string}`, page.getByRole("button", { name: "Rejoindre le groupe" })],
        ["/settings", page.getByRole("link", { name: "Profil", exact: true })],
        ...settings.map((name): [string, Locator] => [`/settings/${name}`, page.locator(".settings-page > *")]),
    ];
    for (const [where, shown] of views) {
        await page.evaluate((where) => history.pushState(null, "", where), where);
        await shown.first().waitFor();
        await expect(page.getByText("Connexion…")).toHaveCount(0);
        await look(where, shown);
    }
    expect(problems).toEqual([]);
    await page.context().close();
});

/** How much room a letter may have beside it. */
const ROOM_OF_A_LETTER_PX = 8;

interface Sides {
    left: number;
    right: number;
}

const sidesOf = async (element: Locator): Promise<Sides> => {
    const { x, width } = (await element.boundingBox())!;
    return { left: x, right: x + width };
};

/** Where the first letter of a text is, and where the text's element is. */
const firstLetter = (element: Locator): Promise<{ letter: Sides; text: Sides }> =>
    element.evaluate((element) => {
        const node = document.createTreeWalker(element, NodeFilter.SHOW_TEXT).nextNode()!;
        const range = document.createRange();
        range.setStart(node, 0);
        range.setEnd(node, 1);
        const { left, right } = range.getBoundingClientRect();
        const text = element.getBoundingClientRect();
        return { letter: { left, right }, text: { left: text.left, right: text.right } };
    });

test("what is written from right to left begins at the right, in an app that is laid out either way", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.rtl", "Anna Berg");
    const layla = await app.platforms.register("account", "layla.rtl", "ליילה חסן (Layla)");
    const room = await layla.chatWith(anna);
    const hebrew = "שלום אנה, מתי ניפגש ביום ראשון? אני מביאה את המפה ואת הנעליים, ואת יכולה להביא מים. https://example.org נתראה!";
    const arabic = "مرحبا، كيف حالك؟";
    await layla.say(room, hebrew);
    await anna.say(room, arabic);
    await anna.say(room, "See you on Sunday!");
    const page = await app.openFor(browser, "handle", "anna.rtl", { viewport: { width: 1000, height: 700 } });
    await row(page, "ליילה").click();
    await expect(message(page, "See you on Sunday!")).toBeVisible();
    const frame = await sidesOf(log(page));
    const middle = (frame.left + frame.right) / 2;
    const bubble = (text: string) => message(page, text).locator(".bubble");

    for (const text of [hebrew.slice(0, 20), arabic]) {
        const said = await firstLetter(message(page, text).locator(".text"));
        expect(said.text.right - said.letter.right).toBeLessThan(ROOM_OF_A_LETTER_PX);
    }
    const latin = await firstLetter(message(page, "See you on Sunday!").locator(".text"));
    expect(latin.letter.left - latin.text.left).toBeLessThan(ROOM_OF_A_LETTER_PX);
    // Whose a message is tells its side, and not what it is written in.
    expect((await sidesOf(bubble(hebrew.slice(0, 20)))).left).toBeLessThan(frame.left + 100);
    expect((await sidesOf(bubble(arabic))).right).toBeGreaterThan(frame.right - 100);
    expect((await sidesOf(bubble(arabic))).left).toBeGreaterThan(middle);
    // A name does not push what stands beside it away.
    const time = await sidesOf(row(page, "ליילה").locator(".time"));
    expect((await sidesOf(row(page, "ליילה").locator(".name"))).right).toBeLessThanOrEqual(time.left);

    // The whole window the other way round: the list at the right, and what is one's own at the left.
    await page.evaluate(() => (document.documentElement.dir = "rtl"));
    await expect.poll(async () => (await sidesOf(page.getByRole("navigation", { name: "Chats" }))).left).toBeGreaterThan(500);
    const turned = await sidesOf(log(page));
    expect((await sidesOf(bubble(arabic))).left).toBeLessThan(turned.left + 100);
    expect((await sidesOf(bubble(hebrew.slice(0, 20)))).right).toBeGreaterThan(turned.right - 100);
    expect((await sidesOf(row(page, "ליילה").locator(".name"))).left).toBeGreaterThanOrEqual((await sidesOf(row(page, "ליילה").locator(".time"))).right);
    for (const element of await page.locator(".bubble").all()) {
        const { left, right } = await sidesOf(element);
        expect(left).toBeGreaterThanOrEqual(turned.left);
        expect(right).toBeLessThanOrEqual(turned.right);
        expect(await element.evaluate((bubble) => bubble.scrollWidth <= bubble.clientWidth)).toBe(true);
    }
    const text = await firstLetter(message(page, "See you on Sunday!").locator(".text"));
    expect(text.letter.left - text.text.left).toBeLessThan(ROOM_OF_A_LETTER_PX);
    await page.context().close();
});
