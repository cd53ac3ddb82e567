// What a chat is: its people, its name and picture, and what one can set for it.

import "../people/people.css";
import "./group.css";

import { useState } from "preact/hooks";
import { Link, useLocation } from "wouter-preact";

import { isBlocked, setMuted, unblock } from "../chats/actions";
import { ChatQuestion } from "../chats/chat-menu";
import { otherPerson } from "../chats/direct";
import { personName } from "../chats/names";
import { isRoomMuted } from "../chats/rows";
import { report } from "../people/api";
import { ContactCard } from "../people/contact-card";
import { Waiting } from "../people/waiting";
import { platformName, serverOf } from "../platform";
import { done } from "../sync/ask";
import { Avatar } from "../ui/avatar";
import { Dialog } from "../ui/dialog";
import { Icon, type IconName } from "../ui/icon";
import { later } from "../ui/later";
import { DetailsPane, PaneTitle, PartTitle } from "../ui/pane";
import { words, type WordsId } from "../words";
import { AddPeople } from "./add";
import { EditGroup } from "./edit";
import { type Followed, useChat } from "./follow";
import { Gallery } from "./gallery";
import { Links } from "./links";
import { Members } from "./members";
import { Permissions } from "./permissions";
import { Rights } from "./roles";
import { useSharedGroups } from "./shared";
import { Timer } from "./timer";

const Trust = later(() => import("../encryption/trust"), { isOptional: true });

const PAGES: Record<string, WordsId> = {
    members: "group.members",
    add: "group.add",
    links: "group.links",
    media: "group.media",
    permissions: "group.permissions",
    edit: "group.edit",
};

export default function Details({ id }: { id: string }) {
    const chat = useChat(id);
    const [location] = useLocation();
    const path = `/chat/${encodeURIComponent(id)}`;
    const page = /\/details\/(\w+)/.exec(location)?.[1];
    const title = page ? PAGES[page] : undefined;
    return (
        <DetailsPane aria-label={words(title ?? "group.details")}>
            <header>
                <Link href={title ? `${path}/details` : path} class="icon-button" aria-label={words(title ? "back" : "close")}>
                    <Icon name={title ? "back" : "close"} />
                </Link>
                <PaneTitle>{words(title ?? "group.details")}</PaneTitle>
            </header>
            {chat && <Page chat={chat} page={page} />}
        </DetailsPane>
    );
}

function Page({ chat, page }: { chat: Followed; page?: string }) {
    const id = chat.room.roomId;
    switch (page) {
        case "members":
            return <Members id={id} />;
        case "add":
            return <AddPeople chat={chat} />;
        case "links":
            return <Links id={id} name={chat.room.name} />;
        case "media":
            return <Gallery chat={chat} />;
        case "permissions":
            return <Permissions chat={chat} />;
        case "edit":
            return <EditGroup chat={chat} />;
        default:
            return <Overview chat={chat} />;
    }
}

function Overview({ chat }: { chat: Followed }) {
    const person = otherPerson(chat.there, chat.room);
    return (
        <div class="pane-body details">
            {person ? <ContactCard id={person} /> : <GroupCard chat={chat} />}
            <Waiting id={chat.room.roomId} />
            <QuickActions chat={chat} />
            <Encryption chat={chat} />
            {person && chat.room.hasEncryptionStateEvent() && <Trust userId={person} name={personName(person, chat.room.getMember(person)?.rawDisplayName)} />}
            <ul class="ways-list">
                {!person && <GroupRows chat={chat} />}
                <RowTo chat={chat} page="media" icon="picture" />
                <Timer chat={chat} />
            </ul>
            {person && <Shared userId={person} />}
            <Endings chat={chat} person={person} />
        </div>
    );
}

function GroupCard({ chat: { there, room } }: { chat: Followed }) {
    const rights = new Rights(there, room);
    const topic = room.currentState.getStateEvents("m.room.topic", "")?.getContent().topic as unknown;
    const own = serverOf(there.getSafeUserId());
    const servers = [...new Set([own, ...room.getJoinedMembers().map(({ userId }) => serverOf(userId))])];
    return (
        <section class="contact-card">
            <Avatar id={room.roomId} name={room.name} mxc={room.getMxcAvatarUrl() ?? undefined} size={96} />
            <p class="contact-name" dir="auto">
                {room.name}
            </p>
            <p class="contact-platform">
                {words("group.members.count", { count: room.getInvitedAndJoinedMemberCount() })} · {servers.map(platformName).join(", ")}
            </p>
            {typeof topic === "string" && topic && (
                <p class="topic" dir="auto">
                    {topic}
                </p>
            )}
            {rights.maySet("m.room.name") && (
                <Link class="secondary" href={`/chat/${encodeURIComponent(room.roomId)}/details/edit`}>
                    {words("group.edit")}
                </Link>
            )}
        </section>
    );
}

function QuickActions({ chat: { there, room } }: { chat: Followed }) {
    const isMuted = isRoomMuted(there, room.roomId);
    return (
        <div class="quick">
            <Link href={`/search?in=${encodeURIComponent(room.roomId)}`}>
                <Icon name="search" />
                {words("search.short")}
            </Link>
            <button aria-pressed={isMuted} onClick={() => void done(setMuted(room.roomId, !isMuted))}>
                <Icon name={isMuted ? "muted" : "bell"} />
                {words(isMuted ? "chats.unmute" : "chats.mute")}
            </button>
        </div>
    );
}

function Encryption({ chat: { room } }: { chat: Followed }) {
    const isEncrypted = room.hasEncryptionStateEvent();
    return (
        <p class="fact">
            <Icon name={isEncrypted ? "lock" : "info"} />
            {words(isEncrypted ? "people.encrypted" : "people.not_encrypted")}
        </p>
    );
}

function GroupRows({ chat }: { chat: Followed }) {
    const rights = new Rights(chat.there, chat.room);
    return (
        <>
            <RowTo chat={chat} page="members" icon="group" note={String(chat.room.getInvitedAndJoinedMemberCount())} />
            {rights.mayInvite && <RowTo chat={chat} page="add" icon="invite" />}
            {rights.mayInvite && <RowTo chat={chat} page="links" icon="link" />}
            <RowTo chat={chat} page="permissions" icon="settings" />
        </>
    );
}

function RowTo({ chat, page, icon, note }: { chat: Followed; page: string; icon: IconName; note?: string }) {
    return (
        <li>
            <Link class="way-row" href={`/chat/${encodeURIComponent(chat.room.roomId)}/details/${page}`}>
                <Icon name={icon} />
                <span>{words(PAGES[page]!)}</span>
                {note && <span class="note">{note}</span>}
                <Icon name="next" />
            </Link>
        </li>
    );
}

function Shared({ userId }: { userId: string }) {
    const groups = useSharedGroups(userId);
    if (!groups || groups.length === 0) return null;
    return (
        <section aria-labelledby="shared-groups">
            <PartTitle id="shared-groups">{words("group.shared", { count: groups.length })}</PartTitle>
            <ul class="people-list">
                {groups.map((group) => (
                    <li key={group.roomId}>
                        <Link class="row one-line" href={`/chat/${encodeURIComponent(group.roomId)}`}>
                            <span class="picture">
                                <Avatar id={group.roomId} name={group.name} mxc={group.getMxcAvatarUrl() ?? undefined} size={40} />
                            </span>
                            <span class="name" dir="auto">{group.name}</span>
                        </Link>
                    </li>
                ))}
            </ul>
        </section>
    );
}

type Ending = "leave" | "block" | "report";

/** What ends something, apart from all else and the last. */
function Endings({ chat: { room }, person }: { chat: Followed; person?: string }) {
    const [open, setOpen] = useState<Ending>();
    const close = () => setOpen(undefined);
    const isOnList = person !== undefined && isBlocked(person);
    return (
        <div class="endings">
            {person && (
                <button onClick={() => (isOnList ? void done(unblock(person)) : setOpen("block"))}>
                    <Icon name="block" />
                    {words(isOnList ? "people.unblock" : "people.block")}
                </button>
            )}
            {!person && (
                <button onClick={() => setOpen("report")}>
                    <Icon name="failed" />
                    {words("group.report")}
                </button>
            )}
            <button onClick={() => setOpen("leave")}>
                <Icon name={person ? "delete" : "log_out"} />
                {words(person ? "chats.delete" : "group.leave")}
            </button>
            {open === "report" && <ReportGroup id={room.roomId} close={close} />}
            {(open === "leave" || open === "block") && (
                <ChatQuestion question={{ kind: open, row: { id: room.roomId, name: room.name, person } }} close={close} />
            )}
        </div>
    );
}

function ReportGroup({ id, close }: { id: string; close: () => void }) {
    const [reason, setReason] = useState("");
    const send = async () => {
        if (await done(report({ kind: "room", room_id: id }, reason.trim()))) close();
    };
    return (
        <Dialog
            title={words("group.report")}
            close={close}
            actions={
                <>
                    <button class="secondary" onClick={close}>
                        {words("cancel")}
                    </button>
                    <button class="danger" onClick={() => void send()}>
                        {words("group.report")}
                    </button>
                </>
            }
        >
            <p>{words("people.report.hint")}</p>
            <label class="field">
                <span>{words("people.report.why")}</span>
                <textarea rows={3} maxLength={1000} dir="auto" value={reason} onInput={(event) => setReason(event.currentTarget.value)} />
            </label>
        </Dialog>
    );
}
