// A comparison of keys with another device or another person, as the screen follows it.

import { useEffect, useReducer, useState } from "preact/hooks";
import type { ShowQrCodeCallbacks, ShowSasCallbacks, VerificationRequest, VerificationRequestEvent, Verifier, VerifierEvent } from "matrix-js-sdk/lib/crypto-api/index.js";

export type Step =
    /** The other side has not answered yet. */
    | { at: "waiting" }
    /** The other side asks, and this one has not answered. */
    | { at: "asked" }
    /** Both are there: one shows a code that the other scans, or both compare pictures. */
    | { at: "ready" }
    /** The two sides agree on what is compared. */
    | { at: "starting" }
    | { at: "emoji"; sas: ShowSasCallbacks }
    /** The other side has scanned the code, and says so. */
    | { at: "scanned"; qr: ShowQrCodeCallbacks }
    | { at: "done" }
    | { at: "cancelled"; why: "other" | "time" | "mismatch" | "own" };

/** The phases of a request in the library's numbers. */
const PHASES = { requested: 2, ready: 3, started: 4, cancelled: 5, done: 6 };

/** The step at which a request is. The component is drawn anew when that changes. */
export function useStep(request: VerificationRequest): Step {
    const [, redraw] = useReducer((count: number) => count + 1, 0);
    const [verifier, setVerifier] = useState<Verifier | undefined>(request.verifier);
    useEffect(() => {
        const changed = () => {
            setVerifier(request.verifier);
            redraw(undefined as never);
        };
        request.on("change" as VerificationRequestEvent.Change, changed);
        changed();
        return () => void request.off("change" as VerificationRequestEvent.Change, changed);
    }, [request]);
    useEffect(() => {
        if (!verifier) return;
        const changed = () => redraw(undefined as never);
        verifier.on("show_sas" as VerifierEvent.ShowSas, changed);
        verifier.on("show_reciprocate_qr" as VerifierEvent.ShowReciprocateQr, changed);
        // It says for itself how it ends: the request then has another phase.
        void verifier.verify().catch(() => changed());
        return () => {
            verifier.off("show_sas" as VerifierEvent.ShowSas, changed);
            verifier.off("show_reciprocate_qr" as VerifierEvent.ShowReciprocateQr, changed);
        };
    }, [verifier]);
    return stepOf(request, verifier);
}

function stepOf(request: VerificationRequest, verifier: Verifier | undefined): Step {
    const phase: number = request.phase;
    if (phase === PHASES.done) return { at: "done" };
    if (phase === PHASES.cancelled) return { at: "cancelled", why: why(request) };
    if (phase === PHASES.started) {
        const sas = verifier?.getShowSasCallbacks();
        if (sas) return { at: "emoji", sas };
        const qr = verifier?.getReciprocateQrCodeCallbacks();
        if (qr) return { at: "scanned", qr };
        return { at: "starting" };
    }
    if (phase === PHASES.ready) return { at: "ready" };
    return request.initiatedByMe || request.accepting ? { at: "waiting" } : { at: "asked" };
}

function why(request: VerificationRequest): "other" | "time" | "mismatch" | "own" {
    const code = request.cancellationCode;
    if (code === "m.timeout") return "time";
    if (code === "m.mismatched_sas" || code === "m.key_mismatch" || code === "m.mismatched_commitment") return "mismatch";
    return code === "m.accepted" ? "own" : "other";
}
