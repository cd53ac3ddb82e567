// A person who uses matrix-js-sdk in Chromium: carries lines between standard input and output and a page.
//
// The page is page.mjs with the library, bundled when this starts. Its browser keeps everything in the folder of the
// device, so a reload is a new browser over the same folder. It ends with this program, however that ends.

import { existsSync } from "node:fs";
import * as fs from "node:fs/promises";
import { createServer } from "node:http";
import { once } from "node:events";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import puppeteer from "puppeteer-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const WASM = "matrix_sdk_crypto_wasm_bg.wasm";

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const write = (line) => process.stdout.write(line + "\n");

function findBrowser() {
    if (process.env.CHROMIUM) return process.env.CHROMIUM;
    const folders = process.env.PATH.split(path.delimiter);
    const found = folders.flatMap((folder) => NAMES.map((name) => path.join(folder, name))).find(existsSync);
    if (!found) throw new Error("there is no Chromium: install it, or say in CHROMIUM where it is");
    return found;
}

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
    const browser = await puppeteer.launch({
        executablePath: findBrowser(),
        pipe: true,
        userDataDir: folder && path.join(folder, "profile"),
        // A sandbox cannot be had by root, who runs tests in containers.
        args: ["--no-proxy-server", "--disable-dev-shm-usage", ...(process.getuid() === 0 ? ["--no-sandbox"] : [])],
    });
    const [page] = await browser.pages();
    const session = await page.createCDPSession();
    session.on("Runtime.bindingCalled", ({ name, payload }) => name === "tell" && write(payload));
    await session.send("Runtime.enable");
    await session.send("Runtime.addBinding", { name: "tell" });
    await page.exposeFunction("readKeys", ({ path }) => fs.readFile(path, "utf8"));
    await page.exposeFunction("writeKeys", ({ path, text }) => fs.writeFile(path, text));
    await page.goto(url);
    await page.evaluate((module) => import(module), `${url}page.js`);
    return { browser, page };
}

let url;
let running;
let person;

// Begins again as the same device, over the same folder.
async function reload() {
    const session = await running.page.evaluate(() => globalThis.session());
    await running.browser.close();
    running = await open(url, person.store);
    await running.page.evaluate((...all) => globalThis.goOn(...all), person.server, session, options(person));
}

const options = ({ encrypted = false }) => ({ encrypted, lasting: true });

async function obey(line) {
    const { id, do: name, ...rest } = JSON.parse(line);
    try {
        if (name === "reload") {
            await reload();
            return write(JSON.stringify({ id, ok: {} }));
        }
        if (name === "register" || name === "login") {
            url ??= await serve();
            person = rest;
            running ??= await open(url, rest.store);
            line = JSON.stringify({ id, do: name, ...rest, ...options(rest) });
        }
        await running.page.evaluate((line) => globalThis.obey(line), line);
    } catch (error) {
        write(JSON.stringify({ id, error: { code: "", message: String(error?.message ?? error) } }));
    }
}

for await (const line of createInterface({ input: process.stdin })) {
    await obey(line);
}
await running?.browser.close();
process.exit(0);
