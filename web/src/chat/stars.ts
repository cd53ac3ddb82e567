// Messages that the person has marked with a star, in the chat's account data, where all their devices find them.

import type { MatrixClient, Room } from "matrix-js-sdk";

const TYPE = "org.linkspan.starred";
/** How many messages of one chat can have a star. The oldest stars go first. */
const MAX_STARS = 500;

export function starredIn(room: Room): Set<string> {
    const ids = room.getAccountData(TYPE as never)?.getContent<{ event_ids?: unknown }>().event_ids;
    return new Set(Array.isArray(ids) ? ids.filter((id): id is string => typeof id === "string") : []);
}

export async function setStar(client: MatrixClient, room: Room, id: string, isStarred: boolean): Promise<void> {
    const stars = starredIn(room);
    stars.delete(id);
    if (isStarred) stars.add(id);
    await client.setRoomAccountData(room.roomId, TYPE as never, { event_ids: [...stars].slice(-MAX_STARS) } as never);
}
