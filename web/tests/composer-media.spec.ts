// Files, recordings, polls, places, and messages that are sent later: what the others get of them.

import { createDecipheriv, createHash } from "node:crypto";

import type { Page } from "@playwright/test";

import { expect, test } from "./app.ts";
import { download, photo } from "./camera.ts";
import { bodies, field, heard, pair, say } from "./composer.ts";
import { seal } from "../src/composer/sealed.ts";

async function add(page: Page, item: string): Promise<void> {
    await page.getByRole("button", { name: "Add", exact: true }).click();
    await page.getByRole("menuitem", { name: item }).click();
}

async function choose(page: Page, item: string, files: { name: string; mimeType: string; buffer: Buffer }[]): Promise<void> {
    const chooser = page.waitForEvent("filechooser");
    await add(page, item);
    await (await chooser).setFiles(files);
}

interface Picture {
    url: string;
    info: { w: number; h: number; size: number; thumbnail_url: string; thumbnail_info: { w: number; h: number } };
}

test("pictures are sent as they look, and without where they were taken", async ({ app, browser }) => {
    const chat = await pair(app, browser);
    const { page, ben } = chat;
    const buffer = await photo(page);
    const picture = (name: string) => ({ name, mimeType: "image/jpeg", buffer });
    await choose(page, "Photo or video", [picture("one.jpg"), picture("two.jpg"), picture("three.jpg")]);
    await page.getByRole("button", { name: "Remove two.jpg" }).click();
    await expect(page.getByRole("list", { name: "2 files to send" })).toBeVisible();
    await say(page, "From *Sunday*");
    await expect.poll(() => bodies(chat)).toEqual(["one.jpg", "three.jpg", "From *Sunday*"]);
    const [first, , words] = (await heard(chat)).map(({ content }) => content);
    expect(first).toMatchObject({ msgtype: "m.image", filename: "one.jpg", info: { w: 2048, h: 1024, mimetype: "image/jpeg" } });
    expect(words).toMatchObject({ msgtype: "m.text", formatted_body: "From <strong>Sunday</strong>" });
    const { url, info } = first as unknown as Picture;
    expect((info as unknown as Record<string, string>)["xyz.amorgan.blurhash"]).toHaveLength(28);
    expect(info.thumbnail_info).toMatchObject({ w: 640, h: 320 });
    const sent = await download(ben.origin, ben.token, url);
    expect(sent).toHaveLength(info.size);
    expect(buffer.includes("taken at")).toBe(true);
    expect(sent.includes("taken at")).toBe(false);
    expect(await download(ben.origin, ben.token, info.thumbnail_url)).not.toHaveLength(0);
});

test("a picture that is pasted is shown before it is sent, and Escape takes it away", async ({ app, browser }) => {
    const chat = await pair(app, browser);
    const { page } = chat;
    const paste = () =>
        page.evaluate(() => {
            const clipboardData = new DataTransfer();
            clipboardData.items.add(new File(["plain"], "notes.txt", { type: "text/plain" }));
            window.dispatchEvent(new ClipboardEvent("paste", { clipboardData }));
        });
    await paste();
    await expect(page.getByRole("list", { name: "1 file to send" })).toContainText("notes.txt");
    await field(page).press("Escape");
    await expect(page.getByRole("list", { name: "1 file to send" })).toHaveCount(0);
    await paste();
    await say(page, "for *you*");
    await expect.poll(() => bodies(chat)).toEqual(["for *you*"]);
    const [{ content } = { content: {} }] = await heard(chat);
    expect(content).toMatchObject({
        msgtype: "m.file",
        filename: "notes.txt",
        formatted_body: "for <strong>you</strong>",
        info: { mimetype: "text/plain", size: 5 },
    });
});

test("a file that is too large is told before, and one that the server refuses says why", async ({ app, browser }) => {
    const chat = await pair(app, browser);
    const { page } = chat;
    await page.route("**/_matrix/client/v1/media/config", (route) => route.fulfill({ json: { "m.upload.size": 4 } }));
    await page.route("**/_matrix/media/v3/upload*", (route) => route.fulfill({ status: 413, json: { errcode: "M_TOO_LARGE", error: "too large" } }));
    await choose(page, "File", [{ name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("plain") }]);
    await expect(page.getByRole("alert")).toHaveText("Too large: at most 4 byte");
    await field(page).press("Enter");
    await expect(page.getByRole("log")).toContainText("It is larger than the platform allows.");
    await page.getByRole("log").getByRole("button", { name: "Delete" }).click();
    await expect(page.getByRole("log")).not.toContainText("It is larger than the platform allows.");
    expect(await bodies(chat)).toEqual([]);
});

test("files of encrypted chats are encrypted before the server has them", async ({ app, browser }) => {
    const chat = await pair(app, browser, ["phone", "phone"]);
    const { page } = chat;
    const uploads: { body: Buffer; type: string | undefined }[] = [];
    const names: string[] = [];
    page.on("request", (request) => {
        const url = new URL(request.url());
        if (url.pathname.startsWith("/_matrix/media/")) uploads.push({ body: request.postDataBuffer() ?? Buffer.alloc(0), type: request.headers()["content-type"] });
        if (url.pathname.includes("/send/")) names.push(...url.searchParams.getAll("org.matrix.msc3911.attach_media"));
    });
    await choose(page, "Photo or video", [{ name: "one.jpg", mimeType: "image/jpeg", buffer: await photo(page) }]);
    await field(page).press("Enter");
    await expect.poll(async () => (await heard(chat)).map(({ type }) => type)).toEqual(["m.room.encrypted"]);
    expect(uploads.map(({ type }) => type)).toEqual(["application/octet-stream", "application/octet-stream"]);
    // The thumbnail and the picture are named, so that they go with the message.
    expect(new Set(names).size).toBe(2);
    await expect(page.getByRole("navigation", { name: "Chats" })).toContainText("Photo");
});

test("an encrypted file is one that the specification's way decrypts", async () => {
    const { blob, info } = await seal(new Blob(["only for Ben"]));
    const sealed = Buffer.from(await blob.arrayBuffer());
    expect(createHash("sha256").update(sealed).digest("base64").replace(/=+$/, "")).toBe(info.hashes.sha256);
    const key = Buffer.from(info.key.k!, "base64url");
    const decipher = createDecipheriv("aes-256-ctr", key, Buffer.from(info.iv, "base64"));
    expect(Buffer.concat([decipher.update(sealed), decipher.final()]).toString()).toBe("only for Ben");
    expect(Buffer.from(info.iv, "base64").subarray(8)).toEqual(Buffer.alloc(8));
});

test("a voice message is recorded, listened to and sent", async ({ app, browser }) => {
    const chat = await pair(app, browser);
    const { page, ben } = chat;
    await page.context().grantPermissions(["microphone"]);
    await page.getByRole("button", { name: "Record a voice message" }).click();
    await expect(page.locator(".recording time")).toHaveText("0:01");
    await page.getByRole("button", { name: "Stop recording" }).click();
    await expect(page.getByRole("button", { name: "Play recording" })).toBeVisible();
    await page.getByRole("button", { name: "Send", exact: true }).click();
    await expect.poll(() => heard(chat)).toHaveLength(1);
    const [{ content } = { content: {} as Record<string, unknown> }] = await heard(chat);
    expect(content).toMatchObject({ msgtype: "m.audio", "org.matrix.msc3245.voice": {} });
    const audio = content["org.matrix.msc1767.audio"] as { duration: number; waveform: number[] };
    expect(audio.duration).toBeGreaterThan(999);
    expect(audio.waveform.length).toBeGreaterThan(10);
    // The microphone of the test beeps, so not everything is as loud.
    expect(Math.max(...audio.waveform)).toBeGreaterThan(Math.min(...audio.waveform));
    expect((await download(ben.origin, ben.token, content.url as string)).length).toBeGreaterThan(500);
    await expect(field(page)).toBeVisible();
});

test("a tap begins a recording, and only what is pressed then sends it, once", async ({ app, browser }) => {
    const chat = await pair(app, browser, undefined, { hasTouch: true });
    const { page } = chat;
    await page.context().grantPermissions(["microphone"]);
    const begin = () => page.getByRole("button", { name: "Record a voice message" }).tap();
    const sendNow = () => page.getByRole("button", { name: "Send", exact: true }).tap();
    const write = async (text: string) => {
        await field(page).fill(text);
        await sendNow();
    };
    const lasts = page.locator(".recording time");
    await begin();
    await expect(lasts).toHaveText("0:01");
    await page.getByRole("button", { name: "Stop recording" }).tap();
    await expect(page.getByRole("button", { name: "Play recording" })).toBeVisible();
    await page.getByRole("button", { name: "Delete recording" }).tap();
    await expect(field(page)).toBeVisible();
    // What records is loaded anew, so that the tap is over before it is there.
    await page.reload();
    await begin();
    await expect(lasts).toHaveText("0:01");
    await sendNow();
    await write("Now it is loaded");
    await begin();
    await expect(lasts).toHaveText("0:01");
    await page.getByRole("button", { name: "Delete recording" }).tap();
    await write("And now it is held");
    const { x, y, width, height } = (await page.getByRole("button", { name: "Record a voice message" }).boundingBox())!;
    const fingers = await page.context().newCDPSession(page);
    await fingers.send("Input.dispatchTouchEvent", { type: "touchStart", touchPoints: [{ x: x + width / 2, y: y + height / 2 }] });
    await expect(lasts).toHaveText("0:01");
    await fingers.send("Input.dispatchTouchEvent", { type: "touchEnd", touchPoints: [] });
    await expect(field(page)).toBeVisible();
    await write("Done");
    const voice = expect.stringMatching(/^Voice message/);
    await expect.poll(() => bodies(chat)).toEqual([voice, "Now it is loaded", "And now it is held", voice, "Done"]);
});

test("a poll asks what was typed", async ({ app, browser }) => {
    const chat = await pair(app, browser);
    const { page } = chat;
    await add(page, "Poll");
    const dialog = page.getByRole("dialog", { name: "Ask a question" });
    await dialog.getByRole("textbox", { name: "Question" }).fill("Where to?");
    await dialog.getByRole("textbox", { name: "Answer 1" }).fill("Lake");
    await expect(dialog.getByRole("button", { name: "Send", exact: true })).toBeDisabled();
    await dialog.getByRole("textbox", { name: "Answer 2" }).fill("Hill");
    await dialog.getByRole("textbox", { name: "Answer 3" }).fill("Home");
    await dialog.getByRole("switch", { name: "Several answers can be chosen" }).check();
    await dialog.getByRole("radio", { name: "When the poll ends" }).check();
    await dialog.getByRole("button", { name: "Send", exact: true }).click();
    await expect.poll(() => heard(chat)).toHaveLength(1);
    const [event] = await heard(chat);
    expect(event!.type).toBe("org.matrix.msc3381.poll.start");
    expect(event!.content["org.matrix.msc1767.text"]).toBe("Where to?\n1. Lake\n2. Hill\n3. Home");
    expect(event!.content["org.matrix.msc3381.poll.start"]).toMatchObject({
        kind: "org.matrix.msc3381.poll.undisclosed",
        max_selections: 3,
        question: { "org.matrix.msc1767.text": "Where to?" },
        answers: [
            { id: "1", "org.matrix.msc1767.text": "Lake" },
            { id: "2", "org.matrix.msc1767.text": "Hill" },
            { id: "3", "org.matrix.msc1767.text": "Home" },
        ],
    });
});

test("a place is where the person is, or where they type", async ({ app, browser }) => {
    const chat = await pair(app, browser);
    const { page } = chat;
    await page.context().grantPermissions(["geolocation"]);
    await page.context().setGeolocation({ latitude: 52.52, longitude: 13.405, accuracy: 20 });
    await add(page, "Place");
    const dialog = page.getByRole("dialog", { name: "Send a place" });
    const numbers = dialog.getByRole("textbox", { name: "Latitude and longitude" });
    await dialog.getByRole("button", { name: "Where I am now" }).click();
    await expect(numbers).toHaveValue("52.52000, 13.40500");
    await dialog.getByRole("button", { name: "Send", exact: true }).click();
    await add(page, "Place");
    await numbers.fill("95, 200");
    await expect(dialog.getByRole("alert")).toBeVisible();
    await numbers.fill("48.8584, 2.2945");
    await dialog.getByRole("textbox", { name: "Name of the place" }).fill("The tower");
    await dialog.getByRole("button", { name: "Send", exact: true }).click();
    await expect.poll(() => heard(chat)).toHaveLength(2);
    const [own, typed] = (await heard(chat)).map(({ content }) => content);
    expect(own).toMatchObject({ geo_uri: "geo:52.52000,13.40500;u=20", "org.matrix.msc3488.asset": { type: "m.self" } });
    expect(typed).toMatchObject({
        msgtype: "m.location",
        body: "The tower",
        geo_uri: "geo:48.85840,2.29450",
        "org.matrix.msc3488.location": { uri: "geo:48.85840,2.29450", description: "The tower" },
        "org.matrix.msc3488.asset": { type: "m.pin" },
    });
});

test("a message that is sent later can be sent now or taken back", async ({ app, browser }) => {
    const chat = await pair(app, browser);
    const { page } = chat;
    for (const text of ["good night", "good morning"]) {
        await field(page).fill(text);
        await add(page, "Send later");
        const dialog = page.getByRole("dialog", { name: "Send later" });
        if (text === "good morning") await dialog.getByRole("button", { name: "Tomorrow morning" }).click();
        // Whoever presses twice wants it sent once.
        await dialog.getByRole("button", { name: "Schedule" }).dblclick();
        await expect(field(page)).toHaveValue("");
    }
    expect(await bodies(chat)).toEqual([]);
    await add(page, "Scheduled messages");
    const entry = (text: string) => page.getByRole("dialog", { name: "Scheduled messages" }).getByRole("listitem").filter({ hasText: text });
    await expect(page.getByRole("dialog", { name: "Scheduled messages" }).getByRole("listitem")).toHaveCount(2);
    await entry("good night").getByRole("button", { name: "Send now" }).click();
    await expect(entry("good night")).toHaveCount(0);
    await expect(entry("good morning")).toContainText("Tomorrow");
    await entry("good morning").getByRole("button", { name: "Cancel" }).click();
    await expect(entry("good morning")).toHaveCount(0);
    await expect.poll(() => bodies(chat)).toEqual(["good night"]);
    await page.keyboard.press("Escape");
    // What is sent later would be a message of its own, and not the change of this one.
    await page.getByRole("log").getByText("good night").click({ button: "right" });
    await page.getByRole("menuitem", { name: "Edit" }).click();
    await page.getByRole("button", { name: "Add", exact: true }).click();
    await expect(page.getByRole("menuitem", { name: "Scheduled messages" })).toBeVisible();
    await expect(page.getByRole("menuitem", { name: "Send later" })).toHaveCount(0);
});

test("who cannot see a poll is named before it is sent, and text is offered instead", async ({ app, browser }) => {
    const chat = await pair(app, browser);
    const { page, ben } = chat;
    const users = [{ user_id: ben.userId, because: "platform" }];
    await page.route("**/rooms/*/abilities", (route) => route.fulfill({ json: { not_shown: { poll: { count: 1, users } } } }));
    await page.reload();
    await add(page, "Poll");
    const dialog = page.getByRole("dialog", { name: "Ask a question" });
    await expect(dialog).toContainText("Ben Okafor’s app cannot show polls.");
    await dialog.getByRole("textbox", { name: "Question" }).fill("Where to?");
    await dialog.getByRole("textbox", { name: "Answer 1" }).fill("Lake");
    await dialog.getByRole("textbox", { name: "Answer 2" }).fill("Hill");
    await dialog.getByRole("button", { name: "Send as text" }).click();
    await expect.poll(() => bodies(chat)).toEqual(["Where to?\n1. Lake\n2. Hill"]);
});

test("the timer of a chat is one that everybody in it sees", async ({ app, browser }) => {
    const chat = await pair(app, browser);
    const { page, ben, room } = chat;
    await add(page, "Disappearing messages");
    const dialog = page.getByRole("dialog", { name: "Disappearing messages" });
    await expect(dialog.getByRole("radio", { name: "Off" })).toBeChecked();
    await dialog.getByRole("radio", { name: "One week" }).check();
    await dialog.getByRole("button", { name: "Save" }).click();
    await expect(dialog).toHaveCount(0);
    const timer = await ben.call("GET", `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/state/com.beeper.disappearing_timer`);
    expect(timer).toEqual({ type: "after_send", timer: 604_800_000 });
    await add(page, "Disappearing messages");
    await expect(dialog.getByRole("radio", { name: "One week" })).toBeChecked();
});

test("a file that is still prepared has its place before what is written after it, and is still shown as it was once it is sent", async ({ app, browser }) => {
    const chat = await pair(app, browser);
    const { page } = chat;
    const buffer = await photo(page);
    await page.evaluate(() => {
        const make = createImageBitmap;
        const isWanted = new Promise<void>((done) => addEventListener("prepare", () => done(), { once: true }));
        window.createImageBitmap = (async (blob: Blob) => {
            await isWanted;
            return make(blob);
        }) as typeof createImageBitmap;
    });
    const loaded: string[] = [];
    page.on("request", (request) => /media\/(download|thumbnail)/.test(request.url()) && loaded.push(request.url()));
    await choose(page, "Photo or video", [{ name: "slow.jpg", mimeType: "image/jpeg", buffer }]);
    const staged = await page.getByRole("img", { name: "slow.jpg" }).getAttribute("src");
    await field(page).press("Enter");
    await say(page, "Written after it");
    const rows = page.getByRole("log").getByRole("article");
    await expect(rows).toHaveCount(2);
    await expect(rows.first()).toHaveAccessibleName(/Photo/);
    const readable = (address: string | null) => page.evaluate((address) => fetch(address!).then(() => true, () => false), address);
    expect(await readable(staged)).toBe(false);
    await page.evaluate(() => dispatchEvent(new Event("prepare")));
    await expect.poll(() => bodies(chat)).toEqual(["slow.jpg", "Written after it"]);
    const [sent] = (await heard(chat)).map(({ content }) => content);
    expect(sent).toMatchObject({ msgtype: "m.image", info: { w: 2048, h: 1024 } });
    await expect(rows.last()).toHaveAccessibleName(/Sent|Read/);
    await expect(rows.first()).toHaveAccessibleName(/Sent|Read/);
    await expect(rows.first().locator("img").first()).toHaveAttribute("src", /^blob:/);
    expect(loaded).toEqual([]);
});

test("files that are taken away are let go", async ({ app, browser }) => {
    const { page } = await pair(app, browser);
    const buffer = await photo(page);
    await choose(page, "Photo or video", [{ name: "not-this.jpg", mimeType: "image/jpeg", buffer }]);
    const staged = page.getByRole("img", { name: "not-this.jpg" });
    const address = await staged.getAttribute("src");
    const readable = () => page.evaluate((address) => fetch(address!).then(() => true, () => false), address);
    expect(await readable()).toBe(true);
    await field(page).press("Escape");
    await expect(staged).toHaveCount(0);
    await expect.poll(readable).toBe(false);
});
