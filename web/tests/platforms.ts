// Three platforms, one of each kind, by a program of their own on free ports, and people on them who speak HTTP.

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";

import type { Post } from "./post.ts";

export const KINDS = ["handle", "account", "phone"] as const;
export type Kind = (typeof KINDS)[number];

/** What each platform is called, and what else is its own. */
const PLATFORMS: Record<Kind, { name: string; displayName: string; label: string; colour: string; more?: string }> = {
    handle: { name: "instagram", displayName: "Glimbry", label: "Instagram-style", colour: "#9c2463" },
    account: { name: "messenger", displayName: "Parlune", label: "Messenger-style", colour: "#1f56b3" },
    phone: { name: "whatsapp", displayName: "Telloby", label: "WhatsApp-style", colour: "#11694b", more: 'encryption = "required"' },
};

const PROGRAM = process.env.LINKSPAN ?? path.resolve(import.meta.dirname, "../../target/debug/linkspan");
export const PASSWORD = "one-long-password";

export interface Options {
    /** The first of four ports. Without it the program gets free ones. */
    portsFrom?: number;
    /** A folder that stays. Without it the data go when the program ends. */
    data?: string;
    /** Lines that are added to each platform's configuration. */
    settings?: string;
    /** Lines that are added at the end of the configuration of single platforms. */
    more?: Partial<Record<Kind, string>>;
    /** Platforms where one registers by a token. */
    byToken?: Kind[];
    /** Where mails and SMS go. With it, signing up proves an address or a number. */
    post?: Post;
}

/** A program that hosts one platform of each kind. */
export class Platforms {
    readonly folder: string;
    readonly origins: Record<Kind, string>;
    readonly #keeps: boolean;
    #process?: ChildProcess;

    private constructor(folder: string, origins: Record<Kind, string>, keeps: boolean) {
        this.folder = folder;
        this.origins = origins;
        this.#keeps = keeps;
    }

    static async start({ portsFrom, data, settings = "", more = {}, byToken = [], post }: Options = {}): Promise<Platforms> {
        const folder = data ?? (await mkdtemp(path.join(tmpdir(), "linkspan-web-")));
        const ports = portsFrom ? [0, 1, 2, 3].map((more) => portsFrom + more) : await freePorts(4);
        const origins = Object.fromEntries(KINDS.map((kind, at) => [kind, `http://127.0.0.1:${ports[at + 1]}`]));
        const started = new Platforms(folder, origins as Record<Kind, string>, data !== undefined);
        await writeFile(path.join(folder, "linkspan.toml"), configuration(ports, settings, more, byToken, post));
        await started.#run();
        return started;
    }

    async #run(): Promise<void> {
        const child = spawn(PROGRAM, ["serve", "--config", path.join(this.folder, "linkspan.toml")], { stdio: ["ignore", "pipe", "pipe"] });
        this.#process = child;
        let said = "";
        child.stdout?.on("data", (text) => (said += text));
        child.stderr?.on("data", (text) => (said += text));
        const ended = new Promise<never>((_, fail) => child.once("exit", () => fail(new Error(`the program ended:\n${said}`))));
        ended.catch(() => undefined);
        await Promise.race([this.#answers(), ended]);
    }

    async #answers(): Promise<void> {
        for (;;) {
            const answer = await fetch(`${this.origins.handle}/_matrix/client/versions`).catch(() => undefined);
            if (answer?.ok) return;
            await new Promise((done) => setTimeout(done, 20));
        }
    }

    /** Ends the program and starts it again with the same data. */
    async restart(): Promise<void> {
        await this.end();
        await this.#run();
    }

    /** Ends the program, as the network would if it went away. */
    async end(): Promise<void> {
        const child = this.#process;
        if (!child || child.exitCode !== null) return;
        const ended = new Promise((done) => child.once("exit", done));
        child.kill();
        await ended;
    }

    async begin(): Promise<void> {
        await this.#run();
    }

    async stop(): Promise<void> {
        await this.end();
        if (!this.#keeps) await rm(this.folder, { recursive: true, force: true });
    }

    /** Asks the operator API of a platform as the operator of the whole back-end, who needs no account. */
    async operate(kind: Kind, method: string, where: string, body: object): Promise<void> {
        const socketPath = path.join(this.folder, "data/control.sock");
        const headers = { Host: `${PLATFORMS[kind].name}.localhost` };
        await new Promise<void>((done, fail) => {
            const asked = request({ socketPath, method, path: `/_linkspan/admin/v1${where}`, headers }, (answer) => {
                answer.resume();
                answer.on("end", () => (answer.statusCode === 200 ? done() : fail(new Error(`${method} ${where}: ${answer.statusCode}`))));
            });
            asked.on("error", fail);
            asked.end(JSON.stringify(body));
        });
    }

    /** Makes an account that is an administrator of its platform. */
    async administrator(kind: Kind, localpart: string): Promise<void> {
        await this.operate(kind, "POST", "/users", { localpart, password: PASSWORD, admin: true });
    }

    /** Whether somebody of this name is registered. */
    async has(kind: Kind, localpart: string): Promise<boolean> {
        const where = `/_matrix/client/v3/register/available?username=${encodeURIComponent(localpart)}`;
        return !(await fetch(this.origins[kind] + where)).ok;
    }

    /** Registers somebody whose client says no more than what a test has it say. */
    async register(kind: Kind, localpart: string, displayName: string): Promise<Person> {
        const origin = this.origins[kind];
        const body = { username: localpart, password: PASSWORD, auth: { type: "m.login.dummy" } };
        const made = await call(origin, "POST", "/_matrix/client/v3/register", body);
        const person = new Person(kind, origin, made.user_id as string, made.access_token as string, made.device_id as string);
        await person.call("PUT", `/_matrix/client/v3/profile/${person.userId}/displayname`, { displayname: displayName });
        return person;
    }
}

/** Somebody who has a session. */
export class Person {
    readonly kind: Kind;
    readonly origin: string;
    readonly userId: string;
    readonly token: string;
    readonly deviceId: string;
    #transactions = 0;

    constructor(kind: Kind, origin: string, userId: string, token: string, deviceId: string) {
        this.kind = kind;
        this.origin = origin;
        this.userId = userId;
        this.token = token;
        this.deviceId = deviceId;
    }

    call(method: string, where: string, body?: unknown): Promise<Record<string, unknown>> {
        return call(this.origin, method, where, body, this.token);
    }

    /** Begins a direct chat with somebody, who joins it. */
    async chatWith(other: Person): Promise<string> {
        const request = { is_direct: true, preset: "trusted_private_chat", invite: [other.userId] };
        const { room_id } = await this.call("POST", "/_matrix/client/v3/createRoom", request);
        await other.join(room_id as string);
        return room_id as string;
    }

    async invite(room: string, other: Person): Promise<void> {
        await this.call("POST", `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/invite`, { user_id: other.userId });
    }

    async join(room: string): Promise<void> {
        await this.call("POST", `/_matrix/client/v3/join/${encodeURIComponent(room)}`, {});
    }

    async send(room: string, content: unknown, type = "m.room.message"): Promise<string> {
        const transaction = `t${Date.now()}-${this.#transactions++}`;
        const where = `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/send/${type}/${transaction}`;
        return (await this.call("PUT", where, content)).event_id as string;
    }

    say(room: string, body: string): Promise<string> {
        return this.send(room, { msgtype: "m.text", body });
    }
}

async function call(origin: string, method: string, where: string, body?: unknown, token?: string): Promise<Record<string, unknown>> {
    const answer = await fetch(origin + where, {
        method,
        headers: token ? { Authorization: `Bearer ${token}` } : {},
        ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${where}: ${answer.status} ${text}`);
    return JSON.parse(text) as Record<string, unknown>;
}

function configuration(ports: number[], settings: string, added: Partial<Record<Kind, string>>, byToken: Kind[], post: Post | undefined): string {
    const platforms = KINDS.map((kind, at) => {
        const { name, displayName, label, colour, more } = PLATFORMS[kind];
        return `
[[platform]]
name = "${name}"
display_name = "${displayName}"
label = "${label}"
server_name = "${name}.localhost"
listen = "127.0.0.1:${ports[at + 1]}"
hosts = ["127.0.0.1:${ports[at + 1]}"]
identity = "${kind}"
colour = "${colour}"
registration = "${byToken.includes(kind) ? "token" : "open"}"
${post ? post.settings.platform : "verify = false"}
rate_limits = false
${more ?? ""}
${settings}
${added[kind] ?? ""}`;
    });
    return `data = "data"\n[listen]\nhttp = "127.0.0.1:${ports[0]}"\n${post?.settings.all ?? ""}${platforms.join("")}`;
}

async function freePorts(count: number): Promise<number[]> {
    const servers = await Promise.all(
        Array.from({ length: count }, async () => {
            const server = createServer();
            await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
            return server;
        }),
    );
    const ports = servers.map((server) => (server.address() as { port: number }).port);
    await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
    return ports;
}
