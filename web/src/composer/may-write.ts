// Whether somebody can write in a chat, and what is said where they cannot.

import type { Room, RoomMember } from "matrix-js-sdk";
import { useEffect, useReducer } from "preact/hooks";

import { isBlocked } from "../chats/actions";
import { otherPerson } from "../chats/direct";
import { memberName } from "../chats/names";
import { client, sdk } from "../sync/running";
import { words } from "../words";

/** The room of a chat, once the client knows it. Draws again when what somebody may do in it may have changed. */
export function useRoom(id: string): Room | undefined {
    const running = client.value;
    const [, redraw] = useReducer((count: number) => count + 1, 0);
    useEffect(() => {
        if (!running) return;
        const ended = new AbortController();
        const changed = (room: { roomId: string }) => room.roomId === id && redraw(undefined as never);
        void sdk().then(({ ClientEvent, RoomEvent, RoomStateEvent }) => {
            if (ended.signal.aborted) return;
            running.on(ClientEvent.Room, changed);
            running.on(RoomStateEvent.Update, changed);
            running.on(RoomEvent.MyMembership, changed);
            ended.signal.addEventListener("abort", () => {
                running.off(ClientEvent.Room, changed);
                running.off(RoomStateEvent.Update, changed);
                running.off(RoomEvent.MyMembership, changed);
            });
            changed({ roomId: id });
        });
        return () => ended.abort();
    }, [running, id]);
    return running?.getRoom(id) ?? undefined;
}

/** Why somebody cannot write here, as a sentence; nothing if they can. */
export function reasonNotToWrite(room: Room): string | undefined {
    const own = room.client.getSafeUserId();
    switch (room.getMyMembership()) {
        case "invite":
            return words("composer.closed.invited");
        case "ban":
            return words("composer.closed.banned");
        case "leave":
            return words(room.getMember(own)?.events.member?.getSender() === own ? "composer.closed.left" : "composer.closed.removed");
    }
    if (room.currentState.getStateEvents("m.room.tombstone", "")) return words("composer.closed.moved");
    if (!room.currentState.maySendMessage(own)) return words("composer.closed.read_only");
    const other = onlyOther(room);
    if (!other) return undefined;
    if (isBlocked(other.userId)) return words("composer.closed.blocked", { name: memberName(other) });
    return other.membership === "leave" || other.membership === "ban" ? words("composer.closed.alone", { name: memberName(other) }) : undefined;
}

/** Who has not answered an invitation to a chat of two yet. */
export function waitsFor(room: Room): RoomMember | undefined {
    const other = onlyOther(room);
    return other?.membership === "invite" ? other : undefined;
}

/** The other person of a chat of two, even if they have left it. */
function onlyOther(room: Room): RoomMember | undefined {
    const userId = otherPerson(room.client, room);
    return userId && room.getInvitedAndJoinedMemberCount() <= 2 ? (room.getMember(userId) ?? undefined) : undefined;
}
