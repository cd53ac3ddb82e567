// How the app looks and is used in this browser.

import { Choice, Field } from "../ui/fields";
import { LanguageChoice } from "../ui/language";
import { words } from "../words";
import { contrast, enter, theme } from "./choices";

export default function Appearance() {
    return (
        <section>
            <Choice
                label={words("settings.theme")}
                value={theme.value}
                options={(["device", "light", "dark"] as const).map((value) => ({ value, label: words(`settings.theme.${value}`) }))}
                change={(value) => (theme.value = value)}
            />
            <Choice
                label={words("settings.contrast")}
                value={contrast.value}
                options={(["device", "more"] as const).map((value) => ({ value, label: words(`settings.contrast.${value}`) }))}
                change={(value) => (contrast.value = value)}
            />
            <Field label={words("language")}>
                <LanguageChoice />
            </Field>
            <Choice
                label={words("settings.enter")}
                value={enter.value}
                options={(["sends", "breaks"] as const).map((value) => ({ value, label: words(`settings.enter.${value}`) }))}
                change={(value) => (enter.value = value)}
            />
        </section>
    );
}
