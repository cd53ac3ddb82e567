// Starts three platforms with people and chats, and the app of each as it is in the folder, changing as it changes:
// `node dev/serve.ts [first port]`. Everybody's password is "one-long-password".

import { createServer } from "vite";

import { makePeople } from "../tests/people.ts";
import { KINDS, Platforms } from "../tests/platforms.ts";

const first = Number(process.argv[2] ?? 8200);
const platforms = await Platforms.start({ portsFrom: first });
const anna = await makePeople(platforms);
for (const [at, kind] of KINDS.entries()) {
    const proxy = Object.fromEntries(["/_matrix", "/_linkspan", "/.well-known"].map((path) => [path, platforms.origins[kind]]));
    const cacheDir = `node_modules/.vite-${kind}`;
    const server = await createServer({ cacheDir, server: { host: "127.0.0.1", port: first + 4 + at, strictPort: true, hmr: { port: first + 7 + at }, proxy } });
    await server.listen();
    console.log(`${kind}: http://127.0.0.1:${first + 4 + at}`);
}
console.log(`log in as ${anna.userId}, or as user0 to user11`);
process.on("SIGINT", () => void platforms.stop().then(() => process.exit()));
process.on("SIGTERM", () => void platforms.stop().then(() => process.exit()));
