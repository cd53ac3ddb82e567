// What a person sees: rooms, their timelines, and whose devices the library knows.

import * as sdk from "matrix-js-sdk";
import { CryptoEvent } from "matrix-js-sdk/lib/crypto-api/index.js";
import { client, crypto, startSync, write } from "./session.mjs";
import { followVerifications } from "./verification.mjs";

const { ClientEvent, EventType, MatrixEventEvent, NotificationCountType, RoomEvent } = sdk;

const members = new Map();
const shown = new Map();
const devices = new Map();
const undecryptable = new Set();

// `limit`: how many events of each room are asked for at first.
export async function start(limit) {
    client.on(ClientEvent.Event, (event) => {
        // Of state, this event of the library also tells what was never in a timeline.
        if (event.getRoomId() && event.getId() && !event.isState()) showTimeline(event, event.getRoomId());
    });
    client.on(RoomEvent.Timeline, (event, room, toStart, removed, { liveEvent }) => {
        if (event.isState() && liveEvent) showTimeline(event, room.roomId);
    });
    client.on(RoomEvent.Receipt, (event, room) => tell(() => showReceipts(event, room)));
    client.on(ClientEvent.AccountData, (event) =>
        write({ event: "account_data", type: event.getType(), content: event.getContent() }),
    );
    client.on(ClientEvent.Sync, showSync);
    if (crypto()) {
        client.on(MatrixEventEvent.Decrypted, showDecrypted);
        client.on(CryptoEvent.DevicesUpdated, showDevices);
        followVerifications();
    }
    await startSync(limit);
    if (crypto()) await showDevices([client.getUserId()]);
    return {};
}

function showSync(state, _, data) {
    if (state === "ERROR") {
        const { errcode = "", message = String(data?.error) } = data?.error ?? {};
        write({ event: "sync_failed", message: `${errcode} ${message}`.trim() });
    } else if (state !== "STOPPED") {
        tell(() => {
            client.getRooms().forEach(showRoom);
            write({ event: "synced" });
        });
        if (crypto()) tell(() => void followDevices().catch(() => {}));
    }
}

// Decrypting takes its time, and events are told in their order.
let told = Promise.resolve();
function tell(step) {
    told = told.then(step);
}

function showReceipts(event, { roomId: room }) {
    // The library makes receipts of its own, which name the room.
    if (event.getRoomId()) return;
    for (const [id, kinds] of Object.entries(event.getContent())) {
        for (const [kind, users] of Object.entries(kinds)) {
            for (const [user, receipt] of Object.entries(users)) {
                write({ event: "receipt", room, id, user, kind, thread: receipt.thread_id ?? null });
            }
        }
    }
}

// An event as the library has it: decrypted, if that can be done.
export async function read(event) {
    if (!event.isEncrypted() || !crypto()) return { item: event.event };
    await client.decryptEventIfNeeded(event);
    const { session_id: session = null, "m.relates_to": relation } = event.getWireContent();
    if (event.isRedacted()) return { item: event.event, encryption: { session } };
    if (event.isDecryptionFailure()) {
        return { item: event.event, encryption: { session, undecryptable: event.decryptionFailureReason } };
    }
    const content = { ...event.getOriginalContent(), ...(relation ? { "m.relates_to": relation } : {}) };
    return { item: { ...event.event, type: event.getType(), content }, encryption: { session } };
}

const withoutRoom = ({ room_id: _, ...item }) => item;

function showTimeline(event, room) {
    tell(async () => {
        const { item, encryption } = await read(event);
        if (encryption?.undecryptable) undecryptable.add(event.getId());
        write({ event: "timeline", room, item: withoutRoom(item), encryption });
    });
}

function showDecrypted(event) {
    tell(async () => {
        if (event.isDecryptionFailure() || !undecryptable.delete(event.getId())) return;
        const { item, encryption } = await read(event);
        write({ event: "decrypted", room: event.getRoomId(), item: withoutRoom(item), encryption });
    });
}

// Of devices that the library asked for before it began to follow a person's, it tells nothing. And it begins to follow
// those of a new member while a sync is handled, but does not wait for that before it sends what the sync brings about.
async function followDevices() {
    await crypto().outgoingRequestsManager.doProcessOutgoingRequests();
    await showDevices([...(await crypto().olmMachine.trackedUsers())].map(String));
}

async function showDevices(users) {
    for (const [user, found] of await crypto().getUserDeviceInfo(users)) {
        const ids = [...found.keys()].sort();
        const text = JSON.stringify(ids);
        if (devices.get(user) === text) continue;
        devices.set(user, text);
        write({ event: "devices", user, devices: ids });
    }
}

function showRoom(room) {
    const joined = room.getMyMembership() === "join";
    if (joined && !members.has(room.roomId)) {
        // As a client does that opens the room: members are loaded lazily.
        members.set(room.roomId, room.loadMembersIfNeeded().then(() => tell(() => showRoom(room))));
    }
    const state = roomState(room);
    const text = JSON.stringify(state);
    if (shown.get(room.roomId) !== text) {
        shown.set(room.roomId, text);
        write({ event: "room", room: room.roomId, state });
    }
}

function roomState(room) {
    const state = room.currentState;
    const content = (type) => state.getStateEvents(type, "")?.getContent() ?? {};
    const people = state.getMembers().filter(({ membership }) => membership === "join" || membership === "invite");
    const describe = (member) => ({
        membership: member.membership,
        name: member.rawDisplayName === member.userId ? null : member.rawDisplayName,
        avatar: member.getMxcAvatarUrl() ?? null,
    });
    const accountData = [...room.accountData].map(([type, event]) => [type, event.getContent()]);
    const count = (kind) => room.getUnreadNotificationCount(kind);
    const threadCount = (thread) => [
        room.getThreadUnreadNotificationCount(thread.id, NotificationCountType.Total),
        room.getThreadUnreadNotificationCount(thread.id, NotificationCountType.Highlight),
    ];
    return {
        membership: room.getMyMembership(),
        inviter: room.getMember(client.getUserId())?.events.member?.getSender() ?? null,
        name: content(EventType.RoomName).name ?? null,
        title: room.name,
        topic: content(EventType.RoomTopic).topic ?? null,
        avatar: room.getMxcAvatarUrl() ?? null,
        members: Object.fromEntries(people.map((member) => [member.userId, describe(member)])),
        typing: people.filter((member) => member.typing).map((member) => member.userId).sort(),
        fully_read: room.getAccountData("m.fully_read")?.getContent().event_id ?? null,
        notifications: count(NotificationCountType.Total),
        highlights: count(NotificationCountType.Highlight),
        threads: Object.fromEntries(room.getThreads().map((thread) => [thread.id, threadCount(thread)])),
        tags: Object.fromEntries(Object.entries(room.tags).map(([tag, { order }]) => [tag, order ?? null])),
        account_data: Object.fromEntries(accountData.filter(([type]) => !["m.tag", "m.fully_read"].includes(type))),
        successor: content(EventType.RoomTombstone).replacement_room ?? null,
        encrypted: room.hasEncryptionStateEvent(),
    };
}
