// The people of a group: who they are, where they are, what they may do, and what can be done about it.

import "../people/people.css";
import "./group.css";

import type { RoomMember } from "matrix-js-sdk";
import { useEffect, useState } from "preact/hooks";
import { useLocation } from "wouter-preact";

import { memberName } from "../chats/names";
import { plain } from "../chats/plain";
import { withPerson } from "../people/person-link";
import { isOfOtherPlatform, platformName, serverOf } from "../platform";
import { done } from "../sync/ask";
import { Avatar } from "../ui/avatar";
import { Confirm } from "../ui/confirm";
import { Icon } from "../ui/icon";
import { LongList } from "../ui/long-list";
import { Menu, type MenuItem } from "../ui/menu";
import { PlatformMark } from "../ui/platform-mark";
import { words } from "../words";
import { type Followed, useChat } from "./follow";
import { LEVELS, Rights, ROLE_WORDS, type Role, roleOf } from "./roles";

const ROW_PX = 60;

/** All who are in a chat or invited to it: first those who may do more, then by name. */
function membersOf({ room }: Followed, term: string): RoomMember[] {
    const wanted = plain(term);
    const there = room.getMembers().filter(({ membership }) => membership === "join" || membership === "invite");
    const named = there.filter((member) => plain(memberName(member)).includes(wanted));
    const order = (member: RoomMember) => LEVELS[roleOf(member)] + (member.membership === "join" ? 0.5 : 0);
    return named.sort((one, other) => order(other) - order(one) || memberName(one).localeCompare(memberName(other)));
}

export function Members({ id }: { id: string }) {
    const chat = useChat(id);
    const [search, setSearch] = useState("");
    const [state, setState] = useState<"loading" | "loaded" | "failed">("loading");
    const room = chat?.room;
    const load = () => {
        setState("loading");
        room?.loadMembersIfNeeded().then(
            () => setState("loaded"),
            (error: unknown) => {
                console.warn(error);
                setState("failed");
            },
        );
    };
    useEffect(load, [room]);
    if (!chat) return null;
    const members = membersOf(chat, search.trim());
    return (
        <>
            <label class="search">
                <Icon name="search" />
                <input
                    type="search"
                    placeholder={words("group.members.search")}
                    aria-label={words("group.members.search")}
                    value={search}
                    onInput={(event) => setSearch(event.currentTarget.value)}
                />
            </label>
            {state === "loading" && <p class="hint">{words("connecting")}</p>}
            {state === "failed" && (
                <div class="invite" role="alert">
                    <p class="hint">{words("group.members.failed")}</p>
                    <button class="secondary" onClick={load}>
                        {words("message.retry")}
                    </button>
                </div>
            )}
            <div class="rows members">
                <LongList items={members} rowPx={ROW_PX} keyOf={({ userId }) => userId}>
                    {(member) => <MemberRow chat={chat} member={member} />}
                </LongList>
            </div>
            <Banned chat={chat} />
        </>
    );
}

type Question = "remove" | "ban";

function MemberRow({ chat, member }: { chat: Followed; member: RoomMember }) {
    const [, go] = useLocation();
    const [anchor, setAnchor] = useState<Element>();
    const [question, setQuestion] = useState<Question>();
    const isOwn = member.userId === chat.there.getSafeUserId();
    const name = memberName(member);
    const role = roleOf(member);
    const roomId = chat.room.roomId;
    const run = question === "ban" ? () => chat.there.ban(roomId, member.userId) : () => chat.there.kick(roomId, member.userId);
    return (
        <>
            <button class="row" aria-haspopup={isOwn ? undefined : "menu"} disabled={isOwn} onClick={(event) => setAnchor(event.currentTarget)}>
                <span class="picture">
                    <Avatar id={member.userId} name={name} mxc={member.getMxcAvatarUrl()} size={40} />
                    {isOfOtherPlatform(member.userId) && (
                        <span class="elsewhere" aria-hidden="true">
                            <PlatformMark server={serverOf(member.userId)} />
                        </span>
                    )}
                </span>
                <span class="name" dir="auto">{isOwn ? words("chats.you") : name}</span>
                <span class="preview">{platformName(serverOf(member.userId))}</span>
                <span class="role">
                    {member.membership === "invite" ? words("group.invited") : role !== "member" && words(ROLE_WORDS[role])}
                </span>
            </button>
            {anchor && (
                <Menu
                    anchor={anchor}
                    label={name}
                    items={itemsOf(chat, member, () => go(withPerson(member.userId)), setQuestion)}
                    close={() => setAnchor(undefined)}
                />
            )}
            {question && (
                <Confirm
                    title={words(question === "ban" ? "group.ban.title" : "group.remove.title", { name })}
                    text={words(question === "ban" ? "group.ban.text" : "group.remove.text")}
                    action={words(question === "ban" ? "group.ban" : "group.remove")}
                    run={() => void done(run())}
                    close={() => setQuestion(undefined)}
                />
            )}
        </>
    );
}

function itemsOf({ there, room }: Followed, member: RoomMember, write: () => void, ask: (question: Question) => void): MenuItem[] {
    const rights = new Rights(there, room);
    const give = (role: Role) => void done(there.setPowerLevel(room.roomId, member.userId, LEVELS[role]));
    const role = roleOf(member);
    return [
        { label: words("people.message"), icon: "request", run: write },
        ...(role === "member" && rights.mayGive(member, "admin")
            ? [{ label: words("group.make_admin"), icon: "star" as const, run: () => give("admin") }]
            : []),
        ...(role === "admin" && rights.mayGive(member, "member")
            ? [{ label: words("group.unmake_admin"), icon: "person" as const, run: () => give("member") }]
            : []),
        ...(rights.mayRemove(member)
            ? [{ label: words("group.remove"), icon: "log_out" as const, isDanger: true, run: () => ask("remove") }]
            : []),
        ...(rights.mayBan(member) ? [{ label: words("group.ban"), icon: "block" as const, isDanger: true, run: () => ask("ban") }] : []),
    ];
}

/** Those who were banned, for whoever may let them come again. */
function Banned({ chat: { there, room } }: { chat: Followed }) {
    const rights = new Rights(there, room);
    const banned = room.getMembersWithMembership("ban").filter((member) => rights.mayBan(member));
    if (banned.length === 0) return null;
    return (
        <details class="banned">
            <summary>{words("group.banned", { count: banned.length })}</summary>
            <ul class="people-list">
                {banned.map((member) => (
                    <li key={member.userId} class="row">
                        <span class="picture">
                            <Avatar id={member.userId} name={memberName(member)} size={40} />
                        </span>
                        <span class="name" dir="auto">{memberName(member)}</span>
                        <span class="preview">{platformName(serverOf(member.userId))}</span>
                        <span class="signs">
                            <button class="secondary" onClick={() => void done(there.unban(room.roomId, member.userId))}>
                                {words("group.unban")}
                            </button>
                        </span>
                    </li>
                ))}
            </ul>
        </details>
    );
}
