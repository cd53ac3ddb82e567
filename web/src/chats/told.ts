// What counts of a message of which several events tell: itself and its edits, in whichever order they are read.

/** What is known of a message without what it says. */
export interface About {
    room: string;
    sender: string;
    /** When it was sent, or its first edit that was read, while nothing else is known; in milliseconds since the Unix epoch. */
    ts: number;
    /** When it disappears, if it does. */
    until?: number;
    /** When what it says was sent, if that is an edit. */
    editedTs?: number;
}

/** What is known of a message after something was told of it, and whether it says by now what was told. */
export function merge(known: About | undefined, told: About): { about: About; isTold: boolean } {
    if (!known) return { about: pick(told), isTold: true };
    const isSame = known.room === told.room && known.sender === told.sender;
    if (told.editedTs === undefined) {
        // Edits of somebody else, that were read before it, do not count.
        const isEdited = isSame && known.editedTs !== undefined;
        return { about: pick(isEdited ? { ...told, editedTs: known.editedTs } : told), isTold: !isEdited };
    }
    if (!isSame || (known.editedTs ?? 0) > told.editedTs) return { about: pick(known), isTold: false };
    return { about: pick({ ...known, editedTs: told.editedTs }), isTold: true };
}

function pick({ room, sender, ts, until, editedTs }: About): About {
    return { room, sender, ts, ...(until !== undefined && { until }), ...(editedTs !== undefined && { editedTs }) };
}
