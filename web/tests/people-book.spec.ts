import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

import { App, expect, test } from "./app.ts";
import { PASSWORD, Platforms } from "./platforms.ts";

const NUMBER = "+491713920011";

/** Takes messages for phones, and tells the code that somebody got. */
class Phones {
    readonly #server: Server;
    readonly #codes = new Map<string, (code: string) => void>();

    private constructor(server: Server) {
        this.#server = server;
    }

    static async start(): Promise<Phones> {
        const server = createServer();
        const phones = new Phones(server);
        server.on("request", async (request, response) => {
            let body = "";
            for await (const part of request) body += part;
            const { to, text } = JSON.parse(body) as { to: string; text: string };
            phones.#codes.get(to)?.(/\d{6}/.exec(text)![0]);
            response.end();
        });
        await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
        return phones;
    }

    get address(): string {
        return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`;
    }

    codeFor(number: string): Promise<string> {
        return new Promise((done) => this.#codes.set(number, done));
    }

    stop(): void {
        this.#server.close();
    }
}

async function post(origin: string, path: string, body: object): Promise<Record<string, string>> {
    const answer = await fetch(origin + path, { method: "POST", body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as Record<string, string>;
}

test("people of an address book are found by their numbers, which the server is not told", async ({ browser }) => {
    const phones = await Phones.start();
    const settings = `[platform.sms]\ngateway = "${phones.address}"\nsecret = "sixteen characters at least"`;
    const app = await App.start(await Platforms.start({ settings }));
    const origin = app.platforms.origins.phone;
    const secret = { client_secret: "a_random_text" };
    const code = phones.codeFor(NUMBER);
    const asked = { ...secret, country: "DE", phone_number: NUMBER, send_attempt: 1 };
    const { sid } = await post(origin, "/_matrix/client/v3/register/msisdn/requestToken", asked);
    await post(origin, "/_linkspan/client/v1/submit_code", { sid, ...secret, token: await code });
    const auth = { type: "m.login.msisdn", threepid_creds: { sid, ...secret } };
    await post(origin, "/_matrix/client/v3/register", { username: "cleo.lind", password: PASSWORD, auth });

    await app.platforms.register("handle", "anna.book", "Anna Berg");
    const page = await app.openFor(browser, "handle", "anna.book", { locale: "de-DE" });
    const told: string[] = [];
    page.context().on("request", (request) => told.push(request.postData() ?? ""));
    await page.getByRole("link", { name: "New chat" }).click();
    await page.getByRole("link", { name: "From your address book" }).click();
    const book = `Name,Phone\r\n"Lind, Cleo (work)",0171 3920011\r\nNobody,+49 171 3920999\r\n`;
    await page.getByLabel("Choose a file").setInputFiles({ name: "book.csv", mimeType: "text/csv", buffer: Buffer.from(book) });
    const here = page.getByRole("region", { name: "1 person is here" });
    await expect(here.getByRole("button", { name: "Lind, Cleo (work)" })).toBeVisible();
    await expect(page.getByRole("region", { name: /Not here yet/ })).toContainText("Nobody");
    expect(told.filter((body) => body.includes("3920011"))).toEqual([]);
    await here.getByRole("button", { name: "Lind, Cleo (work)" }).click();
    await expect(page.getByRole("textbox", { name: /^Message to/ })).toBeVisible();
    await page.context().close();
    await app.stop();
    phones.stop();
});
