// The groups that the person has in common with somebody.

import type { Method, Room } from "matrix-js-sdk";
import { useEffect, useState } from "preact/hooks";

import { otherPerson } from "../chats/direct";
import { running } from "../sync/running";

/** They are asked for, since a client knows the members of large groups only in part. */
async function sharedGroups(userId: string): Promise<Room[]> {
    const there = await running();
    const where = { prefix: "/_matrix/client/v1" };
    const { joined } = await there.http.authedRequest<{ joined: string[] }>("GET" as Method, "/mutual_rooms", { user_id: userId }, undefined, where);
    const rooms = joined.map((id) => there.getRoom(id)).filter((room) => room !== null);
    return rooms.filter((room) => room.getMyMembership() === "join" && !room.isSpaceRoom() && !otherPerson(there, room));
}

/** Undefined until the server has said which they are. */
export function useSharedGroups(userId: string): Room[] | undefined {
    const [groups, setGroups] = useState<Room[]>();
    useEffect(() => {
        let isGone = false;
        sharedGroups(userId).then((found) => isGone || setGroups(found), () => isGone || setGroups([]));
        return () => void (isGone = true);
    }, [userId]);
    return groups;
}
