// Comparing keys with another device of the person, or with somebody else, step by step.

import { useEffect, useState } from "preact/hooks";
import type { ShowSasCallbacks, VerificationRequest } from "matrix-js-sdk/lib/crypto-api/index.js";

import { client } from "../sync/running";
import { Icon } from "../ui/icon";
import { words, type WordsId } from "../words";
import { type Step, useStep } from "./request-state";
import { ScanCode, ShowCode } from "./qr";
import { takeUpBackup } from "./setup";
import { tried } from "./tried";

interface StepsProps {
    request: VerificationRequest;
    /** What the other person is called; nothing if it is another device of the person. */
    name?: string | undefined;
    close: () => void;
    /** Leads back to where the person can choose another way. */
    again?: (() => void) | undefined;
}

export function Steps({ request, name, close, again }: StepsProps) {
    const step = useStep(request);
    useEffect(() => {
        if (step.at === "done" && request.isSelfVerification && client.peek()) void tried(takeUpBackup(client.peek()!));
    }, [step.at]);
    switch (step.at) {
        case "waiting":
            return <Waiting>{name ? words("encryption.wait.person", { name }) : words("encryption.wait.device")}</Waiting>;
        case "asked":
            return <Asked request={request} name={name} close={close} />;
        case "ready":
            return <Ready request={request} />;
        case "starting":
            return <Waiting>{words("encryption.wait.start")}</Waiting>;
        case "emoji":
            return <Emoji sas={step.sas} name={name} />;
        case "scanned":
            return <Scanned step={step} name={name} />;
        case "done":
            return <Done name={name} close={close} />;
        case "cancelled":
            return (
                <div class="encryption-steps">
                    <p role="alert">{words(ENDED[step.why])}</p>
                    <div class="encryption-actions">
                        {again && (
                            <button class="secondary" onClick={again}>
                                {words("encryption.again")}
                            </button>
                        )}
                        <button class="secondary" onClick={close}>
                            {words("close")}
                        </button>
                    </div>
                </div>
            );
    }
}

const ENDED: Record<Extract<Step, { at: "cancelled" }>["why"], WordsId> = {
    other: "encryption.ended.other",
    time: "encryption.ended.time",
    mismatch: "encryption.ended.mismatch",
    own: "encryption.ended.elsewhere",
};

function Waiting({ children }: { children: string }) {
    return (
        <div class="encryption-steps">
            <span class="encryption-waiting" aria-hidden="true" />
            <p role="status">{children}</p>
        </div>
    );
}

function Asked({ request, name, close }: { request: VerificationRequest; name?: string | undefined; close: () => void }) {
    return (
        <div class="encryption-steps">
            <p>{name ? words("encryption.asked.person", { name }) : words("encryption.asked.device")}</p>
            <div class="encryption-actions">
                <button
                    class="secondary"
                    onClick={() => {
                        void request.cancel();
                        close();
                    }}
                >
                    {words(name ? "encryption.asked.no" : "encryption.asked.not_me")}
                </button>
                <button class="primary" onClick={() => void tried(request.accept())}>
                    {words(name ? "encryption.asked.yes" : "encryption.asked.me")}
                </button>
            </div>
        </div>
    );
}

/** Both sides are there. A code to scan is shown where the other side can scan; pictures can always be compared. */
function Ready({ request }: { request: VerificationRequest }) {
    const [code, setCode] = useState<Uint8ClampedArray>();
    const [isScanning, setScanning] = useState(false);
    const mayScan = request.otherPartySupportsMethod("m.qr_code.show.v1") && !!navigator.mediaDevices;
    useEffect(() => {
        // Without a code, pictures can be compared.
        request.generateQRCode().then(setCode, console.warn);
    }, [request]);
    const compare = () => void tried(request.startVerification("m.sas.v1"));
    if (isScanning) return <ScanCode request={request} close={() => setScanning(false)} />;
    return (
        <div class="encryption-steps">
            {code && (
                <>
                    <p>{words("encryption.qr.show")}</p>
                    <ShowCode data={code} />
                </>
            )}
            <div class="encryption-choices">
                {mayScan && (
                    <button class="encryption-choice" onClick={() => setScanning(true)}>
                        <Icon name="picture" />
                        <span>{words("encryption.qr.scan")}</span>
                    </button>
                )}
                <button class="encryption-choice" onClick={compare}>
                    <Icon name="emoji" />
                    <span>
                        {words("encryption.emoji.compare")}
                        <small>{words("encryption.emoji.compare.hint")}</small>
                    </span>
                </button>
            </div>
        </div>
    );
}

function Emoji({ sas, name }: { sas: ShowSasCallbacks; name?: string | undefined }) {
    const [isSaid, setSaid] = useState(false);
    if (isSaid) return <Waiting>{words("encryption.emoji.wait")}</Waiting>;
    return (
        <div class="encryption-steps">
            <p>{name ? words("encryption.emoji.person", { name }) : words("encryption.emoji.device")}</p>
            <ol class="encryption-emoji" aria-label={words("encryption.emoji")}>
                {sas.sas.emoji?.map(([picture, called], at) => (
                    <li key={at}>
                        <span aria-hidden="true">{picture}</span>
                        <small>{words(`encryption.emoji.${called.toLowerCase().replace(" ", "_")}` as WordsId)}</small>
                    </li>
                ))}
            </ol>
            <div class="encryption-actions">
                <button class="secondary" onClick={() => sas.mismatch()}>
                    {words("encryption.emoji.no")}
                </button>
                <button
                    class="primary"
                    onClick={() => {
                        setSaid(true);
                        void tried(sas.confirm()).then((isDone) => setSaid(isDone));
                    }}
                >
                    {words("encryption.emoji.yes")}
                </button>
            </div>
        </div>
    );
}

function Scanned({ step, name }: { step: Extract<Step, { at: "scanned" }>; name?: string | undefined }) {
    const [isSaid, setSaid] = useState(false);
    if (isSaid) return <Waiting>{words("encryption.emoji.wait")}</Waiting>;
    return (
        <div class="encryption-steps">
            <p>{name ? words("encryption.qr.scanned.person", { name }) : words("encryption.qr.scanned")}</p>
            <div class="encryption-actions">
                <button class="secondary" onClick={() => step.qr.cancel()}>
                    {words("encryption.qr.scanned.no")}
                </button>
                <button
                    class="primary"
                    onClick={() => {
                        setSaid(true);
                        step.qr.confirm();
                    }}
                >
                    {words("encryption.qr.scanned.yes")}
                </button>
            </div>
        </div>
    );
}

function Done({ name, close }: { name?: string | undefined; close: () => void }) {
    return (
        <div class="encryption-steps">
            <span class="encryption-done">
                <Icon name="verified" />
            </span>
            <p role="status">{name ? words("encryption.done.person", { name }) : words("encryption.done.device")}</p>
            <div class="encryption-actions">
                <button class="primary" onClick={close}>
                    {words("encryption.done")}
                </button>
            </div>
        </div>
    );
}
