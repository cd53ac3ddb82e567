// One client of the library, from its making to its end, and all that follows what it hears.

import type { MatrixClient, Room } from "matrix-js-sdk";

import type { Keeper } from "../chat/keeper";
import { ListFollower } from "../chats/rows";
import type { SeenMessages } from "../chats/seen";
import { deviceOf, noteDevice, type Session } from "../session/session";
import { isRefusal } from "./ask";
import { Connection } from "./connection";
import { Line } from "./line";
import { log } from "./log";
import { sdk } from "./running";
import { KeepingStore } from "./store";

/** How many events of each chat come at first. */
const FIRST_EVENTS = 1;
/** How long a client may take to end what it is doing, apart from what is to be kept of it, in milliseconds. */
const END_MS = 3000;

/** Everything that speaks for one session. */
export interface Running {
    session: Session;
    client: MatrixClient;
    store: KeepingStore;
    connection: Connection;
    line: Line;
    follower: ListFollower;
    seen: SeenMessages;
    /** Settled when what is done about encryption at the start is done, or could not be for now. */
    settled: Promise<unknown>;
    /** Whether the server no longer takes its token, and whether the person can come back to what is kept then. */
    hasEnded: boolean;
    isKept: boolean;
    /** There is one once the chats are known. */
    keeper?: Keeper;
}

/** Who hears of a client. */
export interface Heard {
    /** It knows the chats. Answers whether it still speaks for the session. */
    prepared: (there: Running) => boolean;
    /** A sync came or failed; whether it failed because the account is locked. */
    synced: (there: Running, isLocked: boolean) => void;
    /** The server no longer takes its token. */
    loggedOut: (there: Running) => void;
}

type Code = Awaited<ReturnType<typeof load>>;

/** Loads the code that a client needs. It is there before the stores are opened, because the network may take as long as it likes. */
export async function load() {
    const encryption = import("@matrix-org/matrix-sdk-crypto-wasm").then(({ initAsync }) => initAsync());
    const parts = [sdk(), import("../encryption/secrets"), import("../encryption/setup"), import("../chats/seen")] as const;
    const rust = import("matrix-js-sdk/lib/rust-crypto/index.js");
    const [library, { secretCallbacksOf }, { settle }, { followMessages }] = await Promise.all([...parts, encryption, rust]);
    return { library, secretCallbacksOf, settle, followMessages };
}

/** What the databases of the library are called: those of two accounts are apart. */
const databaseOf = (userId: string) => `linkspan-${userId}`;

export function make(session: Session, { library, secretCallbacksOf, followMessages }: Code, wanted: AbortSignal): Running {
    const { userId, deviceId, accessToken } = session;
    const { indexedDB, localStorage } = window;
    const store = new library.IndexedDBStore({ indexedDB, localStorage, dbName: databaseOf(userId) });
    const line = new Line();
    wanted.addEventListener("abort", () => line.cut(), { once: true });
    const made = library.createClient({
        baseUrl: location.origin,
        userId,
        deviceId,
        accessToken,
        fetchFn: line.fetch,
        store,
        timelineSupport: true,
        disableVoip: true,
        cryptoCallbacks: secretCallbacksOf(userId),
        logger: log,
    });
    return {
        session,
        client: made,
        store: new KeepingStore(made, store),
        connection: new Connection(made),
        line,
        follower: new ListFollower(made),
        seen: followMessages(made, library),
        settled: Promise.resolve(),
        hasEnded: false,
        isKept: false,
    };
}

/** Opens the stores, and has the client sync. */
export async function run(there: Running, { library, settle }: Code, wanted: AbortSignal): Promise<void> {
    const { client, session } = there;
    const cryptoDatabasePrefix = databaseOf(session.userId);
    if (isOfAnotherDevice(session)) await client.clearStores({ cryptoDatabasePrefix });
    noteDevice(session);
    // A sync takes keys from the server for good, so whoever keeps them has to be there before it begins.
    await Promise.all([client.store.startup(), client.initRustCrypto({ cryptoDatabasePrefix })]);
    performance.mark("stores are open");
    if (wanted.aborted) return;
    const attempted = (attempt: Promise<unknown>) => (there.settled = attempt);
    settle(client, wanted, attempted).catch((error: unknown) => console.warn("encryption is not complete", error));
    await client.startClient({
        lazyLoadMembers: true,
        initialSyncLimit: FIRST_EVENTS,
        threadSupport: false,
        pendingEventOrdering: library.PendingEventOrdering.Detached,
    });
    void import("./notifications").then(({ followNotifications }) => followNotifications(client));
}

/** Keys of one device are of no use to another, so they go when the account has logged in again as a new one. */
function isOfAnotherDevice(session: Session): boolean {
    const kept = deviceOf(session.userId);
    return kept !== undefined && kept !== session.deviceId;
}

/** Has everything follow what the client hears. */
export function listen(there: Running, { library }: Code, heard: Heard): void {
    const { client: made, line, follower } = there;
    const { ClientEvent, RoomEvent, RoomMemberEvent, MatrixEventEvent, HttpApiEvent } = library;
    follower.listen(library);
    made.on(ClientEvent.Sync, (state, _before, data) => {
        heard.synced(there, isRefusal(data?.error, "M_USER_LOCKED"));
        // Whichever way a sync has failed, nothing of it is worked on any more.
        if (state === "ERROR" || state === "RECONNECTING" || state === "STOPPED") line.handled();
        if (state !== "PREPARED" || !heard.prepared(there)) return;
        performance.mark("chats are there");
        follower.noteAll();
        void import("../chat/keeper").then(({ Keeper }) => {
            if (!line.isCut) there.keeper ??= new Keeper(made, library);
        });
    });
    const note = (room: Room | undefined) => room && follower.note(room);
    made.on(ClientEvent.Room, note);
    made.on(RoomEvent.Timeline, (_event, room) => note(room));
    made.on(RoomEvent.LocalEchoUpdated, (_event, room) => note(room));
    made.on(RoomEvent.Name, note);
    made.on(RoomEvent.MyMembership, note);
    made.on(RoomEvent.Receipt, (_event, room) => note(room));
    made.on(RoomEvent.Redaction, (_event, room) => note(room));
    made.on(RoomMemberEvent.Name, (_event, member) => note(made.getRoom(member.roomId) ?? undefined));
    made.on(MatrixEventEvent.Decrypted, (event) => note(made.getRoom(event.getRoomId()) ?? undefined));
    made.on(HttpApiEvent.SessionLoggedOut, (error) => {
        if (there.hasEnded) return;
        there.hasEnded = true;
        there.isKept = error.data.soft_logout === true;
        heard.loggedOut(there);
    });
}

/** Ends a client, and keeps what it knows; nothing is kept any more of an account that has logged out. */
export async function stop(there: Running, isForGood: boolean): Promise<void> {
    const { client, store, connection, line, follower, seen, settled, keeper } = there;
    connection.close();
    keeper?.close();
    follower.close();
    line.cut();
    const late = new Promise((done) => setTimeout(done, END_MS));
    const isQuiet = line.quiet();
    if (isForGood) {
        store.forget();
        await Promise.race([Promise.all([isQuiet, settled]), late]);
    } else {
        // What came in a sync is gone from the server, so it is worked on to its end, however long that takes.
        await Promise.all([isQuiet, Promise.race([settled, late])]);
        await store.close();
    }
    await seen.close(isForGood);
    client.stopClient();
    await client.store.destroy();
}
