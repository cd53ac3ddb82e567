// When messages disappear.

import type { IEvent, MatrixEvent } from "matrix-js-sdk";

/** The state event that says how long messages of a chat stay. */
export const TIMER = "com.beeper.disappearing_timer";

/** When an event disappears, as the server says, in milliseconds since the Unix epoch. */
export function disappearsTs(event: MatrixEvent): number | undefined {
    return disappearsTsOf(event.event);
}

/** The same of an event as the server gives it. */
export function disappearsTsOf({ unsigned }: Partial<IEvent>): number | undefined {
    const ts = (unsigned as Record<string, unknown> | undefined)?.["org.linkspan.disappears_ts"];
    return typeof ts === "number" ? ts : undefined;
}

/** Whether an event has disappeared. */
export function isGone(event: MatrixEvent, now: number): boolean {
    const ts = disappearsTs(event);
    return ts !== undefined && ts <= now;
}
