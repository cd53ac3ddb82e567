// What a person can do over matrix-js-sdk, wherever it runs: in Node (driver.mjs) or in a page (page.mjs).
//
// The commands and events are those of tests/clients/PROTOCOL.md. What the library has a method for is done by that
// method.

import * as sdk from "matrix-js-sdk";
import { decodeBase64, encodeBase64 } from "matrix-js-sdk/lib/base64.js";
import * as attachments from "./attachments.mjs";
import * as encryption from "./encryption.mjs";
import * as oauth from "./oauth.mjs";
import { read, start } from "./seen.mjs";
import { Unsupported, client, crypto, known, resume, sent, unauthenticated, write } from "./session.mjs";
import * as verification from "./verification.mjs";

const { Direction, EventType, MsgType, ReceiptType, RelationType } = sdk;

const text = (body) => ({ msgtype: MsgType.Text, body });

const send = ({ room, type = EventType.RoomMessage, content }) => sent(client.sendEvent(room, type, content));

async function fetchMedia(mxc, ...size) {
    const { data, mimetype } = await attachments.fetchMedia(mxc, ...size);
    return { data: encodeBase64(data), mimetype };
}

async function sendPicture({ room, data, mimetype, name, width: w, height: h }) {
    const bytes = decodeBase64(data);
    const message = { msgtype: MsgType.Image, body: name, info: { mimetype, size: bytes.length, w, h } };
    const upload = async (contents, type) => (await client.uploadContent(new Blob([contents]), { type })).content_uri;
    if (!(await crypto()?.isEncryptionEnabledInRoom(room))) {
        return sent(client.sendMessage(room, { ...message, url: await upload(bytes, mimetype) }));
    }
    const { encrypted, file } = await attachments.encrypt(bytes);
    file.url = await upload(encrypted, "application/octet-stream");
    return sent(client.sendMessage(room, { ...message, file }));
}

// Events as the server lists them, decrypted where that can be done.
const readAll = (events) =>
    Promise.all(events.map(async (event) => (await read(client.getEventMapper({ decrypt: false })(event))).item));

const commands = {
    async register({ server, username, password, device_name: initial_device_display_name, ...options }) {
        const auth = { type: "m.login.dummy" };
        const request = { username, password, auth, initial_device_display_name };
        return resume(server, await unauthenticated(server).registerRequest(request), options);
    },
    async login({ server, username: user, password, token, device_name: initial_device_display_name, ...options }) {
        const how = token
            ? { type: "m.login.token", token }
            : { type: "m.login.password", identifier: { type: "m.id.user", user }, password };
        const request = { ...how, initial_device_display_name };
        return resume(server, await unauthenticated(server).loginRequest(request), options);
    },
    start: () => start(),
    reload() {
        throw new Unsupported("in Node, keys do not outlast the program");
    },
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

    async create_room({ name, topic, invite, direct, public: open, space, alias, encrypted, history_visibility }) {
        const state = (type, content) => ({ type, state_key: "", content });
        const initial_state = [];
        if (encrypted) initial_state.push(state(EventType.RoomEncryption, { algorithm: "m.megolm.v1.aes-sha2" }));
        if (history_visibility) initial_state.push(state(EventType.RoomHistoryVisibility, { history_visibility }));
        const { room_id } = await client.createRoom({
            name: name ?? undefined,
            topic: topic ?? undefined,
            invite,
            is_direct: direct,
            visibility: open ? "public" : "private",
            preset: open ? "public_chat" : "private_chat",
            room_alias_name: alias ?? undefined,
            initial_state,
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
        return { events: await readAll(chunk), end: end ?? null };
    },
    async relations({ room, event, rel_type }) {
        const { chunk } = await client.fetchRelations(room, event, rel_type, null, { dir: Direction.Backward });
        return readAll(chunk);
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
        const { content_uri } = await client.uploadContent(new Blob([decodeBase64(data)]), { type: mimetype, name });
        return content_uri;
    },
    send_picture: sendPicture,
    async download_encrypted({ file }) {
        const { data } = await attachments.fetchMedia(file.url);
        return { data: encodeBase64(await attachments.decrypt(data, file)) };
    },
    download: ({ mxc }) => fetchMedia(mxc),
    thumbnail: ({ mxc, width, height }) => fetchMedia(mxc, width, height, "scale"),

    ...encryption.commands,
    ...oauth.commands,
    ...verification.commands,
};

// Does what a line says, and answers.
export async function obey(line) {
    const { id, do: name, ...rest } = JSON.parse(line);
    try {
        if (!commands[name]) throw new Unsupported(`there is no ${name}`);
        write({ id, ok: (await commands[name](rest)) ?? {} });
    } catch (error) {
        write({ id, error: { code: error?.errcode ?? "", message: String(error?.message ?? error) } });
    }
}
