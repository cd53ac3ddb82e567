// Which events may take the place of what a message said. The library takes any of the same sender, but in an encrypted chat
// whoever runs a server could put words into somebody's mouth by one that is not encrypted.
// https://spec.matrix.org/latest/client-server-api/#validity-of-replacement-events

import type { MatrixEvent } from "matrix-js-sdk";

export function mayReplace(edit: MatrixEvent, original: MatrixEvent): boolean {
    const after = edit.getOriginalContent()["m.new_content"] as unknown;
    return (
        edit.getSender() === original.getSender() &&
        edit.getType() === original.getType() &&
        typeof after === "object" &&
        after !== null &&
        isAsSecret(edit, original.isEncrypted())
    );
}

/** Whether an event that changes another, or answers it, is encrypted if the other is. What waits here is encrypted when it is sent. */
export function isAsSecret(event: MatrixEvent, isOtherEncrypted: boolean): boolean {
    return event.isEncrypted() || event.status !== null || !isOtherEncrypted;
}

/** What an event says, after its last edit if it has one that may change it. */
export function saidBy(event: MatrixEvent): Record<string, unknown> {
    const edit = event.replacingEvent();
    return edit && !mayReplace(edit, event) ? event.getOriginalContent() : event.getContent();
}
