// Compresses the built app once and for all, so that the program never has to: `.br` and `.gz` stand beside each file of
// dist/ that gets smaller by it.

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const DIST = join(import.meta.dirname, "../dist");

/** What a file has to lose: less is not worth the work of unpacking it. */
const WORTH = 0.95;

for (const entry of readdirSync(DIST, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (!entry.isFile() || /\.(br|gz)$/.test(path)) continue;
    const plain = readFileSync(path);
    const size = { [constants.BROTLI_PARAM_SIZE_HINT]: plain.length };
    for (const [ending, packed] of [
        ["br", brotliCompressSync(plain, { params: size })],
        ["gz", gzipSync(plain, { level: 9 })],
    ] as const) {
        if (packed.length < plain.length * WORTH) writeFileSync(`${path}.${ending}`, packed);
    }
}
