// How the person gets into the account: password, addresses; and its end.

import type { MatrixClient } from "matrix-js-sdk";
import { useState } from "preact/hooks";

import { platform } from "../platform";
import { CodeRequest, wordsOf } from "../session/server";
import { endHere } from "../sync/leave";
import { client } from "../sync/running";
import { Dialog } from "../ui/dialog";
import { Field, Switch } from "../ui/fields";
import { Icon } from "../ui/icon";
import { notify } from "../ui/notice";
import { words, type WordsId } from "../words";
import { type Address, loadOwn, own, written } from "./own";
import { Cancelled, withProof } from "../session/prove";
import { PartTitle } from "../ui/pane";

export default function Account() {
    const running = client.value;
    if (!running || !own.value) return null;
    return (
        <>
            <Addresses client={running} />
            <Password client={running} />
            <End client={running} />
        </>
    );
}

/** Says what went wrong, unless the person has ended it. */
function sayFailed(error: unknown): void {
    if (!(error instanceof Cancelled)) notify({ text: words(wordsOf(error)) });
}

function Addresses({ client: running }: { client: MatrixClient }) {
    const [adding, setAdding] = useState<Address["medium"]>();
    const remove = async (address: Address) => {
        await running
            .deleteThreePid(address.medium, address.address)
            .then(() => loadOwn(running))
            .catch(sayFailed);
    };
    return (
        <section>
            <PartTitle>{words("settings.addresses")}</PartTitle>
            <p class="hint">{words("settings.addresses.hint")}</p>
            <ul>
                {own.value!.addresses.map((address) => (
                    <li key={address.address} class="line">
                        <bdi>{written(address)}</bdi>
                        <button
                            class="icon-button"
                            aria-label={words("settings.addresses.remove", { address: written(address) })}
                            onClick={() => void remove(address)}
                        >
                            <Icon name="delete" />
                        </button>
                    </li>
                ))}
            </ul>
            <p class="buttons">
                <button class="secondary" onClick={() => setAdding("email")}>
                    {words("settings.addresses.add_email")}
                </button>
                {platform.value!.identity === "phone" && (
                    <button class="secondary" onClick={() => setAdding("msisdn")}>
                        {words("settings.addresses.add_phone")}
                    </button>
                )}
            </p>
            {adding && <AddAddress client={running} medium={adding} close={() => setAdding(undefined)} />}
        </section>
    );
}

interface AddAddressProps {
    client: MatrixClient;
    medium: Address["medium"];
    close: () => void;
}

const ADD_ERRORS: Record<string, WordsId> = {
    M_INVALID_PARAM: "session.address.wrong",
    M_THREEPID_IN_USE: "settings.addresses.in_use",
    M_THREEPID_DENIED: "settings.addresses.denied",
};

/** Adding an address takes a code that is sent to it, and then a proof that it is the person who adds it. */
function AddAddress({ client: running, medium, close }: AddAddressProps) {
    const [request, setRequest] = useState<CodeRequest>();
    const [error, setError] = useState<WordsId>();
    const submit = async (event: SubmitEvent) => {
        event.preventDefault();
        const form = new FormData(event.currentTarget as HTMLFormElement);
        setError(undefined);
        try {
            if (!request) {
                const address = String(form.get("address")).trim();
                const made = new CodeRequest(medium === "email" ? { email: address } : { phone_number: address }, running.getAccessToken()!);
                await made.send();
                setRequest(made);
            } else if (await request.enter(String(form.get("code")))) {
                const { sid, secret } = request.proof;
                await withProof((auth) => running.addThreePidOnly({ sid, client_secret: secret, auth: auth as never }));
                await loadOwn(running);
                close();
            } else setError("session.code.wrong");
        } catch (failed) {
            if (!(failed instanceof Cancelled)) setError(wordsOf(failed, ADD_ERRORS));
        }
    };
    const said = error && words(error);
    return (
        <Dialog title={words(`settings.addresses.add_${medium === "email" ? "email" : "phone"}`)} close={close}>
            <form class="settings-form" onSubmit={(event) => void submit(event)}>
                {request ? (
                    <Field key="code" label={words("session.code")} error={said}>
                        <input name="code" inputMode="numeric" autocomplete="one-time-code" dir="ltr" autofocus required />
                    </Field>
                ) : (
                    <Field key="address" label={words(medium === "email" ? "session.email" : "session.phone")} error={said}>
                        <input name="address" type={medium === "email" ? "email" : "tel"} autofocus required />
                    </Field>
                )}
                <button class="primary">{words("session.next")}</button>
            </form>
        </Dialog>
    );
}

function Password({ client: running }: { client: MatrixClient }) {
    const [endsOthers, setEndsOthers] = useState(true);
    const [error, setError] = useState<WordsId>();
    const submit = async (event: SubmitEvent) => {
        event.preventDefault();
        const form = event.currentTarget as HTMLFormElement;
        const password = String(new FormData(form).get("password"));
        setError(undefined);
        try {
            await withProof((auth) => running.setPassword(auth as never, password, endsOthers));
            form.reset();
            notify({ text: words("settings.saved") });
        } catch (failed) {
            if (!(failed instanceof Cancelled)) setError(wordsOf(failed, { M_WEAK_PASSWORD: "session.weak" }));
        }
    };
    return (
        <section>
            <PartTitle>{words("settings.password")}</PartTitle>
            {platform.value!.identity === "phone" && <p class="hint">{words("settings.password.second")}</p>}
            <form class="settings-form" onSubmit={(event) => void submit(event)}>
                <Field label={words("settings.password.new")} error={error && words(error)}>
                    <input name="password" type="password" autocomplete="new-password" minLength={8} required />
                </Field>
                <Switch label={words("settings.password.ends_others")} isOn={endsOthers} change={setEndsOthers} />
                <button class="secondary">{words("settings.password.change")}</button>
            </form>
        </section>
    );
}

function End({ client: running }: { client: MatrixClient }) {
    const [isAsking, setAsking] = useState(false);
    const [erases, setErases] = useState(false);
    const end = async () => {
        await withProof((auth) => running.deactivateAccount(auth as never, erases))
            .then(() => endHere())
            .catch(sayFailed);
    };
    return (
        <section>
            <PartTitle>{words("settings.end")}</PartTitle>
            <p class="hint">{words("settings.end.hint")}</p>
            <button class="danger" onClick={() => setAsking(true)}>
                {words("settings.end")}
            </button>
            {isAsking && (
                <Dialog
                    title={words("settings.end.title")}
                    close={() => setAsking(false)}
                    actions={
                        <>
                            <button class="secondary" onClick={() => setAsking(false)}>
                                {words("cancel")}
                            </button>
                            <button
                                class="danger"
                                onClick={() => {
                                    setAsking(false);
                                    void end();
                                }}
                            >
                                {words("settings.end")}
                            </button>
                        </>
                    }
                >
                    <p>{words("settings.end.consequences")}</p>
                    <Switch label={words("settings.end.erase")} hint={words("settings.end.erase_hint")} isOn={erases} change={setErases} />
                </Dialog>
            )}
        </section>
    );
}
