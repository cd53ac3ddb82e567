// The dialogs by which somebody proves that it is them: by the password, by a code that is sent to an address of theirs, or on
// a page of the server.

import "./session.css";

import { useEffect, useState } from "preact/hooks";

import { client } from "../sync/running";
import { Dialog } from "../ui/dialog";
import { Field } from "../ui/fields";
import { words, type WordsId } from "../words";
import { type Asked, asked } from "./prove";
import { askServer, CodeRequest, wordsOf } from "./server";
import { session } from "./session";

export default function Proof() {
    const what = asked.value;
    if (!what) return null;
    switch (what.way) {
        case "password":
            return <Password {...what} />;
        case "page":
            return <Page {...what} />;
        default:
            return <Code {...what} medium={what.way} />;
    }
}

function Password({ session: attempt, wasWrong, answer }: Asked) {
    const submit = (event: SubmitEvent) => {
        event.preventDefault();
        const password = String(new FormData(event.currentTarget as HTMLFormElement).get("password"));
        const identifier = { type: "m.id.user", user: session.peek()?.userId };
        answer({ type: "m.login.password", identifier, password, session: attempt });
    };
    return (
        <Dialog title={words("settings.prove")} close={() => answer(undefined)}>
            <form class="proof" onSubmit={submit}>
                <p>{words("settings.prove.password")}</p>
                <Field label={words("session.password")} error={wasWrong ? words("session.password.wrong") : undefined}>
                    <input name="password" type="password" autocomplete="current-password" autofocus required />
                </Field>
                <button class="primary">{words("session.next")}</button>
            </form>
        </Dialog>
    );
}

type Medium = "email" | "msisdn";

/** The person's address of this kind, as the server has it. */
async function addressOf(medium: Medium): Promise<string | undefined> {
    const answer = await askServer("GET", "/_matrix/client/v3/account/3pid", undefined, client.peek()?.getAccessToken() ?? undefined);
    const all = answer.threepids as { medium: string; address: string }[];
    return all.find((one) => one.medium === medium)?.address;
}

function Code({ medium, session: attempt, answer }: Asked & { medium: Medium }) {
    const [address, setAddress] = useState<string>();
    const [request, setRequest] = useState<CodeRequest>();
    const [isSent, setSent] = useState(false);
    const [error, setError] = useState<WordsId>();
    const failed = (error: unknown) => setError(wordsOf(error));
    useEffect(() => {
        addressOf(medium).then((found) => {
            if (found) setRequest(new CodeRequest(medium === "email" ? { email: found } : { phone_number: `+${found}` }));
            setAddress(found);
        }, failed);
    }, [medium]);
    const submit = async (event: SubmitEvent) => {
        event.preventDefault();
        if (!request) return;
        setError(undefined);
        if (!isSent) return request.send().then(() => setSent(true), failed);
        const code = String(new FormData(event.currentTarget as HTMLFormElement).get("code"));
        try {
            if (!(await request.enter(code))) return setError("session.code.wrong");
        } catch (error) {
            return failed(error);
        }
        const { sid, secret } = request.proof;
        answer({ type: `m.login.${medium === "email" ? "email.identity" : medium}`, session: attempt, threepid_creds: { sid, client_secret: secret } });
    };
    return (
        <Dialog title={words("settings.prove")} close={() => answer(undefined)}>
            <form class="proof" onSubmit={(event) => void submit(event)}>
                <p>
                    {words(isSent ? "session.code.hint" : "settings.prove.code")}{" "}
                    <bdi>{address && (medium === "msisdn" ? `+${address}` : address)}</bdi>
                </p>
                {isSent && (
                    <Field label={words("session.code")} error={error && words(error)}>
                        <input name="code" inputMode="numeric" autocomplete="one-time-code" dir="ltr" autofocus required />
                    </Field>
                )}
                {!isSent && error && <p role="alert">{words(error)}</p>}
                <button class="primary" disabled={!request}>
                    {words("session.next")}
                </button>
            </form>
        </Dialog>
    );
}

/** The server asks on a page of its own, which is in another tab; the person comes back and goes on. */
function Page({ url, session: attempt, answer }: Asked) {
    const [isOpened, setOpened] = useState(false);
    return (
        <Dialog title={words("settings.prove")} close={() => answer(undefined)}>
            <div class="proof">
                <p>{words("encryption.approve.how")}</p>
                <a class="secondary" href={url} target="_blank" rel="noopener" onClick={() => setOpened(true)}>
                    {words("encryption.approve.open")}
                </a>
                <button class="primary" disabled={!isOpened} onClick={() => answer({ session: attempt })}>
                    {words("encryption.approve.done")}
                </button>
            </div>
        </Dialog>
    );
}
