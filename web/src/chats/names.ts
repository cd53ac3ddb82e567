// What people and chats are called, without an id that nobody can read.

import type { RoomNameState } from "matrix-js-sdk";

import { neighbours, platformName, serverOf } from "../platform";
import { words } from "../words";

/** The types of `RoomNameState`. The library has them as an enum of numbers, which its types alone do not carry. */
const EMPTY = 0;
const GENERATED = 1;

/** What somebody is called whose display name may be missing: by their handle, or by where they are. */
export function personName(userId: string, displayName?: string | null): string {
    if (displayName && displayName !== userId) return displayName;
    const server = serverOf(userId);
    const isPhone = neighbours.peek().find((neighbour) => neighbour.server_name === server)?.identity === "phone";
    return isPhone ? words("people.somebody", { platform: platformName(server) }) : userId.slice(1, userId.indexOf(":"));
}

/** What a member of a chat is called. */
export function memberName(member: { userId: string; rawDisplayName: string }): string {
    return personName(member.userId, member.rawDisplayName);
}

/** A name that the library has made for the name of a chat. Where two people have the same one, it adds their ids. */
function readable(name: string): string {
    return /^@[^ ]+:[^ ]+$/.test(name) ? personName(name) : name.replace(/ \(@[^ ]+:[^ ]+\)$/, "");
}

/** The name of a chat, in the language of the person. */
export function chatName(_roomId: string, state: RoomNameState): string | null {
    if ((state.type as number) === EMPTY) return words("chats.nobody");
    if ((state.type as number) !== GENERATED) return null;
    const { names, count } = state as { names: string[]; count: number };
    const people = names.map(readable);
    if (people.length === 0) return words("chats.nobody");
    const others = count - 1 - people.length;
    return others > 0 ? words("chats.and_others", { names: people.join(", "), count: others }) : people.join(", ");
}
