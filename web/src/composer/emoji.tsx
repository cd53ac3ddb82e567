// Choosing an emoji, for a message or a reaction.

import Picker from "emoji-picker-element/picker";
import type { EmojiClickEvent } from "emoji-picker-element/shared";
import { useEffect, useRef } from "preact/hooks";

import { language } from "../words";
import { source } from "./emoji-data";

const WORDS = {
    en: () => import("emoji-picker-element/i18n/en"),
    fr: () => import("emoji-picker-element/i18n/fr"),
} satisfies Record<typeof language.value, unknown>;

interface EmojiPickerProps {
    choose: (emoji: string) => void;
    close: () => void;
}

/** All emoji by group, with search, the ones used most, and skin tones. Escape closes it. */
export function EmojiPicker({ choose, close }: EmojiPickerProps) {
    const place = useRef<HTMLDivElement>(null);
    const chosen = useRef(choose);
    chosen.current = choose;
    useEffect(() => {
        let isGone = false;
        void WORDS[language.value]().then(({ default: i18n }) => {
            if (isGone) return;
            const picker = new Picker({ ...source(), i18n });
            picker.addEventListener("emoji-click", (event: EmojiClickEvent) => event.detail.unicode && chosen.current(event.detail.unicode));
            place.current?.replaceChildren(picker);
            focusSearch(picker);
        });
        return () => void (isGone = true);
    }, []);
    const onKeyDown = (event: KeyboardEvent) => {
        if (event.key !== "Escape") return;
        event.stopPropagation();
        close();
    };
    return <div ref={place} class="emoji-picker" onKeyDown={onKeyDown} />;
}

export default EmojiPicker;

/** Whoever has a keyboard searches. On a phone that would bring up the keyboard over the emoji. */
function focusSearch(picker: Picker): void {
    if (!matchMedia("(pointer: fine)").matches) return;
    requestAnimationFrame(() => picker.shadowRoot?.querySelector("input")?.focus());
}
