// Weighs what the app loads at its first start, until the list of chats is there, and fails the build when it is too much.
// What encryption takes is not counted: it is loaded beside the list, and nothing waits for it.

import path from "node:path";
import { gzipSync } from "node:zlib";

import type { Plugin, Rolldown } from "vite";

/** The most that all scripts may weigh, compressed, in bytes. */
const MOST = 350 * 1024;

/** The door, and the parts that are loaded by themselves after the page's own scripts, by the file that each begins with. */
const LOADED_AT_ONCE = [
    "src/session/welcome.tsx",
    "src/sync/library.ts",
    "src/sync/notifications.ts",
    "src/encryption/encryption.tsx",
    "src/encryption/secrets.ts",
    "src/encryption/setup.ts",
    "src/session/proof.tsx",
    "src/chat/keeper.ts",
];

/** Everybody loads the words of one language, so the longest ones count. */
const WORDS = /^src\/words\/\w+\.json/;

type Chunk = Rolldown.OutputChunk;

export function budget(): Plugin {
    return {
        name: "budget",
        apply: "build",
        generateBundle(_options, bundle) {
            const chunks = Object.values(bundle).filter((file) => file.type === "chunk");
            const weights = weigh(chunks);
            const sum = weights.reduce((sum, { bytes }) => sum + bytes, 0);
            for (const { name, bytes } of weights) console.log(`${kib(bytes)}  ${name}`);
            console.log(`${kib(sum)}  first load, of at most ${kib(MOST).trim()}`);
            if (sum > MOST) this.error(`the first load is ${kib(sum - MOST).trim()} larger than it may be`);
        },
    };
}

/** The most that all scripts of the operator's console may weigh, compressed, in bytes; both languages count. */
const MOST_OF_CONSOLE = 110 * 1024;

/** Weighs the operator's console, and fails the build when it is too heavy. */
export function consoleBudget(): Plugin {
    return {
        name: "console-budget",
        apply: "build",
        generateBundle(_options, bundle) {
            const chunks = Object.values(bundle).filter((file) => file.type === "chunk");
            const sum = chunks.reduce((sum, { code }) => sum + gzipSync(code, { level: 9 }).length, 0);
            console.log(`${kib(sum)}  console, of at most ${kib(MOST_OF_CONSOLE).trim()}`);
            if (sum > MOST_OF_CONSOLE) this.error(`the console is ${kib(sum - MOST_OF_CONSOLE).trim()} larger than it may be`);
        },
    };
}

interface Weight {
    name: string;
    bytes: number;
}

/** The weight of each part, with whatever no part before it has loaded. */
function weigh(chunks: Chunk[]): Weight[] {
    const byFile = new Map(chunks.map((chunk) => [chunk.fileName, chunk]));
    const bySource = new Map(chunks.map((chunk) => [sourceOf(chunk), chunk]));
    const counted = new Set<Chunk>();
    const bytesOf = (chunk: Chunk): number => {
        if (counted.has(chunk)) return 0;
        counted.add(chunk);
        const imported = chunk.imports.flatMap((file) => byFile.get(file) ?? []);
        return gzipSync(chunk.code, { level: 9 }).length + imported.reduce((sum, other) => sum + bytesOf(other), 0);
    };
    const parts = ["index.html", ...LOADED_AT_ONCE].map((name) => {
        const chunk = bySource.get(name);
        if (!chunk) throw new Error(`no script begins with ${name}: say in dev/budget.ts what is loaded at once`);
        return { name, bytes: bytesOf(chunk) };
    });
    const languages = chunks.filter((chunk) => WORDS.test(sourceOf(chunk)));
    return [...parts, { name: "words of the longest language", bytes: Math.max(...languages.map(bytesOf)) }];
}

function sourceOf(chunk: Chunk): string {
    return path.relative(path.join(import.meta.dirname, ".."), chunk.facadeModuleId ?? "").replaceAll(path.sep, "/");
}

function kib(bytes: number): string {
    return `${(bytes / 1024).toFixed(1).padStart(6)} KiB`;
}
