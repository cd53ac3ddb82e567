// The menu of a chat, and the questions before what cannot be undone with it.

import type { VirtualElement } from "@floating-ui/dom";
import { useLocation } from "wouter-preact";

import { done } from "../sync/ask";
import { Confirm } from "../ui/confirm";
import { later } from "../ui/later";
import { Menu, type MenuItem } from "../ui/menu";
import { notify } from "../ui/notice";
import { words } from "../words";
import { block, leave, markRead, markUnread, setArchived, setMuted, setPinned } from "./actions";
import { isUnread, type Row } from "./rows";

const BlockDialog = later(async () => ({ default: (await import("../people/block-dialog")).BlockDialog }));

export interface Question {
    kind: "leave" | "block";
    row: Pick<Row, "id" | "name" | "person">;
}

interface ChatMenuProps {
    row: Row;
    anchor: Element | VirtualElement;
    close: () => void;
    /** Has a question asked before something is done that cannot be undone. */
    ask: (question: Question) => void;
}

export function ChatMenu({ row, anchor, close, ask }: ChatMenuProps) {
    return <Menu anchor={anchor} label={row.name} items={itemsOf(row, ask)} close={close} />;
}

/** What can be done with a chat. */
export function itemsOf(row: Row, ask: (question: Question) => void): MenuItem[] {
    const { id, person } = row;
    return [
        isUnread(row)
            ? { label: words("chats.mark_read"), icon: "read", run: () => void done(markRead(id)) }
            : { label: words("chats.mark_unread"), icon: "chats", run: () => void done(markUnread(id)) },
        { label: words(row.isPinned ? "chats.unpin" : "chats.pin"), icon: "pin", run: () => void done(setPinned(id, !row.isPinned)) },
        {
            label: words(row.isMuted ? "chats.unmute" : "chats.mute"),
            icon: row.isMuted ? "bell" : "muted",
            run: () => void done(setMuted(id, !row.isMuted)),
        },
        { label: words(row.isArchived ? "chats.unarchive" : "chats.archive"), icon: "archive", run: () => void archive(row) },
        ...(person ? [{ label: words("people.block"), icon: "block" as const, isDanger: true, run: () => ask({ kind: "block", row }) }] : []),
        { label: words(person ? "chats.delete" : "group.leave"), icon: person ? "delete" : "log_out", isDanger: true, run: () => ask({ kind: "leave", row }) },
    ];
}

async function archive({ id, isArchived }: Row): Promise<void> {
    if (!(await done(setArchived(id, !isArchived)))) return;
    notify({
        text: words(isArchived ? "chats.unarchived" : "chats.archived.done"),
        action: { label: words("undo"), run: () => void done(setArchived(id, isArchived)) },
    });
}

export function ChatQuestion({ question: { kind, row }, close }: { question: Question; close: () => void }) {
    const [location, go] = useLocation();
    const away = async () => {
        if ((await done(leave(row.id))) && location.startsWith(`/chat/${encodeURIComponent(row.id)}`)) go("/");
    };
    if (kind === "block" && row.person) {
        const person = row.person;
        return <BlockDialog name={row.name} userId={person} run={() => void done(block(person))} close={close} />;
    }
    return (
        <Confirm
            title={words(row.person ? "chats.delete.title" : "group.leave.title", { name: row.name })}
            text={words(row.person ? "chats.delete.text" : "group.leave.text")}
            action={words(row.person ? "chats.delete" : "group.leave")}
            run={() => void away()}
            close={close}
        />
    );
}
