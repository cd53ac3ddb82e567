// What the next message is about: the message that it answers, or the one that it changes.

import { signal } from "@preact/signals";
import type { MatrixEvent } from "matrix-js-sdk";

export interface Target {
    roomId: string;
    kind: "reply" | "edit";
    event: MatrixEvent;
}

/** At most one at a time, in the chat that is open. The timeline sets it, and the composer shows and clears it. */
export const target = signal<Target | undefined>(undefined);
