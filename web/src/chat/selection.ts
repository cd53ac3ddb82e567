// Several messages that the person has chosen, to do the same with all of them.

import { signal } from "@preact/signals";

import type { Message } from "./message";

/** The messages that are chosen, by id, or undefined if the person does not choose. */
export const selection = signal<ReadonlyMap<string, Message> | undefined>(undefined);

export function isChosen(messages: Message[]): boolean {
    return messages.every(({ id }) => selection.value?.has(id));
}

/** Chooses messages, or no longer. */
export function choose(messages: Message[]): void {
    const chosen = new Map(selection.peek());
    const isOff = messages.every(({ id }) => chosen.has(id));
    for (const message of messages) {
        if (isOff) chosen.delete(message.id);
        else chosen.set(message.id, message);
    }
    selection.value = chosen;
}
