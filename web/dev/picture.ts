// Taking a picture of a page once it is still, into docs/screens/.

import { writeFile } from "node:fs/promises";
import path from "node:path";

import type { Page } from "@playwright/test";

export const FOLDER = process.env.SCREENS ?? path.resolve(import.meta.dirname, "../../docs/screens");
const FORMAT = process.env.FORMAT === "png" ? "png" : "webp";
const QUALITY = 80;

export interface Look {
    locale: "en-GB" | "fr";
    colorScheme: "light" | "dark";
    viewport: { width: number; height: number };
    isMobile?: boolean;
    hasTouch?: boolean;
    deviceScaleFactor?: number;
}

const DESKTOP = { viewport: { width: 1280, height: 800 } };
const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true };
export const LOOKS: Record<string, Look> = {
    desktop: { ...DESKTOP, locale: "en-GB", colorScheme: "light" },
    "desktop-dark": { ...DESKTOP, locale: "fr", colorScheme: "dark" },
    phone: { ...PHONE, locale: "fr", colorScheme: "light" },
    "phone-dark": { ...PHONE, locale: "en-GB", colorScheme: "dark" },
};

/** Waits until nothing moves any more: pictures differ from run to run otherwise. */
async function isStill(page: Page): Promise<void> {
    await page.evaluate(async () => {
        await document.fonts.ready;
        const comes = () => document.querySelector(".photo:not(:has(img)), .messages[aria-busy=true]");
        const looks = () => document.body.innerHTML + [...document.images].map((image) => image.complete).join();
        const wait = () => new Promise((done) => setTimeout(done, 250));
        let before = "";
        for (let same = 0, all = 0; same < 4 && all < 60; all++) {
            const now = looks();
            same = now === before && !comes() ? same + 1 : 0;
            before = now;
            await wait();
        }
        await Promise.all(document.getAnimations().map((animation) => Promise.race([animation.finished.catch(() => undefined), wait()])));
    });
}

export async function shoot(page: Page, name: string): Promise<void> {
    await isStill(page);
    const session = await page.context().newCDPSession(page);
    const { data } = await session.send("Page.captureScreenshot", FORMAT === "webp" ? { format: FORMAT, quality: QUALITY } : { format: FORMAT });
    await session.detach();
    await writeFile(path.join(FOLDER, `${name}.${FORMAT}`), Buffer.from(data, "base64"));
}
