// What the word that is being typed may become: a person after "@", an emoji after ":".

import type { Room } from "matrix-js-sdk";
import { useEffect, useState } from "preact/hooks";

import { memberName } from "../chats/names";
import { plain } from "../chats/plain";
import { serverOf } from "../platform";
import { words } from "../words";
import { Avatar } from "../ui/avatar";
import { Icon } from "../ui/icon";
import { PlatformMark } from "../ui/platform-mark";
import { EVERYBODY, type Mention } from "./format";

const MOST = 8;

export interface Entry {
    key: string;
    label: string;
    /** What is put into the text. */
    text: string;
    mention?: Mention;
    /** The server of a person of another platform. */
    elsewhere?: string;
    avatar?: string;
    emoji?: string;
}

/** A word that can be completed: where it begins in the text, and what stands after its sign. */
interface Word {
    sign: "@" | ":";
    from: number;
    query: string;
}

function wordBefore(text: string, caret: number): Word | undefined {
    const before = text.slice(0, caret);
    const found = /(?:^|[\s(])(?:(@)([^\s@]*(?: [^\s@]*)?)|(:)([\p{L}\p{N}_+-]{2,}))$/u.exec(before);
    if (!found) return undefined;
    const sign = found[1] ? "@" : ":";
    const query = found[2] ?? found[4] ?? "";
    return { sign, query, from: caret - query.length - 1 };
}

/** The entries for what stands before the caret, and where in the text the chosen one is put. */
export function useCompletion(room: Room | undefined, text: string, caret: number): { entries: Entry[]; from: number } {
    const [entries, setEntries] = useState<Entry[]>([]);
    const word = room && wordBefore(text, caret);
    const key = word && `${word.sign}${word.query}`;
    useEffect(() => {
        if (!room || !word) {
            setEntries([]);
            return;
        }
        let isGone = false;
        const found = word.sign === "@" ? findPeople(room, word.query) : findEmoji(word.query);
        found.then((entries) => isGone || setEntries(entries)).catch((error: unknown) => console.warn(error));
        return () => void (isGone = true);
    }, [room, key]);
    return { entries: word ? entries : [], from: word?.from ?? 0 };
}

async function findPeople(room: Room, query: string): Promise<Entry[]> {
    await room.loadMembersIfNeeded();
    const own = room.client.getSafeUserId();
    const wanted = plain(query);
    const fits = (name: string) => plain(name).startsWith(wanted) || plain(name).includes(` ${wanted}`);
    const people = room.getJoinedMembers().filter((member) => member.userId !== own && fits(memberName(member)));
    const entries = people.slice(0, MOST).map((member): Entry => {
        const label = memberName(member);
        const text = `@${label}`;
        const server = serverOf(member.userId);
        return {
            key: member.userId,
            label,
            text,
            mention: { text, userId: member.userId },
            avatar: member.getMxcAvatarUrl(),
            elsewhere: server === serverOf(own) ? undefined : server,
        };
    });
    const isAllowed = room.currentState.mayTriggerNotifOfType("room", own) && room.getJoinedMemberCount() > 2;
    if (!isAllowed || !(EVERYBODY.slice(1).startsWith(wanted) || fits(words("composer.everybody")))) return entries;
    const everybody = { text: EVERYBODY, userId: EVERYBODY };
    return [...entries, { key: EVERYBODY, label: words("composer.everybody"), text: EVERYBODY, mention: everybody }];
}

async function findEmoji(query: string): Promise<Entry[]> {
    const data = await import("./emoji-data");
    const found = await data.findEmoji(query, MOST);
    return found.map(({ sign, name }) => ({ key: sign, label: name, text: sign, emoji: sign }));
}

interface CompletionsProps {
    id: string;
    entries: Entry[];
    at: number;
    choose: (entry: Entry) => void;
}

/** The list above the field. The field keeps the focus, and says which entry the arrow keys are at. */
export function Completions({ id, entries, at, choose }: CompletionsProps) {
    return (
        <div id={id} class="completions" role="listbox" aria-label={words("composer.completions")}>
            {entries.map((entry, index) => (
                <div
                    key={entry.key}
                    id={`${id}-${index}`}
                    role="option"
                    aria-selected={index === at}
                    onPointerDown={(event) => {
                        event.preventDefault();
                        choose(entry);
                    }}
                >
                    {entry.emoji ? <span class="sign">{entry.emoji}</span> : <Face entry={entry} />}
                    <span class="label">
                        <bdi>{entry.label}</bdi>
                    </span>
                    {entry.elsewhere && <PlatformMark server={entry.elsewhere} />}
                </div>
            ))}
        </div>
    );
}

function Face({ entry }: { entry: Entry }) {
    if (entry.key === EVERYBODY) return <Icon name="group" />;
    return <Avatar id={entry.key} name={entry.label} mxc={entry.avatar} size={28} />;
}
