// The page of docs/ that says how fast the app is.

import { execSync } from "node:child_process";
import os from "node:os";

export interface Figure {
    what: string;
    found: string;
    /** What it should be, if anything was promised. */
    target: string;
}

interface Report {
    chats: number;
    messages: number;
    figures: Figure[];
    /** How busy the machine was before the measuring began. */
    load: number;
    browser: string;
}

export function table(figures: Figure[]): string {
    return ["| measured | figure | target |", "|---|---|---|", ...figures.map(({ what, found, target }) => `| ${what} | ${found} | ${target} |`)].join("\n");
}

export function page({ chats, messages, figures, load, browser }: Report): string {
    const commit = execSync("git rev-parse --short=12 HEAD", { encoding: "utf8" }).trim();
    const memory = Math.round(os.totalmem() / 2 ** 30);
    return `# Benchmarks of the chat app

Written by \`npm run measure\` in web/; do not edit. How fast the server is: [benchmarks](benchmarks.md).

- date: ${new Date().toISOString().slice(0, 10)}
- machine: ${os.cpus().length} cores of ${os.cpus()[0]?.model}, ${memory} GiB memory, no graphics card
- load of the machine before: ${load.toFixed(1)} processes that want to run
- browser: Chromium ${browser} without a window, 1280 × 800
- commit: ${commit}
- account: ${chats.toLocaleString("en")} chats, one of them with ${messages.toLocaleString("en")} messages

${table(figures)}

## How it was measured

Browser, app and server share the machine's cores. A start counts from the navigation, and what is shown counts when the
frame that has it was drawn. At a warm start the app was open before: its files are in the service worker's cache, and the
browser has been running. The list is scrolled by turns of a mouse's wheel at 4,000 pixels a second; frames are counted
where the page can draw, so a browser that draws without a graphics card leaves out some by itself. Frames that are left
out are those of a screen that shows 60 in a second. Script memory is what is left after collecting garbage; the process
has the browser's own memory and pictures besides.
`;
}
