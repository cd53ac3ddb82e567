// Confirming that a new device is the person's own: on another device, by the recovery key, or by beginning anew.

import { useEffect, useState } from "preact/hooks";
import type { VerificationRequest } from "matrix-js-sdk/lib/crypto-api/index.js";

import { Cancelled } from "../session/prove";
import { client } from "../sync/running";
import { Dialog } from "../ui/dialog";
import { Field } from "../ui/fields";
import { Icon, type IconName } from "../ui/icon";
import { notify } from "../ui/notice";
import { words, type WordsId } from "../words";
import { opened } from "./opened";
import { recover, type Recovered } from "./recover";
import { beginAnew, takeUpBackup } from "./setup";
import { remindLater, standing } from "./standing";
import { Steps } from "./steps";
import { tried } from "./tried";

type Way = "choose" | "key" | "reset" | { request: VerificationRequest };

export default function Confirm({ close }: { close: () => void }) {
    const running = client.value!;
    const [way, setWay] = useState<Way>("choose");
    const others = useOtherDevices();
    const isConfirmed = standing.value?.isConfirmed === true;
    const isComparing = typeof way === "object";
    // Another tab or another app of the person may have confirmed this device while the dialog was open.
    useEffect(() => {
        if (isConfirmed && !isComparing) close();
    }, [isConfirmed, isComparing]);
    const later = () => {
        if (isComparing && way.request.pending) void way.request.cancel();
        if (!isConfirmed) remindLater(running.getSafeUserId());
        close();
    };
    const ask = () => void tried(running.getCrypto()!.requestOwnUserVerification().then((request) => setWay({ request })));
    if (isComparing) {
        return (
            <Dialog title={words("encryption.confirm.device")} close={later}>
                <Steps request={way.request} close={close} again={() => setWay("choose")} />
            </Dialog>
        );
    }
    if (way === "key") return <EnterKey back={() => setWay("choose")} close={later} done={close} />;
    if (way === "reset") return <Reset back={() => setWay("choose")} close={later} />;
    return (
        <Dialog title={words("encryption.confirm")} close={later}>
            <p>{words("encryption.confirm.why")}</p>
            <div class="encryption-choices">
                {others > 0 && <Choice icon="device" id="encryption.confirm.device" choose={ask} />}
                {standing.value?.keyId && <Choice icon="lock" id="encryption.confirm.key" choose={() => setWay("key")} />}
                <Choice icon="failed" id="encryption.confirm.neither" choose={() => setWay("reset")} />
            </div>
            <div class="encryption-actions">
                <button class="quiet" onClick={later}>
                    {words("encryption.later")}
                </button>
            </div>
        </Dialog>
    );
}

type Chosen = "encryption.confirm.device" | "encryption.confirm.key" | "encryption.confirm.neither";

function Choice({ icon, id, choose }: { icon: IconName; id: Chosen; choose: () => void }) {
    return (
        <button class="encryption-choice" onClick={choose}>
            <Icon name={icon} />
            <span>
                {words(id)}
                <small>{words(`${id}.hint`)}</small>
            </span>
            <Icon name="next" />
        </button>
    );
}

/** How many other devices of the person could confirm this one. */
function useOtherDevices(): number {
    const [count, setCount] = useState(0);
    useEffect(() => {
        countOthers().then(setCount, (error: unknown) => console.info("the other devices are not known", error));
    }, [standing.value]);
    return count;
}

async function countOthers(): Promise<number> {
    const running = client.peek();
    const crypto = running?.getCrypto();
    if (!running || !crypto) return 0;
    const own = running.getSafeUserId();
    const devices = (await crypto.getUserDeviceInfo([own], true)).get(own);
    const others = [...(devices?.values() ?? [])].filter((device) => device.deviceId !== running.getDeviceId() && !device.dehydrated);
    const statuses = await Promise.all(others.map((device) => crypto.getDeviceVerificationStatus(own, device.deviceId)));
    return statuses.filter((status) => status?.signedByOwner).length;
}

const PROBLEMS: Record<Exclude<Recovered, "done">, WordsId> = {
    wrong: "encryption.key.wrong",
    none: "encryption.key.none",
    messages: "encryption.key.messages",
};

function EnterKey({ back, close, done }: { back: () => void; close: () => void; done: () => void }) {
    const [problem, setProblem] = useState<WordsId>();
    const [isWaiting, setWaiting] = useState(false);
    const submit = async (event: SubmitEvent) => {
        event.preventDefault();
        const typed = String(new FormData(event.currentTarget as HTMLFormElement).get("key")).trim();
        setWaiting(true);
        setProblem(undefined);
        setProblem(await useKey(typed, done));
        setWaiting(false);
    };
    return (
        <Dialog
            title={words("encryption.key.title")}
            close={close}
            actions={
                <>
                    <button class="secondary" onClick={back}>
                        {words("back")}
                    </button>
                    <button class="primary" form="encryption-key" disabled={isWaiting}>
                        {words(isWaiting ? "encryption.key.checking" : "encryption.key.go")}
                    </button>
                </>
            }
        >
            <form id="encryption-key" onSubmit={submit}>
                <Field label={words("encryption.key")} error={problem && words(problem)}>
                    <textarea name="key" rows={2} required autocomplete="off" autocapitalize="off" spellcheck={false} />
                </Field>
            </form>
        </Dialog>
    );
}

/** Tries what was typed; returns what is wrong with it. */
async function useKey(typed: string, done: () => void): Promise<WordsId | undefined> {
    const running = client.peek();
    if (!running) return "encryption.offline";
    try {
        const came = await recover(running, typed);
        await takeUpBackup(running);
        if (came !== "done") return PROBLEMS[came];
        notify({ text: words("encryption.confirmed") });
        done();
        return undefined;
    } catch (error) {
        console.warn("secret storage could not be opened", error);
        return navigator.onLine ? "encryption.key.old" : "encryption.offline";
    }
}

function Reset({ back, close }: { back: () => void; close: () => void }) {
    const [isWaiting, setWaiting] = useState(false);
    const [isFailed, setFailed] = useState(false);
    const reset = async () => {
        const running = client.peek()!;
        setWaiting(true);
        setFailed(false);
        try {
            await beginAnew(running);
            opened.value = { kind: "save" };
        } catch (error) {
            if (!(error instanceof Cancelled)) setFailed(true);
        }
        setWaiting(false);
    };
    return (
        <Dialog
            title={words("encryption.reset.title")}
            close={close}
            actions={
                <>
                    <button class="secondary" onClick={back}>
                        {words("back")}
                    </button>
                    <button class="danger" disabled={isWaiting} onClick={() => void reset()}>
                        {words("encryption.reset")}
                    </button>
                </>
            }
        >
            <p>{words("encryption.reset.means")}</p>
            <ul class="encryption-list">
                <li>{words("encryption.reset.history")}</li>
                <li>{words("encryption.reset.devices")}</li>
                <li>{words("encryption.reset.people")}</li>
            </ul>
            {isFailed && <p role="alert">{words("encryption.failed")}</p>}
        </Dialog>
    );
}
