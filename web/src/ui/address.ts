// Addresses within the app, and their parts, which anybody may have written.

/** A part of an address as it reads, or as it is if it cannot be decoded. */
export function decoded(part: string): string {
    try {
        return decodeURIComponent(part);
    } catch {
        return part;
    }
}

/** What a link to a message has. Its state is another one each time, so that a link to where one is already leads there again. */
export function toMessage(roomId: string, eventId: string): { href: string; state: object } {
    return { href: `/chat/${encodeURIComponent(roomId)}/${encodeURIComponent(eventId)}`, state: {} };
}
