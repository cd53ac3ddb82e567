// A question before something that cannot be undone.

import { Dialog } from "./dialog";
import { words } from "../words";

interface ConfirmProps {
    title: string;
    text: string;
    /** What the button says that does it. */
    action: string;
    run: () => void;
    close: () => void;
}

export function Confirm({ title, text, action, run, close }: ConfirmProps) {
    const buttons = (
        <>
            <button class="secondary" onClick={close}>
                {words("cancel")}
            </button>
            <button
                class="danger"
                onClick={() => {
                    close();
                    run();
                }}
            >
                {action}
            </button>
        </>
    );
    return (
        <Dialog title={title} close={close} actions={buttons}>
            <p>{text}</p>
        </Dialog>
    );
}
