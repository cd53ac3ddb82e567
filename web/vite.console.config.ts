// Builds the operator's console, beside the app: nothing of the one is loaded for the other.

import path from "node:path";

import { lingui } from "@lingui/vite-plugin";
import preact from "@preact/preset-vite";
import { defineConfig } from "vite";

import { consoleBudget } from "./dev/budget.ts";
import { layersFirst } from "./dev/layers-first.ts";

export default defineConfig({
    plugins: [preact(), lingui(), layersFirst(), consoleBudget()],
    base: "/",
    build: {
        target: "es2022",
        assetsDir: "app/console",
        // The app is there already.
        emptyOutDir: false,
        sourcemap: false,
        modulePreload: { polyfill: false },
        rolldownOptions: { input: path.join(import.meta.dirname, "console.html") },
    },
});
