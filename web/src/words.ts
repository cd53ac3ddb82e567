// The words of the app, in the language of the person. No other file has a sentence that somebody reads.

import { i18n } from "@lingui/core";
import { signal } from "@preact/signals";

import type en from "./words/en.json";

export type WordsId = keyof typeof en;

/** Each language, by how browsers name it. To add one: a file beside the others, and a line here. */
export const LANGUAGES = {
    en: () => import("./words/en.json?lingui"),
    fr: () => import("./words/fr.json?lingui"),
};

export type Language = keyof typeof LANGUAGES;

export const language = signal<Language>("en");

const KEPT = "linkspan.language";

/** Loads the words of a language, which is kept, or of the first one that the person reads and the app has. */
export async function loadWords(chosen?: Language): Promise<void> {
    if (chosen) localStorage.setItem(KEPT, chosen);
    const wanted = [localStorage.getItem(KEPT) ?? "", ...navigator.languages];
    const found = wanted.map((tag) => tag.slice(0, 2)).find((tag) => tag in LANGUAGES) ?? "en";
    const loaded = found as Language;
    const { messages } = await LANGUAGES[loaded]();
    i18n.loadAndActivate({ locale: loaded, messages });
    language.value = loaded;
    document.documentElement.lang = loaded;
}

/** The words of this id in the language of the person. */
export function words(id: WordsId, values?: Record<string, unknown>): string {
    // Whoever shows words while it draws is drawn anew when the language changes.
    void language.value;
    return i18n._(id, values);
}
