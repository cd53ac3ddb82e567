// What is asked of the server before there is a session.

import { platform } from "../platform";
import { noteUnused } from "../sync/leaving";
import type { WordsId } from "../words";
import { fresh } from "./fresh";
import { begin, deviceLeft, deviceOf, type Session, sessions, show } from "./session";

/** What proves an address as a stage of registering, and as a way of logging in. */
const PROVES = { email: "m.login.email.identity", msisdn: "m.login.msisdn" } as const;

/** Why the server said no, in its own terms. */
export class Refusal extends Error {
    constructor(
        readonly status: number,
        readonly errcode: string,
        readonly body: Record<string, unknown>,
    ) {
        super(`${status} ${errcode}`);
    }
}

/** The server could not be asked. */
export class Unreachable extends Error {}

export async function askServer(method: string, path: string, body?: unknown, token?: string): Promise<Record<string, unknown>> {
    const request: RequestInit = { method };
    if (body !== undefined) request.body = JSON.stringify(body);
    if (token) request.headers = { Authorization: `Bearer ${token}` };
    const answer = await fetch(path, request).catch(() => {
        throw new Unreachable();
    });
    const said = (await answer.json().catch(() => ({}))) as Record<string, unknown>;
    if (!answer.ok) throw new Refusal(answer.status, String(said.errcode ?? "M_UNKNOWN"), said);
    return said;
}

/** What means the same wherever it is refused. */
const REFUSED: Record<string, WordsId> = { M_LIMIT_EXCEEDED: "session.often", M_USER_LOCKED: "session.locked" };

/** What went wrong, as words for the person. `known` has those that mean something particular here. Errors of the library are
 * understood, too. */
export function wordsOf(error: unknown, known: Record<string, WordsId> = {}): WordsId {
    if (error instanceof Unreachable) return "session.unreachable";
    const { errcode, name } = error as { errcode?: string; name?: string };
    if (name === "ConnectionError") return "session.unreachable";
    if (!errcode) throw error;
    return known[errcode] ?? REFUSED[errcode] ?? "session.failed";
}

/** Begins the session that a log-in or a registration has answered; or shows the one that the account has here already. */
async function beginWith(answer: Record<string, unknown>, password?: string): Promise<void> {
    const userId = answer.user_id as string;
    const begun: Session = { userId, deviceId: answer.device_id as string, accessToken: answer.access_token as string };
    if (await isHereAs(begun)) {
        // With another device, the keys that are here would be lost.
        noteUnused(begun);
        void import("../sync/forget").then(({ endSessions }) => endSessions()).catch(console.warn);
        return show(userId);
    }
    const recoveryKey = answer.recovery_key as string | undefined;
    fresh.recoveryKey = recoveryKey === undefined ? undefined : { userId, secret: recoveryKey };
    fresh.password = password === undefined ? undefined : { userId, secret: password };
    begin(begun);
}

/** Whether the account has a session here with another device, which the server still knows. */
async function isHereAs({ userId, deviceId }: Session): Promise<boolean> {
    const here = sessions.peek().find((one) => one.userId === userId);
    if (!here || here.deviceId === deviceId) return false;
    try {
        await askServer("GET", "/_matrix/client/v3/account/whoami", undefined, here.accessToken);
        return true;
    } catch (error) {
        return !(error instanceof Refusal && error.errcode === "M_UNKNOWN_TOKEN");
    }
}

/** What others see of this device in the person's list of devices. */
function deviceName(): string {
    const agent = navigator.userAgent;
    const browser = /Firefox/.test(agent) ? "Firefox" : /Edg\//.test(agent) ? "Edge" : /Chrome/.test(agent) ? "Chrome" : "Safari";
    const system = [/Android/, /iPhone|iPad/, /Windows/, /Mac OS/, /Linux/].find((one) => one.test(agent));
    const named = system ? { Android: "Android", iPhone: "iOS", iPad: "iOS", Windows: "Windows", "Mac OS": "macOS", Linux: "Linux" }[system.exec(agent)![0]!] : "";
    return named ? `${browser} · ${named}` : browser;
}

/** Logs in by what people of this platform are known by, or an address, and a password. */
export async function logIn(name: string, password: string): Promise<void> {
    const identifier = name.includes("@", 1)
        ? { type: "m.id.thirdparty", medium: "email", address: name }
        : { type: "m.id.user", user: name.replace(/^@/, "").toLowerCase() };
    // Whoever comes back to a session that has ended finds its messages and keys.
    const device_id = identifier.user ? deviceOf(`@${identifier.user}:${platform.peek()!.server_name}`) : deviceLeft();
    const body = { type: "m.login.password", identifier, password, device_id, initial_device_display_name: deviceName() };
    await beginWith(await askServer("POST", "/_matrix/client/v3/login", body), password);
}

/** Begins a session of one of the demo's people. */
export async function continueAs(userId: string): Promise<void> {
    const body = { user_id: userId, initial_device_display_name: deviceName() };
    await beginWith(await askServer("POST", "/_linkspan/client/v1/demo_session", body));
}

export interface NewAccount {
    username: string;
    password?: string | undefined;
    displayName: string;
    /** A registration token, where the platform asks for one. */
    token?: string | undefined;
    /** The proof that an address is the person's. */
    proof?: Proof | undefined;
}

export interface Proof {
    medium: "email" | "msisdn";
    sid: string;
    secret: string;
}

/** Registers, and begins the first session. */
export async function register({ username, password, displayName, token, proof }: NewAccount): Promise<void> {
    const path = "/_matrix/client/v3/register";
    const body: Record<string, unknown> = { username, initial_device_display_name: deviceName() };
    if (password) body.password = password;
    let auth: Record<string, unknown> | undefined;
    for (;;) {
        try {
            const answer = await askServer("POST", path, { ...body, ...(auth && { auth }) });
            const where = `/_matrix/client/v3/profile/${encodeURIComponent(answer.user_id as string)}/displayname`;
            // The account is there; a name can be set again in the settings.
            await askServer("PUT", where, { displayname: displayName }, answer.access_token as string).catch(() => undefined);
            return await beginWith(answer, password);
        } catch (error) {
            if (!(error instanceof Refusal) || error.status !== 401 || !error.body.flows) throw error;
            const next = nextStage(error.body);
            if (!next || next === auth?.type) throw error;
            auth = { type: next, session: error.body.session, ...answerTo(next, token, proof) };
        }
    }
}

/** The stage of registering that is still to be done, in the flow that the server names first. */
function nextStage(body: Record<string, unknown>): string | undefined {
    const flows = body.flows as { stages: string[] }[];
    const completed = (body.completed ?? []) as string[];
    return flows[0]?.stages.find((stage) => !completed.includes(stage));
}

function answerTo(stage: string, token: string | undefined, proof: Proof | undefined): Record<string, unknown> {
    if (stage === "m.login.registration_token") return { token };
    if (proof && stage === PROVES[proof.medium]) {
        return { threepid_creds: { sid: proof.sid, client_secret: proof.secret } };
    }
    return {};
}

/** Whether the platform lets people log in by a code that it sends to an address or a number. */
export async function takesCodes(): Promise<boolean> {
    const { flows } = (await askServer("GET", "/_matrix/client/v3/login")) as { flows: { type: string }[] };
    return flows.some(({ type }) => type === PROVES.email || type === PROVES.msisdn);
}

type AddressSaid = { email: string } | { phone_number: string; country?: string };

/** A code that was sent to an address or a number, which shows that it is the person's. */
export class CodeRequest {
    readonly #medium: Proof["medium"];
    readonly #address: AddressSaid;
    readonly #token: string | undefined;
    readonly #secret = crypto.randomUUID();
    #attempt = 0;
    #sid = "";

    /** With the token of a session the address is to be added to its account; else it is to log in, or to sign up, with it. */
    constructor(address: AddressSaid, token?: string) {
        this.#medium = "email" in address ? "email" : "msisdn";
        this.#address = address;
        this.#token = token;
    }

    get proof(): Proof {
        return { medium: this.#medium, sid: this.#sid, secret: this.#secret };
    }

    /** Has a code sent; again, if one was sent before, which then no longer counts. */
    async send(): Promise<void> {
        const path = this.#token ? `/_matrix/client/v3/account/3pid/${this.#medium}/requestToken` : "/_linkspan/client/v1/request_code";
        const body = { client_secret: this.#secret, send_attempt: ++this.#attempt, ...this.#address };
        this.#sid = (await askServer("POST", path, body, this.#token)).sid as string;
    }

    /** Whether this is the code that was sent. */
    async enter(code: string): Promise<boolean> {
        const body = { sid: this.#sid, client_secret: this.#secret, token: code };
        return (await askServer("POST", "/_linkspan/client/v1/submit_code", body)).success === true;
    }
}

/** What an address that was proved leads to. */
export type Entry = "entered" | "new" | "second-step";

/** Logs in by an address that was proved; with the password, if the account has it as a second step. */
export async function logInBy(proof: Proof, password?: string): Promise<Entry> {
    const body: Record<string, unknown> = {
        type: PROVES[proof.medium],
        threepid_creds: { sid: proof.sid, client_secret: proof.secret },
        device_id: deviceLeft(),
        initial_device_display_name: deviceName(),
    };
    if (password) body.password = password;
    try {
        await beginWith(await askServer("POST", "/_matrix/client/v3/login", body), password);
        return "entered";
    } catch (error) {
        if (error instanceof Refusal && error.errcode === "M_THREEPID_NOT_FOUND") return "new";
        if (error instanceof Refusal && error.errcode === "ORG.LINKSPAN.PASSWORD_NEEDED") return "second-step";
        throw error;
    }
}

const UNTAKEABLE: Record<string, WordsId> = {
    M_USER_IN_USE: "session.handle.taken",
    M_INVALID_USERNAME: "session.handle.form",
    M_EXCLUSIVE: "session.handle.taken",
};

/** Why a handle cannot be taken, if the server says so. */
export async function checkHandle(handle: string): Promise<WordsId | undefined> {
    const path = `/_matrix/client/v3/register/available?username=${encodeURIComponent(handle)}`;
    try {
        await askServer("GET", path);
        return undefined;
    } catch (error) {
        // Whatever else went wrong is said when somebody registers, which asks the same.
        return error instanceof Refusal ? UNTAKEABLE[error.errcode] : undefined;
    }
}
