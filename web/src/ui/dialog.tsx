// Dialogs: what has to be answered before anything else, in the browser's own element, which keeps the focus inside and
// gives it back.

import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";

import { words } from "../words";
import { Icon } from "./icon";
import { NoticesOfDialog } from "./notice";

interface DialogProps {
    title: string;
    /** Called when the person closes it, by Escape, the button or a press beside it. */
    close: () => void;
    children: ComponentChildren;
    /** The buttons at its end; the one that goes on comes last. */
    actions?: ComponentChildren;
}

export function Dialog({ title, close, children, actions }: DialogProps) {
    const element = useRef<HTMLDialogElement>(null);
    const id = useId();
    useEffect(() => {
        const dialog = element.current!;
        dialog.showModal();
        return () => dialog.close();
    }, []);
    return (
        <dialog
            ref={element}
            class="dialog"
            aria-labelledby={id}
            onCancel={(event) => {
                event.preventDefault();
                close();
            }}
            onMouseDown={(event) => event.target === element.current && close()}
        >
            <header>
                <h2 id={id}>{title}</h2>
                <button class="icon-button" aria-label={words("close")} onClick={close}>
                    <Icon name="close" />
                </button>
            </header>
            <div class="dialog-body">{children}</div>
            {actions && <footer>{actions}</footer>}
            <NoticesOfDialog />
        </dialog>
    );
}
