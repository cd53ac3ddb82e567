// A person who uses matrix-js-sdk: obeys commands on standard input, tells on standard output what the library sees.
//
// The commands and events are those of tests/clients/driver.rs. What the library has a method for is done by that
// method. Standard output is for the protocol alone, so the library logs nothing: what fails is in the replies.

import { createInterface } from "node:readline";

for (const level of ["trace", "debug", "log", "info", "warn", "error"]) console[level] = () => {};
const sdk = await import("matrix-js-sdk");
const { ClientEvent, Direction, EventType, MsgType, NotificationCountType, ReceiptType, RelationType, RoomEvent } =
    sdk;

const write = (line) => process.stdout.write(JSON.stringify(line) + "\n");

let client;
let members = new Map();
let shown = new Map();

// Sessions

const unauthenticated = (server) => sdk.createClient({ baseUrl: server });

function resume(server, { user_id: userId, device_id: deviceId, access_token: accessToken }) {
    client = sdk.createClient({ baseUrl: server, userId, deviceId, accessToken });
    return { user: userId, device: deviceId, token: accessToken };
}

function start() {
    client.on(ClientEvent.Event, (event) => {
        // Of state, this event of the library also tells what was never in a timeline.
        if (event.getRoomId() && event.getId() && !event.isState()) showTimeline(event, event.getRoomId());
    });
    client.on(RoomEvent.Timeline, (event, room, toStart, removed, { liveEvent }) => {
        if (event.isState() && liveEvent) showTimeline(event, room.roomId);
    });
    client.on(RoomEvent.Receipt, showReceipts);
    client.on(ClientEvent.AccountData, (event) =>
        write({ event: "account_data", type: event.getType(), content: event.getContent() }),
    );
    const prepared = new Promise((resolve, reject) => {
        client.on(ClientEvent.Sync, (state, _, data) => {
            if (state === "ERROR") {
                write({ event: "sync_failed", message: String(data?.error) });
                reject(data?.error);
            } else if (state !== "STOPPED") {
                client.getRooms().forEach(showRoom);
                write({ event: "synced" });
                resolve({});
            }
        });
    });
    return client.startClient({ initialSyncLimit: 20, threadSupport: true, lazyLoadMembers: true }).then(() => prepared);
}

// What is seen

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

function showTimeline(event, room) {
    const { room_id: _, ...item } = event.event;
    write({ event: "timeline", room, item });
}

function showRoom(room) {
    const joined = room.getMyMembership() === "join";
    if (joined && !members.has(room.roomId)) {
        // As a client does that opens the room: members are loaded lazily.
        members.set(room.roomId, room.loadMembersIfNeeded().then(() => showRoom(room)));
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
    };
}

// Messages

const text = (body) => ({ msgtype: MsgType.Text, body });

const sent = async (sending) => (await sending).event_id;

const send = ({ room, type = EventType.RoomMessage, content }) => sent(client.sendEvent(room, type, content));

function known(room, event) {
    if (!event) return undefined;
    const found = client.getRoom(room)?.findEventById(event);
    if (!found) throw new Error(`the library does not know ${event}`);
    return found;
}

// Pictures

async function fetchMedia(mxc, width, height, method) {
    const url = client.mxcUrlToHttp(mxc, width, height, method, false, true, true);
    const response = await fetch(url, { headers: { Authorization: `Bearer ${client.getAccessToken()}` } });
    if (!response.ok) {
        const { errcode, error } = await response.json();
        throw Object.assign(new Error(error), { errcode });
    }
    const data = Buffer.from(await response.arrayBuffer()).toString("base64");
    return { data, mimetype: response.headers.get("content-type") };
}

const commands = {
    async register({ server, username, password }) {
        const auth = { type: "m.login.dummy" };
        return resume(server, await unauthenticated(server).registerRequest({ username, password, auth }));
    },
    async login({ server, username: user, password }) {
        const identifier = { type: "m.id.user", user };
        return resume(server, await unauthenticated(server).loginRequest({ type: "m.login.password", identifier, password }));
    },
    start,
    async logout() {
        await client.logout(true);
        return {};
    },

    set_display_name: ({ name }) => client.setDisplayName(name),
    set_avatar: ({ mxc }) => client.setAvatarUrl(mxc),
    async get_profile({ user }) {
        const { displayname, avatar_url } = await client.getProfileInfo(user);
        return { name: displayname ?? null, avatar: avatar_url ?? null };
    },
    async find_people({ term }) {
        const { results } = await client.searchUserDirectory({ term });
        return results.map((one) => ({
            user: one.user_id,
            name: one.display_name ?? null,
            avatar: one.avatar_url ?? null,
        }));
    },

    async create_room({ name, topic, invite, direct, public: open, space, alias }) {
        const { room_id } = await client.createRoom({
            name: name ?? undefined,
            topic: topic ?? undefined,
            invite,
            is_direct: direct,
            visibility: open ? "public" : "private",
            preset: open ? "public_chat" : "private_chat",
            room_alias_name: alias ?? undefined,
            creation_content: space ? { type: "m.space" } : undefined,
        });
        return room_id;
    },
    join: async ({ room }) => (await client.joinRoom(room)).roomId,
    leave: ({ room }) => client.leave(room),
    forget: ({ room }) => client.forget(room),
    invite: ({ room, user }) => client.invite(room, user),
    kick: ({ room, user, reason }) => client.kick(room, user, reason),
    ban: ({ room, user, reason }) => client.ban(room, user, reason),
    unban: ({ room, user }) => client.unban(room, user),
    set_name: ({ room, name }) => sent(client.setRoomName(room, name)),
    set_topic: ({ room, topic }) => sent(client.setRoomTopic(room, topic)),
    set_room_avatar: ({ room, mxc }) => sent(client.sendStateEvent(room, EventType.RoomAvatar, { url: mxc })),
    set_state: ({ room, type, state_key, content }) => sent(client.sendStateEvent(room, type, content, state_key)),
    upgrade: async ({ room, version }) => (await client.upgradeRoom(room, version)).replacement_room,
    async hierarchy({ room }) {
        const { rooms } = await client.getRoomHierarchy(room);
        return rooms.map((one) => ({ room: one.room_id, name: one.name ?? null, children: one.children_state.length }));
    },
    async public_rooms({ server, term }) {
        const { chunk } = await client.publicRooms({
            server: server ?? undefined,
            filter: term ? { generic_search_term: term } : undefined,
        });
        return chunk.map((one) => ({
            room: one.room_id,
            name: one.name ?? null,
            topic: one.topic ?? null,
            members: one.num_joined_members,
        }));
    },

    send,
    send_text({ room, body, mentions }) {
        const mentioned = mentions.length ? { "m.mentions": { user_ids: mentions } } : {};
        return sent(client.sendMessage(room, { ...text(body), ...mentioned }));
    },
    send_image: ({ room, mxc, name, mimetype, size, width, height }) =>
        sent(client.sendImageMessage(room, mxc, { mimetype, size, w: width, h: height }, name)),
    reply({ room, event, body }) {
        return sent(client.sendMessage(room, { ...text(body), "m.relates_to": { "m.in_reply_to": { event_id: event } } }));
    },
    reply_in_thread({ room, root, body }) {
        // As a client does that opens a thread to write in it.
        const view = client.getRoom(room);
        if (!view.getThread(root)) view.createThread(root, known(room, root), [], true);
        return sent(client.sendMessage(room, root, text(body)));
    },
    react({ room, event: event_id, key }) {
        const relation = { rel_type: RelationType.Annotation, event_id, key };
        return sent(client.sendEvent(room, EventType.Reaction, { "m.relates_to": relation }));
    },
    edit({ room, event: event_id, body }) {
        const relation = { rel_type: RelationType.Replace, event_id };
        const content = { ...text(`* ${body}`), "m.new_content": text(body), "m.relates_to": relation };
        return sent(client.sendMessage(room, content));
    },
    redact: ({ room, event, reason }) => sent(client.redactEvent(room, event, undefined, { reason })),
    async messages({ room, start, limit }) {
        const { chunk, end } = await client.createMessagesRequest(room, start, limit, Direction.Backward);
        return { events: chunk, end: end ?? null };
    },
    async relations({ room, event, rel_type }) {
        return (await client.fetchRelations(room, event, rel_type, null, { dir: Direction.Backward })).chunk;
    },
    async search({ term, room }) {
        const criteria = { search_term: term, filter: { rooms: [room] }, order_by: "recent" };
        const { search_categories } = await client.search({ body: { search_categories: { room_events: criteria } } });
        return (search_categories.room_events.results ?? []).map(({ result }) => result);
    },

    typing: ({ room, on }) => client.sendTyping(room, on, 30_000),
    async receipt({ room, event, private: hidden, thread }) {
        const kind = hidden ? ReceiptType.ReadPrivate : ReceiptType.Read;
        await client.sendReadReceipt(known(room, event), kind, thread === null);
        return {};
    },
    read_markers: ({ room, fully_read, read, private: hidden }) =>
        client.setRoomReadMarkers(room, fully_read, known(room, read), known(room, hidden)),

    tag: ({ room, tag, order }) => client.setRoomTag(room, tag, { order }),
    untag: ({ room, tag }) => client.deleteRoomTag(room, tag),
    set_account_data: ({ type, content }) => client.setAccountData(type, content),
    set_room_account_data: ({ room, type, content }) => client.setRoomAccountData(room, type, content),

    async upload({ data, mimetype, name }) {
        const { content_uri } = await client.uploadContent(Buffer.from(data, "base64"), { type: mimetype, name });
        return content_uri;
    },
    download: ({ mxc }) => fetchMedia(mxc),
    thumbnail: ({ mxc, width, height }) => fetchMedia(mxc, width, height, "scale"),
};

async function obey(line) {
    const { id, do: name, ...rest } = JSON.parse(line);
    try {
        write({ id, ok: (await commands[name](rest)) ?? {} });
    } catch (error) {
        write({ id, error: { code: error?.errcode ?? "", message: String(error?.message ?? error) } });
    }
}

for await (const line of createInterface({ input: process.stdin })) {
    await obey(line);
}
client?.stopClient();
process.exit(0);
