// The frame of a page: its title, what can be done, and what it shows.

import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

import { Back, PaneTitle } from "../ui/pane";

interface FrameProps {
    title: string;
    /** Where the way back leads. Of a page of the menu, that is the menu, which is seen beside it where there is room. */
    back?: string;
    /** Buttons beside the title. */
    actions?: ComponentChildren;
    /** Whether it may have nothing that the keyboard stops at, so that it is one stop itself, to be scrolled. */
    isRead?: boolean;
    children: ComponentChildren;
}

/** Whether a page was shown before: only then somebody has gone from one to another. */
let wasShown = false;

export function Frame({ title, back, actions, isRead, children }: FrameProps) {
    const page = useRef<HTMLElement>(null);
    // Screen readers say where one has come to, and the keyboard goes on from there.
    useLayoutEffect(() => {
        if (wasShown && !document.querySelector("dialog[open]")) page.current!.querySelector("h2")!.focus({ preventScroll: true });
        wasShown = true;
    }, []);
    return (
        <main ref={page} class="pane console-page">
            <header>
                <Back to={back ?? "/"} isAlways={back !== undefined} />
                <PaneTitle tabIndex={-1}>{title}</PaneTitle>
                {actions}
            </header>
            <div class="pane-body" tabIndex={isRead ? 0 : undefined}>
                <div class="console-body">{children}</div>
            </div>
        </main>
    );
}

/** Something short that is said of a person or a thing, told by more than its colour. */
export function Chip({ kind, children }: { kind?: "good" | "bad"; children: ComponentChildren }) {
    return (
        <span class="chip" data-kind={kind}>
            {children}
        </span>
    );
}

/** What is known of something, each with its name. What is not known is left out. */
export function Facts({ facts }: { facts: [string, ComponentChildren][] }) {
    return (
        <dl class="facts">
            {facts
                .filter(([, fact]) => fact !== null && fact !== undefined && fact !== "")
                .map(([name, fact]) => (
                    <div key={name}>
                        <dt>{name}</dt>
                        <dd>{fact}</dd>
                    </div>
                ))}
        </dl>
    );
}
