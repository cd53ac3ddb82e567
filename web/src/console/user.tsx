// One account: what it is, its devices, and what an operator can do about it.

import { useRef, useState } from "preact/hooks";

import { Confirm } from "../ui/confirm";
import { Dialog } from "../ui/dialog";
import { Switch } from "../ui/fields";
import { Icon } from "../ui/icon";
import { notify } from "../ui/notice";
import { PartTitle } from "../ui/pane";
import { clock, day } from "../ui/time";
import { words as common } from "../words";
import { ask, type Device, part, reasonOf, shownId, type User } from "./api";
import { Empty, type Load, Loaded, useLoad } from "./load";
import { Facts, Frame } from "./page";
import { NewPassword } from "./password";
import { UserSwitches, useUser } from "./restrictions";
import { operator } from "./session";
import { UserChips } from "./users";
import { words } from "./words";

export function UserPage({ id }: { id: string }) {
    const load = useUser(id);
    return (
        <Frame title={shownId(load.value?.user_id ?? id)} back="/users">
            <Loaded load={load}>{(user) => <Shown load={load} user={user} />}</Loaded>
        </Frame>
    );
}

function Shown({ load, user }: { load: Load<User>; user: User }) {
    const devices = useLoad(user.user_id, async () => (await ask<{ devices: Device[] }>("GET", `/users/${part(user.user_id)}/devices`)).devices);
    const changed = async () => {
        await Promise.all([load.reload(), devices.reload()]);
    };
    return (
        <div class="beside">
            <div class="column">
                <section>
                    <UserChips user={user} />
                    <Facts
                        facts={[
                            [words("user.id"), <code key="id">{user.user_id}</code>],
                            [words("user.handle"), user.handle && `@${user.handle}`],
                            [words("user.created"), day(user.created_ts)],
                        ]}
                    />
                </section>
                <section>
                    <PartTitle>{words("user.devices")}</PartTitle>
                    <Loaded load={devices}>{(all) => <Devices all={all} user={user} changed={changed} />}</Loaded>
                </section>
            </div>
            <section class="card" aria-label={words("user.actions")}>
                <PartTitle>{words("user.actions")}</PartTitle>
                {user.deactivated ? (
                    <p class="hint">{words("user.deactivated.hint")}</p>
                ) : (
                    <>
                        <UserSwitches load={load} user={user} which={["locked", "suspended", "admin"]} />
                        <Steps user={user} changed={changed} />
                    </>
                )}
            </section>
        </div>
    );
}

interface DevicesProps {
    all: Device[];
    user: User;
    changed: () => Promise<void>;
}

function Devices({ all, user, changed }: DevicesProps) {
    const [leaving, setLeaving] = useState<Device>();
    if (all.length === 0) return <Empty text={words("user.devices.none")} />;
    const remove = async ({ device_id }: Device) => {
        await attempt(() => ask("DELETE", `/users/${part(user.user_id)}/devices/${part(device_id)}`), words("user.device.removed"));
        await changed();
    };
    const sorted = all.toSorted((one, other) => other.last_seen_ts - one.last_seen_ts);
    return (
        <>
            <ul class="records">
                {sorted.map((device) => (
                    <li key={device.device_id} class="record">
                        <span class="kind">
                            <Icon name="device" />
                        </span>
                        <span class="main">
                            <b dir="auto">{device.display_name || device.device_id}</b>
                            <span class="more-of-it">
                                {words("user.device.seen", { when: words("day_and_time", { day: day(device.last_seen_ts), time: clock(device.last_seen_ts) }) })}
                                {device.last_seen_ip && ` · ${device.last_seen_ip}`}
                            </span>
                        </span>
                        <button
                            class="icon-button"
                            aria-label={words("user.device.remove", { name: device.display_name || device.device_id })}
                            onClick={() => setLeaving(device)}
                        >
                            <Icon name="delete" />
                        </button>
                    </li>
                ))}
            </ul>
            {leaving && (
                <Confirm
                    title={words("user.device.title", { name: leaving.display_name || leaving.device_id })}
                    text={words("user.device.text")}
                    action={words("user.device.action")}
                    run={() => void remove(leaving)}
                    close={() => setLeaving(undefined)}
                />
            )}
        </>
    );
}

/** Does something, and says how it went. */
async function attempt(run: () => Promise<unknown>, done: string): Promise<void> {
    await run().then(
        () => notify({ text: done }),
        (error: unknown) => notify({ text: reasonOf(error) }),
    );
}

type Step = "password" | "log_out" | "deactivate";

/** What is done once, and not switched. */
function Steps({ user, changed }: { user: User; changed: () => Promise<void> }) {
    const [step, setStep] = useState<Step>();
    const close = () => setStep(undefined);
    const name = shownId(user.user_id);
    const isOwn = user.user_id === operator.value?.userId;
    const logOut = async () => {
        await attempt(() => ask("POST", `/users/${part(user.user_id)}/log_out`, {}), words("user.log_out.done", { name }));
        await changed();
    };
    return (
        <div class="steps">
            <button class="secondary" onClick={() => setStep("password")}>
                {words("user.password")}
            </button>
            <button class="secondary" onClick={() => setStep("log_out")}>
                {words("user.log_out")}
            </button>
            {!isOwn && (
                <button class="danger" onClick={() => setStep("deactivate")}>
                    {words("user.deactivate")}
                </button>
            )}
            {step === "password" && <Password user={user} changed={changed} close={close} />}
            {step === "log_out" && (
                <Confirm
                    title={words("user.log_out.title", { name })}
                    text={words("user.log_out.text")}
                    action={words("user.log_out.action")}
                    run={() => void logOut()}
                    close={close}
                />
            )}
            {step === "deactivate" && <Deactivate user={user} changed={changed} close={close} />}
        </div>
    );
}

interface StepProps {
    user: User;
    changed: () => Promise<void>;
    close: () => void;
}

function Password({ user, changed, close }: StepProps) {
    const [endsDevices, setEndsDevices] = useState(true);
    const [error, setError] = useState<string>();
    const form = useRef<HTMLFormElement>(null);
    const submit = async (event: SubmitEvent) => {
        event.preventDefault();
        const body = { password: new FormData(form.current!).get("password"), log_out_devices: endsDevices };
        try {
            await ask("PUT", `/users/${part(user.user_id)}/password`, body);
            notify({ text: words("user.password.done", { name: shownId(user.user_id) }) });
            close();
            await changed();
        } catch (failed) {
            setError(reasonOf(failed));
        }
    };
    const buttons = (
        <>
            <button class="secondary" onClick={close}>
                {common("cancel")}
            </button>
            <button class="danger" form="new-password">
                {words("user.password.action")}
            </button>
        </>
    );
    return (
        <Dialog title={words("user.password.title", { name: shownId(user.user_id) })} close={close} actions={buttons}>
            <form id="new-password" ref={form} class="settings-form" onSubmit={(event) => void submit(event)}>
                <p>{words("user.password.text")}</p>
                <NewPassword />
                <Switch label={words("user.password.ends")} isOn={endsDevices} change={setEndsDevices} />
                {error && <p role="alert">{error}</p>}
            </form>
        </Dialog>
    );
}

/** It cannot be undone, so the name is typed once more. */
function Deactivate({ user, changed, close }: StepProps) {
    const [erases, setErases] = useState(false);
    const [typed, setTyped] = useState("");
    const name = shownId(user.user_id);
    const isSure = typed.trim() === name || `@${typed.trim()}` === name;
    const run = async () => {
        close();
        await attempt(() => ask("POST", `/users/${part(user.user_id)}/deactivate`, { erase: erases }), words("user.deactivate.done", { name }));
        await changed();
    };
    const buttons = (
        <>
            <button class="secondary" onClick={close}>
                {common("cancel")}
            </button>
            <button class="danger" disabled={!isSure} onClick={() => void run()}>
                {words("user.deactivate.action")}
            </button>
        </>
    );
    return (
        <Dialog title={words("user.deactivate.title", { name })} close={close} actions={buttons}>
            <div class="settings-form">
                <p>{words("user.deactivate.text")}</p>
                <Switch label={words("user.deactivate.erase")} hint={words("user.deactivate.erase.hint")} isOn={erases} change={setErases} />
                <label class="field">
                    <span>{words("user.deactivate.type", { name })}</span>
                    <input autocomplete="off" autocapitalize="none" spellcheck={false} value={typed} onInput={(event) => setTyped(event.currentTarget.value)} />
                </label>
            </div>
        </Dialog>
    );
}
