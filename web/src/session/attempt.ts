// One attempt at something that the server may refuse: while it runs, and what went wrong.

import { useState } from "preact/hooks";

import type { WordsId } from "../words";
import { wordsOf } from "./server";

export interface Attempt {
    error: WordsId | undefined;
    isWaiting: boolean;
    setError: (error: WordsId | undefined) => void;
    /** Does something. `known` has the words for the refusals that mean something particular here. */
    run: (known: Record<string, WordsId>, action: () => Promise<void>) => Promise<void>;
}

export function useAttempt(): Attempt {
    const [error, setError] = useState<WordsId>();
    const [isWaiting, setWaiting] = useState(false);
    const run = async (known: Record<string, WordsId>, action: () => Promise<void>) => {
        setWaiting(true);
        setError(undefined);
        await action().catch((failed: unknown) => setError(wordsOf(failed, known)));
        setWaiting(false);
    };
    return { error, isWaiting, setError, run };
}
