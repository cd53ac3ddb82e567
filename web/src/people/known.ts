// Waiting for what the server has done to arrive at the client.

import { running, sdk } from "../sync/running";

/**
 * Waits until the client knows that the person is in a chat, and how it is encrypted: before that it could show nothing, and would
 * send in the clear.
 */
export async function known(roomId: string): Promise<void> {
    const there = await running();
    const isKnown = async () => {
        const room = there.getRoom(roomId);
        if (!room || room.getMyMembership() !== "join") return false;
        return !room.hasEncryptionStateEvent() || (await there.getCrypto()?.isEncryptionEnabledInRoom(roomId)) === true;
    };
    if (await isKnown()) return;
    const { ClientEvent } = await sdk();
    await new Promise<void>((done) => {
        const look = () =>
            void isKnown().then((is) => {
                if (!is) return;
                there.off(ClientEvent.Sync, look);
                done();
            });
        there.on(ClientEvent.Sync, look);
        look();
    });
}
