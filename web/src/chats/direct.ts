// Who a chat of two is with, and which chat there is with somebody.

import type { MatrixClient, MatrixEvent, Room } from "matrix-js-sdk";

let read: { event?: MatrixEvent; people: Map<string, string> } = { people: new Map() };

/** The people of direct chats by the ids of the rooms, as the person's account data name them. */
function directPeople(client: MatrixClient): Map<string, string> {
    const event = client.getAccountData("m.direct" as never) as MatrixEvent | undefined;
    if (event !== read.event) {
        const lists = Object.entries((event?.getContent() ?? {}) as Record<string, unknown>);
        const pairs = lists.flatMap(([userId, rooms]) => (Array.isArray(rooms) ? rooms.map((room): [string, string] => [room, userId]) : []));
        read = { event, people: new Map(pairs) };
    }
    return read.people;
}

/** The user id of the other person in a chat of two, or undefined in a group. */
export function otherPerson(client: MatrixClient, room: Room): string | undefined {
    const isOfTwo = room.getInvitedAndJoinedMemberCount() <= 2;
    const named = directPeople(client).get(room.roomId);
    // Somebody may have brought others into what the person's account data name as a chat of two.
    if (named && isOfTwo) return named;
    if (room.getMyMembership() === "invite") return room.getDMInviter();
    const hasName = room.currentState.getStateEvents("m.room.name", "")?.getContent().name;
    if (hasName || !isOfTwo) return undefined;
    return room.getAvatarFallbackMember()?.userId;
}

/** The chat of two with somebody that the person is in, the newest if there are several. */
export function directChat(client: MatrixClient, userId: string): string | undefined {
    const rooms = client.getVisibleRooms().filter((room) => room.getMyMembership() === "join" && otherPerson(client, room) === userId);
    rooms.sort((one, other) => other.getLastActiveTimestamp() - one.getLastActiveTimestamp());
    return rooms[0]?.roomId;
}

/** Notes in the account data that a chat is one of two. */
export async function noteDirect(client: MatrixClient, userId: string, roomId: string): Promise<void> {
    const event = client.getAccountData("m.direct" as never) as MatrixEvent | undefined;
    const noted = { ...((event?.getContent() ?? {}) as Record<string, string[]>) };
    if (noted[userId]?.includes(roomId)) return;
    noted[userId] = [...(noted[userId] ?? []), roomId];
    await client.setAccountData("m.direct" as never, noted as never);
}
