// Matches an address book away from the window, since a thousand addresses keep a core busy for seconds. The book does not
// leave the browser: the server sees blinded addresses only.

import { callWith, findPeople, type MatchingError } from "@linkspan/address-book";

export interface Task {
    addresses: string[];
    origin: string;
    token: string;
}

export type Outcome = { found: { address: string; userId: string }[] } | { failed: string; status?: number };

addEventListener("message", ({ data }: MessageEvent<Task>) => {
    findPeople(data.addresses, callWith(data.origin, data.token)).then(
        (found) => postMessage({ found } satisfies Outcome),
        (error: MatchingError) => postMessage({ failed: error.message, status: error.status } satisfies Outcome),
    );
});
