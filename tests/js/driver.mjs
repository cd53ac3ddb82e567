// A person who uses matrix-js-sdk in Node: obeys commands on standard input, tells on standard output what the library
// sees.
//
// The commands and events are those of tests/clients/PROTOCOL.md. Standard output is for the protocol alone, so the
// library logs nothing: what fails is in the replies.

import * as fs from "node:fs/promises";
import { createInterface } from "node:readline";

for (const level of ["trace", "debug", "log", "info", "warn", "error"]) console[level] = () => {};
const { client, connect } = await import("./session.mjs");
const { obey } = await import("./person.mjs");

connect((line) => process.stdout.write(JSON.stringify(line) + "\n"), {
    read: ({ path }) => fs.readFile(path, "utf8"),
    write: ({ path, text }) => fs.writeFile(path, text),
});
for await (const line of createInterface({ input: process.stdin })) {
    await obey(line);
}
client?.stopClient();
process.exit(0);
