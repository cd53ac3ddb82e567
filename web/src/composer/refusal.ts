// Why a message was not sent: whether it will be by waiting, or what the person can do.

import type { Room } from "matrix-js-sdk";

import type { WordsId } from "../words";
import type { Refusal } from "./kept";

/** The parts of the library's errors that say what went wrong. */
interface Problem {
    name?: string;
    errcode?: string;
    httpStatus?: number;
    data?: { error?: string; retry_after_ms?: number; "org.linkspan.rule"?: string };
}

/** What is to be done about a message that was not sent. */
export type Outcome = { waits: true; afterMs?: number; cause?: WordsId } | { waits: false; refusal: Refusal };

/** Sentences, and the one thing that helps. */
const SAID: Record<Refusal, { cause: WordsId; action: "retry" | "remove" }> = {
    not_member: { cause: "composer.refused.not_member", action: "remove" },
    not_allowed: { cause: "composer.refused.not_allowed", action: "remove" },
    encryption: { cause: "composer.refused.encryption", action: "remove" },
    too_large: { cause: "composer.refused.too_large", action: "remove" },
    unanswered: { cause: "composer.refused.unanswered", action: "retry" },
    unreadable: { cause: "composer.refused.unreadable", action: "remove" },
    other: { cause: "composer.refused.other", action: "retry" },
};

export const explain = (refusal: Refusal) => SAID[refusal];

/** A file that the browser cannot read any more, for example because it was moved. */
const UNREADABLE = new Set(["NotReadableError", "NotFoundError"]);

/** What an error of sending to a room means. */
export function outcomeOf(error: unknown, room: Room): Outcome {
    const { name, httpStatus, errcode, data } = error as Problem;
    if (name && UNREADABLE.has(name)) return { waits: false, refusal: "unreadable" };
    if (httpStatus === 429) return { waits: true, afterMs: data?.retry_after_ms, cause: "composer.slowed" };
    if (errcode === "M_USER_LOCKED") return { waits: true, cause: "composer.locked" };
    // Without an answer, or with one of a server that is not well, the same may be sent again: its transaction id stays.
    if (httpStatus === undefined || httpStatus >= 500 || errcode === "M_UNKNOWN_TOKEN") return { waits: true };
    return { waits: false, refusal: refusalOf({ httpStatus, errcode, data }, room) };
}

function refusalOf({ httpStatus, errcode, data }: Problem, room: Room): Refusal {
    if (httpStatus === 413 || errcode === "M_TOO_LARGE") return "too_large";
    if (data?.["org.linkspan.rule"]) return "encryption";
    if (errcode !== "M_FORBIDDEN") return "other";
    if (room.getMyMembership() !== "join") return "not_member";
    return room.getInvitedMemberCount() > 0 && room.getJoinedMemberCount() === 1 ? "unanswered" : "not_allowed";
}
