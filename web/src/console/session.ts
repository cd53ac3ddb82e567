// Which operator is logged in: with a session of the console's own, or with one that the app has in this browser.

import { signal } from "@preact/signals";

import { platform, serverOf } from "../platform";
import { askServer, Refusal } from "../session/server";
import { sessions } from "../session/session";
import type { ConsoleWordsId } from "./words";

export interface OperatorSession {
    userId: string;
    /** The access token of a session that is the console's own. Without it the app's session is used. */
    accessToken?: string;
}

const KEPT = "linkspan.console";
/** What only administrators are answered. */
const PROBE = "/_linkspan/admin/v1/actions?limit=1";

/** Who operates in this tab. */
export const operator = signal<OperatorSession | undefined>(kept());

/** Why nobody does any more, if it was not asked for. */
export const ended = signal<ConsoleWordsId | undefined>(undefined);

function kept(): OperatorSession | undefined {
    const text = localStorage.getItem(KEPT);
    return text ? (JSON.parse(text) as OperatorSession) : undefined;
}

addEventListener("storage", ({ key }) => {
    if (key === KEPT) operator.value = kept();
});

function keep(session: OperatorSession | undefined): void {
    if (session) localStorage.setItem(KEPT, JSON.stringify(session));
    else localStorage.removeItem(KEPT);
    operator.value = session;
}

/** The token that the server is asked with. The app may have renewed its own since. */
export function tokenOf({ userId, accessToken }: OperatorSession): string | undefined {
    return accessToken ?? sessions.peek().find((one) => one.userId === userId)?.accessToken;
}

/** The account is no administrator of the platform. */
export class NoAdministrator extends Error {}

/** Fails unless the token is an administrator's. */
async function checkAdministrator(token: string): Promise<void> {
    await askServer("GET", PROBE, undefined, token).catch((error: unknown) => {
        throw error instanceof Refusal && error.status === 403 ? new NoAdministrator() : error;
    });
}

/** Logs in by what people of the platform are known by and a password. Whoever is no administrator is logged out again. */
export async function logInAsOperator(name: string, password: string, deviceName: string): Promise<void> {
    const identifier = name.includes("@", 1)
        ? { type: "m.id.thirdparty", medium: "email", address: name }
        : { type: "m.id.user", user: name.replace(/^@/, "").toLowerCase() };
    const body = { type: "m.login.password", identifier, password, initial_device_display_name: deviceName };
    const answer = await askServer("POST", "/_matrix/client/v3/login", body);
    const accessToken = answer.access_token as string;
    try {
        await checkAdministrator(accessToken);
    } catch (error) {
        await end(accessToken);
        throw error;
    }
    begin({ userId: answer.user_id as string, accessToken });
}

/** Goes on with a session that the app has. */
export async function goOnAs(userId: string): Promise<void> {
    await checkAdministrator(tokenOf({ userId }) ?? "");
    begin({ userId });
}

function begin(session: OperatorSession): void {
    ended.value = undefined;
    keep(session);
}

/** Ends the session here. One that is the console's own is ended at the server, too. */
export async function logOut(): Promise<void> {
    const session = operator.peek();
    keep(undefined);
    if (session?.accessToken) await end(session.accessToken);
}

/** Forgets a session that the server does not take any more. */
export function forgetOperator(why: ConsoleWordsId): void {
    ended.value = why;
    keep(undefined);
}

/** A session that cannot be ended stays in the person's list of devices, where it can be. */
async function end(token: string): Promise<void> {
    await askServer("POST", "/_matrix/client/v3/logout", {}, token).catch((error: unknown) => console.warn("the session was not ended", error));
}

/** Accounts of this platform that the app has sessions of here. */
export function accountsOfApp(): { userId: string; name?: string }[] {
    return sessions.value.filter(({ userId }) => serverOf(userId) === platform.value?.server_name);
}
