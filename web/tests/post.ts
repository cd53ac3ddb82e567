// Takes what a platform sends to people by mail and SMS, so that tests can read the codes.

import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

import { SMTPServer } from "smtp-server";

export class Post {
    readonly #sms: Server;
    readonly #mails: SMTPServer;
    readonly #came = new Map<string, string[]>();
    readonly #awaited: (() => void)[] = [];

    private constructor() {
        this.#sms = createServer((request, answer) => {
            void text(request).then((body) => {
                const message = JSON.parse(body) as { to: string; text: string };
                this.#take(message.to, message.text);
                answer.end();
            });
        });
        this.#mails = new SMTPServer({
            authOptional: true,
            disabledCommands: ["STARTTLS"],
            onData: (stream, session, done) => {
                void text(stream).then((mail) => {
                    for (const { address } of session.envelope.rcptTo) this.#take(address, mail);
                    done();
                });
            },
        });
    }

    static async start(): Promise<Post> {
        const post = new Post();
        await new Promise<void>((done) => post.#sms.listen(0, "127.0.0.1", done));
        await new Promise<void>((done) => post.#mails.listen(0, "127.0.0.1", () => done()));
        return post;
    }

    /** What a configuration says so that everything is sent here: for the whole program, and for each platform. */
    get settings(): { all: string; platform: string } {
        const sms = (this.#sms.address() as AddressInfo).port;
        const mails = (this.#mails.server.address() as AddressInfo).port;
        return {
            all: `[sms]\ngateway = "http://127.0.0.1:${sms}/"\nsecret = "what the tests sign with"\n`,
            platform: `email = { smtp = "smtp://127.0.0.1:${mails}", from = "Tests <tests@example.org>" }\n`,
        };
    }

    #take(address: string, said: string): void {
        this.#came.set(address, [...(this.#came.get(address) ?? []), said]);
        for (const wake of this.#awaited.splice(0)) wake();
    }

    /** The code in the next message to an address, which is waited for. */
    async code(address: string): Promise<string> {
        for (;;) {
            const said = this.#came.get(address)?.shift();
            const code = said && /(?<!\d)\d{6}(?!\d)/.exec(said.slice(said.indexOf("\r\n\r\n") + 1));
            if (code) return code[0];
            if (!said) await new Promise<void>((wake) => this.#awaited.push(wake));
        }
    }

    stop(): void {
        this.#sms.close();
        this.#mails.close();
    }
}
