// No view has anything that axe finds: WCAG 2.2 AA and what is good practice, in light and dark, on the kinds of screens that
// there are pictures of.

import AxeBuilder from "@axe-core/playwright";
import type { Page } from "@playwright/test";

import { expect } from "./app.ts";
import { go, sceneOf, VIEWS } from "./views.ts";
import { DESKTOP, PHONE, test } from "./windows.ts";

const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

const LOOKS = { desk: DESKTOP, phone: PHONE };

/** Only the pictures need a group of 300. */
const views = VIEWS.filter(({ name }) => name !== "members-300");

/** What axe finds, in a line each. In the dark only colours are other ones. */
async function findings(page: Page): Promise<string[]> {
    await page.emulateMedia({ colorScheme: "light", reducedMotion: "reduce" });
    const inLight = await new AxeBuilder({ page }).withTags(RULES).analyze();
    await page.emulateMedia({ colorScheme: "dark", reducedMotion: "reduce" });
    const inDark = await new AxeBuilder({ page }).withRules(["color-contrast"]).analyze();
    const lines = (scheme: string, { violations }: typeof inLight) =>
        violations.flatMap(({ id, nodes }) => nodes.map(({ html, any }) => `${scheme} ${id}: ${html.slice(0, 300)} ${any[0]?.message ?? ""}`));
    return [...lines("light", inLight), ...lines("dark", inDark)];
}

test.afterEach(async ({ desk, phone }) => {
    for (const page of [desk, phone]) await page.emulateMedia({ colorScheme: null, contrast: null, forcedColors: null, reducedMotion: null });
});

for (const look of ["desk", "phone"] as const) {
    const screen = { desk: "/desktop", phone: "/phone" }[look];
    // The recovery key is offered on the first device, which has the desk.
    const isOn = ({ name, of }: (typeof VIEWS)[number]) => (name === "recovery-key" ? look === "desk" : of.includes(screen));
    for (const { name, show } of views.filter(isOn)) {
        test(`axe finds nothing: ${name}, ${look}`, async ({ full: { app, full }, desk, phone, browser }) => {
            const page = { desk, phone }[look];
            const scene = sceneOf(app, browser, "account", full, page, LOOKS[look]);
            await scene.go("/");
            const shown = (await show(scene)) ?? page;
            // What moves while pictures come is measured again once they are there.
            await expect.poll(() => findings(shown)).toEqual([]);
            if (shown !== page) await shown.context().close();
            await page.unrouteAll({ behavior: "ignoreErrors" });
            // What is open closes.
            await page.keyboard.press("Escape");
            await page.keyboard.press("Escape");
        });
    }
}

/** The views in which most kinds of things are seen. */
const MANY_KINDS = ["list", "chat", "group", "settings", "search"];

test("whoever asks for more contrast gets one of 7 to 1", async ({ full: { app, full }, desk, browser }) => {
    const enhanced = async () => {
        const { violations } = await new AxeBuilder({ page: desk }).withRules(["color-contrast-enhanced"]).analyze();
        return violations.flatMap(({ nodes }) => nodes.map(({ html, any }) => `${html.slice(0, 200)} ${any[0]?.message ?? ""}`));
    };
    const scene = sceneOf(app, browser, "account", full, desk, LOOKS.desk);
    for (const { show } of views.filter(({ name }) => MANY_KINDS.includes(name))) {
        await desk.emulateMedia({ colorScheme: "light", contrast: "no-preference", reducedMotion: "reduce" });
        await scene.go("/");
        await show(scene);
        expect(await enhanced()).not.toEqual([]);
        for (const colorScheme of ["light", "dark"] as const) {
            await desk.emulateMedia({ colorScheme, contrast: "more" });
            await expect.poll(enhanced).toEqual([]);
        }
    }
});

test("where the system chooses all colours, bubbles and the open chat still stand out", async ({ full: { full }, desk }) => {
    await go(desk, `/chat/${encodeURIComponent(full.rooms.layla!)}`);
    const edge = () => desk.locator(".bubble").last().evaluate((bubble) => getComputedStyle(bubble).borderTopWidth);
    // The chat that was open before goes first.
    await expect.poll(edge).toBe("0px");
    await desk.emulateMedia({ forcedColors: "active" });
    await expect.poll(edge).toBe("1px");
    expect(await desk.locator(".row[aria-current]").evaluate((row) => getComputedStyle(row).outlineStyle)).toBe("solid");
});
