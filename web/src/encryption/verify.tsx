// Comparing keys with somebody, so that both know that nobody is between them. It is opened from the card of a contact.

import "./encryption.css";

import { useEffect, useState } from "preact/hooks";
import type { MatrixClient, Room } from "matrix-js-sdk";
import type { VerificationRequest } from "matrix-js-sdk/lib/crypto-api/index.js";

import { otherPerson } from "../chats/direct";
import { personName } from "../chats/names";
import { client } from "../sync/running";
import { Dialog } from "../ui/dialog";
import { words, type WordsId } from "../words";
import { Steps } from "./steps";

interface VerifyProps {
    userId: string;
    close: () => void;
}

export default function VerifyDialog({ userId, close }: VerifyProps) {
    const [request, setRequest] = useState<VerificationRequest>();
    const [problem, setProblem] = useState<WordsId>();
    const name = personName(userId, client.value?.getUser(userId)?.displayName);
    const begin = () => {
        setProblem(undefined);
        setRequest(undefined);
        ask(userId).then(
            (begun) => (begun ? setRequest(begun) : setProblem("encryption.verify.no_chat")),
            () => setProblem("encryption.failed"),
        );
    };
    useEffect(begin, [userId]);
    const leave = () => {
        if (request?.pending) void request.cancel();
        close();
    };
    return (
        <Dialog title={words("encryption.verify.title", { name })} close={leave}>
            {!request && <p role={problem && "alert"}>{words(problem ?? "encryption.verify.why", { name })}</p>}
            {request && <Steps request={request} name={name} close={close} again={begin} />}
        </Dialog>
    );
}

/** Asks somebody to compare keys, in the chat that there is with them alone. */
async function ask(userId: string): Promise<VerificationRequest | undefined> {
    const running = client.peek();
    const crypto = running?.getCrypto();
    if (!running || !crypto) return undefined;
    const room = await chatOfTwo(running, userId);
    if (!room) return undefined;
    const known = crypto.findVerificationRequestDMInProgress(room.roomId, userId);
    return known ?? (await crypto.requestVerificationDM(userId, room.roomId));
}

/** The chat in which there is nobody but the person and somebody else. Of a group, most members are not known before they are asked for. */
async function chatOfTwo(running: MatrixClient, userId: string): Promise<Room | undefined> {
    const rooms = running.getRooms().filter((room) => room.getMyMembership() === "join" && otherPerson(running, room) === userId);
    for (const room of rooms) {
        if (room.getJoinedMemberCount() !== 2) continue;
        await room.loadMembersIfNeeded();
        if (room.getJoinedMembers().length === 2 && room.getMember(userId)?.membership === "join") return room;
    }
    return undefined;
}
