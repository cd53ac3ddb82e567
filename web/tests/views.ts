// The views of the app: how to get to each of them, and in which looks pictures are taken of it.

import { readFileSync } from "node:fs";
import path from "node:path";

import type { Browser, BrowserContextOptions, Page } from "@playwright/test";

import type { App } from "./app.ts";
import type { Full } from "./full.ts";
import { type Kind, type Person, PASSWORD } from "./platforms.ts";
import { localpart } from "./sayings.ts";

/** A window in which Anna is logged in, and what one needs to get about in it. */
export interface Scene {
    kind: Kind;
    page: Page;
    full: Full;
    isPhone: boolean;
    /** A sentence of the app in the language of the look. */
    words: (id: string) => string;
    go: (where: string) => Promise<void>;
    /** A window in which nobody is logged in. It is closed after the picture. */
    fresh: () => Promise<Page>;
    /** Logs in, after which a new device asks to be confirmed. */
    logIn: (page: Page) => Promise<void>;
    /** Logs in, and has the device ask later. */
    enter: (page: Page) => Promise<void>;
    register: (name: string, displayName: string) => Promise<Person>;
    logInAs: (page: Page, name: string) => Promise<void>;
}

const wordsOf = (language: string): Record<string, string> =>
    JSON.parse(readFileSync(path.resolve(import.meta.dirname, `../src/words/${language}.json`), "utf8")) as Record<string, string>;

export function sceneOf(app: App, browser: Browser, kind: Kind, full: Full, page: Page, options: BrowserContextOptions): Scene {
    const sentences = wordsOf(options.locale?.slice(0, 2) ?? "en");
    return {
        kind,
        page,
        full,
        isPhone: options.isMobile === true,
        words: (id) => sentences[id]!,
        go: (where) => go(page, where),
        fresh: async () => {
            const context = await browser.newContext({ ...options, serviceWorkers: "block" });
            const fresh = await context.newPage();
            await fresh.goto(app.addresses[kind]);
            return fresh;
        },
        logIn: (fresh) => app.logIn(fresh, localpart(full.anna)),
        enter: (fresh) => enter(app, fresh, full.anna),
        register: (name, displayName) => app.platforms.register(kind, name, displayName),
        logInAs: (fresh, name) => app.logIn(fresh, name),
    };
}

/** Logs somebody in. Where they have a device already, the new one asks to be confirmed, and is told to wait. */
export async function enter(app: App, page: Page, person: Person): Promise<void> {
    const keys = await person.call("POST", "/_matrix/client/v3/keys/query", { device_keys: { [person.userId]: [] } });
    await app.logIn(page, localpart(person));
    if (person.userId in ((keys.master_keys ?? {}) as object)) {
        await page.locator("dialog[open]").waitFor();
        await page.keyboard.press("Escape");
        await page.locator("dialog[open]").waitFor({ state: "hidden" });
    }
    await page.locator(".rows a").first().waitFor();
}

/** Goes somewhere else within the page, as links do. */
export async function go(page: Page, where: string): Promise<void> {
    await page.evaluate((to) => {
        history.pushState(null, "", to);
        dispatchEvent(new PopStateEvent("popstate"));
    }, where);
}

interface View {
    name: string;
    /** Kinds of platform and looks, as `account/phone-dark`. */
    of: string;
    /** Goes there. It may answer with another window to take the picture of. */
    show: (scene: Scene) => Promise<Page | void>;
}

const open = async ({ page, full, go }: Scene, room: string, more = ""): Promise<void> => {
    await go(`/chat/${encodeURIComponent(full.rooms[room]!)}${more}`);
    await page.locator(more ? ".details-pane" : ".messages .message").first().waitFor();
};

const at = (where: string, until: string) => async ({ page, go }: Scene) => {
    await go(where);
    await page.locator(until).first().waitFor();
};

const field = (page: Page) => page.locator(".composer textarea");

export const VIEWS: View[] = [
    {
        name: "door",
        of: "handle/desktop account/phone phone/desktop-dark",
        show: async ({ fresh }) => {
            const page = await fresh();
            await page.locator(".way").waitFor();
            return page;
        },
    },
    {
        name: "sign-up",
        of: "handle/phone-dark",
        show: async ({ fresh, words }) => {
            const page = await fresh();
            await page.getByRole("button", { name: words("session.sign_up"), exact: true }).click();
            return page;
        },
    },
    { name: "list", of: "account/phone phone/phone handle/phone-dark", show: at("/", ".rows a") },
    { name: "chat", of: "account/desktop handle/desktop-dark account/phone-dark phone/phone", show: (scene) => open(scene, "ben") },
    { name: "group", of: "account/desktop-dark handle/phone-dark phone/desktop account/phone", show: (scene) => open(scene, "hike") },
    {
        name: "group-earlier",
        of: "account/desktop",
        show: async (scene) => {
            await open(scene, "hike");
            await scene.page.locator(".messages").hover();
            await scene.page.mouse.wheel(0, -700);
        },
    },
    { name: "right-to-left", of: "account/desktop", show: (scene) => open(scene, "layla") },
    { name: "long-name", of: "account/phone", show: (scene) => open(scene, "katarzyna") },
    { name: "details", of: "account/phone-dark", show: (scene) => open(scene, "ben", "/details") },
    { name: "group-details", of: "account/desktop-dark", show: (scene) => open(scene, "hike", "/details") },
    {
        name: "members-300",
        of: "account/desktop",
        show: async (scene) => {
            await open(scene, "crowd", "/details/members");
            await scene.page.locator(".members .row").nth(5).waitFor();
            await scene.page.locator(".message").last().waitFor();
        },
    },
    {
        name: "members",
        of: "",
        show: async (scene) => {
            await open(scene, "hike", "/details/members");
            await scene.page.locator(".members .row").nth(5).waitFor();
        },
    },
    { name: "permissions", of: "account/phone-dark", show: (scene) => open(scene, "hike", "/details/permissions") },
    { name: "links", of: "account/desktop-dark", show: (scene) => open(scene, "hike", "/details/links") },
    {
        name: "message-menu",
        of: "account/desktop account/phone-dark",
        show: async (scene) => {
            await open(scene, "ben");
            const message = scene.page.locator(".message").last();
            await message.focus();
            await scene.page.keyboard.press("Enter");
            await scene.page.locator(".menu:popover-open").waitFor();
        },
    },
    {
        name: "emoji",
        of: "account/phone",
        show: async (scene) => {
            await open(scene, "ben");
            await scene.page.getByRole("button", { name: scene.words("composer.emoji"), exact: true }).click();
            await scene.page.locator("emoji-picker").waitFor();
        },
    },
    {
        name: "writing",
        of: "account/desktop",
        show: async (scene) => {
            await open(scene, "ben");
            const { page } = scene;
            await page.locator(".message").last().focus();
            await page.keyboard.press("Enter");
            await page.getByRole("menuitem", { name: scene.words("message.reply") }).click();
            await field(page).fill("Of course! I take the train at eight, so I should be there a quarter of an hour early.\n\nShall I bring the map?");
        },
    },
    {
        name: "staged",
        of: "account/desktop",
        show: async (scene) => {
            const { page } = scene;
            await open(scene, "chloe");
            await page.evaluate(async () => {
                const canvas = Object.assign(document.createElement("canvas"), { width: 900, height: 600 });
                const context = canvas.getContext("2d")!;
                const sky = context.createLinearGradient(0, 0, 0, 600);
                sky.addColorStop(0, "#5a97cc");
                sky.addColorStop(1, "#fbd8c5");
                context.fillStyle = sky;
                context.fillRect(0, 0, 900, 600);
                const blob = await new Promise<Blob>((done) => canvas.toBlob((made) => done(made!)));
                const data = new DataTransfer();
                data.items.add(new File([blob], "sky.png", { type: "image/png" }));
                data.items.add(new File(["%PDF"], "Contract.pdf", { type: "application/pdf" }));
                document.querySelector(".composer textarea")!.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
            });
            await page.locator(".staged-file").first().waitFor();
        },
    },
    {
        name: "recording",
        of: "account/phone-dark",
        show: async (scene) => {
            await open(scene, "ben");
            await field(scene.page).fill("");
            await scene.page.getByRole("button", { name: scene.words("composer.record"), exact: true }).click();
            await scene.page.locator(".recording").waitFor();
            await scene.page.waitForTimeout(2500);
        },
    },
    {
        name: "poll-dialog",
        of: "account/desktop",
        show: async (scene) => {
            await open(scene, "hike");
            await scene.page.getByRole("button", { name: scene.words("composer.add"), exact: true }).click();
            await scene.page.getByRole("menuitem", { name: scene.words("composer.add.poll") }).click();
            await scene.page.locator("dialog[open]").waitFor();
        },
    },
    {
        name: "failed",
        of: "account/desktop",
        show: async (scene) => {
            const page = await scene.fresh();
            await scene.enter(page);
            await open({ ...scene, page, go: (where) => go(page, where) }, "farid");
            await page.route("**/send/m.room.message/**", (route) => route.fulfill({ status: 403, json: { errcode: "M_FORBIDDEN", error: "no" } }));
            await field(page).fill("He says yes!");
            await page.locator(".composer .send").click();
            await page.locator("[data-failed]").first().waitFor();
            return page;
        },
    },
    {
        name: "offline",
        of: "account/phone-dark",
        show: async (scene) => {
            const page = await scene.fresh();
            await scene.enter(page);
            if (scene.isPhone) await page.locator(".rows a").nth(2).click();
            await page.context().setOffline(true);
            await page.locator(".pill:visible").first().waitFor();
            return page;
        },
    },
    {
        name: "loading",
        of: "account/phone",
        show: async ({ fresh, full }) => {
            const page = await fresh();
            await page.route("**/sync*", () => undefined);
            await page.locator("input[name=name]").fill(localpart(full.anna));
            await page.locator("input[name=password]").fill(PASSWORD);
            await page.locator("input[name=password]").press("Enter");
            await page.locator(".skeletons").waitFor();
            return page;
        },
    },
    {
        name: "empty",
        of: "handle/phone-dark",
        show: async ({ fresh, register, logInAs, kind, isPhone }) => {
            const name = `nobody.${kind}.${isPhone ? "phone" : "desktop"}`;
            await register(name, "Zoë Nobel");
            const page = await fresh();
            await logInAs(page, name);
            await page.locator(".nothing").waitFor();
            return page;
        },
    },
    {
        name: "search",
        of: "account/desktop",
        show: async ({ page }) => {
            await page.locator("input[type=search]").fill("sunday");
            await page.locator(".results .row").first().waitFor();
        },
    },
    { name: "new-chat", of: "account/phone", show: at("/new", ".list-pane .entry, .list-pane .row") },
    { name: "new-group", of: "account/phone-dark", show: at("/new/group", ".list-pane .row") },
    { name: "requests", of: "account/phone", show: at("/requests", ".row.request") },
    {
        name: "request",
        of: "account/desktop",
        show: async ({ page, go }) => {
            await go("/requests");
            await page.locator(".row.request").first().click();
            await page.locator(".request-said li").first().waitFor();
        },
    },
    {
        name: "with-person",
        of: "account/phone",
        show: async ({ page, full, go }) => {
            const stranger = full.people.maria!;
            await go(`/new/with/${encodeURIComponent(full.people.oskar?.userId ?? stranger.userId)}`);
            await page.locator(".with-person .contact-card").waitFor();
        },
    },
    { name: "settings", of: "account/phone", show: at("/settings", ".own-card b") },
    ...["profile", "account", "links", "reach", "discovery", "blocked", "privacy", "devices", "encryption", "notifications", "appearance", "data", "about"].map(
        (page, at_): View => ({
            name: `settings-${page}`,
            of: ["account/desktop", "account/desktop-dark", "account/phone", "account/phone-dark"][at_ % 4]!,
            show: at(`/settings/${page}`, ".settings-page > *"),
        }),
    ),
    {
        name: "confirm-device",
        of: "phone/desktop-dark phone/phone",
        show: async ({ fresh, logIn }) => {
            const page = await fresh();
            await logIn(page);
            await page.locator("dialog[open]").waitFor();
            return page;
        },
    },
    {
        name: "recovery-key",
        of: "phone/phone",
        show: async ({ page, words, go }) => {
            await go("/settings/encryption");
            await page.getByRole("button", { name: words("recovery.key.make") }).click();
            await page.locator("dialog[open] output, dialog[open] [role=status]").filter({ hasText: /^E/ }).waitFor();
        },
    },
    {
        name: "log-out",
        of: "account/phone-dark",
        show: async ({ page, go, words }) => {
            await go("/settings");
            await page.getByRole("button", { name: words("settings.log_out") }).click();
            await page.locator("dialog[open]").waitFor();
        },
    },
];
