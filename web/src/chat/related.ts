// Events that say something about others: reactions, edits, and answers to polls. They stay known when the part of the
// chat in which they were sent is given up, because what they are about may be shown still.

import type { MatrixEvent } from "matrix-js-sdk";

import { sendingOf } from "../chats/sending";
import { mayReplace } from "./edits";

/** How many related events are kept. */
const MAX_RELATED = 20_000;

export class Related {
    readonly #byParent = new Map<string, Map<string, MatrixEvent>>();
    readonly #inThread = new Map<string, Set<string>>();
    readonly #known = new Set<string>();

    /** Takes note of an event. Whether it relates to another in a way that is kept here. */
    note(event: MatrixEvent): boolean {
        const relation = event.getRelation();
        const id = event.getId();
        if (!relation?.event_id || !id) return false;
        if (relation.rel_type === "m.thread") {
            const replies = this.#inThread.get(relation.event_id) ?? new Set();
            this.#inThread.set(relation.event_id, replies.add(id));
            return false;
        }
        if (!["m.annotation", "m.replace", "m.reference"].includes(relation.rel_type ?? "")) return false;
        if (this.#known.has(id)) return true;
        if (this.#known.size >= MAX_RELATED) this.#dropFirst();
        this.#known.add(id);
        const events = this.#byParent.get(relation.event_id) ?? new Map<string, MatrixEvent>();
        this.#byParent.set(relation.event_id, events.set(id, event));
        return true;
    }

    /** Forgets an echo, which the event itself has replaced, or a reaction that was taken back. */
    forget(id: string): void {
        this.#known.delete(id);
        for (const events of this.#byParent.values()) events.delete(id);
    }

    #dropFirst(): void {
        const [parent, events] = this.#byParent.entries().next().value!;
        for (const id of events.keys()) this.#known.delete(id);
        this.#byParent.delete(parent);
    }

    reactions(parent: string): MatrixEvent[] {
        return this.#of(parent, "m.annotation");
    }

    references(parent: string): MatrixEvent[] {
        return this.#of(parent, "m.reference");
    }

    /** The newest edit of an event that may change it. One that cannot be read yet may not. */
    edit(parent: MatrixEvent): MatrixEvent | undefined {
        const edits = this.#of(parent.getId() ?? "", "m.replace");
        return edits.filter((edit) => mayReplace(edit, parent)).sort((one, other) => one.getTs() - other.getTs()).at(-1);
    }

    replies(root: string): number {
        return this.#inThread.get(root)?.size ?? 0;
    }

    #of(parent: string, kind: string): MatrixEvent[] {
        const events = [...(this.#byParent.get(parent)?.values() ?? [])];
        return events.filter((event) => event.getRelation()?.rel_type === kind && !event.isRedacted() && sendingOf(event) !== "failed");
    }
}
