// The recovery key: made when the person wants to keep it, so that it lies nowhere before that.

import { useEffect, useState } from "preact/hooks";

import { platform } from "../platform";
import { isRefusal } from "../sync/ask";
import { client, sdk } from "../sync/running";
import { Dialog } from "../ui/dialog";
import { Field } from "../ui/fields";
import { notify } from "../ui/notice";
import { words } from "../words";
import { note, refresh, standing } from "./standing";

/** How long a passphrase has to be. Whoever has the server can try passphrases as often as they like. */
const SHORTEST = 12;

export default function Save({ close }: { close: () => void }) {
    // A new key takes the place of the one that there is, even if that does not open everything: opening this alone makes none.
    const [way, setWay] = useState<"ask" | "first" | "another" | "passphrase">(() => (standing.peek()?.keyId ? "ask" : "first"));
    switch (way) {
        case "ask":
            return <Replace close={close} replace={() => setWay("another")} />;
        case "passphrase":
            return <Passphrase close={close} back={() => setWay("another")} />;
        default:
            return <Key key={way} isFirst={way === "first"} close={close} ask={() => setWay("ask")} passphrase={() => setWay("passphrase")} />;
    }
}

function Replace({ close, replace }: { close: () => void; replace: () => void }) {
    return (
        <Dialog
            title={words("recovery.key.new")}
            close={close}
            actions={
                <>
                    <button class="secondary" onClick={close}>
                        {words("cancel")}
                    </button>
                    <button class="primary" onClick={replace}>
                        {words("encryption.save.replace")}
                    </button>
                </>
            }
        >
            <p>{words("recovery.key")} {words("recovery.key.new.hint")}</p>
        </Dialog>
    );
}

interface KeyProps {
    /** Whether it is made only if there is none. */
    isFirst: boolean;
    close: () => void;
    /** There is one, so the person has to be asked. */
    ask: () => void;
    passphrase: () => void;
}

function Key({ isFirst, close, ask, passphrase }: KeyProps) {
    const [key, setKey] = useState<string>();
    const [isFailed, setFailed] = useState(false);
    const [isKept, setKept] = useState(false);
    useEffect(() => {
        const make = async () => {
            if (isFirst && (await hasKey())) return ask();
            setKey(await makeKey());
        };
        make().catch(() => setFailed(true));
    }, []);
    const done = () => {
        acknowledge();
        close();
    };
    const kept = () => setKept(true);
    return (
        <Dialog
            title={words("encryption.save.title")}
            close={isKept ? done : close}
            actions={
                <button class="primary" disabled={!key} onClick={done}>
                    {words("encryption.save.done")}
                </button>
            }
        >
            <p>{words("encryption.save.why")}</p>
            {isFailed ? (
                <p role="alert">{words("encryption.failed")}</p>
            ) : (
                <output class="encryption-key" aria-label={words("encryption.key")}>
                    {key ?? "…"}
                </output>
            )}
            <div class="encryption-actions">
                <button class="secondary" disabled={!key} onClick={() => void copy(key!).then(kept, () => notify({ text: words("encryption.save.copy_failed") }))}>
                    {words("encryption.save.copy")}
                </button>
                <button
                    class="secondary"
                    disabled={!key}
                    onClick={() => {
                        download(key!);
                        kept();
                    }}
                >
                    {words("encryption.save.download")}
                </button>
                <button class="secondary" disabled={!key} onClick={() => window.print()}>
                    {words("encryption.save.print")}
                </button>
            </div>
            <div class="encryption-actions">
                <button class="quiet" onClick={passphrase}>
                    {words("encryption.save.passphrase")}
                </button>
            </div>
        </Dialog>
    );
}

function Passphrase({ close, back }: { close: () => void; back: () => void }) {
    const [problem, setProblem] = useState<string>();
    const [isWaiting, setWaiting] = useState(false);
    const submit = async (event: SubmitEvent) => {
        event.preventDefault();
        const form = new FormData(event.currentTarget as HTMLFormElement);
        const passphrase = String(form.get("passphrase"));
        if (passphrase.length < SHORTEST) return setProblem(words("encryption.passphrase.short", { length: SHORTEST }));
        if (passphrase !== form.get("again")) return setProblem(words("encryption.passphrase.differ"));
        setProblem(undefined);
        setWaiting(true);
        try {
            await makeKey(passphrase);
            acknowledge();
            notify({ text: words("encryption.passphrase.done") });
            close();
        } catch {
            setProblem(words("encryption.failed"));
        }
        setWaiting(false);
    };
    return (
        <Dialog
            title={words("encryption.passphrase.title")}
            close={close}
            actions={
                <>
                    <button class="secondary" onClick={back}>
                        {words("back")}
                    </button>
                    <button class="primary" form="encryption-passphrase" disabled={isWaiting}>
                        {words("encryption.passphrase.go")}
                    </button>
                </>
            }
        >
            <form id="encryption-passphrase" class="encryption-steps" onSubmit={submit}>
                <p>{words("encryption.passphrase.why")}</p>
                <Field label={words("encryption.passphrase")} error={problem}>
                    <input name="passphrase" type="password" autocomplete="new-password" required />
                </Field>
                <Field label={words("encryption.passphrase.again")}>
                    <input name="again" type="password" autocomplete="new-password" required />
                </Field>
            </form>
        </Dialog>
    );
}

/** Whether the server has a recovery key. What is known here may be from before one was made. */
async function hasKey(): Promise<boolean> {
    const { Method } = await sdk();
    const running = client.peek()!;
    const path = `/user/${encodeURIComponent(running.getSafeUserId())}/account_data/m.secret_storage.default_key`;
    try {
        return (await running.http.authedRequest<{ key?: string }>(Method.Get, path)).key !== undefined;
    } catch (error) {
        if (isRefusal(error, "M_NOT_FOUND")) return false;
        throw error;
    }
}

/** Puts what this device knows under a new key, in place of the key before; returns it as it is written down. */
async function makeKey(passphrase?: string): Promise<string> {
    const running = client.peek()!;
    const crypto = running.getCrypto()!;
    const made = await crypto.createRecoveryKeyFromPassphrase(passphrase);
    await crypto.bootstrapSecretStorage({
        setupNewSecretStorage: true,
        createSecretStorageKey: () => Promise.resolve(made),
    });
    await refresh(running);
    return made.encodedPrivateKey ?? "";
}

/** The person has kept the key. */
function acknowledge(): void {
    const running = client.peek();
    if (running) note(running.getSafeUserId(), { unsavedKey: "" });
}

async function copy(key: string): Promise<void> {
    await navigator.clipboard.writeText(key);
    notify({ text: words("encryption.save.copied") });
}

function download(key: string): void {
    const text = `${words("encryption.save.file", { name: platform.peek()?.name ?? "", user: client.peek()?.getUserId() ?? "" })}\n\n${key}\n`;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
    link.download = `${platform.peek()?.name ?? "chat"}-recovery-key.txt`;
    link.click();
    URL.revokeObjectURL(link.href);
}
