// What stands between the person and the chat: another tab, no connection, a start that has failed, or a session that has ended.

import "./sync.css";

import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

import { NoticesOfDialog } from "../ui/notice";
import { words } from "../words";
import { ended, failed, useHere } from "./client";
import { isConnected } from "./connection";
import { isInOtherTab } from "./turns";

export function SyncState() {
    const gone = ended.value;
    if (gone) {
        return (
            <Instead
                title={words("sync.ended")}
                text={words(gone.isKept ? "sync.ended.soft" : gone.hasUnsavedKeys ? "sync.ended.keys" : "sync.ended.why")}
                action={words("sync.ended.go")}
                act={() => void import("./leave").then(({ leave }) => leave(gone.session, gone.isKept))}
            />
        );
    }
    if (isInOtherTab.value) {
        return <Instead title={words("sync.elsewhere")} text={words("sync.elsewhere.hint")} action={words("sync.elsewhere.use")} act={useHere} />;
    }
    if (failed.value) {
        return (
            <div class="sync-failed" role="alert">
                <p>{words(`sync.failed.${failed.value}`)}</p>
                {/* Loading anew lets go of whatever this window may hold. */}
                <button class="primary" onClick={() => location.reload()}>
                    {words("broken.again")}
                </button>
            </div>
        );
    }
    return (
        <div class="sync-pill" role="status">
            {!isConnected.value && <span class="pill">{words("connecting")}</span>}
        </div>
    );
}

interface InsteadProps {
    title: string;
    text: ComponentChildren;
    action: string;
    act: () => void;
}

/** Stands in the place of the chat, which cannot go on here. What was there stays behind it. */
function Instead({ title, text, action, act }: InsteadProps) {
    const element = useRef<HTMLDialogElement>(null);
    useLayoutEffect(() => {
        const dialog = element.current!;
        dialog.showModal();
        return () => dialog.close();
    }, []);
    return (
        <dialog ref={element} class="sync-instead" aria-label={title} onCancel={(event) => event.preventDefault()}>
            <h2>{title}</h2>
            <p>{text}</p>
            <button class="primary" onClick={act}>
                {action}
            </button>
            <NoticesOfDialog />
        </dialog>
    );
}
