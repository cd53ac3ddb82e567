// What happened in a chat besides messages, each in one sentence.

import type { MatrixEvent, Room } from "matrix-js-sdk";

import { isComparison } from "../chats/preview";
import { words, type WordsId } from "../words";
import { personOf } from "./people";

type Fields = Record<string, unknown>;

/** Types that say nothing to a person: they belong to calls and keys, or change what others already show. */
const SILENT = new Set([
    "m.reaction", "m.room.redaction", "m.room.create", "m.room.aliases", "m.room.canonical_alias", "m.room.server_acl",
    "m.room.third_party_invite", "m.space.child", "m.space.parent", "m.call.answer", "m.call.candidates", "m.call.negotiate",
    "m.call.select_answer", "m.call.sdp_stream_metadata_changed", "org.matrix.call.sdp_stream_metadata_changed",
    "m.call.asserted_identity", "m.room_key_request", "org.matrix.msc3401.call.member", "m.call.member",
    "im.vector.modular.widgets", "m.key.verification.start", "m.key.verification.accept", "m.key.verification.key",
    "m.key.verification.mac", "m.key.verification.ready", "m.key.verification.done", "m.key.verification.cancel", "m.poll.response",
    "org.matrix.msc3381.poll.response",
]);

const OTHER_STATE = new Map<string, WordsId>([
    ["m.room.topic", "state.topic"],
    ["m.room.avatar", "state.picture"],
    ["m.room.encryption", "state.encryption"],
    ["m.room.power_levels", "state.roles"],
    ["m.room.join_rules", "state.joining"],
    ["m.room.history_visibility", "state.history"],
    ["m.room.guest_access", "state.joining"],
    ["m.room.tombstone", "state.moved"],
]);

const OF_CALLS = new Map<string, WordsId>([
    ["m.call.invite", "state.call"],
    ["m.call.notify", "state.call"],
    ["org.matrix.msc4075.call.notify", "state.call"],
    ["m.rtc.notification", "state.call"],
    ["org.matrix.msc4075.rtc.notification", "state.call"],
    ["m.call.hangup", "state.call_ended"],
    ["m.call.reject", "state.call_declined"],
    ["m.poll.end", "state.poll_ended"],
    ["org.matrix.msc3381.poll.end", "state.poll_ended"],
]);

/** The sentence for an event that is no message, or undefined if there is nothing to say. */
export function sentenceOf(event: MatrixEvent, room: Room): string | undefined {
    const type = event.getType();
    if (SILENT.has(type) || event.isRedacted()) return undefined;
    const name = personOf(room, event.getSender() ?? "").name;
    const ofCall = OF_CALLS.get(type);
    if (ofCall) return words(ofCall, { name });
    if (isComparison(event)) return words("state.compare", { name });
    if (!event.isState()) return words("state.unknown", { name });
    const content = event.getContent<Fields>();
    switch (type) {
        case "m.room.member":
            return ofMember(event, room, name);
        case "m.room.name":
            return typeof content.name === "string" && content.name ? words("state.name", { name, chat: content.name }) : words("state.name.none", { name });
        case "m.room.pinned_events":
            return ofPins(event, name);
        case "com.beeper.disappearing_timer":
            return ofTimer(content, name);
        default:
            return words(OTHER_STATE.get(type) ?? "state.setting", { name });
    }
}

function ofMember(event: MatrixEvent, room: Room, by: string): string | undefined {
    const content = event.getContent<Fields>();
    const before = event.getPrevContent() as Fields;
    const id = event.getStateKey() ?? "";
    const isBySelf = id === event.getSender();
    // Who is removed is named by the event before: theirs has no name.
    const said = [content.displayname, before.displayname].find((said) => typeof said === "string");
    const name = said ?? personOf(room, id).name;
    const was = before.membership ?? "leave";
    switch (content.membership) {
        case "join":
            return was === "join" ? ofProfile(content, before, name) : words("state.joined", { name });
        case "invite":
            return words("state.invited", { name, by });
        case "knock":
            return words("state.asked", { name });
        case "ban":
            return words("state.banned", { name, by });
        default:
            if (isBySelf) return was === "invite" ? words("state.declined", { name }) : words("state.left", { name });
            return words(was === "ban" ? "state.unbanned" : was === "invite" ? "state.uninvited" : "state.removed", { name, by });
    }
}

function ofProfile(content: Fields, before: Fields, name: string): string | undefined {
    if (before.displayname !== content.displayname && typeof before.displayname === "string") {
        return words("state.renamed", { name, before: before.displayname });
    }
    return before.avatar_url !== content.avatar_url ? words("state.new_picture", { name }) : undefined;
}

function ofPins(event: MatrixEvent, name: string): string {
    const count = (content: Fields) => (Array.isArray(content.pinned) ? content.pinned.length : 0);
    const isMore = count(event.getContent()) >= count(event.getPrevContent() as Fields);
    return words(isMore ? "state.pinned" : "state.unpinned", { name });
}

function ofTimer(content: Fields, name: string): string {
    const ms = typeof content.timer === "number" ? content.timer : 0;
    return ms > 0 ? words("state.timer", { name, time: timerWords(ms) }) : words("state.timer.off", { name });
}

const UNITS: [WordsId, number][] = [
    ["state.days", 86_400_000],
    ["state.hours", 3_600_000],
    ["state.minutes", 60_000],
    ["state.seconds", 1000],
];

/** A length of time in the largest unit that it fills. */
export function timerWords(ms: number): string {
    const [id, unit] = UNITS.find(([, unit]) => ms >= unit) ?? UNITS.at(-1)!;
    return words(id, { count: Math.round(ms / unit) });
}
