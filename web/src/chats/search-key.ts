// Ctrl+K leads to the search field of the list of chats from everywhere, and Escape back to where one was.

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { useLocation } from "wouter-preact";
import { navigate } from "wouter-preact/use-browser-location";

/** Where the list is shown, and nothing before it. */
const LIST = "/";

/** Whether somebody waits for the search field. */
const isWanted = signal(false);
let field: HTMLInputElement | null = null;
/** What had the focus before, and the page that was left for the list, if one was. */
let before: { element: Element | null; page?: string } | undefined;

function isSeen(element: HTMLElement | null): element is HTMLElement {
    return element !== null && element.offsetParent !== null;
}

function focusField(): void {
    isWanted.value = false;
    field?.focus();
    field?.select();
}

/** Has the window hear the key. */
export function useSearchKey(): void {
    useEffect(() => {
        const onKeyDown = (event: KeyboardEvent) => {
            if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey) return;
            // A dialog has to be answered first.
            if (document.querySelector("dialog:modal")) return;
            event.preventDefault();
            const element = document.activeElement;
            if (isSeen(field)) {
                if (element !== field) before = { element };
                focusField();
            } else {
                before = { element, page: location.pathname + location.search };
                isWanted.value = true;
                navigate(LIST);
            }
        };
        addEventListener("keydown", onKeyDown);
        return () => removeEventListener("keydown", onKeyDown);
    }, []);
}

/** Has the key lead to the search field of the list. Returns what leads back. */
export function useSearchField(own: { current: HTMLInputElement | null }): () => void {
    const [page] = useLocation();
    useEffect(() => {
        field = own.current;
        return () => {
            if (field === own.current) field = null;
        };
    }, []);
    useEffect(() => {
        if (isWanted.value && isSeen(field)) focusField();
    }, [isWanted.value, page]);
    return () => {
        const there = before;
        before = undefined;
        if (there?.page && location.pathname === LIST) navigate(there.page);
        else if (there?.element instanceof HTMLElement && there.element.isConnected && there.element !== document.body) there.element.focus();
        else own.current?.focus();
    };
}
