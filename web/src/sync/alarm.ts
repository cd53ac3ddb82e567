// Waiting for times that may be far away, such as those at which messages disappear.

/** Timers of browsers hold at most this long, in milliseconds. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Goes off at the first of the times that it is set to, or long before it; whoever is woken looks again, and sets it anew. */
export class Alarm {
    readonly #run: () => void;
    #ts = Infinity;
    #timer: ReturnType<typeof setTimeout> | undefined;

    constructor(run: () => void) {
        this.#run = run;
    }

    /** Sets it to a time in milliseconds since the Unix epoch, unless it goes off before that anyway. */
    set(ts: number): void {
        if (ts >= this.#ts) return;
        this.clear();
        this.#ts = ts;
        this.#timer = setTimeout(() => this.#go(), Math.min(Math.max(0, ts - Date.now()), MAX_TIMER_MS));
    }

    clear(): void {
        clearTimeout(this.#timer);
        this.#ts = Infinity;
    }

    #go(): void {
        this.#ts = Infinity;
        this.#run();
    }
}
