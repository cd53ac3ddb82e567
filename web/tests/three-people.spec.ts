// Three people on three platforms, each with the app of their own platform, do what people do in chats. Each step says what the
// others see of it. The steps belong together: each goes on where the one before has ended.

import type { Locator, Page } from "@playwright/test";

import { type App, expect, test } from "./app.ts";
import { field, say } from "./composer.ts";
import { add, answerRequest, asPerson, chats, choose, details, log, message, openFromList, row, sessionOf, signUpByEmail, signUpByHandle, signUpByPhone } from "./together.ts";

test.describe.configure({ mode: "serial", timeout: 300_000 });

const GROUP = "Hiking on Sunday";
const CLEOS_NUMBER = "+491713920101";

let app: App;
let anna: Page, gerd: Page, cleo: Page, dora: Page;
/** Events that Cleo's app has sent, by their type. On her platform everything is encrypted. */
const sentByCleo: string[] = [];

const everybody = (check: (page: Page) => Promise<void>) => Promise.all([anna, gerd, cleo].map(check));
const allSee = (text: string | RegExp) => everybody((page) => expect(log(page)).toContainText(text));
const roomOf = (page: Page) => decodeURIComponent(/\/chat\/([^/?]+)/.exec(page.url())![1]!);

test.beforeAll(async ({ proving, browser }) => {
    ({ app } = proving);
    const { post } = proving;
    [anna, gerd, cleo, dora] = await Promise.all([
        signUpByHandle(app, browser, "Anna Berg", "anna.three", "correct horse battery staple"),
        signUpByEmail(app, post, browser, "Gerd Vogel", "gerd.three@example.org"),
        signUpByPhone(app, post, browser, "Cleo Lind", CLEOS_NUMBER),
        signUpByHandle(app, browser, "Dora Stern", "dora.three", "another horse battery staple"),
    ]);
    cleo.on("request", (request) => {
        const type = /\/rooms\/[^/]+\/send\/([^/]+)\//.exec(request.url())?.[1];
        if (type) sentByCleo.push(type);
    });
});

test.afterAll(async () => {
    await Promise.all([anna, gerd, cleo, dora].map((page) => page?.context().close()));
});

test("they find each other, and are asked before a stranger gets through", async () => {
    // By name.
    await anna.getByRole("link", { name: "New chat" }).click();
    await anna.getByRole("searchbox").fill("Gerd Vogel");
    await anna.getByRole("region", { name: "On all platforms" }).getByRole("link", { name: "Gerd Vogel" }).click();
    await anna.getByRole("textbox", { name: "Message to Gerd Vogel" }).fill("Is this your umbrella?");
    await anna.keyboard.press("Enter");
    await gerd.getByRole("link", { name: "Message requests" }).click();
    await gerd.getByRole("link", { name: "Anna Berg" }).click();
    await expect(gerd.getByRole("list", { name: "What was said" })).toContainText("Is this your umbrella?");
    await gerd.getByRole("button", { name: "Accept" }).click();
    await say(gerd, "It is!");
    await expect(log(anna)).toContainText("It is!");

    // By number.
    await gerd.getByRole("link", { name: "New chat" }).click();
    await gerd.getByRole("searchbox").fill(CLEOS_NUMBER);
    await gerd.getByRole("region", { name: "On all platforms" }).getByRole("link", { name: "Cleo Lind" }).click();
    await gerd.getByRole("textbox", { name: "Message to Cleo Lind" }).fill("Is this still your number?");
    await gerd.keyboard.press("Enter");
    await cleo.getByRole("link", { name: "Message requests" }).click();
    await cleo.getByRole("link", { name: "Gerd Vogel" }).click();
    await expect(cleo.getByRole("list", { name: "What was said" })).toContainText("Is this still your number?");
    await cleo.getByRole("button", { name: "Accept" }).click();
    await say(cleo, "Yes, for ever");
    await expect(log(gerd)).toContainText("Yes, for ever");

    // By handle.
    await cleo.getByRole("link", { name: "New chat" }).click();
    await cleo.getByRole("searchbox").fill("@anna.three");
    await cleo.getByRole("region", { name: "On all platforms" }).getByRole("link", { name: "Anna Berg" }).click();
    await cleo.getByRole("textbox", { name: "Message to Anna Berg" }).fill("Gerd told me of you");
    await cleo.keyboard.press("Enter");
    await answerRequest(anna, "Cleo Lind", "Accept");
    await expect(log(anna)).toContainText("Gerd told me of you");
});

test("somebody is found in an address book, and a request that was deleted is gone", async () => {
    await dora.getByRole("link", { name: "New chat" }).click();
    await dora.getByRole("link", { name: "From your address book" }).click();
    const book = `BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Cleo from the choir\r\nTEL:${CLEOS_NUMBER}\r\nEND:VCARD\r\n`;
    await dora.getByLabel("Choose a file").setInputFiles({ name: "book.vcf", mimeType: "text/vcard", buffer: Buffer.from(book) });
    await dora.getByRole("region", { name: "1 person is here" }).getByRole("button", { name: "Cleo from the choir" }).click();
    await dora.getByRole("textbox", { name: /^Message to/ }).fill("Buy this!");
    await dora.keyboard.press("Enter");
    await answerRequest(cleo, "Dora Stern", "Delete");
    await expect(cleo.getByText("Nobody is waiting for you.")).toBeVisible();
    await expect(dora.getByRole("main").getByText("Waiting until Cleo Lind accepts").first()).toBeVisible();
});

test("a group over three platforms has a name and a picture for everybody", async () => {
    await anna.getByRole("link", { name: "New chat" }).click();
    await anna.getByRole("link", { name: "New group" }).click();
    await anna.getByRole("checkbox", { name: "Gerd Vogel" }).check();
    await anna.getByRole("checkbox", { name: "Cleo Lind" }).check();
    await anna.getByRole("button", { name: "Next" }).click();
    await expect(anna.getByRole("navigation", { name: "New group" })).toContainText("Messages are end-to-end encrypted");
    await anna.getByRole("textbox", { name: "Name of the group" }).fill(GROUP);
    await anna.getByLabel("Add a picture").setInputFiles({ name: "hills.png", mimeType: "image/png", buffer: await picture(anna, "#11694b") });
    await anna.getByRole("button", { name: "Create group" }).click();
    // They have accepted Anna before, so she may bring them into a group.
    await expect(anna.getByRole("main").getByRole("heading", { name: GROUP })).toBeVisible();
    await everybody(async (page) => {
        await openFromList(page, GROUP);
        await expect(page.locator("main > header")).toContainText("3 members");
        await expect.poll(() => row(page, GROUP).locator(".picture img").evaluate((image: HTMLImageElement) => image.naturalWidth)).toBeGreaterThan(0);
    });
});

test("text, links, emoji, mentions, replies, reactions, edits and deletions are seen by everybody", async () => {
    await field(anna).fill("see _this_: *now* https://example.org/hike :tiger");
    await anna.getByRole("option", { name: "tiger face" }).click();
    await anna.keyboard.press("Enter");
    await everybody(async (page) => {
        const said = message(page, "see this: now");
        await expect(said.locator("em")).toHaveText("this");
        await expect(said.locator("strong")).toHaveText("now");
        await expect(said.getByRole("link", { name: "https://example.org/hike" })).toHaveAttribute("href", "https://example.org/hike");
        await expect(said).toContainText("🐯");
    });

    // Whoever is not looking is told that they are meant.
    await openFromList(cleo, "Gerd Vogel");
    await gerd.getByRole("textbox", { name: "Message" }).fill("Who drives? @Cleo");
    await gerd.getByRole("option", { name: "Cleo Lind" }).click();
    await gerd.keyboard.press("Enter");
    await expect(row(cleo, GROUP).getByRole("img", { name: "You are mentioned" })).toBeVisible();
    await openFromList(cleo, GROUP);
    await expect(message(cleo, "Who drives?").locator(".mention")).toHaveText("@Cleo Lind");
    await expect(row(cleo, GROUP).getByRole("img", { name: "You are mentioned" })).toHaveCount(0);

    await choose(cleo, "Who drives?", "Reply");
    await say(cleo, "I drvie");
    await everybody((page) => expect(message(page, "I drvie").locator(".quote-card")).toContainText("Gerd Vogel"));
    await message(anna, "I drvie").locator(".bubble").click({ button: "right" });
    await anna.getByRole("menuitemcheckbox", { name: "React with ❤️" }).click();
    await everybody((page) => expect(message(page, "I drvie").getByRole("button", { name: "❤️ from Anna Berg" })).toBeVisible());
    await message(gerd, "I drvie").getByRole("button", { name: "❤️ from Anna Berg" }).click();
    await everybody((page) => expect(message(page, "I drvie").getByRole("button", { name: "❤️ 2 from Anna Berg, Gerd Vogel" })).toBeVisible());

    await choose(cleo, "I drvie", "Edit");
    await say(cleo, "I drive");
    await everybody(async (page) => {
        await expect(message(page, "I drive").getByRole("button", { name: "edited" })).toBeVisible();
        await expect(log(page)).not.toContainText("drvie");
        await expect(page.getByRole("main").getByText("Cleo Lind is typing")).toHaveCount(0);
    });

    await say(gerd, "Said by mistake");
    await allSee("Said by mistake");
    await choose(gerd, "Said by mistake", "Delete for everyone");
    await gerd.getByRole("dialog").getByRole("button", { name: "Delete for everyone" }).click();
    await everybody(async (page) => {
        await expect(log(page)).toContainText("This message was deleted.");
        await expect(log(page)).not.toContainText("Said by mistake");
    });
});

test("pictures, a film, a file, a voice message and a place arrive as they were sent", async () => {
    const pictures = await Promise.all(["#9c2463", "#1f56b3", "#11694b"].map((colour) => picture(anna, colour)));
    await attach(anna, "Photo or video", pictures.map((buffer, at) => ({ name: `hill${at + 1}.png`, mimeType: "image/png", buffer })));
    await anna.getByRole("textbox", { name: "Message" }).press("Enter");
    await everybody(async (page) => {
        await expect(log(page).getByRole("article", { name: /3 photos/ })).toBeVisible();
        await log(page).getByRole("button", { name: "hill2.png" }).click();
        const viewer = page.locator(".pswp");
        await expect(viewer).toContainText("2 / 3");
        const shown = viewer.getByRole("img", { name: "hill2.png" });
        await expect(shown).toBeVisible();
        expect(await colourOf(shown)).toEqual([31, 86, 179]);
        await page.keyboard.press("Escape");
        await expect(viewer).toBeHidden();
    });

    await attach(gerd, "Photo or video", [{ name: "lake.webm", mimeType: "video/webm", buffer: await film(gerd) }]);
    await gerd.getByRole("textbox", { name: "Message" }).press("Enter");
    for (const page of [anna, cleo]) {
        await page.getByRole("button", { name: "Play: lake.webm" }).click();
        await expect.poll(() => page.locator("video").evaluate((video: HTMLVideoElement) => video.videoWidth)).toBe(320);
    }

    await attach(cleo, "File", [{ name: "list.txt", mimeType: "text/plain", buffer: Buffer.from("shoes, water, a map") }]);
    await say(cleo, "What we need");
    for (const page of [anna, gerd]) {
        const saving = page.waitForEvent("download");
        await message(page, "What we need").getByRole("button", { name: "Save list.txt" }).click();
        const saved = await (await saving).createReadStream();
        expect(Buffer.concat(await saved.toArray()).toString()).toBe("shoes, water, a map");
    }

    await cleo.context().grantPermissions(["microphone", "geolocation"]);
    await cleo.getByRole("button", { name: "Record a voice message" }).click();
    await expect(cleo.locator(".recording time")).toHaveText("0:01");
    await cleo.getByRole("button", { name: "Send", exact: true }).click();
    for (const page of [anna, gerd]) {
        await log(page).getByRole("button", { name: "Play: Voice message" }).click();
        await expect(log(page).getByRole("button", { name: "Speed 1" })).toBeVisible();
        await expect.poll(() => page.locator("audio").evaluate((audio: HTMLAudioElement) => audio.currentTime)).toBeGreaterThan(0);
    }

    await add(cleo, "Place");
    const dialog = cleo.getByRole("dialog", { name: "Send a place" });
    await dialog.getByRole("textbox", { name: "Latitude and longitude" }).fill("48.8584, 2.2945");
    await dialog.getByRole("textbox", { name: "Name of the place" }).fill("The tower");
    await dialog.getByRole("button", { name: "Send", exact: true }).click();
    await everybody((page) => expect(message(page, "The tower")).toContainText("48.85840, 2.29450"));
});

test("a poll is voted in, a message is forwarded, and what is pinned is pinned for everybody", async () => {
    await add(gerd, "Poll");
    const dialog = gerd.getByRole("dialog", { name: "Ask a question" });
    await dialog.getByRole("textbox", { name: "Question" }).fill("Where to?");
    await dialog.getByRole("textbox", { name: "Answer 1" }).fill("Lake");
    await dialog.getByRole("textbox", { name: "Answer 2" }).fill("Hill");
    await dialog.getByRole("button", { name: "Send", exact: true }).click();
    await anna.getByRole("radio", { name: "Hill" }).click();
    await cleo.getByRole("radio", { name: "Hill" }).click();
    await expect(gerd.getByText("2 votes", { exact: true })).toBeVisible();
    await gerd.getByRole("radio", { name: "Lake" }).click();
    await everybody(async (page) => {
        await expect(page.getByText("3 votes", { exact: true })).toBeVisible();
        await expect(page.locator(".answer", { hasText: "Hill" }).locator(".count")).toHaveText("2");
    });
    await choose(gerd, "Where to?", "End the poll");
    await everybody((page) => expect(page.getByRole("group", { name: "Where to?" })).toContainText("The poll has ended."));

    await choose(gerd, "What we need", "Forward");
    const forward = gerd.getByRole("dialog", { name: "Forward to" });
    await forward.getByRole("checkbox", { name: "Anna Berg" }).check();
    await forward.getByRole("button", { name: "Forward", exact: true }).click();
    await expect(row(anna, "Gerd Vogel").getByRole("img", { name: "1 unread message" })).toBeVisible();
    await openFromList(anna, "Gerd Vogel");
    await expect(log(anna).getByRole("button", { name: "Save list.txt" })).toBeVisible();
    await openFromList(anna, GROUP);

    await choose(anna, "I drive", "Pin");
    await everybody((page) => expect(page.getByRole("button", { name: "Pinned message I drive" })).toBeVisible());
    await choose(gerd, "I drive", "Star");
    await expect(message(gerd, "I drive").getByRole("img", { name: "Starred" })).toBeVisible();
    await expect(message(anna, "I drive").getByRole("img", { name: "Starred" })).toHaveCount(0);
});

test("drafts stay, who writes is seen, and what is sent later arrives later", async () => {
    await field(gerd).fill("I have not decided");
    await expect(anna.getByRole("main").getByText("Gerd Vogel is typing")).toBeVisible();
    await expect(cleo.getByRole("main").getByText("Gerd Vogel is typing")).toBeVisible();
    await openFromList(gerd, "Anna Berg");
    await expect(row(gerd, GROUP)).toContainText("I have not decided");
    await expect(anna.getByRole("main").getByText("Gerd Vogel is typing")).toHaveCount(0);
    await openFromList(gerd, GROUP);
    await expect(field(gerd)).toHaveValue("I have not decided");
    await field(gerd).fill("");

    await field(anna).fill("We leave at seven");
    await add(anna, "Send later");
    const dialog = anna.getByRole("dialog", { name: "Send later" });
    await dialog.getByLabel("When").fill(await inSeconds(anna, 20));
    await dialog.getByRole("button", { name: "Schedule" }).click();
    await expect(field(anna)).toHaveValue("");
    await say(anna, "Wait for it");
    await allSee("Wait for it");
    await everybody((page) => expect(log(page).locator(".message").last()).toContainText("We leave at seven"));
});

test("messages that disappear go for everybody, and those from before stay", async () => {
    const timer = async (choice: string) => {
        await add(anna, "Disappearing messages");
        const dialog = anna.getByRole("dialog", { name: "Disappearing messages" });
        await dialog.getByRole("radio", { name: choice, exact: true }).check();
        await dialog.getByRole("button", { name: "Save" }).click();
        await expect(dialog).toHaveCount(0);
    };
    await timer("One hour");
    await allSee("Anna Berg set messages to disappear after 1 hour");
    await gerd.getByRole("main").getByRole("link", { name: GROUP }).first().click();
    await expect(details(gerd).getByRole("button", { name: "Disappearing messages" })).toContainText("1 hour");
    // The app offers no time as short as a test can wait for.
    const state = `/_matrix/client/v3/rooms/${encodeURIComponent(roomOf(anna))}/state/com.beeper.disappearing_timer`;
    await (await asPerson(anna, app, "handle")).call("PUT", state, { type: "after_send", timer: 30_000 });
    await allSee("Anna Berg set messages to disappear after 30 seconds");
    await say(gerd, "This goes soon");
    await everybody((page) => expect(message(page, "This goes soon").getByRole("img", { name: "Disappears" })).toBeVisible());
    await timer("Off");
    await allSee("Anna Berg turned off disappearing messages");
    await everybody((page) => expect(log(page)).not.toContainText("This goes soon", { timeout: 60_000 }));
    await allSee("We leave at seven");
});

test("who has read is seen, unread messages are counted, and one begins at the first of them", async () => {
    await say(gerd, "Have you all read this?");
    await expect(log(gerd).getByRole("img", { name: /^Read by (Anna Berg, Cleo Lind|Cleo Lind, Anna Berg)$/ })).toBeVisible();
    await openFromList(cleo, "Gerd Vogel");
    for (let step = 1; step <= 25; step++) await say(anna, `Step ${step}.`);
    await expect(row(cleo, GROUP).getByRole("img", { name: "25 unread messages" })).toBeVisible();
    await expect(row(cleo, GROUP)).toContainText("Step 25.");
    await openFromList(cleo, GROUP);
    await expect(cleo.getByRole("separator").filter({ hasText: "New messages" })).toBeInViewport();
    await expect(message(cleo, "Step 1.")).toBeInViewport();
    await cleo.getByRole("button", { name: /^Jump to the end/ }).click();
    await expect(message(cleo, "Step 25.")).toBeInViewport();
    await expect(row(cleo, GROUP).getByRole("img", { name: /unread/ })).toHaveCount(0);

    const choose = async (item: string) => {
        await row(gerd, "Cleo Lind").click({ button: "right" });
        await gerd.getByRole("menuitem", { name: item, exact: true }).click();
    };
    await choose("Pin");
    await expect(chats(gerd).locator(".rows").getByRole("link").first()).toContainText("Cleo Lind");
    await choose("Mute");
    await openFromList(cleo, "Gerd Vogel");
    await say(cleo, "Nobody is told of this");
    await expect(row(gerd, "Cleo Lind").getByRole("img", { name: "Unread" })).toBeVisible();
    await choose("Archive");
    await expect(row(gerd, "Cleo Lind")).toHaveCount(0);
    await gerd.getByRole("button", { name: "Archived" }).click();
    await expect(row(gerd, "Cleo Lind")).toContainText("Nobody is told of this");
    await gerd.getByRole("button", { name: "Back" }).click();
    await openFromList(gerd, GROUP);
    await openFromList(cleo, GROUP);
});

test("messages are found in chats that are encrypted and in those that are not", async () => {
    const [gerdHimself, { userId }] = [await asPerson(gerd, app, "account"), await sessionOf(anna)];
    const plain = await gerdHimself.call("POST", "/_matrix/client/v3/createRoom", { name: "Plain talk", preset: "private_chat", invite: [userId] });
    await row(anna, "Plain talk").waitFor();
    await openFromList(anna, "Plain talk");
    await expect(anna.locator("main > header")).toContainText("Not encrypted");
    await gerdHimself.say(plain.room_id as string, "The lighthouse is open");
    await expect(log(anna)).toContainText("The lighthouse is open");
    const found = anna.getByRole("region", { name: "Messages" }).getByRole("link");
    await anna.getByRole("searchbox", { name: "Search" }).fill("lighthouse");
    await expect(found).toContainText("The lighthouse is open");
    await anna.getByRole("searchbox", { name: "Search" }).fill("Who drives");
    await expect(found).toContainText("Who drives?");
    await found.click();
    await expect(log(anna).getByRole("article", { name: /^Gerd Vogel, Who drives/ })).toBeInViewport();
    await anna.getByRole("searchbox", { name: "Search" }).fill("");
});

test("what an app cannot show is said before it is sent", async () => {
    // Eva's app has not said that it shows polls.
    const eva = await app.platforms.register("handle", "eva.three", "Eva Lindqvist");
    await eva.chatWith(await asPerson(anna, app, "handle"));
    await openFromList(anna, "Eva Lindqvist");
    await add(anna, "Poll");
    const dialog = anna.getByRole("dialog", { name: "Ask a question" });
    await expect(dialog).toContainText("Eva Lindqvist’s app may not show polls.");
    await dialog.getByRole("button", { name: "Close" }).click();
    await openFromList(anna, GROUP);
    await add(anna, "Poll");
    await expect(dialog).toBeVisible();
    await expect(dialog).not.toContainText("may not show");
    await dialog.getByRole("button", { name: "Close" }).click();
});

test("a restart of the server and a tunnel lose nothing, double nothing, and change no order", async () => {
    await cleo.context().setOffline(true);
    await say(cleo, "Night 1 from the tunnel");
    await say(cleo, "Night 2 from the tunnel");
    await expect(log(cleo)).toContainText("Waiting for the network");
    await app.platforms.end();
    await say(anna, "Night 1 of Anna");
    await say(anna, "Night 2 of Anna");
    await say(gerd, "Night 1 of Gerd");
    await expect(anna.getByText("Connecting…").first()).toBeVisible();
    await app.platforms.begin();
    for (const page of [anna, gerd]) {
        await expect(message(page, "of Anna")).toHaveCount(2);
        await expect(message(page, "of Gerd")).toHaveCount(1);
        await expect(page.getByText("Connecting…")).toHaveCount(0);
    }
    await say(gerd, "Night 2 of Gerd");
    await expect(message(anna, "Night 2 of Gerd")).toBeVisible();
    await cleo.context().setOffline(false);
    await everybody(async (page) => {
        for (const whose of ["of Anna", "of Gerd", "from the tunnel"]) {
            await expect(message(page, new RegExp(`Night \\d ${whose}`)).locator(".text")).toHaveText([`Night 1 ${whose}`, `Night 2 ${whose}`]);
        }
        await expect(message(page, "Night").getByRole("img", { name: /Sending|Not sent/ })).toHaveCount(0);
    });
});

test("a fourth person joins by a link, roles are given, and who is removed or leaves is gone", async () => {
    await anna.getByRole("main").getByRole("link", { name: GROUP }).first().click();
    const side = details(anna);
    await side.getByRole("link", { name: "Links to join" }).click();
    await side.getByRole("button", { name: "Make a link" }).click();
    const token = /\/join\/(\S+)/.exec((await side.locator(".address").textContent())!)![1]!;
    await dora.goto(`${app.addresses.handle}/join/${token}`);
    await expect(dora.getByRole("main")).toContainText("3 members");
    await dora.getByRole("button", { name: "Join group" }).click();
    await expect(dora.getByRole("main").getByRole("heading", { name: GROUP })).toBeVisible();
    await allSee("Dora Stern joined");
    await say(cleo, "Welcome, Dora");
    await expect(log(dora)).toContainText("Welcome, Dora");
    await expect(log(dora)).not.toContainText("Who drives?");

    await side.getByRole("link", { name: "Back" }).click();
    await side.getByRole("link", { name: "Members" }).click();
    await side.getByRole("button", { name: /Gerd Vogel/ }).click();
    await anna.getByRole("menuitem", { name: "Make admin" }).click();
    await allSee("Anna Berg changed who may do what");
    await gerd.getByRole("main").getByRole("link", { name: GROUP }).first().click();
    await details(gerd).getByRole("link", { name: "Members" }).click();
    await expect(details(gerd).getByRole("button", { name: /You/ })).toContainText("Admin");
    await details(gerd).getByRole("button", { name: /Dora Stern/ }).click();
    await gerd.getByRole("menuitem", { name: "Remove from the group" }).click();
    await gerd.getByRole("dialog").getByRole("button", { name: "Remove from the group" }).click();
    await expect(dora.getByText("You were removed from this chat.")).toBeVisible();
    await allSee("Gerd Vogel removed Dora Stern");
    await say(anna, "Now we are three again");
    await expect(log(gerd)).toContainText("Now we are three again");
    await expect(log(dora)).not.toContainText("Now we are three again");

    await cleo.getByRole("main").getByRole("link", { name: GROUP }).first().click();
    const room = roomOf(cleo);
    await details(cleo).getByRole("button", { name: "Leave group" }).click();
    await cleo.getByRole("dialog").getByRole("button", { name: "Leave group" }).click();
    await expect(row(cleo, GROUP)).toHaveCount(0);
    for (const page of [anna, gerd]) await expect(log(page)).toContainText("Cleo Lind left");

    // Reactions stay readable, as the specification has them. Everything else that was said where Cleo was is encrypted.
    expect(sentByCleo.length).toBeGreaterThan(5);
    expect(new Set(sentByCleo)).toEqual(new Set(["m.room.encrypted"]));
    const annaHerself = await asPerson(anna, app, "handle");
    const types = new Set<string>();
    for (let from = ""; ; ) {
        const where = `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/messages?dir=b&limit=100${from}`;
        const { chunk, end } = (await annaHerself.call("GET", where)) as { chunk: { type: string; state_key?: string }[]; end?: string };
        for (const { type } of chunk.filter(({ state_key }) => state_key === undefined)) types.add(type);
        if (!end) break;
        from = `&from=${encodeURIComponent(end)}`;
    }
    expect(types).toEqual(new Set(["m.room.encrypted", "m.room.redaction", "m.reaction"]));
});

/** A time so many seconds from now, as a field for times has it. */
function inSeconds(page: Page, seconds: number): Promise<string> {
    return page.evaluate((seconds) => {
        const date = new Date(Date.now() + seconds * 1000);
        return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
    }, seconds);
}

/** A picture of one colour, as a PNG. */
async function picture(page: Page, colour: string): Promise<Buffer> {
    const bytes = await page.evaluate(async (colour) => {
        const canvas = new OffscreenCanvas(400, 300);
        const context = canvas.getContext("2d")!;
        context.fillStyle = colour;
        context.fillRect(0, 0, 400, 300);
        return [...new Uint8Array(await (await canvas.convertToBlob()).arrayBuffer())];
    }, colour);
    return Buffer.from(bytes);
}

/** A film of a few pictures. */
async function film(page: Page): Promise<Buffer> {
    const bytes = await page.evaluate(async () => {
        const canvas = Object.assign(document.createElement("canvas"), { width: 320, height: 180 });
        const context = canvas.getContext("2d")!;
        const recorder = new MediaRecorder(canvas.captureStream(), { mimeType: "video/webm" });
        const parts: Blob[] = [];
        const ended = new Promise((done) => (recorder.onstop = done));
        recorder.ondataavailable = ({ data }) => parts.push(data);
        recorder.start();
        for (let frame = 0; frame < 10; frame++) {
            context.fillStyle = `hsl(${frame * 30} 80% 50%)`;
            context.fillRect(0, 0, 320, 180);
            await new Promise(requestAnimationFrame);
        }
        recorder.stop();
        await ended;
        return [...new Uint8Array(await new Blob(parts).arrayBuffer())];
    });
    return Buffer.from(bytes);
}

async function attach(page: Page, item: string, files: { name: string; mimeType: string; buffer: Buffer }[]): Promise<void> {
    const chooser = page.waitForEvent("filechooser");
    await add(page, item);
    await (await chooser).setFiles(files);
}

/** The colour in the middle of a picture that is shown. */
function colourOf(image: Locator): Promise<number[]> {
    return image.evaluate(async (image: HTMLImageElement) => {
        await image.decode();
        const context = new OffscreenCanvas(1, 1).getContext("2d")!;
        context.drawImage(image, image.naturalWidth / 2, image.naturalHeight / 2, 1, 1, 0, 0, 1, 1);
        return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
    });
}
