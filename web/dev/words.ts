// Fails when a sentence is in one language only, or in the code no more. The app and the console have words of their own.

import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";

const source = path.resolve(import.meta.dirname, "../src");
const read = (file: string) => readFileSync(path.join(source, file), "utf8");
const files = readdirSync(source, { recursive: true, encoding: "utf8" });
const idsOf = (file: string) => Object.keys(JSON.parse(read(file)) as object);

/** What is wrong with the words in a folder, which are said in some of the code. */
function faultsOf(languages: string[], codeFiles: string[]): string[] {
    const code = codeFiles.map(read).join("\n");
    const ids = new Set(languages.flatMap(idsOf));
    const written = new Set(Array.from(code.matchAll(/"([a-z][\w.]*)"/g), ([, id]) => id!));
    /** Beginnings and ends of ids that are put together; the middle, or the beginning, is said by a value. */
    const parts = Array.from(code.matchAll(/`([a-z][\w.]*|)\$\{[^}]+\}((?:\.\w+)?)`/g), ([, start, end]) => ({ start: start!, end: end! }));
    const isUsed = (id: string) =>
        written.has(id) ||
        parts.some(({ start, end }) => {
            if (!id.startsWith(start) || !id.endsWith(end)) return false;
            return start ? start.includes(".") : end !== "" && written.has(id.slice(0, -end.length));
        });
    const missing = languages.flatMap((file) => {
        const there = new Set(idsOf(file));
        return [...ids].filter((id) => !there.has(id)).map((id) => `${file} does not have ${id}`);
    });
    return [...missing, ...[...ids].filter((id) => !isUsed(id)).map((id) => `nothing says ${id}`)];
}

const code = files.filter((file) => /\.tsx?$/.test(file));
const languagesIn = (folder: RegExp) => files.filter((file) => folder.test(file));
const ofConsole = code.filter((file) => /^console\W/.test(file));
const faults = [...faultsOf(languagesIn(/^words\W\w+\.json$/), code), ...faultsOf(languagesIn(/^console\Wwords\W\w+\.json$/), ofConsole)];
for (const fault of faults) console.error(fault);
process.exitCode = faults.length > 0 ? 1 : 0;
