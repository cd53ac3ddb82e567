// What was begun and not sent, by chat. It stays in this browser: the server never sees what somebody decided not to send.

import { effect, signal } from "@preact/signals";

import { session } from "../session/session";
import type { Mention } from "./format";

interface Draft {
    text: string;
    mentions: Mention[];
    /** The id of the message that it answers. */
    replyTo?: string;
}

const EMPTY: Draft = { text: "", mentions: [] };
const prefixOf = (userId: string) => `linkspan.draft.${userId}.`;

/** The texts of drafts in one line, by the id of their room, or of the person with whom there is no chat yet. */
export const drafts = signal<ReadonlyMap<string, string>>(new Map());

effect(() => {
    const begun = session.value;
    drafts.value = begun ? readAll(prefixOf(begun.userId)) : new Map();
});

function readAll(prefix: string): Map<string, string> {
    const names = Object.keys(localStorage).filter((name) => name.startsWith(prefix));
    return new Map(names.map((name) => [name.slice(prefix.length), oneLine(read(name).text)]));
}

function read(name: string): Draft {
    const text = localStorage.getItem(name);
    return text ? (JSON.parse(text) as Draft) : EMPTY;
}

function oneLine(text: string): string {
    return text.replace(/\s+/g, " ").trim().slice(0, 200);
}

export function draftOf(roomId: string): Draft {
    const begun = session.peek();
    return begun ? read(prefixOf(begun.userId) + roomId) : EMPTY;
}

/** Keeps a draft, at once. One without text is forgotten. */
export function keepDraft(roomId: string, draft: Draft): void {
    const begun = session.peek();
    if (!begun) return;
    const name = prefixOf(begun.userId) + roomId;
    const line = oneLine(draft.text);
    if (line || draft.replyTo) localStorage.setItem(name, JSON.stringify(draft));
    else localStorage.removeItem(name);
    if ((drafts.peek().get(roomId) ?? "") === line) return;
    const changed = new Map(drafts.peek());
    if (line) changed.set(roomId, line);
    else changed.delete(roomId);
    drafts.value = changed;
}
