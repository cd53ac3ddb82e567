// Who is logged in in this browser. There may be several accounts; each tab shows one of them.

import { computed, effect, type Signal, signal, untracked } from "@preact/signals";
import { navigate } from "wouter-preact/use-browser-location";

import { ACCOUNT } from "../sync/show";

export interface Session {
    userId: string;
    deviceId: string;
    accessToken: string;
    /** What the person is called, for choosing among accounts. */
    name?: string;
}

const KEPT = "linkspan.sessions";
/** Which account a tab shows. A new tab shows the one that was used last. */
const SHOWN = "linkspan.shown";

/** All accounts of this browser, the one that was used last first. */
export const sessions = signal<Session[]>(kept());

/** The account that this tab shows. */
export const session = signal<Session | undefined>(shown());

function kept(): Session[] {
    const text = localStorage.getItem(KEPT);
    return text ? (JSON.parse(text) as Session[]) : [];
}

function shown(): Session | undefined {
    const all = sessions.peek();
    const asked = new URLSearchParams(location.search).get(ACCOUNT);
    const wanted = all.find((one) => one.userId === asked);
    // A page of an account that has logged out leads nowhere.
    if (asked) history.replaceState(null, "", wanted ? location.pathname : "/");
    if (wanted) sessionStorage.setItem(SHOWN, wanted.userId);
    const userId = sessionStorage.getItem(SHOWN);
    return all.find((one) => one.userId === userId) ?? all[0];
}

/** The session as it is kept by now, which another tab may have renewed; nothing if it has logged out. */
export function asKept({ userId, deviceId }: Session): Session | undefined {
    return kept().find((one) => one.userId === userId && one.deviceId === deviceId);
}

/** Whether this tab shows an account. */
export function isShown(userId: string | null): boolean {
    return userId !== null && session.peek()?.userId === userId;
}

/** Whether an account is logged in in this browser. */
export function isKnown(userId: string): boolean {
    return sessions.peek().some((one) => one.userId === userId);
}

const account = computed(() => session.value && `${session.value.userId} ${session.value.deviceId}`);

/** Does something whenever this tab shows another account than before, or none. */
export function whenAccountChanges(change: () => void): void {
    let isFirst = true;
    effect(() => {
        void account.value;
        if (!isFirst) untracked(change);
        isFirst = false;
    });
}

/** What is known of the account that is shown. With another one it is as at first. */
export function perAccount<Value>(first: Value): Signal<Value> {
    const known = signal(first);
    whenAccountChanges(() => (known.value = first));
    return known;
}

function keep(all: Session[]): void {
    sessions.value = all;
    localStorage.setItem(KEPT, JSON.stringify(all));
}

// Another tab may have logged in, renewed a token, or logged out.
addEventListener("storage", (event) => {
    if (event.key !== KEPT) return;
    sessions.value = kept();
    const here = session.peek();
    if (here && !asKept(here)) session.value = undefined;
});

/** Begins a session, and shows it: where a link leads that somebody followed, or else the list of chats. */
export function begin(begun: Session): void {
    if (!location.pathname.startsWith("/join/")) navigate("/", { replace: true });
    keep([begun, ...kept().filter((one) => one.userId !== begun.userId)]);
    sessionStorage.setItem(SHOWN, begun.userId);
    session.value = begun;
    void navigator.storage?.persist?.();
}

/** Notes what the person of an account is called. */
export function noteName(userId: string, name: string): void {
    if (kept().some((one) => one.userId === userId && one.name !== name)) {
        keep(kept().map((one) => (one.userId === userId ? { ...one, name } : one)));
    }
}

/** Shows another account in this tab. */
export function show(userId: string): void {
    const wanted = kept().find((one) => one.userId === userId);
    if (wanted) begin(wanted);
}

/** Shows the door, to add another account. */
export function showDoor(): void {
    navigate("/welcome");
    session.value = undefined;
}

/** Forgets a session here. If this tab shows it, it shows another account, or else the door. */
export function forget(userId: string): void {
    const wasShown = isShown(userId);
    keep(kept().filter((one) => one.userId !== userId));
    if (!wasShown) return;
    sessionStorage.removeItem(SHOWN);
    // What is open is of the account that has gone.
    navigate("/", { replace: true });
    session.value = sessions.peek()[0];
}

/** The device whose keys the databases of an account have. */
const deviceName = (userId: string) => `linkspan.device.${userId}`;

/** The device that an account was logged in as, so that whoever logs in again finds its messages and keys. */
export function deviceOf(userId: string): string | undefined {
    return localStorage.getItem(deviceName(userId)) ?? undefined;
}

/**
 * The device whose keys are here and whose session has ended, if there is one such: whoever logs in with an address or a number is
 * most likely who comes back to it.
 */
export function deviceLeft(): string | undefined {
    const kept = Object.keys(localStorage).filter((name) => name.startsWith(deviceName("")));
    const left = kept.filter((name) => !isKnown(name.slice(deviceName("").length)));
    return left.length === 1 ? localStorage.getItem(left[0]!)! : undefined;
}

export function noteDevice({ userId, deviceId }: Session): void {
    localStorage.setItem(deviceName(userId), deviceId);
}
