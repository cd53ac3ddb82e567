// What others see of the person: picture, name, and the handle.

import type { MatrixClient } from "matrix-js-sdk";
import { useRef, useState } from "preact/hooks";

import { platform } from "../platform";
import { wordsOf } from "../session/server";
import { ask } from "../sync/ask";
import { client } from "../sync/running";
import { Avatar } from "../ui/avatar";
import { Field } from "../ui/fields";
import { Icon } from "../ui/icon";
import { notify } from "../ui/notice";
import { words, type WordsId } from "../words";
import { loadOwn, own } from "./own";
import { chosenPicture, uploadPicture } from "./picture";

export default function Profile() {
    const running = client.value;
    const account = own.value;
    if (!running || !account) return null;
    return (
        <>
            <Picture client={running} />
            <Line
                label={words("session.your_name")}
                hint={words("settings.profile.name_hint")}
                value={account.name}
                maxLength={100}
                known={{}}
                save={async (name) => void (await running.setDisplayName(name))}
                client={running}
            />
            {platform.value!.identity === "handle" && (
                <Line
                    label={words("session.handle")}
                    hint={words("settings.profile.handle_hint")}
                    value={account.handle ?? ""}
                    maxLength={60}
                    known={HANDLE_ERRORS}
                    save={async (handle) => void (await ask("PUT", "/handle", { handle }))}
                    client={running}
                />
            )}
        </>
    );
}

const HANDLE_ERRORS: Record<string, WordsId> = {
    M_INVALID_USERNAME: "session.handle.form",
    M_USER_IN_USE: "session.handle.taken",
    M_LIMIT_EXCEEDED: "settings.profile.handle_often",
};

function Picture({ client: running }: { client: MatrixClient }) {
    const { userId, name, avatar } = own.value!;
    const file = useRef<HTMLInputElement>(null);
    const [isWaiting, setWaiting] = useState(false);
    const set = async (picture: File | undefined) => {
        setWaiting(true);
        try {
            const square = picture && (await chosenPicture(picture));
            if (picture && !square) return;
            await running.setAvatarUrl(square ? await uploadPicture(running, square) : "");
            await loadOwn(running);
        } catch (error) {
            notify({ text: words(wordsOf(error)) });
        } finally {
            setWaiting(false);
        }
    };
    return (
        <section class="own-picture" aria-busy={isWaiting}>
            <Avatar id={userId} name={name} mxc={avatar} size={112} />
            <input
                ref={file}
                type="file"
                accept="image/*"
                hidden
                onChange={(event) => {
                    const chosen = event.currentTarget.files?.[0];
                    event.currentTarget.value = "";
                    if (chosen) void set(chosen);
                }}
            />
            <div>
                <button class="secondary" disabled={isWaiting} onClick={() => file.current!.click()}>
                    {words("settings.profile.picture")}
                </button>
                {avatar && (
                    <button class="icon-button" aria-label={words("settings.profile.no_picture_any_more")} onClick={() => void set(undefined)}>
                        <Icon name="delete" />
                    </button>
                )}
            </div>
        </section>
    );
}

interface LineProps {
    label: string;
    hint: string;
    value: string;
    maxLength: number;
    known: Record<string, WordsId>;
    save: (value: string) => Promise<void>;
    client: MatrixClient;
}

/** One thing that can be changed and then saved. */
function Line({ label, hint, value, maxLength, known, save, client: running }: LineProps) {
    const [text, setText] = useState(value);
    const [error, setError] = useState<WordsId>();
    const said = text.trim();
    const submit = async (event: SubmitEvent) => {
        event.preventDefault();
        setError(undefined);
        try {
            await save(said);
            await loadOwn(running);
            notify({ text: words("settings.saved") });
        } catch (failed) {
            setError(wordsOf(failed, known));
        }
    };
    return (
        <form class="settings-form" onSubmit={(event) => void submit(event)}>
            <Field label={label} error={error && words(error)}>
                <input value={text} maxLength={maxLength} required onInput={(event) => setText(event.currentTarget.value)} />
            </Field>
            <p class="hint">{hint}</p>
            {said !== value && <button class="primary">{words("save")}</button>}
        </form>
    );
}
