// The words of the console, in the language that the app's words are in. What both have in common is said by the app's.

import { setupI18n } from "@lingui/core";
import { effect, signal } from "@preact/signals";

import { language, LANGUAGES, type Language } from "../words";
import type en from "./words/en.json";

export type ConsoleWordsId = keyof typeof en;

const CATALOGUES: { [One in Language]: () => ReturnType<(typeof LANGUAGES)[One]> } = {
    en: () => import("./words/en.json?lingui"),
    fr: () => import("./words/fr.json?lingui"),
};

const own = setupI18n();
const spoken = signal<Language | undefined>(undefined);

async function load(wanted: Language): Promise<void> {
    const { messages } = await CATALOGUES[wanted]();
    own.loadAndActivate({ locale: wanted, messages });
    spoken.value = wanted;
}

/** Loads the words of the language that was chosen, and of any that is chosen later. */
export function loadConsoleWords(): Promise<void> {
    let first: Promise<void> | undefined;
    effect(() => {
        const loading = load(language.value);
        first ??= loading;
        loading.catch((error: unknown) => console.warn("the words did not come", error));
    });
    return first!;
}

/** The words of this id in the language of the operator. */
export function words(id: ConsoleWordsId, values?: Record<string, unknown>): string {
    // Whoever shows words while it draws is drawn anew when the language changes.
    void spoken.value;
    return own._(id, values);
}
