// People of a chat as messages name them.

import type { Room } from "matrix-js-sdk";

import { personName } from "../chats/names";
import { mxcIn } from "../media/address";

export interface Person {
    id: string;
    name: string;
    /** The `mxc:` address of their picture. */
    avatar?: string;
}

export function personOf(room: Room, id: string): Person {
    // People who have said nothing since the app began came with their older messages, and are known as they were then.
    const member = room.getMember(id) ?? room.oldState.getMember(id);
    return { id, name: personName(id, member?.rawDisplayName), avatar: mxcIn(member?.getMxcAvatarUrl()) };
}
