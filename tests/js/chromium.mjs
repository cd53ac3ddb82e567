// A person who uses matrix-js-sdk in Chromium: carries lines between standard input and output and a page.
//
// The page is page.mjs with the library, bundled when this starts. Its browser keeps everything in the folder of the
// device, so a reload is a new browser over the same folder. It ends with this program, however that ends. If the browser
// closes a database of the page (closing.mjs), this program does what a person would do: it reloads, and does what was
// under way again if nothing of it was done.

import * as fs from "node:fs/promises";
import { createServer } from "node:http";
import { once } from "node:events";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { launch } from "./launch.mjs";
import { Told } from "./told.mjs";

const WASM = "matrix_sdk_crypto_wasm_bg.wasm";
// More than any room of the tests has.
const WHOLE_ROOM = 1000;
// What is sent before something is encrypted, and by itself; to send it again does no harm.
const PREPARATIONS = [
    /\/keys\/(query|claim|upload)$/,
    /\/sendToDevice\/m\.room\.encrypted\//,
    /\/user\/[^/]*\/filter$/,
    /\/room_keys\/keys$/,
];

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const write = (line) => process.stdout.write(JSON.stringify(line) + "\n");

// Serves the page from this machine: only there does a browser let it encrypt without TLS.
async function serve() {
    const bundle = await build({
        entryPoints: [here("page.mjs")],
        bundle: true,
        format: "esm",
        target: "es2024",
        write: false,
        logLevel: "silent",
    });
    const files = {
        "/": ["text/html", "<!doctype html><meta charset=utf-8><link rel=icon href=data:,>"],
        "/page.js": ["text/javascript", bundle.outputFiles[0].text],
        [`/pkg/${WASM}`]: [
            "application/wasm",
            await fs.readFile(here(`node_modules/@matrix-org/matrix-sdk-crypto-wasm/pkg/${WASM}`)),
        ],
    };
    const server = createServer((request, response) => {
        const [type, content] = files[request.url] ?? [];
        response.writeHead(content ? 200 : 404, type ? { "content-type": type } : {}).end(content);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return `http://127.0.0.1:${server.address().port}/`;
}

async function open(url, folder) {
    const { browser, page } = await launch(folder && path.join(folder, "profile"));
    const session = await page.createCDPSession();
    const loss = Promise.withResolvers();
    const bindings = { tell, loseDatabase: loss.resolve };
    session.on("Runtime.bindingCalled", ({ name, payload }) => bindings[name]?.(payload));
    await session.send("Runtime.enable");
    for (const name of Object.keys(bindings)) await session.send("Runtime.addBinding", { name });
    await page.exposeFunction("readKeys", ({ path }) => fs.readFile(path, "utf8"));
    await page.exposeFunction("writeKeys", ({ path, text }) => fs.writeFile(path, text));
    await page.exposeFunction("closeDatabases", closeDatabases);
    await page.goto(url);
    await page.evaluate((module) => import(module), `${url}page.js`);
    const opened = { browser, page, loss: loss.promise };
    // Nobody may be waiting for a command: what is said meanwhile is to be seen all the same.
    loss.promise.then(() => inTurn(() => replace(opened)));
    return opened;
}

let url;
let running;
let person;
// Whether a page syncs already that goes on for another.
let goesOn = false;
// The command under way that was not answered yet.
let pending;
const told = new Told();

// A line of the page.
function tell(text) {
    const line = told.pass(JSON.parse(text));
    if (line && !line.event && line.id === pending?.id) pending = undefined;
    if (line) write(line);
}

// Commands, and replacing a page, one after the other.
let turn = Promise.resolve();
function inTurn(step) {
    turn = turn.then(step);
    return turn;
}

// Begins again as the same device, over the same folder.
async function reload(limit) {
    const session = await running.page.evaluate(() => globalThis.session());
    if (!session) throw new Error("there is no session yet");
    await running.browser.close();
    running = await open(url, person.store);
    const more = { ...options(person), limit };
    const going = running.page.evaluate((...all) => globalThis.goOn(...all), person.server, session, more);
    await Promise.race([going, running.loss]);
}

// Lets another page go on for one that has lost a database.
async function replace(page) {
    if (running !== page) return;
    goesOn = true;
    told.beginAgain();
    try {
        await reload(WHOLE_ROOM);
        write({ event: "reloaded", why: "the browser closed a database" });
    } catch (error) {
        write({ event: "sync_failed", message: `the browser closed a database, and then: ${error?.message ?? error}` });
    }
}

const options = ({ encrypted = false }) => ({ encrypted, lasting: true });

// Closes the databases of the page as the browser itself does when it has to.
async function closeDatabases() {
    const page = await running.browser.newPage();
    page.setDefaultTimeout(0);
    await page.goto("chrome://indexeddb-internals/");
    const button = await page.waitForSelector(">>> .force-close");
    await button.evaluate((button) => button.click());
    await running.loss;
    await page.close();
}

const commands = {
    reload: () => reload(),
    close_databases({ at, after = false }) {
        if (!at) return closeDatabases();
        return running.page.evaluate((...all) => globalThis.closeAt(...all), at, after);
    },
};

// Lets the page do it; whether it is done, or could not be.
async function letPageObey(line) {
    const { page, loss } = running;
    await Promise.race([page.evaluate((line) => globalThis.obey(line), line), loss]);
    // A page that has lost its database may have told its answer just before.
    return !pending;
}

// Does a command again whose page has lost its database, if it is certain that it had no effect.
async function goOnWith({ id, do: name }, line) {
    const sent = await running.page.evaluate(() => globalThis.sentSoFar());
    const effects = sent.filter((one) => !PREPARATIONS.some((harmless) => harmless.test(one)));
    await replace(running);
    if (name === "start") return write({ id, ok: {} });
    if (effects.length) throw new Error(`the browser closed a database: ${name} may be done, or not: ${effects}`);
    if (!(await letPageObey(line))) throw new Error(`the browser closed a database twice, and ${name} is not done`);
}

async function obey(line) {
    const command = JSON.parse(line);
    const { id, do: name, ...rest } = command;
    pending = command;
    try {
        if (name === "start" && goesOn) return write({ id, ok: {} });
        if (commands[name]) {
            await commands[name](rest);
            return write({ id, ok: {} });
        }
        if (name === "register" || name === "login") {
            url ??= await serve();
            person = rest;
            running ??= await open(url, rest.store);
            line = JSON.stringify({ id, do: name, ...rest, ...options(rest) });
        }
        if (!(await letPageObey(line))) await goOnWith(command, line);
    } catch (error) {
        write({ id, error: { code: "", message: String(error?.message ?? error) } });
    } finally {
        pending = undefined;
    }
}

for await (const line of createInterface({ input: process.stdin })) {
    await inTurn(() => obey(line));
}
await running?.browser.close();
process.exit(0);
