// Takes pictures of each main view: `npm run screens [-- words]`, into docs/screens/. With words it takes only those whose name has
// one of them. `SCREENS` names another folder, and `FORMAT=png` gives files that every viewer can show.
// They are of three platforms with people and chats, in light and dark, on a desktop and a phone, in English and French.

import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

import { type Browser, type BrowserContext, chromium, type Page, type Route } from "@playwright/test";

import config from "../playwright.config.ts";
import { App } from "../tests/app.ts";
import { type Full, Furniture, MINUTES_AGO } from "../tests/full.ts";
import { drawPictures, type Pictures } from "../tests/pictures.ts";
import { type Kind, KINDS, Platforms } from "../tests/platforms.ts";
import { localpart } from "../tests/sayings.ts";
import { sealedChats } from "../tests/sealed.ts";
import { go, sceneOf, VIEWS } from "../tests/views.ts";
import { FOLDER, type Look, LOOKS, shoot } from "./picture.ts";

const ONLY = process.argv.slice(2);
/** How long a view may take to be there. */
const PATIENCE_MS = 120_000;

const isAsked = (picture: string) => ONLY.length === 0 || ONLY.some((one) => picture.includes(one));

/** Whether pictures are to be taken of a kind of platform, or of one view there. */
function isWanted(view: string, kind: Kind): boolean {
    const views = VIEWS.filter(({ name }) => !view || name === view);
    return views.some(({ name, of }) => of.split(" ").some((where) => where.startsWith(`${kind}/`) && isAsked(`${name}-${where.replace("/", "-")}`)));
}

/** The clock of the pictures: an afternoon, so that what was said an hour ago was said today. */
const AFTERNOON = new Date().setHours(15, 42, 0, 0) - Date.now();

/** Runs in the page. */
function shiftClock(by: number): void {
    const Real = Date;
    class Shifted extends Real {
        constructor(...parts: [] | [number | string | Date]) {
            super(parts.length === 0 ? Real.now() + by : (parts[0] as number));
        }
        static override now(): number {
            return Real.now() + by;
        }
    }
    window.Date = Shifted as DateConstructor;
}

type Event = { event_id?: string; type?: string; content?: Record<string, unknown>; origin_server_ts?: number; unsigned?: { age?: number } };

interface Answer {
    rooms?: { join?: Record<string, { timeline?: { events: Event[] } }> };
    chunk?: Event[];
    events_before?: Event[];
    events_after?: Event[];
    event?: Event;
}

/** Has everything seem to have been said when it says so itself, and what says nothing when its neighbours were said. */
async function backdate(context: BrowserContext): Promise<void> {
    await context.addInitScript(shiftClock, AFTERNOON);
    const ends = new Map<string, { first: number; last: number }>();
    const setBack = (room: string, events: Event[]) => {
        const now = Date.now() + AFTERNOON;
        const said = events.map(({ content }) => {
            const ago = content?.[MINUTES_AGO];
            return typeof ago === "number" ? now - ago * 60_000 : undefined;
        });
        const known = ends.get(room);
        const times = said.filter((ts) => ts !== undefined);
        const first = Math.min(known?.first ?? Infinity, ...times);
        const last = Math.max(known?.last ?? -Infinity, ...times);
        if (first < Infinity) ends.set(room, { first, last });
        for (const [at, event] of events.entries()) {
            if (!event.origin_server_ts) continue;
            const near = said[at] ?? said.slice(0, at).findLast((ts) => ts !== undefined) ?? said.find((ts) => ts !== undefined);
            // A chat where nothing says when it was said is one of today.
            event.origin_server_ts = near ?? (first < Infinity && event.content?.msgtype === undefined ? first : event.origin_server_ts + AFTERNOON);
            if (event.unsigned) delete event.unsigned.age;
        }
    };
    const answer = async (route: Route) => {
        const response = await route.fetch({ timeout: 0 });
        if (!response.ok()) return route.fulfill({ response });
        const json = (await response.json()) as Answer;
        for (const [room, { timeline }] of Object.entries(json.rooms?.join ?? {})) setBack(room, timeline?.events ?? []);
        const room = decodeURIComponent(/rooms\/([^/]+)/.exec(route.request().url())?.[1] ?? "");
        const { events_before = [], event, events_after = [], chunk = [] } = json;
        if (room) setBack(room, [...events_before.toReversed(), ...(event ? [event] : []), ...events_after, ...chunk]);
        return route.fulfill({ response, json });
    };
    // A window that closes ends what it waits for.
    await context.route(/\/_matrix\/client\/.*\/(sync|messages|context)\b/, (route) => answer(route).catch(() => route.abort().catch(() => undefined)));
}

class Studio {
    readonly app: App;
    readonly browser: Browser;
    readonly profiles = new Map<Kind, string>();
    readonly fulls = new Map<Kind, Full>();

    constructor(app: App, browser: Browser) {
        this.app = app;
        this.browser = browser;
    }

    /** Opens the profile in which Anna is logged in, with another look each time. */
    async profile(kind: Kind, look: Look): Promise<Page> {
        const folder = this.profiles.get(kind) ?? (await mkdtemp(path.join(tmpdir(), "linkspan-screens-")));
        this.profiles.set(kind, folder);
        const context = await chromium.launchPersistentContext(folder, { ...config.use?.launchOptions, ...look, serviceWorkers: "block" });
        context.setDefaultTimeout(PATIENCE_MS);
        await backdate(context);
        const page = context.pages()[0] ?? (await context.newPage());
        page.on("pageerror", (error) => console.error(`${kind}: ${error.stack ?? error.message}`));
        await page.goto(this.app.addresses[kind]);
        return page;
    }

    async furnish(kind: Kind, pictures: Pictures): Promise<void> {
        const furniture = await Furniture.of(this.app.platforms, pictures, kind, `.${kind}`);
        if (kind !== "phone") await furniture.furnish();
        if (isWanted("members-300", kind)) await furniture.crowd();
        const page = await this.profile(kind, LOOKS.desktop!);
        await this.app.logIn(page, localpart(furniture.full.anna));
        if (kind === "phone") await sealedChats(this.app, this.browser, furniture, page);
        await page.context().close();
        this.fulls.set(kind, furniture.full);
    }

    async take(kind: Kind, look: string): Promise<void> {
        const views = VIEWS.filter(({ name, of }) => of.split(" ").includes(`${kind}/${look}`) && isAsked(`${name}-${kind}-${look}`));
        if (views.length === 0) return;
        const options = LOOKS[look]!;
        const page = await this.profile(kind, options);
        await page.locator(".rows a").first().waitFor();
        const scene = sceneOf(this.app, this.browser, kind, this.fulls.get(kind)!, page, options);
        for (const { name, show } of views) {
            try {
                await go(page, "/");
                const shown = (await show(scene)) ?? page;
                await shoot(shown, `${name}-${kind}-${look}`);
                if (shown !== page) await shown.context().close();
                else await page.context().unrouteAll({ behavior: "ignoreErrors" }).then(() => backdate(page.context()));
                console.log(`${name}-${kind}-${look}`);
            } catch (error) {
                console.error(`${name}-${kind}-${look}: ${String(error).slice(0, 600)}`);
                process.exitCode = 1;
            }
            await page.keyboard.press("Escape");
            await page.keyboard.press("Escape");
            // Drafts stay in the list.
            const field = page.locator(".composer textarea");
            if (await field.isVisible()) await field.fill("");
        }
        await page.context().close();
    }
}

await mkdir(FOLDER, { recursive: true });
const platforms = await Platforms.start();
const app = await App.start(platforms);
const browser = await chromium.launch(config.use?.launchOptions);
const studio = new Studio(app, browser);
const pictures = await drawPictures(browser);
try {
    for (const kind of KINDS) {
        if (!isWanted("", kind)) continue;
        console.log(`furnishing ${kind}`);
        await studio.furnish(kind, pictures);
        for (const look of Object.keys(LOOKS)) await studio.take(kind, look);
    }
} finally {
    await browser.close();
    await app.stop();
    for (const folder of studio.profiles.values()) await rm(folder, { recursive: true, force: true });
}
