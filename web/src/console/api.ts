// Asking the operator API. docs/openapi/admin-v1.json describes what it answers.

import { platform, serverOf } from "../platform";
import { askServer, Refusal, Unreachable } from "../session/server";
import { words as common, type WordsId } from "../words";
import { forgetOperator, operator, tokenOf } from "./session";
import { type ConsoleWordsId, words } from "./words";

export interface User {
    user_id: string;
    handle: string | null;
    created_ts: number;
    admin: boolean;
    guest: boolean;
    locked: boolean;
    suspended: boolean;
    deactivated: boolean;
}

export interface Device {
    device_id: string;
    display_name: string | null;
    created_ts: number;
    last_seen_ts: number;
    last_seen_ip: string | null;
    client_id: string | null;
}

export interface RegistrationToken {
    token: string;
    uses_allowed: number | null;
    completed: number;
    expires_ts: number | null;
    valid: boolean;
}

export interface Report {
    number: number;
    state: "open" | "closed";
    kind: "message" | "room" | "person";
    ts: number;
    reporter: string | null;
    room_id: string | null;
    event_id: string | null;
    user_id: string | null;
    reason: string | null;
    score: number | null;
    content: Disclosed | null;
    content_from: "reporter" | "server" | null;
    closed_ts: number | null;
    note: string | null;
}

/** An event as it was disclosed. Nothing of it is certain. */
export interface Disclosed {
    type?: unknown;
    sender?: unknown;
    origin_server_ts?: unknown;
    content?: unknown;
}

export interface Action {
    number: number;
    ts: number;
    operator: string | null;
    action: string;
    subjects: string[];
    status: number | null;
}

/** A page of a list, under the name that its rows have. */
export type Page<Name extends string, Row> = { [Key in Name]: Row[] } & { next_batch: string | null };

/** Asks as the operator. A session that the server does not take any more is forgotten. */
export async function ask<Value>(method: string, path: string, body?: object): Promise<Value> {
    const session = operator.peek();
    const token = session && tokenOf(session);
    try {
        return (await askServer(method, `/_linkspan/admin/v1${path}`, body, token)) as Value;
    } catch (error) {
        if (error instanceof Refusal && operator.peek() === session) {
            if (error.status === 401) forgetOperator("ended.logged_out");
            // What only reads is refused to nobody else.
            if (error.status === 403 && method === "GET") forgetOperator("ended.no_administrator");
        }
        throw error;
    }
}

const COMMON: Record<string, WordsId> = { M_LIMIT_EXCEEDED: "session.often", M_WEAK_PASSWORD: "session.weak" };
const KNOWN: Record<string, ConsoleWordsId> = {
    M_NOT_FOUND: "failed.not_found",
    M_FORBIDDEN: "failed.forbidden",
    M_USER_IN_USE: "failed.taken",
    M_INVALID_USERNAME: "failed.name",
    M_INVALID_PARAM: "failed.value",
    M_EXCLUSIVE: "failed.taken",
};

/** What went wrong, as a sentence. `particular` has those that mean something of their own here. */
export function reasonOf(error: unknown, particular: Record<string, ConsoleWordsId> = {}): string {
    if (error instanceof Unreachable) return common("session.unreachable");
    if (!(error instanceof Refusal)) throw error;
    const known = particular[error.errcode] ?? KNOWN[error.errcode];
    return known ? words(known) : common(COMMON[error.errcode] ?? "session.failed");
}

/** The part of a path that names somebody or something. */
export function part(id: string): string {
    return encodeURIComponent(id);
}

/** How somebody is written: those of the platform by what stands before the colon. */
export function shownId(userId: string): string {
    return serverOf(userId) === platform.value?.server_name ? userId.slice(0, userId.indexOf(":")) : userId;
}
