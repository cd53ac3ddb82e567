// Asking the server what the Matrix API has no endpoint for, and telling the person why something has failed.

import type { Method } from "matrix-js-sdk";

import { notify } from "../ui/notice";
import { words, type WordsId } from "../words";
import { running } from "./running";

/** Asks Linkspan's own API. `docs/openapi/client-v1.json` describes what it answers. */
export async function ask<Value>(method: string, path: string, body?: object): Promise<Value> {
    const there = await running();
    return there.http.authedRequest<Value>(method as Method, `/_linkspan/client/v1${path}`, undefined, body as never, { prefix: "" });
}

/** What a server answers that refuses something. Its own sentence is in English, so it is never shown. */
export interface Refusal {
    errcode?: string;
    /** Which rule of a platform was broken. The server has such rules on encryption only. */
    "org.linkspan.rule"?: string;
}

/** The library's errors. Those without a status are not from the server. */
interface Failure {
    errcode?: string;
    httpStatus?: number;
    data?: Refusal;
}

/** Whether an error is an answer of the server with this code. */
export function isRefusal(error: unknown, code: string): boolean {
    return (error as Failure)?.errcode === code;
}

const SAID: Record<string, WordsId> = {
    M_LIMIT_EXCEEDED: "people.failed.often",
    M_FORBIDDEN: "people.failed.refused",
    M_INVITE_BLOCKED: "people.failed.invitations",
    M_TOO_LARGE: "composer.refused.too_large",
    M_USER_LOCKED: "session.locked",
};

/** What to tell the person about something that has failed. */
export function sayWhy(error: unknown): string {
    const { errcode = "", httpStatus, data } = error as Failure;
    if (data?.["org.linkspan.rule"]) return words("composer.refused.encryption");
    return words(SAID[errcode] ?? (httpStatus ? "people.failed" : "people.failed.offline"));
}

/** Waits for something that the person has asked for. If it fails, they are told why; the answer says whether it was done. */
export async function done(action: Promise<unknown>): Promise<boolean> {
    try {
        await action;
        return true;
    } catch (error) {
        console.warn(error);
        notify({ text: sayWhy(error) });
        return false;
    }
}
