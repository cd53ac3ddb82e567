// Which session this tab speaks for. `begin.ts` has the client that does so, and `leave.ts` what logging out is.

import { effect, signal, untracked } from "@preact/signals";

import { showAllOf, showListOf } from "../chats/rows";
import { asked } from "../session/prove";
import { asKept, type Session, session, sessions } from "../session/session";
import { type Heard, listen, load, make, run, type Running, stop } from "./begin";
import { isLeaving } from "./leaving";
import { client } from "./running";
import { aborted, Turns } from "./turns";

/** The account whose session has ended by itself, until the person has read it. */
export const ended = signal<Ended | undefined>(undefined);

interface Ended {
    session: Session;
    /** Whether the person can come back to what is kept here. */
    isKept: boolean;
    /** Whether this window has keys of messages that are nowhere else. */
    hasUnsavedKeys: boolean;
}

/** How long opening what is kept here may take before it is said, in milliseconds. Another window may keep it from being opened. */
const OPEN_MS = 30_000;

/** Why the chat could not begin, or does not go on: code did not come, what is kept here cannot be opened, or the account is locked. */
export const failed = signal<"code" | "kept" | "locked" | undefined>(undefined);

let turns: { session: Session; all: Turns } | undefined;
let running: Running | undefined;
/** Done when what this tab spoke for before has ended. */
let over: Promise<unknown> = Promise.resolve();

/** Has this tab speak for the session, in place of the session before. Other tabs of the same account give way. */
export async function start(begun: Session): Promise<void> {
    await leaveTurn();
    // The person may have gone on to another account meanwhile.
    if (session.peek() !== begun || turns) return;
    const all = new Turns(begun.userId, { begin: (wanted) => begin(begun, wanted), end: () => end(begun), failed: noteFailed });
    turns = { session: begun, all };
    void all.take();
}

/** Stops speaking for the session. Resolves when that has ended, and all of an account that leaves is gone. */
export function leaveTurn(): Promise<unknown> {
    const { all } = turns ?? {};
    turns = undefined;
    if (all) over = all.leave();
    return over;
}

/** Takes the chat back from another tab. */
export function useHere(): void {
    void turns?.all.take();
}

/** What speaks for the session, if anything does. */
export const speaking = (): Running | undefined => running;

// Whatever was begun for a session ends with it, also when another tab has logged it out.
effect(() => {
    const shown = session.value;
    untracked(() => {
        if (turns && turns.session !== shown) void leaveTurn();
        failed.value = ended.value = undefined;
    });
});

// Another tab may have logged in again as the same device, which is why this one's token has ended. It takes the turn, and this one
// goes on with the new token after it.
effect(() => {
    const gone = ended.value?.session;
    void sessions.value;
    const kept = gone && asKept(gone);
    if (kept && kept.accessToken !== gone.accessToken) untracked(() => (ended.value = undefined));
});

function noteFailed(): void {
    failed.value ??= "kept";
}

const heard: Heard = {
    prepared: (there) => {
        if (running === there) client.value = there.client;
        return running === there;
    },
    synced: (there, isLocked) => {
        if (running !== there) return;
        if (isLocked) failed.value = "locked";
        else if (failed.peek() === "locked") failed.value = undefined;
    },
    loggedOut: (there) => void sessionEnded(there),
};

/** Begins the client. Another tab may want the turn at any time: what the network does is broken off then, and what has to do
 * with the stores is brought to an end. */
async function begin(wanted: Session, isWanted: AbortSignal): Promise<void> {
    // Another tab may have renewed its token; or it has logged out, and this one only has not heard of it yet.
    const begun = asKept(wanted);
    if (!begun) return;
    performance.mark("client begins");
    failed.value = undefined;
    if (isLeaving(begun.userId)) await (await import("./forget")).forgetKept(begun.userId);
    void showListOf(begun.userId).then(() => showAllOf(begun.userId));
    const loaded = await Promise.race([load().catch(noCode), aborted(isWanted)]);
    if (!loaded) return;
    running = make(begun, loaded, isWanted);
    listen(running, loaded, heard);
    const late = setTimeout(noteFailed, OPEN_MS);
    try {
        await run(running, loaded, isWanted);
        if (failed.peek() === "kept") failed.value = undefined;
    } finally {
        clearTimeout(late);
    }
}

function noCode(error: unknown): never {
    failed.value = "code";
    throw error;
}

/** Stops speaking for the session, and keeps what is known; or deletes it, if the person has logged out. */
async function end({ userId }: Session): Promise<void> {
    const there = running;
    running = undefined;
    client.value = undefined;
    // Nobody can be asked for a proof in a tab that has given way.
    if (there) asked.peek()?.answer(undefined);
    const isForGood = isLeaving(userId);
    if (there) await stop(there, isForGood);
    // What is still open somewhere goes at the next start.
    if (isForGood) await (await import("./forget")).forgetKept(userId).catch(console.warn);
}

/** The server no longer takes the token. */
async function sessionEnded(there: Running): Promise<void> {
    there.connection.close();
    const hasUnsavedKeys = !there.isKept && (await (await import("./leave")).takeUnsavedKeys(there));
    there.client.stopClient();
    if (session.peek()?.userId === there.session.userId) ended.value = { session: there.session, isKept: there.isKept, hasUnsavedKeys };
}
