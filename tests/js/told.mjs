// What a person was told of timelines, so that a page that goes on in the place of another tells only what is new.

export class Told {
    // By room: its events, and whether each could be read; the latest is the last.
    #rooms = new Map();
    // Rooms whose latest event the new page has not come to yet, and whether it has told any of the room.
    #behind = new Map();

    // Another page begins, which tells of each room from somewhere before the latest event.
    beginAgain() {
        this.#behind = new Map([...this.#rooms.keys()].map((room) => [room, false]));
    }

    // The line as it is to be told; null if it was.
    pass(line) {
        if (line.event === "synced") return this.#checkGaps(line);
        if (!line.item?.event_id || !["timeline", "decrypted"].includes(line.event)) return line;
        const { room, item, encryption } = line;
        const events = this.#rooms.get(room) ?? new Map();
        this.#rooms.set(room, events);
        const readable = !encryption?.undecryptable;
        const before = events.get(item.event_id);
        if (line.event === "timeline" && this.#behind.has(room)) {
            this.#behind.set(room, true);
            if (item.event_id === [...events.keys()].at(-1)) this.#behind.delete(room);
            // Whatever stands before the latest event is told already, or is older than what this person came to see.
            if (before === undefined) return null;
            if (before || !readable) return null;
            line = { ...line, event: "decrypted" };
        }
        events.set(item.event_id, readable);
        return line;
    }

    #checkGaps(line) {
        const missed = [...this.#behind].filter(([, begun]) => begun).map(([room]) => room);
        this.#behind.clear();
        if (!missed.length) return line;
        return { event: "sync_failed", message: `what came while the page was reloaded is not seen: ${missed}` };
    }
}
