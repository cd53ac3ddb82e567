import { existsSync } from "node:fs";

import { defineConfig } from "@playwright/test";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/** The browser that is installed on this machine. */
function chromium(): string {
    const folders = (process.env.PATH ?? "").split(":");
    const found = process.env.CHROMIUM ?? folders.flatMap((folder) => NAMES.map((name) => `${folder}/${name}`)).find(existsSync);
    if (!found) throw new Error("there is no Chromium: install it, or say in CHROMIUM where it is");
    return found;
}

export default defineConfig({
    testDir: "tests",
    // Each has servers and browsers of its own.
    workers: 2,
    // How long a browser takes depends on what else the machine does. A test that hangs ends after this.
    timeout: 120_000,
    expect: { timeout: 30_000 },
    // A machine that others use, too, may be too slow for a moment. What passes only then is listed as flaky at the end.
    retries: process.env.CI ? 2 : 0,
    reporter: "list",
    use: {
        // A sandbox cannot be had by root, who runs tests in containers.
        launchOptions: {
            executablePath: chromium(),
            // Voice messages are recorded from a microphone that beeps.
            args: [
                "--no-proxy-server",
                "--disable-dev-shm-usage",
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
                ...(process.getuid?.() === 0 ? ["--no-sandbox"] : []),
            ],
        },
    },
});
