// Verifying others by short authentication strings; each step is told once.

import { CryptoEvent, VerificationPhase, VerificationRequestEvent, VerifierEvent } from "matrix-js-sdk/lib/crypto-api/index.js";
import { client, crypto, write } from "./session.mjs";

const SAS = "m.sas.v1";

// By user and flow: the request, what was told of it, and what is shown for comparison.
const flows = new Map();

const key = (user, flow) => `${user} ${flow}`;

export function followVerifications() {
    client.on(CryptoEvent.VerificationRequestReceived, (request) => follow(request, true));
}

function follow(request, received) {
    const flow = { request, told: new Set(), sas: undefined, followed: false };
    flows.set(key(request.otherUserId, request.transactionId), flow);
    if (received) tell(flow, "requested");
    request.on(VerificationRequestEvent.Change, () => change(flow));
    change(flow);
    return request.transactionId;
}

function tell(flow, state, more) {
    if (flow.told.has(state)) return;
    flow.told.add(state);
    const { otherUserId: user, otherDeviceId: device = null, transactionId } = flow.request;
    const line = { event: "verification", user, device, flow: transactionId, state, emoji: null, reason: null };
    write({ ...line, ...more });
}

async function change(flow) {
    const { request } = flow;
    if (request.verifier) compare(flow, request.verifier);
    switch (request.phase) {
        case VerificationPhase.Ready:
            return tell(flow, "ready");
        case VerificationPhase.Done:
            // Signatures may go out after the other side's last message only.
            await crypto().outgoingRequestsManager.doProcessOutgoingRequests();
            return tell(flow, "done");
        case VerificationPhase.Cancelled:
            return tell(flow, "cancelled", { reason: request.cancellationCode });
    }
}

// Takes part in the comparison that either side has begun.
function compare(flow, verifier) {
    if (flow.followed) return;
    flow.followed = true;
    verifier.on(VerifierEvent.ShowSas, (sas) => show(flow, sas));
    const shown = verifier.getShowSasCallbacks();
    if (shown) show(flow, shown);
    // How it ended, the request says.
    verifier.verify().catch(() => {});
}

function show(flow, sas) {
    flow.sas = sas;
    tell(flow, "emoji", { emoji: sas.sas.emoji.map(([, name]) => name.toLowerCase()) });
}

function find(user, flow) {
    const found = flows.get(key(user, flow));
    if (!found) throw new Error(`there is no verification ${flow} with ${user}`);
    return found;
}

export const commands = {
    async verify({ user, device, room }) {
        const request = room
            ? await crypto().requestVerificationDM(user, room)
            : await crypto().requestDeviceVerification(user, device);
        return follow(request, false);
    },
    verification_accept: ({ user, flow }) => find(user, flow).request.accept(),
    async verification_start({ user, flow }) {
        const found = find(user, flow);
        compare(found, await found.request.startVerification(SAS));
    },
    sas_confirm: ({ user, flow }) => find(user, flow).sas.confirm(),
    sas_mismatch: ({ user, flow }) => find(user, flow).sas.mismatch(),
    verification_cancel: ({ user, flow }) => find(user, flow).request.cancel(),
};
