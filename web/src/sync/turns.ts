// Which tab runs the client of an account. Two clients that wrote to one store of keys would destroy it. So one tab has the
// turn: the one that asked last. The others give way, and go on by themselves when it is closed.

import { signal } from "@preact/signals";

/** Whether the chat goes on in another tab. */
export const isInOtherTab = signal(false);

interface Work {
    /** Begins what only one tab may do. When `wanted` is aborted another tab waits for it, so it returns as soon as it can. */
    begin: (wanted: AbortSignal) => Promise<void>;
    /** Ends it, however far it was begun. The next tab begins after that. */
    end: () => Promise<void>;
    /** Hears that it could not be begun. */
    failed: () => void;
}

/** What the turn of an account is called among the browser's locks. */
export const turnOf = (userId: string) => `linkspan-turn-${userId}`;

/** The turns that the tabs of this browser take at the account of one person. */
export class Turns {
    readonly #name: string;
    readonly #others: BroadcastChannel;
    readonly #work: Work;
    #waiting = new AbortController();
    /** What tells the work of this tab that it is another one's turn, while this tab has it. */
    #wanted: AbortController | undefined;
    #ended: Promise<unknown> = Promise.resolve();

    constructor(userId: string, work: Work) {
        this.#name = turnOf(userId);
        this.#work = work;
        this.#others = new BroadcastChannel(this.#name);
        this.#others.onmessage = () => this.#makeRoom();
    }

    /** Asks for the turn. Whichever tab has it gives way. */
    async take(): Promise<void> {
        this.#wait();
        const { signal } = this.#waiting;
        // A tab that gives way waits behind all who wait. It hears of this one only when that is among them.
        await navigator.locks.query();
        if (!signal.aborted) this.#others.postMessage("wanted");
    }

    /** Gives the turn back for good, if this tab has it; resolves when the work has ended. */
    async leave(): Promise<void> {
        this.#others.close();
        this.#waiting.abort();
        this.#wanted?.abort();
        isInOtherTab.value = false;
        await this.#ended;
    }

    /** Another tab wants the turn. This one waits behind it. */
    #makeRoom(): void {
        isInOtherTab.value = true;
        this.#wanted?.abort();
        this.#wait();
    }

    #wait(): void {
        this.#waiting.abort();
        this.#waiting = new AbortController();
        const { signal } = this.#waiting;
        const turn = navigator.locks.request(this.#name, { signal }, () => this.#have()).catch((error: unknown) => {
            if ((error as Error).name === "AbortError") return;
            console.error("the client could not begin, or not end", error);
            if (!signal.aborted) this.#work.failed();
        });
        // What this tab does at an earlier turn may still be ending.
        this.#ended = Promise.allSettled([this.#ended, turn]);
    }

    async #have(): Promise<void> {
        isInOtherTab.value = false;
        const wanted = new AbortController();
        this.#wanted = wanted;
        try {
            await this.#work.begin(wanted.signal);
            await aborted(wanted.signal);
        } finally {
            this.#wanted = undefined;
            await this.#work.end();
        }
    }
}

/** Resolves when the signal is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
    return new Promise((done) => {
        if (signal.aborted) done();
        else signal.addEventListener("abort", () => done(), { once: true });
    });
}
