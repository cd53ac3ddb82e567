// What the person has to know and do about encryption, when they have to.

import "./encryption.css";

import { useState } from "preact/hooks";
import type { VerificationRequest } from "matrix-js-sdk/lib/crypto-api/index.js";

import { personName } from "../chats/names";
import { client } from "../sync/running";
import { Dialog } from "../ui/dialog";
import { words } from "../words";
import Confirm from "./confirm";
import { opened } from "./opened";
import Save from "./save";
import { Steps } from "./steps";

export default function Encryption() {
    // Somebody may log out although the client cannot begin.
    if (!client.value && opened.value?.kind !== "leave") return null;
    const close = () => (opened.value = undefined);
    const dialog = opened.value;
    switch (dialog?.kind) {
        case "confirm":
            return <Confirm close={close} />;
        case "save":
            return <Save close={close} />;
        case "leave":
            return <Leave why={dialog.why} leave={dialog.leave} close={close} />;
        case "request":
            return <Request key={dialog.request.transactionId} request={dialog.request} close={close} />;
        default:
            return null;
    }
}

/** Another device of the person, or somebody else, asks to compare keys. */
function Request({ request, close }: { request: VerificationRequest; close: () => void }) {
    const [room] = useState(() => client.peek()?.getRoom(request.roomId));
    const name = request.isSelfVerification ? undefined : personName(request.otherUserId, room?.getMember(request.otherUserId)?.rawDisplayName);
    const leave = () => {
        if (request.pending) void request.cancel();
        close();
    };
    return (
        <Dialog title={words(name === undefined ? "encryption.request.device" : "encryption.request.person")} close={leave}>
            <Steps request={request} name={name} close={close} />
        </Dialog>
    );
}

/** Logging out where nothing would bring the messages back. */
function Leave({ why, leave, close }: { why: "unsaved" | "unreachable"; leave: () => void; close: () => void }) {
    return (
        <Dialog
            title={words("encryption.leave")}
            close={close}
            actions={
                <>
                    <button
                        class="danger"
                        onClick={() => {
                            close();
                            leave();
                        }}
                    >
                        {words("encryption.leave.go")}
                    </button>
                    {why === "unsaved" ? (
                        <button class="primary" onClick={() => (opened.value = { kind: "save" })}>
                            {words("encryption.leave.save")}
                        </button>
                    ) : (
                        <button class="primary" onClick={close}>
                            {words("encryption.leave.stay")}
                        </button>
                    )}
                </>
            }
        >
            <p>{words(why === "unsaved" ? "encryption.leave.why" : "encryption.leave.unreachable")}</p>
        </Dialog>
    );
}
