// The line from one client to the server. It is cut when the client gives way to one in another tab: the server hands keys out
// once, so a client that does not keep them any more must not take them.

/** What every request is answered with once the line is cut. The library tries an error of this kind no second time. */
const refusal = () => Response.json({ errcode: "ORG.LINKSPAN.GAVE_WAY", error: "another tab speaks for this account" }, { status: 499 });

export class Line {
    readonly #cut = new AbortController();
    /** Settled when the client has done with the last answer to a sync. Nothing if it has none in hand. */
    #inHand: (() => void) | undefined;
    #done: Promise<void> = Promise.resolve();

    /** What the client fetches with. */
    readonly fetch = async (resource: RequestInfo | URL, options: RequestInit = {}): Promise<Response> => {
        const isSync = new URL(resource instanceof Request ? resource.url : resource).pathname.endsWith("/sync");
        // Whoever asks for more has done with what came before.
        if (isSync) this.handled();
        if (this.#cut.signal.aborted) return refusal();
        const { signal } = options;
        try {
            const answer = await fetch(resource, { ...options, signal: AbortSignal.any([this.#cut.signal, ...(signal ? [signal] : [])]) });
            if (isSync && answer.ok) this.#take();
            return answer;
        } catch (error) {
            if (this.#cut.signal.aborted && !signal?.aborted) return refusal();
            throw error;
        }
    };

    get isCut(): boolean {
        return this.#cut.signal.aborted;
    }

    /** Ends every request that runs, and lets no other begin. */
    cut(): void {
        this.#cut.abort();
    }

    /** The client has done with the answer that it had in hand: it asks for more, or it has given up. */
    handled(): void {
        this.#inHand?.();
        this.#inHand = undefined;
    }

    /** Resolves when the client works on no answer any more, so that what is kept of it is whole. */
    quiet(): Promise<void> {
        return this.#done;
    }

    #take(): void {
        this.#done = new Promise((done) => (this.#inHand = done));
    }
}
