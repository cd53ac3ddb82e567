// What a person has chosen for this browser. Each choice is a signal, and is kept.

import { effect, signal, type Signal } from "@preact/signals";

function kept<Value extends string>(name: string, usual: Value): Signal<Value> {
    const key = `linkspan.${name}`;
    const choice = signal((localStorage.getItem(key) as Value | null) ?? usual);
    effect(() => {
        if (choice.value === usual) localStorage.removeItem(key);
        else localStorage.setItem(key, choice.value);
    });
    // Another tab may change it.
    addEventListener("storage", (event) => {
        if (event.key === key) choice.value = (event.newValue as Value | null) ?? usual;
    });
    return choice;
}

/** Whether others learn what the person has read. */
export const receipts = kept<"public" | "private">("receipts", "public");
/** Whether others see that the person is writing. */
export const typing = kept<"on" | "off">("typing", "on");
/** In which chats the server is asked for previews of links: it learns the links. */
export const previews = kept<"plain" | "encrypted" | "never">("previews", "plain");
/** Whether the links of a chat are shown with previews. */
export function isPreviewed(isEncrypted: boolean): boolean {
    return previews.value === "encrypted" || (previews.value === "plain" && !isEncrypted);
}

/** What Enter does where there is a keyboard. */
export const enter = kept<"sends" | "breaks">("enter", "sends");
/** Whether text and edges stand out more than usual: always, or if the device asks for it. */
export const contrast = kept<"device" | "more">("contrast", "device");

const wanted = matchMedia("(prefers-contrast: more)");
const isWanted = signal(wanted.matches);
wanted.addEventListener("change", () => (isWanted.value = wanted.matches));

effect(() => {
    const root = document.documentElement;
    if (contrast.value === "more" || isWanted.value) root.dataset.contrast = "more";
    else delete root.dataset.contrast;
});

/** Light, dark, or as the device is set. */
export const theme = kept<"device" | "light" | "dark">("theme", "device");

effect(() => {
    const root = document.documentElement;
    if (theme.value === "device") delete root.dataset.theme;
    else root.dataset.theme = theme.value;
});
