// The question before somebody is blocked, with the report under it.

import { useState } from "preact/hooks";

import { done } from "../sync/ask";
import { Dialog } from "../ui/dialog";
import { Switch } from "../ui/fields";
import { words } from "../words";
import { report } from "./api";

interface BlockDialogProps {
    name: string;
    userId: string;
    run: () => void;
    close: () => void;
}

/** Blocking somebody and, if the person wants it, telling those who run the platforms why. */
export function BlockDialog({ name, userId, run, close }: BlockDialogProps) {
    const [reports, setReports] = useState(false);
    const [reason, setReason] = useState("");
    const go = async () => {
        if (reports && !(await done(report({ kind: "person", user_id: userId }, reason.trim())))) return;
        close();
        run();
    };
    const buttons = (
        <>
            <button class="secondary" onClick={close}>
                {words("cancel")}
            </button>
            <button class="danger" onClick={() => void go()}>
                {words(reports ? "people.block.report" : "people.block")}
            </button>
        </>
    );
    return (
        <Dialog title={words("people.block.title", { name })} close={close} actions={buttons}>
            <p>{words("people.block.text")}</p>
            <Switch label={words("people.report")} hint={words("people.report.hint")} isOn={reports} change={setReports} />
            {reports && (
                <label class="field">
                    <span>{words("people.report.why")}</span>
                    <textarea rows={3} maxLength={1000} dir="auto" value={reason} onInput={(event) => setReason(event.currentTarget.value)} />
                </label>
            )}
        </Dialog>
    );
}
