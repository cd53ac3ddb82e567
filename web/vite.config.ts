import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";

import { lingui } from "@lingui/vite-plugin";
import preact from "@preact/preset-vite";
import { build, defineConfig, type Plugin, type Rolldown } from "vite";

import { budget } from "./dev/budget.ts";
import { consolePage } from "./dev/console-page.ts";
import { layersFirst } from "./dev/layers-first.ts";
import { strictEmoji } from "./strict-emoji.ts";

/** The server that `npm run dev` shows the app of. */
const server = process.env.LINKSPAN ?? "http://127.0.0.1:8101";

/** Builds the service worker once the files are there that it keeps. It is at the top, so that it is asked for every page. */
function serviceWorker(): Plugin {
    return {
        name: "service-worker",
        apply: "build",
        async writeBundle() {
            const root = import.meta.dirname;
            const files = (await readdir(path.join(root, "dist/app"))).sort().map((name) => `/app/${name}`);
            // The page names its files, and may change when they do not.
            const page = await readFile(path.join(root, "dist/index.html"));
            const version = createHash("sha256").update(files.join()).update(page).digest("hex").slice(0, 12);
            await build({
                root,
                configFile: false,
                logLevel: "warn",
                define: { __FILES__: JSON.stringify(files), __VERSION__: JSON.stringify(version) },
                build: {
                    target: "es2022",
                    emptyOutDir: false,
                    copyPublicDir: false,
                    rolldownOptions: { input: path.join(root, "src/worker/sw.ts"), output: { format: "iife", entryFileNames: "sw.js" } },
                },
            });
        },
    };
}

const ENTRY = path.join(import.meta.dirname, "src/main.tsx");

/**
 * Has all that the page's own script imports be in one file. The list of chats waits for every file of these, and each takes a
 * moment, also when the service worker has it.
 */
function firstFile(): NonNullable<Rolldown.CodeSplittingGroup["name"]> {
    let first: Set<string> | undefined;
    return (id, context) => {
        if (!first) {
            first = new Set();
            const waiting = [ENTRY];
            for (let at = waiting.pop(); at; at = waiting.pop()) {
                const imported = context.getModuleInfo(at)?.importedIds.filter((id) => !first!.has(id)) ?? [];
                for (const id of imported) first.add(id);
                waiting.push(...imported);
            }
        }
        return first.has(id) ? "first" : null;
    };
}

export default defineConfig({
    plugins: [preact(), lingui(), strictEmoji(), layersFirst(), serviceWorker(), budget(), consolePage()],
    optimizeDeps: { exclude: ["emoji-picker-element"] },
    base: "/",
    build: {
        target: "es2022",
        assetsDir: "app",
        sourcemap: false,
        modulePreload: { polyfill: false },
        rolldownOptions: { output: { codeSplitting: { groups: [{ name: firstFile() }] } } },
    },
    server: { proxy: { "/_matrix": server, "/_linkspan": server, "/.well-known": server } },
});
