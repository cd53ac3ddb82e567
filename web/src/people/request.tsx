// A chat that a stranger began, before the person says whether they want it. Until then there are no pictures and no links, and
// the stranger does not learn that anything was read.

import "./people.css";

import { useEffect, useState } from "preact/hooks";
import { useLocation } from "wouter-preact";

import { rowOfChat } from "../chats/rows";
import { useSharedGroups } from "../group/shared";
import { platformName, serverOf } from "../platform";
import { done } from "../sync/ask";
import { client } from "../sync/running";
import { Avatar } from "../ui/avatar";
import { Back, PaneTitle } from "../ui/pane";
import { PlatformMark } from "../ui/platform-mark";
import { clock } from "../ui/time";
import { words } from "../words";
import { BlockDialog } from "./block-dialog";
import { accept, block, followSaid, type Invitation, invitationOf, remove, type Said } from "./invitation";
import { personOf } from "./person";

/** How many messages are shown: all that somebody may send before they are accepted. */
const SHOWN = 20;

export default function Request({ id }: { id: string }) {
    const there = client.value;
    // The row changes when the invitation does.
    const row = rowOfChat(id)?.value;
    const room = there?.getRoom(id);
    const invitation = there && room ? invitationOf(there, room) : undefined;
    const [, go] = useLocation();
    const isJoined = room?.getMyMembership() === "join";
    useEffect(() => {
        if (isJoined) go(`/chat/${encodeURIComponent(id)}`, { replace: true });
    }, [isJoined]);
    return (
        <main class="pane request-pane">
            <header>
                <Back to="/requests" />
                <PaneTitle dir="auto">{row?.name}</PaneTitle>
            </header>
            {invitation ? <Shown invitation={invitation} /> : <p class="hint centred">{words(there && room ? "requests.gone" : "connecting")}</p>}
        </main>
    );
}

function Shown({ invitation }: { invitation: Invitation }) {
    const { room, sender, isDirect } = invitation;
    const person = personOf(sender).value;
    const platform = platformName(serverOf(sender));
    const name = isDirect ? person.name : room.name;
    const groups = useSharedGroups(sender);
    return (
        <>
            <div class="pane-body">
                <section class="contact-card">
                    <Avatar id={isDirect ? sender : room.roomId} name={name} size={96} />
                    <p class="contact-name" dir="auto">
                        {name}
                    </p>
                    {isDirect && person.handle && <p class="contact-handle">{person.handle}</p>}
                    <p class="contact-platform">
                        <span aria-hidden="true">
                            <PlatformMark server={serverOf(sender)} />
                        </span>
                        {words(isDirect ? "requests.from" : "requests.group.from", { name: person.name, platform })}
                    </p>
                    <p class="hint">
                        {groups && sharedWords(groups.map((group) => group.name))}
                    </p>
                </section>
                <Messages roomId={room.roomId} isDirect={isDirect} />
                <p class="hint centred">{words("requests.unseen", { name: person.name })}</p>
            </div>
            <Answers invitation={invitation} name={person.name} />
        </>
    );
}

function sharedWords(names: string[]): string {
    if (names.length === 0) return words("requests.shared.none");
    return words("requests.shared", { count: names.length, names: names.slice(0, 3).join(", ") });
}

function Messages({ roomId, isDirect }: { roomId: string; isDirect: boolean }) {
    const [said, setSaid] = useState<Said[]>();
    const ts = rowOfChat(roomId)?.value.ts;
    useEffect(() => followSaid(roomId, SHOWN, setSaid), [roomId, ts]);
    if (!said || said.length === 0) return said && <p class="hint centred">{words(isDirect ? "requests.nothing_said" : "requests.group")}</p>;
    return (
        <ol class="request-said" aria-label={words("requests.said")}>
            {said.map((message) => (
                <li key={message.id}>
                    {!isDirect && <b dir="auto">{personOf(message.sender).value.name}</b>}
                    <span dir="auto">{message.text}</span>
                    <time>{clock(message.ts)}</time>
                </li>
            ))}
        </ol>
    );
}

function Answers({ invitation, name }: { invitation: Invitation; name: string }) {
    const [, go] = useLocation();
    const [isBusy, setIsBusy] = useState(false);
    const [isBlocking, setIsBlocking] = useState(false);
    const run = async (action: Promise<void>, then: string) => {
        setIsBusy(true);
        if (await done(action)) go(then, { replace: true });
        setIsBusy(false);
    };
    return (
        <footer class="request-answers">
            <button class="secondary" data-danger disabled={isBusy} onClick={() => setIsBlocking(true)}>
                {words("people.block")}
            </button>
            <button class="secondary" disabled={isBusy} onClick={() => void run(remove(invitation), "/requests")}>
                {words("requests.delete")}
            </button>
            <button class="primary" disabled={isBusy} onClick={() => void run(accept(invitation), `/chat/${encodeURIComponent(invitation.room.roomId)}`)}>
                {words("requests.accept")}
            </button>
            {isBlocking && (
                <BlockDialog name={name} userId={invitation.sender} run={() => void run(block(invitation), "/requests")} close={() => setIsBlocking(false)} />
            )}
        </footer>
    );
}
