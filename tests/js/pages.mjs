// A person in Chromium on the pages of a platform: obeys commands on standard input, and answers with what is seen.
//
// A reply is a line with the page's address, its title and its visible text. What the browser blocks by the page's own
// policy is an error, as is a link or button that leads nowhere.

import { createInterface } from "node:readline";
import { launch } from "./launch.mjs";

const { browser, page } = await launch();

let blocked;
page.on("console", (message) => {
    if (message.type() === "error" && message.text().includes("Content Security Policy")) blocked?.(message.text());
});

const seen = async () => ({
    url: page.url(),
    title: await page.title(),
    text: await page.evaluate(() => document.body.innerText),
});

// The visible link or button with this text.
async function find(text) {
    const found = await page.evaluateHandle((text) => {
        const all = [...document.querySelectorAll("a, button")];
        return all.find((one) => one.innerText.trim() === text && one.checkVisibility()) ?? null;
    }, text);
    if (!found.asElement()) throw new Error(`there is no “${text}” on ${JSON.stringify(await seen())}`);
    return found.asElement();
}

const commands = {
    async open({ url }) {
        await page.goto(url);
        return seen();
    },
    // Answers in the place of an app on this machine, at whose address nothing listens.
    async stand_in({ url, text }) {
        await page.setRequestInterception(true);
        page.on("request", (request) =>
            request.url().startsWith(url)
                ? request.respond({ contentType: "text/plain", body: text })
                : request.continue(),
        );
        return seen();
    },
    async fill({ values }) {
        for (const [name, value] of Object.entries(values)) {
            const field = await page.$(`input[name="${name}"]:not([type="hidden"])`);
            if (!field) throw new Error(`there is no field “${name}” on ${JSON.stringify(await seen())}`);
            await field.click({ count: 3 });
            await field.type(value);
        }
        return seen();
    },
    async press({ text }) {
        const wanted = await find(text);
        const refusal = new Promise((_, reject) => {
            blocked = (why) => reject(new Error(why));
        });
        await Promise.race([Promise.all([page.waitForNavigation(), wanted.click()]), refusal]);
        return seen();
    },
};

for await (const line of createInterface({ input: process.stdin })) {
    const { id, do: name, ...words } = JSON.parse(line);
    const reply = await commands[name](words).then(
        (ok) => ({ id, ok }),
        (error) => ({ id, error: { code: "", message: String(error?.message ?? error) } }),
    );
    process.stdout.write(JSON.stringify(reply) + "\n");
}
await browser.close();
process.exit(0);
