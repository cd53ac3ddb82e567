// The accounts that have logged out here, until everything of it is done: what was kept of them is deleted, and the server has
// ended their sessions. It is noted before anything is done, so that a window that is closed in the middle of it, a database that
// another tab holds, or a server that does not answer leave nothing behind for good.

import type { Session } from "../session/session";

export interface Leaving {
    userId: string;
    deviceId: string;
    /** Its access token, until the server has ended the session. */
    token?: string | undefined;
    /** Whether something may be left of what was kept here. */
    hasKept: boolean;
    /** When the person has logged out, in milliseconds since the Unix epoch. */
    ts: number;
}

const KEPT = "linkspan.leaving";

export function leaving(): Leaving[] {
    return JSON.parse(localStorage.getItem(KEPT) ?? "[]") as Leaving[];
}

function keep(all: Leaving[]): void {
    const left = all.filter(({ token, hasKept }) => token || hasKept);
    if (left.length > 0) localStorage.setItem(KEPT, JSON.stringify(left));
    else localStorage.removeItem(KEPT);
}

/** Notes that the person leaves. `isEnded` says whether the session has ended at the server already. */
export function noteLeaving({ userId, deviceId, accessToken }: Session, isEnded: boolean): void {
    keep([...leaving(), { userId, deviceId, token: isEnded ? undefined : accessToken, hasKept: true, ts: Date.now() }]);
    // Whoever logs in again at once must get neither the same device, which the server is about to remove, nor what was begun.
    forgetNotes(userId);
}

/** Notes a session that nobody needs, for the server to end. Nothing is kept of it. */
export function noteUnused({ userId, deviceId, accessToken }: Session): void {
    keep([...leaving(), { userId, deviceId, token: accessToken, hasKept: false, ts: Date.now() }]);
}

/** Forgets what is in the local storage of an account. In the names there, the first user id says whose it is. */
export function forgetNotes(userId: string): void {
    const isOf = (name: string) => `${name.slice(name.indexOf("@"))}.`.startsWith(`${userId}.`);
    for (const name of Object.keys(localStorage).filter(isOf)) localStorage.removeItem(name);
}

/** Whether something may be left of what was kept of an account that has logged out. */
export function isLeaving(userId: string): boolean {
    return leaving().some((one) => one.userId === userId && one.hasKept);
}

export function noteForgotten(userId: string): void {
    keep(leaving().map((one) => (one.userId === userId ? { ...one, hasKept: false } : one)));
}

export function noteEnded(token: string): void {
    keep(leaving().map((one) => (one.token === token ? { ...one, token: undefined } : one)));
}

/** Does what was left to do when somebody logged out: now, and when the network comes back. */
export function followLeaving(): void {
    const go = () => {
        if (leaving().length > 0) void import("./forget").then(({ finish }) => finish()).catch(console.warn);
    };
    addEventListener("online", go);
    go();
}
