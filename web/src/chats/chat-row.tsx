// One row of the list.

import type { Signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { Link, useLocation } from "wouter-preact";

import { drafts } from "../composer/drafts";
import { client } from "../sync/running";
import { Avatar } from "../ui/avatar";
import { Icon } from "../ui/icon";
import { PlatformMark } from "../ui/platform-mark";
import { useLongPress } from "../ui/press";
import { short } from "../ui/time";
import { words } from "../words";
import { isUnread, lookBack, type Row } from "./rows";

interface ChatRowProps {
    row: Signal<Row>;
    /** Whether Tab leads to it. Only one row of a list is a stop. */
    isStop?: boolean;
    openMenu?: (anchor: { x: number; y: number } | Element) => void;
}

export function ChatRow({ row, isStop = true, openMenu }: ChatRowProps) {
    const [location] = useLocation();
    const shown = row.value;
    const path = `/chat/${encodeURIComponent(shown.id)}`;
    const isOpen = location === path || location.startsWith(`${path}/`);
    const press = usePress(openMenu);
    useLookBack(shown);
    return (
        <Link
            href={path}
            class="row"
            tabIndex={isStop ? 0 : -1}
            aria-current={isOpen ? "page" : undefined}
            data-unread={isUnread(shown) || undefined}
            data-muted={shown.isMuted || undefined}
            {...press}
        >
            <span class="picture">
                <Avatar id={shown.person ?? shown.id} name={shown.name} mxc={shown.avatar} />
                {shown.elsewhere && (
                    <span class="elsewhere">
                        <PlatformMark server={shown.elsewhere} />
                    </span>
                )}
            </span>
            <span class="name" dir="auto">
                {shown.name}
            </span>
            <time class="time">{shown.ts > 0 ? short(shown.ts) : ""}</time>
            <span class="preview">
                <Preview row={shown} isOpen={isOpen} />
            </span>
            <Signs row={shown} />
        </Link>
    );
}

/** A row that is seen says what was said last, also if other things have happened since. */
function useLookBack({ id, preview, isInvitation }: Row): void {
    const running = client.value;
    const isNeeded = !preview && !isInvitation;
    useEffect(() => {
        if (running && isNeeded) lookBack(running, id).catch(console.warn);
    }, [running, id, isNeeded]);
}

/** Who writes, what was begun, or what was said last, in this order. */
function Preview({ row, isOpen }: { row: Row; isOpen: boolean }) {
    if (row.typing.length > 0) {
        const names = row.isGroup ? row.typing.slice(0, 2).join(", ") : "";
        return <i class="is-typing">{names ? words("chats.typing.who", { names, count: row.typing.length }) : words("chats.typing")}</i>;
    }
    const draft = isOpen ? undefined : drafts.value.get(row.id);
    if (row.sent === "failed") {
        return (
            <span class="bad">
                <Icon name="failed" />
                {words("message.failed")}
            </span>
        );
    }
    if (draft) {
        return (
            <>
                <b class="draft">{words("chats.draft")}</b> <bdi>{draft}</bdi>
            </>
        );
    }
    if (!row.preview) return <>{words("chats.no_messages")}</>;
    return (
        <>
            {row.sent && <Ticks sent={row.sent} />}
            <span class="row-line" dir="auto">
                {row.isOwn && <span class="only-said">{words("chats.you")}</span>}
                {row.sender && (
                    <>
                        <bdi class="said-by">{row.sender}</bdi>:{" "}
                    </>
                )}
                {row.preview}
            </span>
        </>
    );
}

function Ticks({ sent }: { sent: "sending" | "sent" | "read" }) {
    const icons = { sending: "clock", sent: "sent", read: "read" } as const;
    const labels = { sending: "message.sending", sent: "message.sent", read: "chats.read" } as const;
    return (
        <span class="ticks" data-sent={sent}>
            <Icon name={icons[sent]} label={words(labels[sent])} />
        </span>
    );
}

/** The small signs at the end of a row: waiting, muted, pinned, mentioned, and how much is new. */
function Signs({ row }: { row: Row }) {
    return (
        <span class="signs">
            {row.isWaiting && <Icon name="clock" label={words("chats.waiting")} />}
            {row.isMuted && <Icon name="muted" label={words("chats.is_muted")} />}
            {row.isPinned && <Icon name="pin" label={words("chats.is_pinned")} />}
            {row.mentions > 0 && (
                <span class="badge mention" role="img" aria-label={words("chats.mentioned")}>
                    @
                </span>
            )}
            <Badge row={row} />
        </span>
    );
}

/** Servers count nothing in muted chats, so these and marked ones have a dot in place of a number. */
function Badge({ row }: { row: Row }) {
    if (!isUnread(row)) return null;
    const isDot = row.unread === 0 || row.isMuted;
    const label = isDot ? words("chats.is_unread") : words("chats.unread", { count: row.unread });
    return (
        <span class="badge" role="img" data-dot={isDot || undefined} aria-label={label}>
            {!isDot && (row.unread > 99 ? "99+" : row.unread)}
        </span>
    );
}

/** Opens the menu of a row by the right button, by the key for menus, or by a finger that rests on it. */
function usePress(openMenu: ChatRowProps["openMenu"]) {
    const press = useLongPress(({ clientX, clientY }) => openMenu?.({ x: clientX, y: clientY }));
    if (!openMenu) return {};
    return {
        ...press,
        onContextMenu: (event: MouseEvent) => {
            event.preventDefault();
            press.onPointerCancel();
            const isKey = event.clientX === 0 && event.clientY === 0;
            openMenu(isKey ? (event.currentTarget as Element) : { x: event.clientX, y: event.clientY });
        },
    };
}
