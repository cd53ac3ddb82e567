// Takes pictures of the operator's console: `npm run screens:console [-- words]`, into docs/screens/, in looks that the
// app has, too. With words it takes only those whose name has one of them.

import { mkdir } from "node:fs/promises";

import { chromium } from "@playwright/test";

import config from "../playwright.config.ts";
import { App } from "../tests/app.ts";
import { CONSOLE_VIEWS, consoleOf, furnish, logInToConsole } from "../tests/console.ts";
import { Platforms } from "../tests/platforms.ts";
import { FOLDER, LOOKS, shoot } from "./picture.ts";

const ONLY = process.argv.slice(2);
/** How long messages are sent before the pictures, so that plots have something to show, in milliseconds. */
const LOAD_MS = Number(process.env.LOAD_MS ?? 90_000);

await mkdir(FOLDER, { recursive: true });
const app = await App.start(await Platforms.start());
const browser = await chromium.launch(config.use?.launchOptions);
try {
    const { anna, ben, room } = await furnish(app);
    await app.platforms.operate("account", "POST", "/registration_tokens", { token: "summer-fair", uses_allowed: 50, expires_ts: Date.now() + 864_000_000 });
    await app.platforms.operate("account", "POST", "/registration_tokens", { token: "for-the-team" });
    const emil = await app.platforms.register("handle", "emil.load", "Emil Lind");
    const between = await emil.chatWith(anna);
    const end = Date.now() + LOAD_MS;
    for (let at = 0; Date.now() < end; at++) {
        // More and less of it, as on any day.
        const together = 1 + Math.round(3 + 3 * Math.sin(at / 12));
        await Promise.all(Array.from({ length: together }, (_, one) => (one % 2 ? anna : ben).say(room, `Line ${at}`)));
        await (at % 3 ? emil : anna).say(between, `Line ${at}`);
        await ben.call("GET", "/_matrix/client/v3/sync?timeout=0");
        await new Promise((done) => setTimeout(done, 100 + 60 * (at % 5)));
    }
    for (const [look, options] of Object.entries(LOOKS)) {
        const context = await browser.newContext({ ...options, serviceWorkers: "block" });
        const page = await context.newPage();
        page.on("pageerror", (error) => console.error(error.stack ?? error.message));
        const take = async (name: string, of: string, show: () => Promise<void>) => {
            if (!of.split(" ").includes(look)) return;
            if (ONLY.length > 0 && !ONLY.some((one) => `console-${name}-${look}`.includes(one))) return;
            await show();
            await shoot(page, `console-${name}-${look}`);
            console.log(`console-${name}-${look}`);
        };
        await page.goto(consoleOf(app, "account"));
        await take("door", "desktop phone-dark", () => page.locator(".way").waitFor());
        await logInToConsole(page);
        await page.locator(".console-menu").waitFor({ state: "attached" });
        await take("menu", "phone", () => page.locator(".console-menu").waitFor());
        for (const { name, of, at, shown } of CONSOLE_VIEWS) {
            await take(name, of, async () => {
                await page.goto(consoleOf(app, "account", at));
                await shown(page);
            });
        }
        await context.close();
    }
} finally {
    await browser.close();
    await app.stop();
}
