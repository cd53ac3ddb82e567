// Measures how fast the app is for somebody with very many chats, and writes what it found to docs/benchmarks-app.md:
// `node dev/measure.ts`. `QUICK=1` does it with less and writes nothing. `DATA` names a folder in which the chats are kept for
// the next time, since making them takes some minutes.

import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { gzipSync } from "node:zlib";

import { type BrowserContext, type CDPSession, chromium, type Locator, type Page } from "@playwright/test";

import config from "../playwright.config.ts";
import { App } from "../tests/app.ts";
import { PASSWORD, Platforms } from "../tests/platforms.ts";
import { type Amounts, LONG, makeMuch, NAME } from "./much.ts";
import { type Figure, page as pageOf, table } from "./report.ts";

const IS_QUICK = process.env.QUICK === "1";
const AMOUNTS: Amounts = IS_QUICK ? { chats: 200, messages: 1000 } : { chats: 5000, messages: 50_000 };
const PAGE = path.resolve(import.meta.dirname, "../../docs/benchmarks-app.md");

/** How often a start is measured. */
const STARTS = 5;
/** How many chats are opened, and how often older messages are loaded. */
const CHATS = 5;
const PREPENDS = 5;
/** How far is scrolled, and how fast, in pixels and pixels a second: a hand that is in a hurry. */
const SCROLL_PX = 30_000;
const SCROLL_SPEED = 4000;
/** How long the app has to be quiet until everything is written down, in milliseconds. */
const WRITTEN_AFTER_MS = 15_000;
/** How long a frame is there on a screen that shows 60 in a second, in milliseconds. */
const FRAME_MS = 1000 / 60;
/** The longest that anything may take, in milliseconds. A debug build of the server is slow with thousands of chats. */
const PATIENCE_MS = 240_000;

const figures: Figure[] = [];
const note = (what: string, found: string, target = "") => {
    figures.push({ what, found, target });
    console.log(`${what}: ${found}${target && ` (${target})`}`);
};

const folder = () => mkdtemp(path.join(os.tmpdir(), "linkspan-measure-"));
const made = process.env.DATA ?? (await folder());
await mkdir(made, { recursive: true });
await makeMuch(made, AMOUNTS);
// The account that is measured has never been logged in before, whatever was measured of it already.
const data = await folder();
await cp(made, data, { recursive: true });
const platforms = await Platforms.start({ data });
const app = await App.start(platforms);
const profile = await folder();
const { launchOptions } = config.use!;
const context = await chromium.launchPersistentContext(profile, { ...launchOptions, locale: "en-GB", viewport: { width: 1280, height: 800 } });
context.setDefaultTimeout(PATIENCE_MS);
try {
    await context.addInitScript(watchPaints);
    const load = os.loadavg()[0]!;
    await measureCold(context);
    await openSome(context);
    await measureWarm(context);
    await measureRunning(context);
    const text = pageOf({ ...AMOUNTS, figures, load, browser: context.browser()?.version() ?? "" });
    if (IS_QUICK) console.log(table(figures));
    else await writeFile(PAGE, text);
} finally {
    await context.close();
    await app.stop();
    const left = [profile, data, ...(process.env.DATA ? [] : [made])];
    await Promise.all(left.map((folder) => rm(folder, { recursive: true, force: true })));
}

/** Notes, in the page, when the list and the messages of a chat are first painted. */
function watchPaints(): void {
    const watched = { list: ".rows .row", chat: ".messages .message" };
    const painted: Record<string, number> = {};
    Object.assign(globalThis, { painted });
    const look = () => {
        for (const [name, selector] of Object.entries(watched)) {
            if (name in painted || !document.querySelector(selector)) continue;
            painted[name] = Infinity;
            // What comes after a frame has begun and before the next task is the painting of it.
            requestAnimationFrame(() => setTimeout(() => (painted[name] = performance.now())));
        }
    };
    new MutationObserver(look).observe(document, { childList: true, subtree: true });
}

/** When something was first painted, in milliseconds since the page began to be loaded. */
async function paintOf(page: Page, name: "list" | "chat"): Promise<number> {
    const found = await page.waitForFunction((name) => {
        const ts = (globalThis as unknown as { painted: Record<string, number> }).painted[name];
        return ts !== undefined && ts < Infinity ? ts : undefined;
    }, name);
    return (await found.jsonValue())!;
}

/** Waits until the client knows the chats, and says when it did. */
async function clientOf(page: Page): Promise<number> {
    const found = await page.waitForFunction(() => performance.getEntriesByName("chats are there")[0]?.startTime);
    return (await found.jsonValue())!;
}

async function measureCold(context: BrowserContext): Promise<void> {
    const page = await context.newPage();
    const scripts = weighScripts(page);
    await page.goto(app.addresses.handle);
    await page.locator("input[name=name]").fill(NAME);
    await page.locator("input[name=password]").fill(PASSWORD);
    const begun = await page.evaluate(() => performance.now());
    await page.locator("input[name=password]").press("Enter");
    note("logging in to the first rows, nothing kept", ms((await paintOf(page, "list")) - begun));
    const { first, encryption } = await scripts();
    note("scripts loaded by then, compressed", kib(first), "at most 350 KiB");
    note("beside them, for encryption", kib(encryption));
    await clientOf(page);
    await page.waitForFunction(() => navigator.serviceWorker.ready.then(() => true));
    await page.waitForTimeout(WRITTEN_AFTER_MS);
    await page.close();
}

/** The weight of the scripts that a page has asked for. */
function weighScripts(page: Page): () => Promise<{ first: number; encryption: number }> {
    const answers: Promise<{ url: string; bytes: number }>[] = [];
    page.on("response", (answer) => {
        if (!/\/app\/.*\.(js|wasm)$/.test(answer.url())) return;
        answers.push(answer.body().then((body) => ({ url: answer.url(), bytes: gzipSync(body, { level: 9 }).length })));
    });
    return async () => {
        const all = (await Promise.allSettled(answers)).flatMap((answer) => (answer.status === "fulfilled" ? [answer.value] : []));
        const weigh = (isWanted: (url: string) => boolean) => all.filter(({ url }) => isWanted(url)).reduce((sum, { bytes }) => sum + bytes, 0);
        const isOfEncryption = (url: string) => /rust-crypto|crypto-wasm|\.wasm$/.test(url);
        return { first: weigh((url) => !isOfEncryption(url)), encryption: weigh(isOfEncryption) };
    };
}

/** Opens some chats, so that they are kept, and waits until everything is written down. */
async function openSome(context: BrowserContext): Promise<void> {
    const page = await context.newPage();
    await page.goto(app.addresses.handle);
    await clientOf(page);
    for (let at = 0; at < CHATS; at++) {
        await open(page, at);
        await page.locator(".messages[aria-busy=false] .message").last().waitFor();
        await page.waitForTimeout(1500);
    }
    await page.waitForTimeout(WRITTEN_AFTER_MS);
    await page.close();
}

async function measureWarm(context: BrowserContext): Promise<void> {
    const lists: number[] = [];
    const clients: number[] = [];
    const opened: number[] = [];
    for (let at = 0; at < STARTS; at++) {
        const page = await context.newPage();
        await page.goto(app.addresses.handle);
        lists.push(await paintOf(page, "list"));
        opened.push(await open(page, at % CHATS));
        clients.push(await clientOf(page));
        await page.close();
    }
    note("warm start to the painted list, median", ms(median(lists)), "< 300 ms");
    note("warm start to the painted list, slowest", ms(Math.max(...lists)));
    note("opening a chat before the library is there, median", ms(median(opened)), "< 100 ms");
    note("warm start until the client knows all chats, median", ms(median(clients)));
}

/** The chats that the list has in the page. */
function rows(page: Page): Locator {
    return page.locator(".rows a.row[href^='/chat/']");
}

/** How long after a click the messages of a chat are painted. */
function open(page: Page, at: number): Promise<number> {
    return page.evaluate(async (at) => {
        const link = document.querySelectorAll<HTMLElement>(".rows a.row[href^='/chat/']")[at]!;
        const begun = performance.now();
        link.click();
        const until = `.chat:has(h2) .messages .message`;
        const name = link.querySelector(".name")?.textContent;
        for (;;) {
            await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
            const isThere = document.querySelector(".chat header h2")?.textContent === name && document.querySelector(until);
            if (isThere) return performance.now() - begun;
        }
    }, at);
}

/** Scrolls and grows, as somebody does who stays. */
async function measureRunning(context: BrowserContext): Promise<void> {
    const page = await context.newPage();
    const session = await context.newCDPSession(page);
    await page.goto(app.addresses.handle);
    await paintOf(page, "list");
    noteFrames("scrolling the list while the client comes", await scroll(page, session, 180, -SCROLL_PX));
    await clientOf(page);
    await page.locator(".pane.chats[aria-busy=true]").waitFor({ state: "detached" });
    await page.waitForTimeout(5000);
    noteFrames("scrolling the list", await scroll(page, session, 180, -SCROLL_PX));
    const opened: number[] = [];
    await page.locator(".rows").evaluate((list) => void (list.scrollTop = 0));
    await rows(page).first().waitFor();
    for (let at = CHATS - 1; at >= 0; at--) opened.push(await open(page, at));
    note("opening a chat that was open before, median", ms(median(opened)), "< 100 ms");
    await rows(page).filter({ hasText: LONG }).click();
    await page.locator(".messages[aria-busy=false] .message").last().waitFor();
    await page.waitForTimeout(2000);
    noteFrames("scrolling back in the long chat", await scroll(page, session, 800, SCROLL_PX));
    const shifts: number[] = [];
    for (let at = 0; at < PREPENDS; at++) shifts.push(await page.evaluate(shiftOnPrepend));
    note("what is read moves when older messages come, at most", `${Math.max(...shifts).toFixed(1)} px`, "at most 1 px");
    await session.send("HeapProfiler.enable");
    await session.send("HeapProfiler.collectGarbage");
    await session.send("Performance.enable");
    const { metrics } = await session.send("Performance.getMetrics");
    const heap = metrics.find(({ name }) => name === "JSHeapUsedSize")?.value ?? 0;
    note("script memory of the page after that", mib(heap), "< 300 MiB");
    note("memory of the page's process after that", mib(await rendererMemory(context)));
    await page.close();
}

/** The times between frames while the mouse's wheel turns, in milliseconds. */
async function scroll(page: Page, session: CDPSession, x: number, yDistance: number): Promise<number[]> {
    await page.evaluate(() => {
        const frames: number[] = [];
        Object.assign(globalThis, { frames, isSampled: true });
        const sample = (ts: number) => {
            frames.push(ts);
            if ((globalThis as unknown as { isSampled: boolean }).isSampled) requestAnimationFrame(sample);
        };
        requestAnimationFrame(sample);
    });
    await session.send("Input.synthesizeScrollGesture", { x, y: 400, yDistance, speed: SCROLL_SPEED, gestureSourceType: "mouse", preventFling: true });
    const stamps = await page.evaluate(() => {
        Object.assign(globalThis, { isSampled: false });
        return (globalThis as unknown as { frames: number[] }).frames;
    });
    return stamps.slice(1).map((ts, at) => ts - stamps[at]!);
}

function noteFrames(what: string, times: number[]): void {
    const dropped = times.reduce((sum, time) => sum + Math.max(0, Math.round(time / FRAME_MS) - 1), 0);
    const part = ((100 * dropped) / (times.length + dropped)).toFixed(1);
    const sorted = times.toSorted((one, other) => one - other);
    const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
    note(`${what}: a frame, median / p95 / p99`, `${at(0.5).toFixed(1)} / ${at(0.95).toFixed(1)} / ${at(0.99).toFixed(1)} ms`, "16.7 ms");
    note(`${what}: frames left out`, `${dropped} of ${times.length + dropped} (${part} %)`);
}

/** How far a message that is read moves while older ones come above it, in pixels. */
async function shiftOnPrepend(): Promise<number> {
    const frame = () => new Promise((done) => requestAnimationFrame(done));
    const scroller = document.querySelector(".messages")!;
    scroller.scrollTop = 1200;
    await frame();
    await frame();
    const read = [...scroller.querySelectorAll<HTMLElement>(".message")].find((one) => one.getBoundingClientRect().top > 200)!;
    const top = read.getBoundingClientRect().top;
    const height = scroller.scrollHeight;
    let most = 0;
    for (let frames = 0, after = 0; frames < 1200 && after < 30; frames++) {
        await frame();
        const there = scroller.querySelector(`.message[data-key="${CSS.escape(read.dataset.key!)}"]`);
        if (there) most = Math.max(most, Math.abs(there.getBoundingClientRect().top - top));
        if (scroller.scrollHeight !== height) after++;
    }
    return most;
}

/** What the largest process that draws a page has in memory, in bytes. */
async function rendererMemory(context: BrowserContext): Promise<number> {
    const session = await context.browser()!.newBrowserCDPSession();
    const { processInfo } = await session.send("SystemInfo.getProcessInfo");
    const sizes = await Promise.all(processInfo.filter(({ type }) => type === "renderer").map(({ id }) => residentBytes(id)));
    return Math.max(...sizes);
}

async function residentBytes(pid: number): Promise<number> {
    const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024;
}

function median(values: number[]): number {
    return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? 0;
}

function ms(value: number): string {
    return `${Math.round(value)} ms`;
}

function kib(bytes: number): string {
    return `${(bytes / 1024).toFixed(0)} KiB`;
}

function mib(bytes: number): string {
    return `${(bytes / 1024 / 1024).toFixed(0)} MiB`;
}
