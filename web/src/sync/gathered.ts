// Changes that are gathered before something is done about them.

/** Does something once nothing has changed for a while, and at the latest when the first change has waited for the longest time. */
export class Gathered {
    readonly #run: () => void;
    readonly #quietMs: number;
    readonly #longestMs: number;
    #timer: ReturnType<typeof setTimeout> | undefined;
    #since: number | undefined;

    constructor(run: () => void, quietMs: number, longestMs: number) {
        this.#run = run;
        this.#quietMs = quietMs;
        this.#longestMs = longestMs;
    }

    changed(): void {
        this.#since ??= Date.now();
        clearTimeout(this.#timer);
        const left = this.#since + this.#longestMs - Date.now();
        this.#timer = setTimeout(() => this.#go(), Math.max(0, Math.min(this.#quietMs, left)));
    }

    /** Forgets what was gathered. */
    close(): void {
        clearTimeout(this.#timer);
        this.#since = undefined;
    }

    #go(): void {
        this.#since = undefined;
        this.#run();
    }
}
