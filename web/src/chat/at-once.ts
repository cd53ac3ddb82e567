// Sending what one does with messages. It is done at once or not at all, and nothing of it waits for another attempt.

import type { MatrixClient } from "matrix-js-sdk";

/** Sends a reaction, a vote, or the end of a poll. */
export function sendAtOnce(client: MatrixClient, roomId: string, type: string, content: object): Promise<void> {
    return atOnce(client, roomId, (id) => client.sendEvent(roomId, type as never, content as never, id));
}

/** Deletes a message for everybody, or takes back a reaction. */
export function deleteAtOnce(client: MatrixClient, roomId: string, eventId: string): Promise<void> {
    return atOnce(client, roomId, (id) => client.redactEvent(roomId, eventId, id));
}

/** Takes back what is shown already if it could not be sent. The library would keep it, and send nothing else in the chat. */
async function atOnce(client: MatrixClient, roomId: string, send: (transaction: string) => Promise<unknown>): Promise<void> {
    const transaction = client.makeTxnId();
    try {
        await send(transaction);
    } catch (error) {
        const echo = client.getRoom(roomId)?.getPendingEvents().find((event) => event.getTxnId() === transaction);
        if ((echo?.status as string) === "not_sent") client.cancelPendingEvent(echo!);
        throw error;
    }
}
