// Asking servers about what somebody types, once they stop typing.

import { useEffect, useState } from "preact/hooks";

/** How long somebody has to stop typing, in milliseconds. */
const PAUSE_MS = 250;

/** What a question about a term gives: nothing yet, an answer, or an error. */
export function usePaused<Value>(term: string, question: () => Promise<Value>): { value?: Value; error?: unknown } {
    const [answer, setAnswer] = useState<{ term: string; value?: Value; error?: unknown }>({ term: "" });
    useEffect(() => {
        let isGone = false;
        const timer = setTimeout(() => {
            question().then(
                (value) => isGone || setAnswer({ term, value }),
                (error: unknown) => isGone || setAnswer({ term, error }),
            );
        }, PAUSE_MS);
        return () => {
            isGone = true;
            clearTimeout(timer);
        };
    }, [term]);
    return answer.term === term ? answer : {};
}
