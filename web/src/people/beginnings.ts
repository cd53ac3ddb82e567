// What was begun to somebody with whom there is no chat yet. It is kept as a draft, under the id of the person.

import { computed } from "@preact/signals";

import { drafts, draftOf, keepDraft } from "../composer/drafts";

/** The texts in one line, by the ids of the people. */
export const beginnings = computed(() => new Map([...drafts.value].filter(([id]) => id.startsWith("@"))));

export const beginningOf = (userId: string): string => draftOf(userId).text;

export const keepBeginning = (userId: string, text: string): void => keepDraft(userId, { text, mentions: [] });
