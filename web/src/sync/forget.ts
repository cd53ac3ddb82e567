// Forgetting an account that has logged out: all that this browser keeps of it, and its session at the server.

import { forgetNotes, isLeaving, leaving, noteEnded, noteForgotten } from "./leaving";
import { removeAccount } from "./shared";
import { endUnused } from "./subscription";
import { turnOf } from "./turns";

/** How long databases may take to go, in milliseconds. One that is still open somewhere does not go before that is closed. */
const DELETE_MS = 5000;
/** How long the server may take to answer, in milliseconds. */
const ANSWER_MS = 10_000;
/** For how long the server is told again, in milliseconds. A session that it has not ended by then is one for the list of devices. */
const TELL_FOR_MS = 30 * 86_400_000;

/** Deletes all that is kept of an account. Fails if not all of it is gone in time. Whoever calls has the account's turn. */
export async function forgetKept(userId: string): Promise<void> {
    await within(DELETE_MS, Promise.all([silence(userId), deleteDatabases(userId)]));
    // What was ending meanwhile may have noted something.
    forgetNotes(userId);
    noteForgotten(userId);
}

/** Has the service worker know nothing of an account, and nothing be shown of it. */
async function silence(userId: string): Promise<void> {
    await removeAccount(userId);
    const registration = await navigator.serviceWorker?.getRegistration();
    const shown = (await registration?.getNotifications()) ?? [];
    for (const one of shown) if ((one.data as { user?: string } | null)?.user === userId) one.close();
    await endUnused();
}

/** Each database of an account has the account's id in its name: those of the app, and those of the library. */
async function deleteDatabases(userId: string): Promise<void> {
    const names = (await indexedDB.databases()).flatMap(({ name }) => (name?.includes(userId) ? [name] : []));
    await Promise.all(names.map(deleted));
}

function deleted(name: string): Promise<void> {
    return new Promise((done, fail) => {
        const request = indexedDB.deleteDatabase(name);
        request.onsuccess = () => done();
        request.onerror = () => fail(request.error as Error);
    });
}

async function within(ms: number, work: Promise<unknown>): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise((_, fail) => {
        timer = setTimeout(() => fail(new Error("what is kept of the account is still open somewhere")), ms);
    });
    await Promise.race([work, late]);
    clearTimeout(timer);
}

/** Has the server end the sessions that have logged out here; false if one of them has not ended. */
export async function endSessions(): Promise<boolean> {
    const answers = await Promise.all(leaving().map(({ token, ts }) => !token || endSession(token, ts)));
    return !answers.includes(false);
}

async function endSession(token: string, ts: number): Promise<boolean> {
    const signal = AbortSignal.timeout(ANSWER_MS);
    const request = { method: "POST", headers: { Authorization: `Bearer ${token}` }, body: "{}", keepalive: true, signal };
    const answer = await fetch("/_matrix/client/v3/logout", request).catch(() => undefined);
    // A token that the server does not know is of no use to anybody.
    const isOver = answer?.ok || answer?.status === 401;
    if (isOver || Date.now() - ts > TELL_FOR_MS) noteEnded(token);
    return isOver === true;
}

/** Does what is left to do for accounts that have logged out. */
export async function finish(): Promise<void> {
    const ending = endSessions();
    for (const userId of new Set(leaving().map((one) => one.userId))) {
        // A tab that speaks for the account has logged in again, and has done it before.
        await navigator.locks.request(turnOf(userId), { ifAvailable: true }, async (lock) => {
            if (lock && isLeaving(userId)) await forgetKept(userId);
        });
    }
    await ending;
}
