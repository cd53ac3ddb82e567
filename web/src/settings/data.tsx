// A copy of what the server has of the person.

import { useState } from "preact/hooks";

import { saveBlob } from "../media/fetch";
import { platform } from "../platform";
import { Refusal, Unreachable, wordsOf } from "../session/server";
import { client } from "../sync/running";
import { words, type WordsId } from "../words";
import { Cancelled, type Auth, withProof } from "../session/prove";

/** What browsers offer that let a page write to a file that the person has chosen. */
type SavePicker = (options: { suggestedName: string }) => Promise<FileSystemFileHandle>;

export default function Data() {
    const running = client.value;
    const [state, setState] = useState<"" | "running" | "done">("");
    const [error, setError] = useState<WordsId>();
    const copy = async () => {
        setError(undefined);
        try {
            const answer = await withProof((auth) => askForCopy(running!.getAccessToken()!, auth));
            setState("running");
            await save(answer, `${platform.peek()!.name}.zip`);
            setState("done");
        } catch (failed) {
            setState("");
            const isOver = failed instanceof Cancelled || (failed as Error).name === "AbortError";
            if (!isOver) setError(wordsOf(failed, { M_LIMIT_EXCEEDED: "settings.data.often" }));
        }
    };
    return (
        <section>
            <p>{words("settings.data.what")}</p>
            <p class="hint">{words("settings.data.encrypted")}</p>
            <p class="buttons">
                <button class="secondary" disabled={!running || state === "running"} onClick={() => void copy()}>
                    {words("settings.data.get")}
                </button>
            </p>
            {state !== "" && <p role="status">{words(`settings.data.${state}`)}</p>}
            {error && <p role="alert">{words(error)}</p>}
        </section>
    );
}

async function askForCopy(token: string, auth: Auth | undefined): Promise<Response> {
    const answer = await fetch("/_linkspan/client/v1/export", {
        method: "POST",
        headers: { Authorization: `Bearer ${token}` },
        body: JSON.stringify(auth ? { auth } : {}),
    }).catch(() => {
        throw new Unreachable();
    });
    if (answer.ok) return answer;
    const said = (await answer.json().catch(() => ({}))) as Record<string, unknown>;
    throw new Refusal(answer.status, String(said.errcode ?? "M_UNKNOWN"), said);
}

/** Writes an answer to a file: as it comes, where the browser lets a page do so. */
async function save(answer: Response, name: string): Promise<void> {
    const choose = (window as { showSaveFilePicker?: SavePicker }).showSaveFilePicker;
    if (choose && navigator.userActivation.isActive) {
        const file = await choose({ suggestedName: name });
        await answer.body!.pipeTo(await file.createWritable());
        return;
    }
    const blob = await answer.blob().catch(() => {
        throw new Unreachable();
    });
    saveBlob(blob, name);
}
