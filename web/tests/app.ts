// The app in browsers: each person has one, with a profile of their own.

import { type Browser, type BrowserContext, type Page, test as base } from "@playwright/test";
import { preview, type PreviewServer } from "vite";

import { type Full, Furniture } from "./full.ts";
import { drawPictures } from "./pictures.ts";
import { Post } from "./post.ts";
import { type Kind, KINDS, PASSWORD, Platforms } from "./platforms.ts";

/** The profiles that the test of now has opened. Pages that stay open go on asking for what is new, and make all later tests slower. */
const opened = new Set<BrowserContext>();

/** Keeps a page for later tests. */
export function share(page: Page): Page {
    opened.delete(page.context());
    return page;
}

/** The app of each platform, as the program serves it. With `APP=dist` it is what `npx vite build` has left in dist/, so that the
 * program need not be built again for each change. */
export class App {
    readonly platforms: Platforms;
    readonly addresses: Record<Kind, string>;
    readonly #servers: PreviewServer[] = [];

    private constructor(platforms: Platforms) {
        this.platforms = platforms;
        this.addresses = { ...platforms.origins };
    }

    static async start(platforms: Platforms): Promise<App> {
        const app = new App(platforms);
        if (process.env.APP) for (const kind of KINDS) await app.#serve(kind, process.env.APP);
        return app;
    }

    async #serve(kind: Kind, outDir: string): Promise<void> {
        const origin = this.platforms.origins[kind];
        const paths = ["/_matrix", "/_linkspan", "/.well-known", "/manifest.webmanifest", "/icon"];
        const proxy = Object.fromEntries(paths.map((path) => [path, origin]));
        const server = await preview({ logLevel: "silent", build: { outDir }, preview: { host: "127.0.0.1", port: 0, proxy } });
        this.#servers.push(server);
        this.addresses[kind] = `http://127.0.0.1:${(server.httpServer.address() as { port: number }).port}`;
    }

    async stop(): Promise<void> {
        await Promise.all(this.#servers.map((server) => server.close()));
        await this.platforms.stop();
    }

    /** Opens the app of a platform in a profile of its own, where nobody is logged in, until the test ends. */
    async open(browser: Browser, kind: Kind, options: Parameters<Browser["newContext"]>[0] = {}): Promise<Page> {
        const context: BrowserContext = await browser.newContext({ locale: "en-GB", ...options });
        opened.add(context);
        // Outside of tests, pages have a limit of their own, which a busy machine passes.
        context.setDefaultTimeout(0);
        const page = await context.newPage();
        page.on("pageerror", (error) => console.error(`${kind}: ${error.stack ?? error.message}`));
        await page.goto(this.addresses[kind]);
        return page;
    }

    /** Opens the app for somebody who is registered, and logs in. */
    async openFor(browser: Browser, kind: Kind, localpart: string, options: Parameters<Browser["newContext"]>[0] = {}): Promise<Page> {
        const page = await this.open(browser, kind, options);
        await this.logIn(page, localpart);
        return page;
    }

    /** Logs in at the door that a page shows. */
    async logIn(page: Page, localpart: string): Promise<void> {
        await page.locator("input[name=name]").fill(localpart);
        await page.locator("input[name=password]").fill(PASSWORD);
        await page.locator("input[name=password]").press("Enter");
        await page.locator(".pane.chats").waitFor();
    }
}

interface TestFixtures {
    /** Closes what a test has opened. What was opened before all tests of a file stays. */
    closing: void;
}

interface Fixtures {
    /** The app of platforms where anybody can sign up without proving anything. */
    app: App;
    /** The app of platforms where signing up proves an address or a number, and what they send. */
    proving: { app: App; post: Post };
    /** The app of platforms where anybody can continue as Anna. */
    demo: App;
    /** The app of platforms where Anna, of the account platform, has everything that a screen can show. */
    full: { app: App; full: Full };
}

export const test = base.extend<TestFixtures, Fixtures>({
    closing: [
        async ({}, use) => {
            opened.clear();
            await use();
            await Promise.all([...opened].map((context) => context.close()));
        },
        { auto: true },
    ],
    full: [
        async ({ browser }, use) => {
            const app = await App.start(await Platforms.start());
            const furniture = await Furniture.of(app.platforms, await drawPictures(browser), "account");
            await use({ app, full: await furniture.furnish() });
            await app.stop();
        },
        { scope: "worker", timeout: 300_000 },
    ],
    demo: [
        async ({}, use) => {
            const app = await App.start(await Platforms.start({ more: { handle: '[[platform.demo_account]]\nuser = "anna"' } }));
            await app.platforms.register("handle", "anna", "Anna Berg");
            await use(app);
            await app.stop();
        },
        { scope: "worker" },
    ],
    proving: [
        async ({}, use) => {
            const post = await Post.start();
            const app = await App.start(await Platforms.start({ post }));
            await use({ app, post });
            await app.stop();
            post.stop();
        },
        { scope: "worker" },
    ],
    app: [
        async ({}, use) => {
            const app = await App.start(await Platforms.start());
            await use(app);
            await app.stop();
        },
        { scope: "worker" },
    ],
});

export { expect } from "@playwright/test";
