// Short notices at the edge of the window, and what is only said to screen readers.

import { signal } from "@preact/signals";

/** How long a notice stays, in milliseconds. */
const STAYS_MS = 6000;

export interface Notice {
    text: string;
    /** What the person can do about it. */
    action?: { label: string; run: () => void };
}

const shown = signal<Notice | undefined>(undefined);
/** What was said last, and how much was said before it. */
const said = signal({ text: "", at: 0 });
let timer = 0;

/** Shows a notice for a moment, in place of the one before. Screen readers say it. */
export function notify(notice: Notice): void {
    clearTimeout(timer);
    shown.value = notice;
    timer = window.setTimeout(() => (shown.value = undefined), STAYS_MS);
}

/** Has screen readers say something when they have ended what they say now. */
export function announce(text: string): void {
    said.value = { text, at: said.peek().at + 1 };
}

/** The place of notices. The window has one. */
export function Notices() {
    const notice = shown.value;
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
                <span key={said.value.at}>{said.value.text}</span>
            </div>
        </>
    );
}
