// Logging out, by the person or because the session or the account has ended.

import type { MatrixClient } from "matrix-js-sdk";

import { fresh } from "../session/fresh";
import { asKept, forget, isShown, type Session, session } from "../session/session";
import { notify } from "../ui/notice";
import { words } from "../words";
import type { Running } from "./begin";
import { ended, failed, leaveTurn, speaking } from "./client";
import { noteLeaving } from "./leaving";
import { client, sdk } from "./running";

/** How long somebody who logs out waits for the server to say what is new, in milliseconds. */
const PATIENCE_MS = 15_000;
/** How long it takes until they are told that it takes a moment, in milliseconds. */
const SLOW_MS = 1000;

/** The accounts whose log-out has been asked for, while it waits. */
const waiting = new Set<string>();

/** Logs out, here and at the server; where that would lose messages for good, the person is asked before. */
export async function logOut(): Promise<void> {
    const shown = session.peek();
    if (!shown || waiting.has(shown.userId)) return;
    waiting.add(shown.userId);
    try {
        await askAndLeave(shown);
    } finally {
        waiting.delete(shown.userId);
    }
}

async function askAndLeave(shown: Session): Promise<void> {
    const [{ losesMessages, refresh, standing }, { opened }] = await Promise.all([import("../encryption/standing"), import("../encryption/opened")]);
    const slow = setTimeout(() => isShown(shown.userId) && notify({ text: words("sync.log_out.waits") }), SLOW_MS);
    const there = await Promise.race([upToDate(shown), new Promise<undefined>((done) => setTimeout(done, PATIENCE_MS))]);
    clearTimeout(slow);
    if (there) await refresh(there);
    const isSaved = there && isShown(shown.userId) && !losesMessages.peek() && standing.peek() && (await backsUp(there));
    // Whoever has gone on to another account meanwhile does not expect to be logged out of this one.
    if (!isShown(shown.userId)) return;
    const leave = () => void leaveFor(shown, false);
    if (losesMessages.peek()) opened.value = { kind: "leave", why: "unsaved", leave };
    else if (!isSaved) opened.value = { kind: "leave", why: "unreachable", leave };
    else leave();
}

/** The client, once it knows what is new and has set encryption up; nothing if it cannot begin. */
async function upToDate({ userId }: Session): Promise<MatrixClient | undefined> {
    const there = await begun(userId);
    if (there) await heardFrom(there);
    const here = speaking();
    if (here?.session.userId === userId) await here.settled;
    return there;
}

/** The client of an account, once it knows the chats; nothing if it cannot begin. */
async function begun(userId: string): Promise<MatrixClient | undefined> {
    const stops: (() => void)[] = [];
    const there = await new Promise<MatrixClient | undefined>((done) => {
        stops.push(client.subscribe((here) => here?.getUserId() === userId && done(here)));
        stops.push(failed.subscribe((why) => why && done(undefined)));
    });
    for (const stop of stops) stop();
    return there;
}

/** Waits until the client has asked the server what is new. What is kept here may be from before a recovery key was saved. */
async function heardFrom(there: MatrixClient): Promise<void> {
    const { ClientEvent } = await sdk();
    while (there.getSyncStateData()?.fromCache) await new Promise((done) => there.once(ClientEvent.Sync, done));
}

/** Backs up the newest keys of messages; false if the server does not take them, or if there is no backup yet that does. */
async function backsUp(here: MatrixClient): Promise<boolean> {
    const [{ backUp, hasUnsavedKeys }, { standing }] = await Promise.all([import("../encryption/inside"), import("../encryption/standing")]);
    try {
        await backUp(here);
        // A device that is not the person's yet has no backup to put keys into.
        return !standing.peek()?.isConfirmed || !(await hasUnsavedKeys(here));
    } catch (error) {
        console.info("the newest keys are not backed up", error);
        return false;
    }
}

/** Ends the session here, when the account itself has ended. */
export async function endHere(): Promise<void> {
    const there = speaking();
    if (there) await leaveFor(there.session, true);
}

/** Leaves a session that the server no longer takes. What is kept of it stays if the person can come back to it. */
export async function leave(gone: Session, isKept: boolean): Promise<void> {
    ended.value = undefined;
    if (!isKept) return leaveFor(gone, true);
    await leaveTurn();
    forget(gone.userId);
}

/** Forgets a session at once, and then everything that is kept of it. */
async function leaveFor(gone: Session, isEnded: boolean): Promise<void> {
    // Another tab may have renewed its token.
    noteLeaving(asKept(gone) ?? gone, isEnded);
    forget(gone.userId);
    // It is begun at once, because what is shown next takes a turn of its own.
    const left = leaveTurn();
    const { endSessions, finish } = await import("./forget");
    const [isOver] = await Promise.all([endSessions(), left]);
    if (!isOver) notify({ text: words("sync.log_out.later") });
    // This tab had not the turn, or something was still open.
    await finish();
}

/** Has the next session of the person take over the keys of messages, if some of them are in no backup. */
export async function takeUnsavedKeys({ client: here, session: { userId } }: Running): Promise<boolean> {
    const crypto = here.getCrypto();
    try {
        const { hasUnsavedKeys } = await import("../encryption/inside");
        if (!crypto || !(await hasUnsavedKeys(here))) return false;
        fresh.roomKeys = { userId, secret: await crypto.exportRoomKeysAsJson() };
        return true;
    } catch (error) {
        console.warn("keys of messages could not be taken along", error);
        return false;
    }
}
