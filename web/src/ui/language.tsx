// Choosing the language of the app.

import { language, LANGUAGES, loadWords, type Language, words } from "../words";

export function LanguageChoice() {
    return (
        <select
            class="language"
            aria-label={words("language")}
            value={language.value}
            onChange={(event) => void loadWords(event.currentTarget.value as Language)}
        >
            {(Object.keys(LANGUAGES) as Language[]).map((one) => (
                <option key={one} value={one} lang={one}>
                    {new Intl.DisplayNames([one], { type: "language" }).of(one)}
                </option>
            ))}
        </select>
    );
}
