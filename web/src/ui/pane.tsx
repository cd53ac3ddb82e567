// The panes of the window. Where a window is too narrow for several, the one that is shown is the page's main part, and its title
// is the page's.

import { signal, type Signal } from "@preact/signals";
import type { ComponentChildren, HTMLAttributes } from "preact";
import { Link } from "wouter-preact";

import { words } from "../words";
import { Icon } from "./icon";

/** Whether the window has at most so many pixels. `styles/shell.css` has the same limits. */
function isWithin(px: number): Signal<boolean> {
    const query = matchMedia(`(max-width: ${px}px)`);
    const matches = signal(query.matches);
    query.addEventListener("change", () => (matches.value = query.matches));
    return matches;
}

/** Whether there is room for one pane. */
const isNarrow = isWithin(720);
/** Whether there is no room for a chat beside its details. */
const isMedium = isWithin(1080);

/** The pane that leads to others: a list, or a menu. */
export function ListPane({ class: name = "", ...others }: HTMLAttributes<HTMLElement>) {
    return <section {...others} class={`pane list-pane ${name}`} role={isNarrow.value ? "main" : "navigation"} />;
}

/** The pane that says more about what is open. */
export function DetailsPane(attributes: HTMLAttributes<HTMLElement>) {
    return <section {...attributes} class="pane details-pane" role={isMedium.value ? "main" : "complementary"} />;
}

/** The title of a pane that is not the first one of a wide window. */
export function PaneTitle(attributes: HTMLAttributes<HTMLHeadingElement>) {
    return <h2 {...attributes} aria-level={isNarrow.value ? 1 : 2} />;
}

/** The way back. Beside a list that is shown anyway nobody needs one, unless it is said that it is there always. */
export function Back({ to, isAlways }: { to: string; isAlways?: boolean }) {
    return (
        <Link href={to} class={isAlways ? "icon-button" : "icon-button back"} aria-label={words("back")}>
            <Icon name="back" />
        </Link>
    );
}

/** The head of a page in the list's pane. */
export function ListHead({ title, back, children }: { title: string; back: string; children?: ComponentChildren }) {
    return (
        <header>
            <Back to={back} isAlways />
            <h1>{title}</h1>
            {children}
        </header>
    );
}

/** The title of a part of such a pane. */
export function PartTitle(attributes: HTMLAttributes<HTMLHeadingElement>) {
    return <h3 {...attributes} aria-level={isNarrow.value ? 2 : 3} />;
}
