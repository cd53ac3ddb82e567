// Beginning a chat with somebody, a group, and what the rules of platforms say of it before.

import type { ICreateRoomOpts, MatrixClient } from "matrix-js-sdk";

import { TIMER } from "../chat/disappears";
import { directChat, noteDirect } from "../chats/direct";
import { textContent } from "../composer/content";
import { send } from "../composer/outbox";
import { neighbours, platform, platformName, serverOf } from "../platform";
import { uploadPicture } from "../settings/picture";
import { ask } from "../sync/ask";
import { running } from "../sync/running";
import { known } from "./known";

/** Whether chats with people of these servers are encrypted, or why there can be none. */
export type Encryption = { is: boolean } | { demands: string; forbids: string };

/** Chats are encrypted wherever no platform forbids it. */
export function encryptionWith(servers: string[]): Encryption {
    const own = platform.value;
    const rules = new Map(neighbours.value.map(({ server_name, encryption }) => [server_name, encryption]));
    if (own) rules.set(own.server_name, own.encryption);
    const all = [own?.server_name ?? "", ...servers];
    const demands = all.find((server) => rules.get(server) === "required");
    const forbids = all.find((server) => rules.get(server) === "forbidden");
    if (demands && forbids) return { demands: platformName(demands), forbids: platformName(forbids) };
    return { is: !forbids };
}

/** The state events that a chat begins with. */
function stateOf(isEncrypted: boolean, timer?: number): ICreateRoomOpts["initial_state"] {
    const encryption = { type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } };
    const disappearing = { type: TIMER, state_key: "", content: { type: "after_send", timer } };
    return [...(isEncrypted ? [encryption] : []), ...(timer ? [disappearing] : [])];
}

/** The rooms of chats of two that are not complete yet, by user id or address. */
const made = new WeakMap<MatrixClient, Map<string, string>>();

/** Makes a room for a chat of two if there is none, and does what belongs to it. The next attempt goes on with the same room. */
async function makeOnce(there: MatrixClient, name: string, options: ICreateRoomOpts, complete: (room: string) => Promise<unknown>): Promise<string> {
    const rooms = made.get(there) ?? new Map<string, string>();
    made.set(there, rooms);
    const room = rooms.get(name) ?? directChat(there, name) ?? (await there.createRoom({ ...options, is_direct: true })).room_id;
    rooms.set(name, room);
    await complete(room);
    await known(room);
    rooms.delete(name);
    return room;
}

/** Begins a chat of two by its first message. If there is such a chat by now, the message goes there. */
export async function beginChat(userId: string, text: string): Promise<string> {
    const there = await running();
    const encryption = encryptionWith([serverOf(userId)]);
    const options = {
        preset: "trusted_private_chat" as never,
        invite: [userId],
        initial_state: stateOf("is" in encryption && encryption.is),
    };
    const room = await makeOnce(there, userId, options, (id) => noteDirect(there, userId, id));
    send({ roomId: room, content: textContent(text, []) });
    return room;
}

/** Begins a chat of two with whoever has an address, who may have no account yet. */
export async function beginChatByAddress(address: { medium: "email" | "msisdn"; address: string }): Promise<string> {
    const there = await running();
    const encryption = encryptionWith(neighbours.value.map(({ server_name }) => server_name));
    const isEncrypted = "is" in encryption ? encryption.is : platform.value?.encryption === "required";
    const options = { preset: "private_chat" as never, initial_state: stateOf(isEncrypted) };
    return makeOnce(there, address.address, options, (id) =>
        ask("POST", `/rooms/${encodeURIComponent(id)}/invite_by_address`, { ...address, is_direct: true }),
    );
}

export interface NewGroup {
    name: string;
    picture?: Blob;
    people: string[];
    /** How long its messages stay, in milliseconds; for good without it. */
    timer?: number;
}

/** Begins a group. */
export async function beginGroup({ name, picture, people, timer }: NewGroup): Promise<string> {
    const there = await running();
    const encryption = encryptionWith(people.map(serverOf));
    const avatar = picture && (await uploadPicture(there, picture));
    const { room_id } = await there.createRoom({
        name,
        preset: "private_chat" as never,
        invite: people,
        initial_state: [
            ...stateOf("is" in encryption && encryption.is, timer)!,
            ...(avatar ? [{ type: "m.room.avatar", state_key: "", content: { url: avatar } }] : []),
        ],
    });
    await known(room_id);
    return room_id;
}
