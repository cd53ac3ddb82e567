// A chat that is drawn again when something of it changes: its state, its members, or what the person has set for it.

import type { MatrixClient, Room } from "matrix-js-sdk";
import { useEffect, useReducer } from "preact/hooks";

import { client, type Sdk, sdk } from "../sync/running";

export interface Followed {
    there: MatrixClient;
    room: Room;
}

/** How long changes are gathered before they are drawn, in milliseconds. */
const DRAW_AFTER_MS = 50;

export function useChat(id: string): Followed | undefined {
    const there = client.value;
    const [, draw] = useReducer((count: number) => count + 1, 0);
    useEffect(() => {
        if (!there) return;
        let stop: (() => void) | undefined;
        let isGone = false;
        void sdk().then((loaded) => {
            if (!isGone) stop = follow(there, id, loaded, () => draw(undefined as never));
        });
        return () => {
            isGone = true;
            stop?.();
        };
    }, [there, id]);
    const room = there?.getRoom(id);
    return there && room ? { there, room } : undefined;
}

function follow(there: MatrixClient, id: string, { ClientEvent, RoomEvent, RoomStateEvent }: Sdk, draw: () => void): () => void {
    let timer = 0;
    const changed = () => {
        timer ||= window.setTimeout(() => {
            timer = 0;
            draw();
        }, DRAW_AFTER_MS);
    };
    const onState = (_event: unknown, state: { roomId: string }) => state.roomId === id && changed();
    const onRoom = (room: Room) => room.roomId === id && changed();
    const onOther = () => changed();
    there.on(RoomStateEvent.Events, onState);
    there.on(RoomStateEvent.Members, onState);
    there.on(RoomEvent.Name, onRoom);
    there.on(RoomEvent.MyMembership, onRoom);
    there.on(ClientEvent.AccountData, onOther);
    return () => {
        clearTimeout(timer);
        there.off(RoomStateEvent.Events, onState);
        there.off(RoomStateEvent.Members, onState);
        there.off(RoomEvent.Name, onRoom);
        there.off(RoomEvent.MyMembership, onRoom);
        there.off(ClientEvent.AccountData, onOther);
    };
}
