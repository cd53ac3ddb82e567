// Two windows of an account that has everything in it, on a desktop and a phone, which tests share: they only look.

import type { Browser, BrowserContextOptions, Page } from "@playwright/test";

import { type App, share, test as base } from "./app.ts";
import type { Full } from "./full.ts";
import { enter } from "./views.ts";

interface Windows {
    desk: Page;
    phone: Page;
}

const usual: BrowserContextOptions = { locale: "en-GB", permissions: ["microphone"], serviceWorkers: "block" };
export const DESKTOP = { ...usual, viewport: { width: 1280, height: 800 } } satisfies BrowserContextOptions;
export const PHONE = { ...usual, viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true } satisfies BrowserContextOptions;

async function windowOf({ app, full }: { app: App; full: Full }, browser: Browser, options: BrowserContextOptions): Promise<Page> {
    const page = await app.open(browser, "account", options);
    await enter(app, page, full.anna);
    return share(page);
}

export const test = base.extend<object, Windows>({
    desk: [async ({ full, browser }, use) => use(await windowOf(full, browser, DESKTOP)), { scope: "worker", timeout: 120_000 }],
    phone: [async ({ full, browser }, use) => use(await windowOf(full, browser, PHONE)), { scope: "worker", timeout: 120_000 }],
});
