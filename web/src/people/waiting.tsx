// What the sender of a request sees until it is accepted.

import { otherPerson } from "../chats/direct";
import { rowOfChat } from "../chats/rows";
import { client } from "../sync/running";
import { words } from "../words";
import { personOf } from "./person";

/** Says whom a chat of two waits for; nothing once they have come. */
export function Waiting({ id }: { id: string }) {
    const isWaiting = rowOfChat(id)?.value.isWaiting;
    const there = client.value;
    const room = there?.getRoom(id);
    const person = isWaiting && there && room ? otherPerson(there, room) : undefined;
    if (!person) return null;
    return <p class="hint centred">{words("people.waiting", { name: personOf(person).value.name })}</p>;
}
