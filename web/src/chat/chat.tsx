// One chat: its head, its messages, and where one writes.

import "./chat.css";

import type { Room } from "matrix-js-sdk";
import { useEffect, useMemo, useState } from "preact/hooks";
import { Link, useLocation } from "wouter-preact";
import { useHistoryState } from "wouter-preact/use-browser-location";

import { ChatQuestion, itemsOf, type Question } from "../chats/chat-menu";
import { isComplete, rowOfChat } from "../chats/rows";
import { Composer } from "../composer/composer";
import { useRoom } from "../composer/may-write";
import { target } from "../composer/target";
import { Waiting } from "../people/waiting";
import { client, sdk } from "../sync/running";
import { decoded } from "../ui/address";
import { Icon } from "../ui/icon";
import { later } from "../ui/later";
import { isForAbove } from "../ui/layers";
import type { MenuItem } from "../ui/menu";
import { Back, PaneTitle } from "../ui/pane";
import { words } from "../words";
import { canDelete, canForward } from "./actions";
import type { Picture } from "./content";
import { type OpenChat, OpenChatContext } from "./context";
import { Header } from "./header";
import type { KeptChat } from "./kept";
import { ChatAsKept, useKeptChat } from "./kept-chat";
import type { Message } from "./message";
import { MessageMenu } from "./message-menu";
import { Messages, Skeletons, Typing } from "./messages";
import { Pins } from "./pins";
import { ReactionPicker } from "./reaction-picker";
import { selection } from "./selection";
import { Timeline } from "./timeline";

const DeleteDialog = later(async () => ({ default: (await import("./dialogs")).DeleteDialog }));
const ReportDialog = later(async () => ({ default: (await import("./dialogs")).ReportDialog }));
const InfoDialog = later(async () => ({ default: (await import("./dialogs")).InfoDialog }));
const StarredDialog = later(async () => ({ default: (await import("./dialogs")).StarredDialog }));
const ForwardDialog = later(() => import("../composer/forward"));
const IdentityNotice = later(() => import("../encryption/identity-notice"), { isOptional: true });

const pathOf = (id: string) => `/chat/${encodeURIComponent(id)}`;

/** Where in a chat an address leads. */
function placeIn(location: string): { eventId?: string; threadId?: string } {
    const [, , , first, second] = location.split("/").map(decoded);
    if (first === "thread") return { threadId: second };
    return first?.startsWith("$") ? { eventId: first } : {};
}

export function Chat({ id }: { id: string }) {
    const [location] = useLocation();
    const { eventId, threadId } = placeIn(location);
    const room = useRoom(id);
    const kept = useKeptChat(id);
    const timeline = useTimeline(room, threadId, eventId, kept);
    if (useIsAbsent(id, room)) return <Absent />;
    return (
        <main class="pane chat">
            {timeline ? (
                <OpenedChat key={threadId ?? ""} timeline={timeline} threadId={threadId} />
            ) : (
                <ChatAsKept id={id} kept={eventId || threadId ? null : kept} />
            )}
            {threadId ? (
                <footer class="thread-foot">
                    <Link href={pathOf(id)}>{words("chat.thread.answer")}</Link>
                </footer>
            ) : (
                <Composer id={id} timeline={timeline} />
            )}
        </main>
    );
}

/** Whether the person is known not to be in a chat. One that they have just begun or joined comes with the next sync. */
function useIsAbsent(id: string, room: Room | undefined): boolean {
    const running = client.value;
    const isUnknown = running !== undefined && isComplete.value && !room;
    const [isAbsent, setAbsent] = useState(false);
    useEffect(() => {
        if (!isUnknown) return;
        let isGone = false;
        const say = (isThere: boolean) => isGone || setAbsent(!isThere);
        // Without a network, what the client knows is all there is to know.
        running.getJoinedRooms().then(({ joined_rooms }) => say(joined_rooms.includes(id)), () => say(false));
        return () => {
            isGone = true;
            setAbsent(false);
        };
    }, [running, id, isUnknown]);
    return isUnknown && isAbsent;
}

/** What is said in place of a chat that the person is not in. */
function Absent() {
    return (
        <main class="pane chat">
            <header>
                <Back to="/" />
                <PaneTitle>{words("chat.absent")}</PaneTitle>
            </header>
            <div class="absent">
                <p>{words("chat.absent.hint")}</p>
                <Link href="/" class="secondary button">
                    {words("chat.absent.back")}
                </Link>
            </div>
        </main>
    );
}

/** The timeline of what is open. It goes to the event that the address names, also when another address follows, or the same again. */
function useTimeline(room: Room | undefined, threadId: string | undefined, eventId: string | undefined, kept: KeptChat | null | undefined): Timeline | undefined {
    const isReady = kept !== undefined;
    const [timeline, setTimeline] = useState<Timeline>();
    const visit = useHistoryState<unknown>();
    useEffect(() => {
        if (!room || !isReady) return;
        let opened: Timeline | undefined;
        let isGone = false;
        void sdk().then(async (sdk) => {
            if (isGone) return;
            opened = new Timeline(room.client, room, sdk, threadId, kept ?? undefined);
            await opened.recalled();
            if (isGone) return;
            setTimeline(opened);
            void opened.open(eventId);
        });
        return () => {
            isGone = true;
            opened?.close();
            setTimeline(undefined);
            selection.value = undefined;
        };
    }, [room, threadId, isReady]);
    useEffect(() => {
        if (timeline && eventId && !timeline.isOpening.peek()) void timeline.jumpTo(eventId);
    }, [eventId, visit]);
    return timeline;
}

/** What is open over the messages. */
type Panel =
    | { kind: "menu" | "reaction"; messages: Message[]; anchor: Element }
    | { kind: "delete" | "report" | "info" | "forward"; messages: Message[] }
    | { kind: "starred" };

function OpenedChat({ timeline, threadId }: { timeline: Timeline; threadId?: string }) {
    const [, navigate] = useLocation();
    const [panel, setPanel] = useState<Panel>();
    const [question, setQuestion] = useState<Question>();
    const { client, room } = timeline;
    const path = pathOf(room.roomId);
    const close = () => setPanel(undefined);
    const chat = useMemo<OpenChat>(
        () => ({
            timeline,
            openMenu: (messages, anchor) => setPanel({ kind: "menu", messages, anchor }),
            openInfo: (messages) => setPanel({ kind: "info", messages }),
            pickReaction: (message, anchor) => setPanel({ kind: "reaction", messages: [message], anchor }),
            openPicture: (eventId) => void openPicture(timeline, eventId),
            goTo: (eventId, from) => (threadId ? navigate(`${path}/${encodeURIComponent(eventId)}`) : void timeline.jumpTo(eventId, from)),
            openThread: (eventId) => navigate(`${path}/thread/${encodeURIComponent(eventId)}`),
            reply: (message) => {
                const event = timeline.event(message.id);
                if (event && !event.status) target.value = { roomId: room.roomId, kind: "reply", event };
                // Answers are written in the chat, where the thread's messages are, too.
                if (threadId) navigate(path);
            },
        }),
        [timeline],
    );
    const row = rowOfChat(room.roomId)?.value;
    const items: MenuItem[] = [
        { label: words("chat.starred"), icon: "star", run: () => setPanel({ kind: "starred" }) },
        { label: words("message.select"), icon: "sent", run: () => (selection.value = new Map()) },
        ...(row ? itemsOf(row, setQuestion) : []),
    ];
    return (
        <OpenChatContext.Provider value={chat}>
            {selection.value ? (
                <ChosenBar timeline={timeline} act={(kind, messages) => setPanel({ kind, messages })} />
            ) : threadId ? (
                <ThreadHead path={path} />
            ) : (
                <Header client={client} room={room} items={items} />
            )}
            {!threadId && <Pins />}
            <IdentityNotice roomId={room.roomId} />
            {timeline.isOpening.value && timeline.rows.value.length === 0 ? (
                <div class="messages-frame">
                    <Skeletons />
                </div>
            ) : (
                <Messages />
            )}
            {question && <ChatQuestion question={question} close={() => setQuestion(undefined)} />}
            <Lost timeline={timeline} />
            <Waiting id={room.roomId} />
            <Typing />
            {panel?.kind === "menu" && (
                <MessageMenu
                    chat={chat}
                    messages={panel.messages}
                    anchor={panel.anchor}
                    close={close}
                    actions={{
                        forward: (messages) => setPanel({ kind: "forward", messages }),
                        remove: (messages) => setPanel({ kind: "delete", messages }),
                        report: (message) => setPanel({ kind: "report", messages: [message] }),
                        info: (messages) => setPanel({ kind: "info", messages }),
                        pickReaction: (message) => setPanel({ kind: "reaction", messages: [message], anchor: panel.anchor }),
                    }}
                />
            )}
            {panel?.kind === "reaction" && <ReactionPicker timeline={timeline} message={panel.messages[0]!} anchor={panel.anchor} close={close} />}
            {panel?.kind === "delete" && <DeleteDialog timeline={timeline} messages={panel.messages} close={close} done={() => (selection.value = undefined)} />}
            {panel?.kind === "report" && <ReportDialog timeline={timeline} messages={panel.messages} close={close} />}
            {panel?.kind === "info" && <InfoDialog timeline={timeline} messages={panel.messages} close={close} />}
            {panel?.kind === "starred" && <StarredDialog timeline={timeline} close={close} goTo={chat.goTo} />}
            {panel?.kind === "forward" && (
                <ForwardDialog
                    events={panel.messages.flatMap(({ id }) => timeline.event(id) ?? [])}
                    done={() => (selection.value = undefined)}
                    close={close}
                />
            )}
        </OpenChatContext.Provider>
    );
}

/** What is said when messages could not be loaded, with the one thing that helps. */
function Lost({ timeline }: { timeline: Timeline }) {
    if (!timeline.lost.value) return null;
    return (
        <p class="lost" role="status">
            {words("chat.lost")}
            <button onClick={() => void timeline.retry()}>{words("message.retry")}</button>
        </p>
    );
}

function ThreadHead({ path }: { path: string }) {
    return (
        <header>
            <Back to={path} isAlways />
            <PaneTitle>{words("chat.thread")}</PaneTitle>
        </header>
    );
}

/** What one can do with the messages that are chosen. */
function ChosenBar({ timeline, act }: { timeline: Timeline; act: (kind: "delete" | "forward", messages: Message[]) => void }) {
    const messages = [...(selection.value?.values() ?? [])].sort((one, other) => one.ts - other.ts);
    const isNone = messages.length === 0;
    useEffect(() => {
        const onKeyDown = (event: KeyboardEvent) => event.key === "Escape" && !isForAbove(event) && (selection.value = undefined);
        document.addEventListener("keydown", onKeyDown);
        return () => document.removeEventListener("keydown", onKeyDown);
    }, []);
    return (
        <header class="chosen-bar">
            <button class="icon-button" aria-label={words("cancel")} onClick={() => (selection.value = undefined)}>
                <Icon name="close" />
            </button>
            <PaneTitle aria-live="polite">{words("message.chosen", { count: messages.length })}</PaneTitle>
            <button
                class="icon-button"
                aria-label={words("message.forward")}
                disabled={isNone || !messages.every(canForward)}
                onClick={() => act("forward", messages)}
            >
                <Icon name="forward" />
            </button>
            <button
                class="icon-button"
                aria-label={words("message.delete")}
                disabled={isNone || !messages.every((message) => canDelete(timeline, message))}
                onClick={() => act("delete", messages)}
            >
                <Icon name="delete" />
            </button>
        </header>
    );
}

/** Opens the viewer at a picture, with all others of the chat that are loaded beside it. */
async function openPicture(timeline: Timeline, eventId: string): Promise<void> {
    const rows = timeline.rows.peek().map(({ row }) => row.peek());
    const messages = rows.flatMap((row) => (row.kind === "message" ? row.messages : []));
    const pictures = messages.filter(({ content }) => content.kind === "picture");
    // What is just being sent gets another id while the viewer is loaded.
    const at = Math.max(0, pictures.findIndex(({ id }) => id === eventId));
    const { view } = await import("../media/viewer");
    view(pictures.map(({ content }) => content as Picture), at);
}
