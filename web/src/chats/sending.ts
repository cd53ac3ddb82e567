// How far an own message is on its way to the server.

import type { MatrixEvent } from "matrix-js-sdk";

import { waiting } from "../composer/outbox";

export function sendingOf(event: MatrixEvent): "sending" | "failed" | "sent" {
    if (event.status === null || (event.status as string) === "sent") return "sent";
    return waiting.peek().get(event.getTxnId() ?? "")?.state === "failed" ? "failed" : "sending";
}
