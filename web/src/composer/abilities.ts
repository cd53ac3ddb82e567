// What the apps of the others in a chat cannot show, so that the writer knows before sending.

import { effect } from "@preact/signals";
import type { MatrixClient, Room } from "matrix-js-sdk";
import { useEffect, useState } from "preact/hooks";

import { memberName } from "../chats/names";
import { platform } from "../platform";
import { ask } from "../sync/ask";
import { client } from "../sync/running";
import { words, type WordsId } from "../words";

/** Kinds of content that somebody chooses to send. */
export type Kind = "formatting" | "image" | "video" | "audio" | "voice" | "file" | "location" | "sticker" | "poll" | "disappearing";

interface NotShown {
    count: number;
    users?: { user_id: string; because: "platform" | "app" }[];
}

export type Abilities = Partial<Record<Kind, NotShown>>;

const KINDS: Record<Kind, WordsId> = {
    formatting: "composer.kind.formatting",
    image: "composer.kind.image",
    video: "composer.kind.video",
    audio: "composer.kind.audio",
    voice: "composer.kind.voice",
    file: "composer.kind.file",
    location: "composer.kind.location",
    sticker: "composer.kind.sticker",
    poll: "composer.kind.poll",
    disappearing: "composer.kind.disappearing",
};

/** How long an answer holds, in milliseconds: somebody may have begun to use another app. */
const HOLDS_MS = 60_000;
const asked = new Map<string, { ts: number; answer: Promise<Abilities> }>();

function abilitiesOf(running: MatrixClient, roomId: string, people: number): Promise<Abilities> {
    const about = [running.getUserId(), roomId, people].join(" ");
    const known = asked.get(about);
    if (known && Date.now() - known.ts < HOLDS_MS) return known.answer;
    const where = `/rooms/${encodeURIComponent(roomId)}/abilities`;
    const answer = ask<{ not_shown?: Abilities }>("GET", where).then(({ not_shown }) => not_shown ?? {});
    asked.set(about, { ts: Date.now(), answer });
    // It is asked again when the chat is opened again.
    answer.catch(() => asked.delete(about));
    return answer;
}

/** What is not shown to everybody in a chat. Empty until it is known. */
export function useAbilities(roomId: string): Abilities {
    const [abilities, setAbilities] = useState<Abilities>({});
    const running = client.value;
    const people = running?.getRoom(roomId)?.getInvitedAndJoinedMemberCount() ?? 0;
    useEffect(() => {
        if (!running) return;
        let isGone = false;
        abilitiesOf(running, roomId, people).then((known) => isGone || setAbilities(known), console.warn);
        return () => void (isGone = true);
    }, [running, roomId, people]);
    return abilities;
}

/** Whether the platform of this app has a kind at all. */
export function isOffered(kind: Kind): boolean {
    const described = platform.value as { without?: string[] } | undefined;
    return !described?.without?.includes(kind);
}

/** One sentence on who would not see a kind; nothing if everybody would. */
export function notShown(kind: Kind, abilities: Abilities, room: Room): string | undefined {
    const missing = abilities[kind];
    if (!missing || missing.count === 0) return undefined;
    const what = words(KINDS[kind]);
    const first = missing.users?.[0];
    const member = first && room.getMember(first.user_id);
    if (!member) return words("composer.not_shown.some", { what, count: missing.count });
    const name = memberName(member);
    if (missing.count > 1) return words("composer.not_shown.more", { what, name, count: missing.count - 1 });
    return words(first.because === "app" ? "composer.not_shown.app" : "composer.not_shown.platform", { what, name });
}

/** What this app shows: everything that the server has a name for. */
const SHOWS = [
    "formatting", "image", "video", "audio", "voice", "file", "location", "sticker", "poll", "reaction", "reply", "edit", "thread",
    "disappearing",
];
const TOLD = "linkspan.shows";

/** Tells the server what this device shows, once for each log-in, so that others know it before they send. */
async function tell(running: MatrixClient): Promise<void> {
    const name = `${TOLD}.${running.getSafeUserId()}`;
    const told = [running.getDeviceId(), ...SHOWS].join(" ");
    if (localStorage.getItem(name) === told) return;
    await ask("PUT", "/abilities", { shows: SHOWS });
    localStorage.setItem(name, told);
}

effect(() => {
    const started = client.value;
    // It is told again at the next start if it does not arrive.
    if (started) tell(started).catch((error: unknown) => console.warn(error));
});
