// How far an own message is on its way to the server.

import type { MatrixEvent } from "matrix-js-sdk";

import { waiting } from "../composer/outbox";

export function sendingOf(event: MatrixEvent): "sending" | "failed" | "sent" {
    const held = waiting.value.get(event.getTxnId() ?? "");
    if (held) return held.state === "failed" ? "failed" : "sending";
    return event.status === null || (event.status as string) === "sent" ? "sent" : "sending";
}
