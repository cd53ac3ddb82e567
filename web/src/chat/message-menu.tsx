// What one can do with the messages of a row: beside it, or as a sheet on a phone.

import type { MatrixEvent } from "matrix-js-sdk";

import { target } from "../composer/target";
import { Menu, type MenuItem } from "../ui/menu";
import { words } from "../words";
import { canDelete, canEdit, canForward, canPin, copy, endPoll, isSent, react, setPinned, star } from "./actions";
import type { OpenChat } from "./context";
import type { Message } from "./message";
import { selection } from "./selection";
import { remove, retry } from "../composer/outbox";

/** The reactions that are chosen most. */
const QUICK = ["👍", "❤️", "😂", "😮", "😢", "🙏"];

interface MenuActions {
    forward: (messages: Message[]) => void;
    remove: (messages: Message[]) => void;
    report: (message: Message) => void;
    info: (messages: Message[]) => void;
    pickReaction: (message: Message) => void;
}

interface MessageMenuProps {
    chat: OpenChat;
    messages: Message[];
    anchor: Element;
    actions: MenuActions;
    close: () => void;
}

export function MessageMenu({ chat, messages, anchor, actions, close }: MessageMenuProps) {
    const last = messages.at(-1)!;
    const isThere = isSent(last);
    return (
        <Menu
            anchor={anchor}
            label={words("message.menu")}
            close={close}
            placement={last.isOwn ? "bottom-end" : "bottom-start"}
            isSheet
            head={
                isThere && last.content.kind !== "deleted" ? (
                    <QuickReactions chat={chat} message={last} close={close} pick={() => actions.pickReaction(last)} />
                ) : undefined
            }
            items={isThere ? itemsOf(chat, messages, actions) : waitingItems(last)}
        />
    );
}

function QuickReactions({ chat, message, close, pick }: { chat: OpenChat; message: Message; close: () => void; pick: () => void }) {
    const own = message.reactions.filter((reaction) => reaction.own !== undefined).map(({ key }) => key);
    return (
        <div class="quick-reactions">
            {QUICK.map((key) => (
                <button
                    key={key}
                    role="menuitemcheckbox"
                    aria-checked={own.includes(key)}
                    aria-label={words("message.react_with", { key })}
                    onClick={() => {
                        close();
                        void react(chat.timeline, message, key);
                    }}
                >
                    {key}
                </button>
            ))}
            <button
                role="menuitem"
                aria-label={words("message.react.more")}
                onClick={() => {
                    close();
                    pick();
                }}
            >
                +
            </button>
        </div>
    );
}

/** What the server does not have yet can be taken back, whatever it waits for: nothing later of the chat is sent before it. */
function waitingItems(message: Message): MenuItem[] {
    const first: MenuItem[] =
        message.state === "failed"
            ? [{ label: words("message.retry"), icon: "send", run: () => void retry(message.key) }]
            : [{ label: words("message.copy"), icon: "copy", run: () => void copy([message]) }];
    return [
        ...first,
        { label: words("message.remove"), icon: "delete", isDanger: true, run: () => void remove(message.key) },
    ];
}

function itemsOf(chat: OpenChat, messages: Message[], actions: MenuActions): MenuItem[] {
    const { timeline } = chat;
    const last = messages.at(-1)!;
    const { content } = last;
    const isDeleted = content.kind === "deleted";
    const isReadable = !isDeleted && content.kind !== "locked";
    const isOne = messages.length === 1;
    const event = timeline.event(last.id);
    const poll = content.kind === "poll" && last.isOwn ? timeline.poll(last.id) : undefined;
    const items: (MenuItem | false | undefined)[] = [
        !isDeleted && { label: words("message.reply"), icon: "reply", run: () => chat.reply(last) },
        isOne && event && canEdit(event, timeline.own) && { label: words("message.edit"), icon: "edit", run: () => edit(event) },
        isReadable && (content.kind === "text" || "caption" in content) && { label: words("message.copy"), icon: "copy", run: () => void copy(messages) },
        messages.every(canForward) && { label: words("message.forward"), icon: "forward", run: () => actions.forward(messages) },
        poll && !poll.votes.peek()?.isEnded && { label: words("poll.end"), icon: "poll", run: () => void endPoll(timeline, last) },
        !isDeleted && isOne && canPin(timeline) && {
            label: words(last.isPinned ? "message.unpin" : "message.pin"),
            icon: "pin",
            run: () => void setPinned(timeline, last.id, !last.isPinned),
        },
        !isDeleted && {
            label: words(last.isStarred ? "message.unstar" : "message.star"),
            icon: "star",
            run: () => void star(timeline, messages, !last.isStarred),
        },
        { label: words("message.info"), icon: "info", run: () => actions.info(messages) },
        !isDeleted && { label: words("message.select"), icon: "sent", run: () => (selection.value = new Map(messages.map((message) => [message.id, message]))) },
        !last.isOwn && isOne && { label: words("message.report"), icon: "block", isDanger: true, run: () => actions.report(last) },
        messages.every((message) => canDelete(timeline, message)) && {
            label: words("message.delete"),
            icon: "delete",
            isDanger: true,
            run: () => actions.remove(messages),
        },
    ];
    return items.filter((item): item is MenuItem => !!item);
}

function edit(event: MatrixEvent): void {
    target.value = { roomId: event.getRoomId()!, kind: "edit", event };
}
