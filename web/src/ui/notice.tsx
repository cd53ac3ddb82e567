// Short notices at the edge of the window, and what is only said to screen readers.

import { signal } from "@preact/signals";
import { useLayoutEffect, useState } from "preact/hooks";

/** How long a notice stays, in milliseconds. */
const STAYS_MS = 6000;

export interface Notice {
    text: string;
    /** What the person can do about it. */
    action?: { label: string; run: () => void };
}

const shown = signal<Notice | undefined>(undefined);
/** What is said, how much was said before it, and in which dialog: where it was said it stays, so that it is not said again when a dialog opens or closes. */
const said = signal<{ text: string; at: number; dialog: object | undefined }>({ text: "", at: 0, dialog: undefined });
let timer = 0;

/** Shows a notice for a moment, in place of the one before. Screen readers say it. */
export function notify(notice: Notice): void {
    clearTimeout(timer);
    shown.value = notice;
    timer = window.setTimeout(() => (shown.value = undefined), STAYS_MS);
}

/** Has screen readers say something when they have ended what they say now. */
export function announce(text: string): void {
    said.value = { text, at: said.peek().at + 1, dialog: dialogs.peek().at(-1) };
}

/** The modal dialogs that are open, the last one on top. Outside of it nothing is heard, and nothing can be pressed. */
const dialogs = signal<readonly object[]>([]);

/** The place of notices in the window. They are in it while no dialog is open. */
export function Notices() {
    return <Place dialog={undefined} />;
}

/** The place of notices in a modal dialog. Each has one. */
export function NoticesOfDialog() {
    const [own] = useState({});
    useLayoutEffect(() => {
        dialogs.value = [...dialogs.peek(), own];
        return () => void (dialogs.value = dialogs.peek().filter((other) => other !== own));
    }, []);
    return <Place dialog={own} />;
}

/** Screen readers say what comes into it later, so it is there while it is empty, too. */
function Place({ dialog }: { dialog: object | undefined }) {
    const notice = dialogs.value.at(-1) === dialog ? shown.value : undefined;
    return (
        <>
            <div class="notices" role="status">
                {notice && (
                    <p class="notice">
                        {notice.text}
                        {notice.action && <button onClick={notice.action.run}>{notice.action.label}</button>}
                    </p>
                )}
            </div>
            <div class="only-said" aria-live="polite">
                {/* Equal sentences are said again only where another element comes. */}
                {said.value.dialog === dialog && <span key={said.value.at}>{said.value.text}</span>}
            </div>
        </>
    );
}
