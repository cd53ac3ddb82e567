// The parts of the library that the app uses. Its entry takes in all others too: widgets, calls in groups, single sign-on, and
// the stores of an encryption that it no longer has. Types come from the entry, since they cost nothing.

import "./slices";

import type { MatrixClient as Client, ICreateClientOpts } from "matrix-js-sdk";
import { MatrixClient } from "matrix-js-sdk/lib/client.js";
import { MatrixScheduler } from "matrix-js-sdk/lib/scheduler.js";

export { EventType } from "matrix-js-sdk/lib/@types/event.js";
export { ClientEvent, PendingEventOrdering } from "matrix-js-sdk/lib/client.js";
export { HttpApiEvent, Method } from "matrix-js-sdk/lib/http-api/index.js";
export { EventStatus } from "matrix-js-sdk/lib/models/event-status.js";
export { MatrixEvent, MatrixEventEvent } from "matrix-js-sdk/lib/models/event.js";
export { RoomMemberEvent } from "matrix-js-sdk/lib/models/room-member.js";
export { RoomStateEvent } from "matrix-js-sdk/lib/models/room-state.js";
export { RoomEvent } from "matrix-js-sdk/lib/models/room.js";
export { UserEvent } from "matrix-js-sdk/lib/models/user.js";
export { IndexedDBStore } from "matrix-js-sdk/lib/store/indexeddb.js";

/** Makes a client. One that has no scheduler would send messages in any order. */
export function createClient(options: ICreateClientOpts): Client {
    return new MatrixClient({ scheduler: new MatrixScheduler(), ...options });
}
