// Starting Chromium: where it is, and as the tests need it.

import { existsSync } from "node:fs";
import path from "node:path";
import puppeteer from "puppeteer-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

function findBrowser() {
    if (process.env.CHROMIUM) return process.env.CHROMIUM;
    const folders = process.env.PATH.split(path.delimiter);
    const found = folders.flatMap((folder) => NAMES.map((name) => path.join(folder, name))).find(existsSync);
    if (!found) throw new Error("there is no Chromium: install it, or say in CHROMIUM where it is");
    return found;
}

// A browser with one page. Without `folder` it forgets everything when it ends. Nothing has a limit here: how long a browser
// takes depends on what else the machine does, and the test that started this program gives up in the end.
export async function launch(folder) {
    const browser = await puppeteer.launch({
        executablePath: findBrowser(),
        pipe: true,
        userDataDir: folder,
        timeout: 0,
        protocolTimeout: 0,
        // A sandbox cannot be had by root, who runs tests in containers.
        args: ["--no-proxy-server", "--disable-dev-shm-usage", ...(process.getuid() === 0 ? ["--no-sandbox"] : [])],
    });
    const [page] = await browser.pages();
    page.setDefaultTimeout(0);
    return { browser, page };
}
