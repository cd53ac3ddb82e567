// Fails when a sentence is in one language only, or in the code no more.

import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";

const source = path.resolve(import.meta.dirname, "../src");
const read = (file: string) => readFileSync(path.join(source, file), "utf8");
const files = readdirSync(source, { recursive: true, encoding: "utf8" });
const code = files.filter((file) => /\.tsx?$/.test(file)).map(read).join("\n");
const languages = files.filter((file) => /^words\W\w+\.json$/.test(file));
const idsOf = (file: string) => Object.keys(JSON.parse(read(file)) as object);
const ids = new Set(languages.flatMap(idsOf));

const written = new Set(Array.from(code.matchAll(/"([a-z][\w.]*)"/g), ([, id]) => id!));
/** Beginnings and ends of ids that are put together; the middle, or the beginning, is said by a value. */
const parts = Array.from(code.matchAll(/`([a-z][\w.]*|)\$\{[^}]+\}((?:\.\w+)?)`/g), ([, start, end]) => ({ start: start!, end: end! }));

function isUsed(id: string): boolean {
    if (written.has(id)) return true;
    return parts.some(({ start, end }) => {
        if (!id.startsWith(start) || !id.endsWith(end)) return false;
        return start ? start.includes(".") : end !== "" && written.has(id.slice(0, -end.length));
    });
}

function missingIn(file: string): string[] {
    const there = new Set(idsOf(file));
    return [...ids].filter((id) => !there.has(id));
}

const faults = [
    ...languages.flatMap((file) => missingIn(file).map((id) => `${file} does not have ${id}`)),
    ...[...ids].filter((id) => !isUsed(id)).map((id) => `nothing says ${id}`),
];
for (const fault of faults) console.error(fault);
process.exitCode = faults.length > 0 ? 1 : 0;
