// Several names in one sentence.

import { language } from "../words";

/** The names as the person's language joins them: “Ada, Ben, and Cleo”. */
export function listOf(names: string[]): string {
    return new Intl.ListFormat(language.value, { type: "conjunction" }).format(names);
}
