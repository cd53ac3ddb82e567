// Has the library take over many chats a few at a time: those that are kept, and those that come with the first sync of a log-in.
// By itself it takes all in one go, and with thousands of them nothing moves on the screen for seconds. It offers no way to say
// so, so one of its methods is changed here.

import { SyncApi } from "matrix-js-sdk/lib/sync.js";

/** How many chats are taken over at a time: as many as take about as long as a frame. */
const AT_A_TIME = 12;

interface About {
    fromCache?: boolean;
    /** What the sync goes on from. The first one goes on from nothing. */
    oldSyncToken?: string;
}

interface Synced {
    next_batch: string;
    rooms?: { join?: Record<string, JoinedRoom> };
}

interface JoinedRoom {
    timeline?: { events?: { origin_server_ts?: number }[] };
}

type Process = (this: SyncApi, about: About, data: Synced) => Promise<void>;

const library = SyncApi.prototype as unknown as { processSyncResponse: Process };
const processAtOnce = library.processSyncResponse;

library.processSyncResponse = async function (about, data) {
    const joined = Object.entries(data.rooms?.join ?? {});
    const hasAll = about.fromCache || !about.oldSyncToken;
    if (!hasAll || joined.length <= AT_A_TIME) return processAtOnce.call(this, about, data);
    // What somebody opens first is there first.
    joined.sort(([, one], [, other]) => lastTs(other) - lastTs(one));
    // Keys and devices come with the first part, whole. With what was kept come none, so the library asks nothing of the others.
    await processAtOnce.call(this, about, { ...data, rooms: { ...data.rooms, join: {} } });
    const asKept = { ...about, fromCache: true };
    for (let from = 0; from < joined.length; from += AT_A_TIME) {
        const join = Object.fromEntries(joined.slice(from, from + AT_A_TIME));
        await processAtOnce.call(this, asKept, { next_batch: data.next_batch, rooms: { join } });
        await letOthersRun();
    }
};

function lastTs({ timeline }: JoinedRoom): number {
    return timeline?.events?.at(-1)?.origin_server_ts ?? 0;
}

/** Lets the browser draw and answer. Unlike timers, messages come as soon in a tab that nobody sees. */
function letOthersRun(): Promise<void> {
    return new Promise((done) => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = () => {
            port1.close();
            done();
        };
        port2.postMessage(undefined);
    });
}
