// The head of a chat: who it is with and where they are, and what one can do with it.

import type { MatrixClient, Room, User } from "matrix-js-sdk";
import { useEffect, useReducer, useState } from "preact/hooks";
import { Link, useLocation } from "wouter-preact";

import { otherPerson } from "../chats/direct";
import { neighbours, platformName, serverOf } from "../platform";
import { sdk } from "../sync/running";
import { Avatar } from "../ui/avatar";
import { Icon } from "../ui/icon";
import { Menu, type MenuItem } from "../ui/menu";
import { Back, PaneTitle } from "../ui/pane";
import { PlatformMark } from "../ui/platform-mark";
import { clock, day } from "../ui/time";
import { words } from "../words";

interface HeaderProps {
    client: MatrixClient;
    room: Room;
    /** What else the menu has. */
    items: MenuItem[];
}

export function Header({ client, room, items }: HeaderProps) {
    useChanges(client, room);
    const [, navigate] = useLocation();
    const [anchor, setAnchor] = useState<Element>();
    const other = otherPerson(client, room);
    const server = other ? serverOf(other) : undefined;
    const isElsewhere = server !== undefined && server !== serverOf(client.getSafeUserId());
    const details = `/chat/${encodeURIComponent(room.roomId)}/details`;
    const picture = room.getMxcAvatarUrl() ?? (other ? room.getAvatarFallbackMember()?.getMxcAvatarUrl() : undefined);
    return (
        <header>
            <Back to="/" />
            <Link href={details} class="who">
                <span class="picture">
                    <Avatar id={other ?? room.roomId} name={room.name} mxc={picture ?? undefined} size={40} />
                    {isElsewhere && (
                        <span class="elsewhere">
                            <PlatformMark server={server} />
                        </span>
                    )}
                </span>
                <span class="titles">
                    <PaneTitle dir="auto">{room.name}</PaneTitle>
                    <small>{lineOf(client, room, other)}</small>
                </span>
            </Link>
            <Link href={`/search?in=${encodeURIComponent(room.roomId)}`} class="icon-button" aria-label={words("chat.search")}>
                <Icon name="search" />
            </Link>
            <button class="icon-button" aria-label={words("chat.menu")} aria-haspopup="menu" onClick={(event) => setAnchor(event.currentTarget)}>
                <Icon name="more" />
            </button>
            {anchor && (
                <Menu
                    anchor={anchor}
                    label={words("chat.menu")}
                    close={() => setAnchor(undefined)}
                    items={[{ label: words("chat.details"), icon: "info", run: () => navigate(details) }, ...items]}
                />
            )}
        </header>
    );
}

/** Says where the person is, when they were last there, and whether the chat is encrypted. */
function lineOf(client: MatrixClient, room: Room, other: string | undefined) {
    const isEncrypted = room.hasEncryptionStateEvent();
    const parts = other
        ? [handleOf(other), words("chat.on", { platform: platformName(serverOf(other)) }), presenceOf(client.getUser(other))]
        : [membersOf(room)];
    return (
        <>
            <span>{parts.filter(Boolean).join(" · ")}</span>
            <span class="sealed" title={words(isEncrypted ? "chat.encrypted" : "chat.plain")}>
                {isEncrypted && <Icon name="lock" />}
                {words(isEncrypted ? "chat.encrypted.short" : "chat.plain.short")}
            </span>
        </>
    );
}

/** The handle of somebody whose platform has handles. Other ids are nothing that people know each other by. */
function handleOf(userId: string): string | undefined {
    const platform = neighbours.value.find(({ server_name }) => server_name === serverOf(userId));
    return platform?.identity === "handle" ? `\u2068${userId.slice(0, userId.indexOf(":"))}\u2069` : undefined;
}

function membersOf(room: Room): string {
    return words("chat.members", { count: room.getJoinedMemberCount() });
}

function presenceOf(user: User | null): string | undefined {
    if (!user || (user.presence === "offline" && !user.lastPresenceTs)) return undefined;
    if (user.currentlyActive || user.presence === "online") return words("chat.online");
    const ts = user.lastPresenceTs - user.lastActiveAgo;
    return ts > 0 ? words("chat.last_seen", { day: day(ts), time: clock(ts) }) : undefined;
}

function useChanges(client: MatrixClient, room: Room): void {
    const [, redraw] = useReducer((count: number) => count + 1, 0);
    useEffect(() => {
        let stop = () => {};
        let isGone = false;
        void sdk().then(({ RoomEvent, RoomStateEvent, UserEvent }) => {
            if (isGone) return;
            // What is heard of people comes with an event that is in no room.
            const changed = (what: { roomId?: string; getRoomId?: () => string | undefined } | undefined) => {
                const id = what?.getRoomId?.() ?? what?.roomId;
                if (id === undefined || id === room.roomId) redraw(undefined as never);
            };
            const names = [RoomEvent.Name, RoomStateEvent.Events, RoomEvent.MyMembership, UserEvent.Presence, UserEvent.CurrentlyActive, UserEvent.LastPresenceTs];
            for (const name of names) client.on(name as never, changed as never);
            stop = () => names.forEach((name) => client.off(name as never, changed as never));
        });
        return () => {
            isGone = true;
            stop();
        };
    }, [client, room]);
}
