import { expect, test } from "./app.ts";
import { download, photo } from "./camera.ts";

test("a group is made with people of two platforms, who get roles and are removed", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.group", "Anna Berg");
    const ben = await app.platforms.register("handle", "ben.group", "Ben Okafor");
    const gerd = await app.platforms.register("account", "gerd.group", "Gerd Vogel");
    await anna.chatWith(ben);
    await anna.chatWith(gerd);
    // Whom they have accepted may bring them into a group at once.
    const page = await app.openFor(browser, "handle", "anna.group");
    await page.getByRole("link", { name: "New chat" }).click();
    await page.getByRole("link", { name: "New group" }).click();
    await page.getByRole("checkbox", { name: "Ben Okafor" }).check();
    await page.getByRole("checkbox", { name: "Gerd Vogel" }).check();
    await page.getByRole("button", { name: "Next" }).click();
    await page.getByRole("textbox", { name: "Name of the group" }).fill("Book club");
    await page.getByRole("button", { name: "Create group" }).click();
    await page.getByRole("main").getByRole("link", { name: "Book club" }).first().click();
    const details = page.getByRole("complementary");
    await expect(details).toContainText("3 members");
    await expect(details).toContainText("Messages are end-to-end encrypted");
    await details.getByRole("link", { name: "Members" }).click();
    await expect(details.getByRole("button", { name: /You/ })).toContainText("Owner");
    await details.getByRole("button", { name: /Gerd Vogel/ }).click();
    await page.getByRole("menuitem", { name: "Make admin" }).click();
    await expect(details.getByRole("button", { name: /Gerd Vogel/ })).toContainText("Admin");
    await details.getByRole("button", { name: /Ben Okafor/ }).click();
    await page.getByRole("menuitem", { name: "Remove for good" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Remove for good" }).click();
    await expect(details.getByRole("button", { name: /Ben Okafor/ })).toHaveCount(0);
    await details.getByText("1 person was removed for good").click();
    await details.getByRole("button", { name: "Allow again" }).click();
    await expect(details.getByText("1 person was removed for good")).toHaveCount(0);
    await page.context().close();
});

test("a group gets another name and other rules, which its members see", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.rules", "Anna Berg");
    const ben = await app.platforms.register("handle", "ben.rules", "Ben Okafor");
    const { room_id } = await anna.call("POST", "/_matrix/client/v3/createRoom", { name: "Old name", preset: "private_chat", invite: [ben.userId] });
    await ben.join(room_id as string);
    const annas = await app.openFor(browser, "handle", "anna.rules");
    const bens = await app.openFor(browser, "handle", "ben.rules");
    const open = `/chat/${encodeURIComponent(room_id as string)}/details`;
    await annas.goto(app.addresses.handle + open);
    await annas.getByRole("link", { name: "Edit group" }).click();
    await annas.getByRole("textbox", { name: "Name of the group" }).fill("New name");
    await annas.getByRole("button", { name: "Save" }).click();
    await expect(bens.getByRole("link", { name: "New name" })).toBeVisible();
    await annas.getByRole("link", { name: "Who may do what" }).click();
    const ruleOf = (name: string) => annas.getByRole("combobox", { name });
    await annas.route("**/state/m.room.power_levels**", (route) => route.fulfill({ status: 403, json: { errcode: "M_FORBIDDEN" } }));
    await ruleOf("Who may add people?").selectOption("Only owners");
    await expect(annas.getByText("That is not allowed.")).toBeVisible();
    await expect(ruleOf("Who may add people?")).toHaveValue("member");
    await annas.unroute("**/state/m.room.power_levels**");
    // One after the other, before the first has come back.
    await annas.route("**/sync?*", () => undefined);
    await ruleOf("Who may write?").selectOption("Admins and owners");
    await ruleOf("Who may add people?").selectOption("Admins and owners");
    const rules = () => anna.call("GET", `/_matrix/client/v3/rooms/${encodeURIComponent(room_id as string)}/state/m.room.power_levels/`);
    await expect.poll(rules).toMatchObject({ events_default: 50, invite: 50 });
    await annas.unroute("**/sync?*");
    await bens.goto(app.addresses.handle + open);
    await expect(bens.getByRole("link", { name: "Who may do what" })).toBeVisible();
    await expect(bens.getByRole("link", { name: "Add people" })).toHaveCount(0);
    await expect(bens.getByRole("link", { name: "Edit group" })).toHaveCount(0);
    await bens.getByRole("link", { name: "Who may do what" }).click();
    await expect(bens.getByRole("combobox", { name: "Who may add people?" })).toBeDisabled();
    await annas.context().close();
    await bens.context().close();
});

test("somebody leaves a group, and it is gone from their list", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.leave", "Anna Berg");
    const ben = await app.platforms.register("handle", "ben.leave", "Ben Okafor");
    const { room_id } = await anna.call("POST", "/_matrix/client/v3/createRoom", { name: "Choir", preset: "private_chat", invite: [ben.userId] });
    await ben.join(room_id as string);
    const page = await app.openFor(browser, "handle", "ben.leave");
    await page.getByRole("link", { name: "Choir" }).click();
    await page.getByRole("main").getByRole("link", { name: "Choir" }).first().click();
    await page.getByRole("complementary").getByRole("button", { name: "Leave group" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Leave group" }).click();
    await expect(page.getByRole("link", { name: "Choir" })).toHaveCount(0);
    const { joined } = await anna.call("GET", `/_matrix/client/v3/rooms/${encodeURIComponent(room_id as string)}/joined_members`);
    expect(Object.keys(joined as object)).toEqual([anna.userId]);
    await page.context().close();
});

test("the picture of a group does not say where it was taken", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.camera", "Anna Berg");
    const ben = await app.platforms.register("handle", "ben.camera", "Ben Okafor");
    await anna.chatWith(ben);
    const page = await app.openFor(browser, "handle", "anna.camera");
    const file = { name: "Our house.jpg", mimeType: "image/jpeg", buffer: await photo(page) };
    expect(file.buffer.includes("taken at")).toBe(true);
    const names: string[] = [];
    page.on("request", (request) => {
        const { pathname, searchParams } = new URL(request.url());
        if (pathname === "/_matrix/media/v3/upload") names.push(searchParams.get("filename") ?? "");
    });
    const uploaded = async () => {
        const { joined_rooms } = await anna.call("GET", "/_matrix/client/v3/joined_rooms");
        const states = (joined_rooms as string[]).map((id) => anna.call("GET", `/_matrix/client/v3/rooms/${encodeURIComponent(id)}/state`));
        const events = (await Promise.all(states)).flat() as unknown as { type: string; content: { url: string } }[];
        return events.find(({ type }) => type === "m.room.avatar")?.content.url;
    };
    const isWithoutPlace = async (mxc: string) => {
        const bytes = await download(anna.origin, anna.token, mxc);
        expect(bytes.length).toBeGreaterThan(0);
        expect(bytes.includes("taken at")).toBe(false);
    };

    await page.goto(`${app.addresses.handle}/new/group`);
    await page.getByRole("checkbox", { name: "Ben Okafor" }).check();
    await page.getByRole("button", { name: "Next" }).click();
    const picture = page.locator("input[type=file]");
    await picture.setInputFiles({ name: "me.png", mimeType: "image/png", buffer: Buffer.from("no picture") });
    await expect(page.getByRole("status")).toContainText("This file is not a picture");
    await picture.setInputFiles(file);
    await page.getByRole("textbox", { name: "Name of the group" }).fill("Neighbours");
    await page.getByRole("button", { name: "Create group" }).click();
    await expect(page.getByRole("main").getByRole("heading", { name: "Neighbours" })).toBeVisible();
    const first = (await uploaded())!;
    await isWithoutPlace(first);

    await page.getByRole("main").getByRole("link", { name: "Neighbours" }).first().click();
    await page.getByRole("link", { name: "Edit group" }).click();
    await page.locator("input[type=file]").setInputFiles(file);
    await expect.poll(uploaded).not.toBe(first);
    await isWithoutPlace((await uploaded())!);
    expect(names).toEqual(["", ""]);
    await page.context().close();
});

test("links of an encrypted group are found where one looks further back", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.sealed", "Anna Berg");
    const initial_state = [{ type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } }];
    const { room_id } = await anna.call("POST", "/_matrix/client/v3/createRoom", { name: "Sealed", preset: "private_chat", initial_state });
    const page = await app.openFor(browser, "handle", "anna.sealed");
    await page.getByRole("link", { name: "Sealed" }).click();
    const field = page.getByRole("textbox", { name: "Message" });
    // So many that the app does not have all when it begins again.
    for (let at = 0; at < 90; at++) {
        await field.fill(at === 0 ? "https://example.org/first" : `and ${at}`);
        await field.press("Enter");
    }
    await expect(page.getByRole("log")).toContainText("and 89");
    await expect(page.getByRole("log").getByRole("img", { name: "Sent" }).last()).toBeVisible();
    await page.goto(`${app.addresses.handle}/chat/${encodeURIComponent(room_id as string)}/details/media`);
    const gallery = page.getByRole("complementary");
    await gallery.getByRole("button", { name: "Links" }).click();
    const more = gallery.getByRole("button", { name: "Look further back" });
    await expect(more).toBeEnabled();
    await more.click();
    await expect(gallery.getByRole("link", { name: "https://example.org/first" })).toBeVisible();
    await page.context().close();
});

test("members that could not be loaded are not taken for all, and are tried again", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.members", "Anna Berg");
    const ben = await app.platforms.register("handle", "ben.members", "Ben Okafor");
    const { room_id } = await anna.call("POST", "/_matrix/client/v3/createRoom", { name: "Crowd", preset: "private_chat", invite: [ben.userId] });
    await ben.join(room_id as string);
    const page = await app.openFor(browser, "handle", "anna.members");
    await page.route("**/members?**", (route) => route.fulfill({ status: 500, json: { errcode: "M_UNKNOWN" } }));
    await page.getByRole("link", { name: "Crowd" }).click();
    await page.getByRole("main").getByRole("link", { name: "Crowd" }).first().click();
    const details = page.getByRole("complementary");
    await details.getByRole("link", { name: "Members" }).click();
    await expect(details.getByRole("alert")).toContainText("Some members are missing, because the list could not be loaded.");
    await page.unroute("**/members?**");
    await details.getByRole("alert").getByRole("button", { name: "Try again" }).click();
    await expect(details.getByRole("alert")).toHaveCount(0);
    await expect(details.getByRole("button", { name: /Ben Okafor/ })).toBeVisible();
    await page.context().close();
});

test("what was deleted is among the links of a chat no more, and what only claims to change it is not", async ({ app, browser }) => {
    const anna = await app.platforms.register("handle", "anna.links", "Anna Berg");
    const ben = await app.platforms.register("handle", "ben.links", "Ben Okafor");
    const room = await ben.chatWith(anna);
    const said = await ben.say(room, "https://example.org/said");
    const forged = { msgtype: "m.text", body: "https://example.org/forged" };
    const change = { body: "*", "m.new_content": forged, "m.relates_to": { rel_type: "m.replace", event_id: said } };
    await ben.send(room, change, "m.sticker");
    // In a narrow window the chat is not open behind it.
    const page = await app.openFor(browser, "handle", "anna.links", { viewport: { width: 400, height: 800 } });
    await page.goto(`${app.addresses.handle}/chat/${encodeURIComponent(room)}/details/media`);
    const gallery = page.getByRole("main");
    await gallery.getByRole("button", { name: "Links" }).click();
    const more = gallery.getByRole("button", { name: "Look further back" });
    await expect(more).toBeEnabled();
    await more.click();
    await expect(gallery.getByRole("link", { name: "https://example.org/said" })).toBeVisible();
    await ben.call("PUT", `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/redact/${encodeURIComponent(said)}/t1`, {});
    await expect(gallery.getByRole("link", { name: "https://example.org" })).toHaveCount(0);
    await page.context().close();
});
