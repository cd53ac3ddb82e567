// Says in a chat that somebody's keys have changed, or that somebody cannot read what is written. Most often it is a new phone
// or an old app, so it is said calmly.

import "./encryption.css";

import type { Room } from "matrix-js-sdk";
import { useEffect, useState } from "preact/hooks";

import { memberName, personName } from "../chats/names";
import { client } from "../sync/running";
import { Icon } from "../ui/icon";
import { words } from "../words";
import { isUnconfirmed } from "./hindrance";
import { accept, changes, lookAt, recipients } from "./identities";
import { lookAtRecipients, unreached } from "./recipients";
import { tried } from "./tried";
import VerifyDialog from "./verify";

export default function IdentityNotice({ roomId }: { roomId: string }) {
    const here = client.value;
    const room = here?.getRoom(roomId);
    const [compared, setCompared] = useState<string>();
    useEffect(() => {
        if (!here || !room) return;
        lookAt(here, room).catch((error: unknown) => console.info("whose keys have changed is not known", error));
        void lookAtRecipients(here, room).catch((error: unknown) => console.info("who can read here is not known", error));
    }, [here, room]);
    if (!here || !room) return null;
    const people = new Set(recipients(room));
    const changed = [...changes.value].find(([userId]) => people.has(userId));
    if (!changed) {
        return (
            <>
                <Unreached room={room} />
                {compared && <VerifyDialog userId={compared} close={() => setCompared(undefined)} />}
            </>
        );
    }
    const [userId, change] = changed;
    const name = personName(userId, room.getMember(userId)?.rawDisplayName);
    return (
        <aside class="encryption-notice" role="status">
            <Icon name="info" />
            <p>
                <b>{words("encryption.identity.changed", { name })}</b>{" "}
                {words(change === "changed" ? "encryption.identity.changed.hint" : "encryption.identity.verified.hint", { name })}
            </p>
            <button class="quiet" onClick={() => setCompared(userId)}>
                {words("encryption.identity.compare")}
            </button>
            <button class="quiet" onClick={() => void tried(accept(here, userId))}>
                {words("encryption.identity.accept")}
            </button>
            {compared && <VerifyDialog userId={compared} close={() => setCompared(undefined)} />}
        </aside>
    );
}

/** Who cannot read what is written here, and what they can do about it. */
function Unreached({ room }: { room: Room }) {
    const people = [...unreached.value].flatMap((userId) => room.getMember(userId) ?? []);
    const there = people.filter(({ membership }) => membership === "join" || membership === "invite");
    if (!room.hasEncryptionStateEvent() || there.length === 0 || isUnconfirmed(room)) return null;
    const said = { count: there.length, name: memberName(there[0]!) };
    return (
        <aside class="encryption-notice" role="status">
            <Icon name="info" />
            <p>
                <b>{words("encryption.unreached", said)}</b> {words("encryption.unreached.hint", said)}
            </p>
        </aside>
    );
}
