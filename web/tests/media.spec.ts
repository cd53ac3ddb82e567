import { createCipheriv, createHash, randomBytes } from "node:crypto";
import { deflateSync } from "node:zlib";

import { expect, test } from "./app.ts";
import { localpart, openChat, twoPeople, upload } from "./sayings.ts";

/** A picture of one colour. */
function picture(width: number, height: number): Buffer<ArrayBuffer> {
    const part = (type: string, data: Buffer) => {
        const body = Buffer.concat([Buffer.from(type), data]);
        const length = Buffer.alloc(4);
        length.writeUInt32BE(data.length);
        const sum = Buffer.alloc(4);
        sum.writeUInt32BE(crc(body));
        return Buffer.concat([length, body, sum]);
    };
    const head = Buffer.alloc(13);
    head.writeUInt32BE(width, 0);
    head.writeUInt32BE(height, 4);
    head.set([8, 2], 8);
    const rows = Buffer.alloc((width * 3 + 1) * height, 120);
    for (let row = 0; row < height; row++) rows[row * (width * 3 + 1)] = 0;
    const signature = Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]);
    return Buffer.concat([signature, part("IHDR", head), part("IDAT", deflateSync(rows)), part("IEND", Buffer.alloc(0))]);
}

function crc(bytes: Buffer): number {
    let sum = 0xffffffff;
    for (const byte of bytes) {
        sum ^= byte;
        for (let bit = 0; bit < 8; bit++) sum = sum & 1 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1;
    }
    return (sum ^ 0xffffffff) >>> 0;
}

function encrypt(clear: Buffer): { bytes: Buffer<ArrayBuffer>; file: object } {
    const key = randomBytes(32);
    const iv = Buffer.concat([randomBytes(8), Buffer.alloc(8)]);
    const cipher = createCipheriv("aes-256-ctr", key, iv);
    const bytes = Buffer.concat([cipher.update(clear), cipher.final()]);
    const unpadded = (bytes: Buffer) => bytes.toString("base64").replace(/=+$/, "");
    const file = {
        v: "v2",
        key: { alg: "A256CTR", ext: true, k: key.toString("base64url"), key_ops: ["encrypt", "decrypt"], kty: "oct" },
        iv: unpadded(iv),
        hashes: { sha256: unpadded(createHash("sha256").update(bytes).digest()) },
    };
    return { bytes, file };
}

const info = { w: 400, h: 300, mimetype: "image/png" };

test("an encrypted picture is shown in the clear, and a damaged one says so", async ({ app, browser }) => {
    const { anna, ben, room } = await twoPeople(app);
    const { bytes, file } = encrypt(picture(400, 300));
    const url = await upload(ben, bytes, "application/octet-stream");
    await ben.send(room, { msgtype: "m.image", body: "good.png", info, file: { ...file, url } });
    await anna.say(room, "and the other?");
    await ben.send(room, { msgtype: "m.image", body: "bad.png", info, file: { ...file, hashes: { sha256: "AAAA" }, url } });
    const page = await app.openFor(browser, "handle", localpart(anna));
    await openChat(page, room);
    const good = page.getByRole("img", { name: "good.png" });
    await expect(good).toBeVisible();
    await expect.poll(() => good.evaluate((image: HTMLImageElement) => image.naturalWidth)).toBe(400);
    await expect(page.getByRole("button", { name: "bad.png" })).toContainText("This file was damaged on its way.");
});

test("the place of a picture is reserved before it is there", async ({ app, browser }) => {
    const { anna, ben, room } = await twoPeople(app);
    const url = await upload(ben, picture(400, 300), "image/png");
    await ben.send(room, { msgtype: "m.image", body: "lake.png", info, url });
    await ben.say(room, "below the lake");
    const page = await app.openFor(browser, "handle", localpart(anna));
    let answer = () => {};
    const held = new Promise<void>((done) => (answer = done));
    await page.route("**/media/thumbnail/**", async (route) => {
        await held;
        await route.continue();
    });
    await openChat(page, room);
    const below = page.getByRole("log").getByText("below the lake");
    await expect(below).toBeVisible();
    const before = await below.boundingBox();
    answer();
    await expect(page.getByRole("img", { name: "lake.png" })).toBeVisible();
    expect(await below.boundingBox()).toEqual(before);
});

test("pictures that were sent together are one album, and the viewer shows them", async ({ app, browser }) => {
    const { anna, ben, room } = await twoPeople(app);
    const url = await upload(ben, picture(400, 300), "image/png");
    for (const name of ["one", "two", "three", "four", "five"]) await ben.send(room, { msgtype: "m.image", body: `${name}.png`, info, url });
    const page = await app.openFor(browser, "handle", localpart(anna));
    await openChat(page, room);
    await expect(page.getByRole("article", { name: /5 photos/ })).toContainText("+1");
    await page.getByRole("button", { name: "two.png" }).click();
    const viewer = page.locator(".pswp");
    await expect(viewer).toContainText("2 / 5");
    await expect(viewer.getByRole("img", { name: "two.png" })).toBeVisible();
    await page.keyboard.press("ArrowRight");
    await expect(viewer).toContainText("3 / 5");
    const saved = page.waitForEvent("download");
    await viewer.getByRole("button", { name: "Save" }).click();
    expect((await saved).suggestedFilename()).toBe("three.png");
    await page.keyboard.press("Escape");
    await expect(viewer).toBeHidden();
});

test("a file is saved under its name", async ({ app, browser }) => {
    const { anna, ben, room } = await twoPeople(app);
    const url = await upload(ben, Buffer.from("<script>1</script>"), "text/html");
    await ben.send(room, { msgtype: "m.file", body: "page.html", info: { size: 18, mimetype: "text/html" }, url });
    const page = await app.openFor(browser, "handle", localpart(anna));
    await openChat(page, room);
    const saved = page.waitForEvent("download");
    await page.getByRole("button", { name: "Save page.html" }).click();
    expect((await saved).suggestedFilename()).toBe("page.html");
});

/** Ten seconds of silence. */
function silence(): Buffer<ArrayBuffer> {
    const samples = Buffer.alloc(80_000, 128);
    const head = Buffer.alloc(44);
    head.write("RIFF", 0);
    head.writeUInt32LE(36 + samples.length, 4);
    head.write("WAVEfmt ", 8);
    head.writeUInt32LE(16, 16);
    head.writeUInt16LE(1, 20);
    head.writeUInt16LE(1, 22);
    head.writeUInt32LE(8000, 24);
    head.writeUInt32LE(8000, 28);
    head.writeUInt16LE(1, 32);
    head.writeUInt16LE(8, 34);
    head.write("data", 36);
    head.writeUInt32LE(samples.length, 40);
    return Buffer.concat([head, samples]);
}

test("a voice message is fetched when it is played", async ({ app, browser }) => {
    const { anna, ben, room } = await twoPeople(app);
    const url = await upload(ben, silence(), "audio/wav");
    const audio = { duration: 10_000, waveform: [0, 512, 1024] };
    const content = { msgtype: "m.audio", body: "voice", url, info: { mimetype: "audio/wav", duration: 10_000 } };
    await ben.send(room, { ...content, "org.matrix.msc1767.audio": audio, "org.matrix.msc3245.voice": {} });
    const page = await app.openFor(browser, "handle", localpart(anna));
    const fetched: string[] = [];
    page.on("request", (request) => request.url().includes("/media/download/") && fetched.push(request.url()));
    await openChat(page, room);
    const message = page.getByRole("article", { name: /Voice message, 0:10/ });
    await expect(message).toBeVisible();
    expect(fetched).toEqual([]);
    await message.getByRole("button", { name: "Play: Voice message" }).click();
    await expect(message.getByRole("button", { name: "Pause: Voice message" })).toBeVisible();
    await message.getByRole("button", { name: "Speed 1" }).click();
    expect(await message.locator("audio").evaluate((audio: HTMLAudioElement) => audio.playbackRate)).toBe(1.5);
    await message.getByRole("button", { name: "Pause: Voice message" }).click();
    await expect(message.getByRole("button", { name: "Play: Voice message" })).toBeVisible();
});

test("the picture of somebody is tried again, goes when they remove it, and is not there for the next account", async ({ app, browser }) => {
    const anna = await app.platforms.register("account", "anna.faces", "Anna Berg");
    await app.platforms.register("account", "next.faces", "Next Faces");
    const ben = await app.platforms.register("account", "ben.faces", "Ben Okafor");
    const wear = async (avatar_url: string) => void (await ben.call("PUT", `/_matrix/client/v3/profile/${ben.userId}/avatar_url`, { avatar_url }));
    await wear(await upload(ben, picture(400, 300), "image/png"));
    await ben.say(await ben.chatWith(anna), "Do you know my face?");
    const page = await app.open(browser, "account");
    const failed = page.waitForResponse((answer) => answer.url().includes("/media/thumbnail/") && answer.status() === 502);
    await page.route("**/media/thumbnail/**", (route) => route.fulfill({ status: 502 }));
    await app.logIn(page, "anna.faces");
    await failed;
    await page.unroute("**/media/thumbnail/**");
    await page.getByRole("link", { name: "New chat" }).click();
    await page.getByRole("link", { name: "Back" }).click();
    const row = page.getByRole("link", { name: "Ben Okafor" });
    const face = row.locator("img.avatar");
    await expect(face).toHaveJSProperty("naturalWidth", 96);
    await wear("");
    await expect(face).toHaveCount(0);
    await expect(row.locator(".avatar")).toHaveText("BO");

    await wear(await upload(ben, picture(300, 300), "image/png"));
    const address = (await face.getAttribute("src"))!;
    const isThere = () =>
        page.evaluate((src) => new Promise((done) => Object.assign(new Image(), { onload: () => done(true), onerror: () => done(false), src })), address);
    expect(await isThere()).toBe(true);
    await page.getByRole("link", { name: "Settings" }).click();
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Log out" }).click();
    await expect(page.locator("input[name=password]")).toBeVisible();
    expect(await isThere()).toBe(false);
    await page.context().close();
});
