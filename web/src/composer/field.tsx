// The field itself: it grows with its text, and takes the keys of writing.

import { useLayoutEffect } from "preact/hooks";

import { words } from "../words";
import { enter } from "../settings/choices";

/** Puts text at the caret or in place of a part, as if it was typed, so that it can be undone. */
export function insert(field: HTMLTextAreaElement, text: string, from = field.selectionStart, to = field.selectionEnd): void {
    field.focus();
    field.setSelectionRange(from, to);
    // Nothing that replaces it adds to what the browser can undo.
    document.execCommand("insertText", false, text);
}

/** Signs that are put around what is selected, by the key that is pressed with Ctrl. */
const SIGNS: Record<string, string> = { b: "*", i: "_" };

function surround(field: HTMLTextAreaElement, sign: string): void {
    const { selectionStart: from, selectionEnd: to, value } = field;
    insert(field, sign + value.slice(from, to) + sign);
    field.setSelectionRange(from + sign.length, to + sign.length);
}

/** Whether the Enter key breaks the line: where people have no other way to, or if they want it so. */
function breaksLine(event: KeyboardEvent): boolean {
    const isTouch = matchMedia("(pointer: coarse)").matches;
    return event.shiftKey || ((isTouch || enter.peek() === "breaks") && !event.ctrlKey && !event.metaKey);
}

interface FieldProps {
    field: { current: HTMLTextAreaElement | null };
    text: string;
    write: (text: string) => void;
    /** Called with the place of the caret. */
    moved: (caret: number) => void;
    /** Whether a key was taken by something else. */
    pressed: (event: KeyboardEvent) => boolean;
    submit: () => void;
    /** The list that completes what is typed, and the entry that arrow keys have come to. */
    active?: { list: string; option: string };
}

export function Field({ field, text, write, moved, pressed, submit, active }: FieldProps) {
    useLayoutEffect(() => {
        if (CSS.supports("field-sizing", "content")) return;
        const element = field.current!;
        element.style.height = "auto";
        element.style.height = `${element.scrollHeight}px`;
    }, [text]);
    // Where a keyboard is at hand, whoever opens a chat can write at once.
    useLayoutEffect(() => {
        if (matchMedia("(pointer: fine)").matches) field.current?.focus({ preventScroll: true });
    }, []);
    const onKeyDown = (event: KeyboardEvent) => {
        if (event.isComposing) return;
        const sign = (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey ? SIGNS[event.key] : undefined;
        if (sign) surround(field.current!, sign);
        else if (!pressed(event)) {
            if (event.key !== "Enter" || breaksLine(event)) return;
            submit();
        }
        event.preventDefault();
    };
    return (
        <textarea
            ref={field}
            rows={1}
            dir="auto"
            value={text}
            placeholder={words("composer")}
            aria-label={words("composer")}
            aria-autocomplete="list"
            aria-controls={active?.list}
            aria-activedescendant={active?.option}
            onInput={(event) => {
                write(event.currentTarget.value);
                moved(event.currentTarget.selectionStart);
            }}
            onSelect={(event) => moved(event.currentTarget.selectionStart)}
            onKeyDown={onKeyDown}
        />
    );
}
