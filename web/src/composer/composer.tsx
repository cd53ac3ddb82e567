// Where one writes. What is begun is kept, also when the app is closed. Everything beyond the field is loaded when it is
// first used.

import "./composer.css";

import type { MatrixError, MatrixEvent, Room } from "matrix-js-sdk";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

import type { Timeline } from "../chat/timeline";
import { memberName, personName } from "../chats/names";
import { oneLine } from "../chats/preview";
import { isUnconfirmed } from "../encryption/hindrance";
import { opened } from "../encryption/opened";
import { Icon } from "../ui/icon";
import { later } from "../ui/later";
import { followPress, type Press } from "../ui/press";
import { words } from "../words";
import { type Abilities, isOffered, type Kind, notShown, useAbilities } from "./abilities";
import { editContent, editedMentions, editedText, isFile, textContent, withReply } from "./content";
import { draftOf, keepDraft } from "./drafts";
import { Entering } from "./entering";
import { insert } from "./field";
import { type Mention, mentionsIn, toHtml } from "./format";
import { useKeyboardRoom } from "./keyboard";
import { reasonNotToWrite, useRoom, waitsFor } from "./may-write";
import { More, type Panel } from "./more";
import { send } from "./outbox";
import { outgoing, stage, type StagedFile, useIncomingFiles, useStaged } from "./stage";
import { target, type Target } from "./target";
import { Typing } from "./typing";

const EmojiPicker = later(() => import("./emoji"));
const Staged = later(() => import("./staged"));
const VoiceBar = later(() => import("./voice"));
const PollDialog = later(() => import("./poll"));
const PlaceDialog = later(() => import("./place"));
const ScheduleDialog = later(() => import("./schedule"));
const ScheduledDialog = later(() => import("./scheduled"));
const TimerDialog = later(() => import("./timer"));

interface ComposerProps {
    id: string;
    /** Where messages of the chat are found, once there is something. */
    timeline: Pick<Timeline, "find"> | undefined;
}

export function Composer({ id, timeline }: ComposerProps) {
    const room = useRoom(id);
    const reason = room && reasonNotToWrite(room);
    if (room && !reason && isUnconfirmed(room)) return <Unconfirmed />;
    if (!reason) return <Writing key={id} id={id} room={room} timeline={timeline} />;
    return (
        <footer class="composer">
            <p class="composer-reason">{reason}</p>
        </footer>
    );
}

/** Nobody would read what comes from a device that is not confirmed. */
function Unconfirmed() {
    return (
        <footer class="composer">
            <p class="composer-reason">
                {words("encryption.unconfirmed")}
                <button class="secondary" onClick={() => (opened.value = { kind: "confirm" })}>
                    {words("encryption.banner.confirm.go")}
                </button>
            </p>
        </footer>
    );
}

function Writing({ id, room, timeline }: ComposerProps & { room: Room | undefined }) {
    const [begun] = useState(() => draftOf(id));
    const [text, setText] = useState(begun.text);
    const [mentions, setMentions] = useState<Mention[]>(begun.mentions);
    const [staged, setStaged] = useStaged();
    const [panel, setPanel] = useState<Panel>();
    const field = useRef<HTMLTextAreaElement>(null);
    const voicePress = useRef<Press>();
    const { about, sought, leave } = useTarget(id, timeline, begun.replyTo);
    const isEditing = about?.kind === "edit";
    const reply = about?.kind === "reply" ? about.event : undefined;
    const typing = useTyping(room);
    const abilities = useAbilities(id);
    useKeyboardRoom();

    // While a message is changed, the draft of the next one waits.
    useEffect(() => {
        if (!isEditing) keepDraft(id, { text, mentions: mentionsIn(text, mentions), replyTo: reply?.getId() ?? sought });
    }, [id, text, mentions, reply, sought, isEditing]);
    // Before anything else is typed, so that nothing typed is lost.
    useLayoutEffect(() => {
        if (!about) return;
        field.current?.focus();
        if (about.kind !== "edit") return;
        setMentions(editedMentions(about, (userId) => personName(userId, room?.getMember(userId)?.rawDisplayName)));
        setText(editedText(about));
        return () => {
            const kept = draftOf(id);
            setText(kept.text);
            setMentions(kept.mentions);
        };
    }, [about]);

    const addFiles = (files: Iterable<File>) => {
        setStaged((before) => [...before, ...stage(files)]);
        field.current?.focus();
    };
    const isOver = useIncomingFiles(addFiles);
    const clear = () => {
        setText("");
        setMentions([]);
        typing?.ends();
        leave();
    };
    const said = text.trim();
    const content = () => textContent(said, mentions, reply, room?.client.getSafeUserId());
    const sendStaged = () => {
        const text = said ? textContent(said, mentions) : undefined;
        // Of several files none is the one that the words are about, so these follow as a message of their own.
        const caption = staged.length === 1 ? text : undefined;
        for (const [at, file] of staged.entries()) {
            const made = outgoing(file, caption);
            send({ roomId: id, ...made, content: withReply(made.content, at === 0 ? reply : undefined, room?.client.getSafeUserId()) });
        }
        if (text && !caption) send({ roomId: id, content: text });
        setStaged([]);
        clear();
    };
    // Of a file that is changed the words below may go.
    const isEmpty = !said && staged.length === 0 && !(isEditing && isFile(about));
    const submit = () => {
        field.current?.focus();
        if (isEmpty) return;
        if (isEditing) {
            if (said !== editedText(about)) send({ roomId: id, content: editContent(said, mentions, about.event) });
            typing?.ends();
            target.value = undefined;
        } else if (staged.length > 0) {
            sendStaged();
        } else {
            send({ roomId: id, content: content() });
            clear();
        }
    };
    const closePanel = () => {
        setPanel(undefined);
        field.current?.focus();
    };
    const hint = room && hintOf(room, staged, said, abilities);
    return (
        <footer class="composer">
            {isOver && <p class="drop-here">{words("composer.drop")}</p>}
            {hint && <p class="composer-hint">{hint}</p>}
            {about && <About about={about} room={room} />}
            {staged.length > 0 && <Staged files={staged} change={setStaged} />}
            {panel === "emoji" && <EmojiPicker choose={(emoji) => insert(field.current!, emoji)} close={closePanel} />}
            {panel === "poll" && <PollDialog room={room!} reply={reply} close={closePanel} />}
            {panel === "place" && <PlaceDialog room={room!} close={closePanel} />}
            {panel === "timer" && <TimerDialog roomId={id} close={closePanel} />}
            {panel === "schedule" && <ScheduleDialog room={room!} content={content()} done={clear} close={closePanel} />}
            {panel === "scheduled" && <ScheduledDialog room={room!} close={closePanel} />}
            {panel === "voice" ? (
                <VoiceBar room={room!} reply={reply} press={voicePress.current} hint={room && notShown("voice", abilities, room)} close={closePanel} />
            ) : (
                <div class="composer-row">
                    <More room={room} canSchedule={!!said && !isEditing} isOpen={panel === "menu"} open={setPanel} addFiles={addFiles} />
                    <Entering
                        field={field}
                        room={room}
                        text={text}
                        write={(changed) => {
                            setText(changed);
                            if (changed.trim()) typing?.writes();
                            else typing?.ends();
                        }}
                        mention={(mention) => setMentions((before) => [...before.filter(({ text }) => text !== mention.text), mention])}
                        submit={submit}
                        escape={() => (panel ? setPanel(undefined) : staged.length > 0 ? setStaged([]) : (target.value = undefined))}
                    />
                    <button
                        class="icon-button emoji-button"
                        aria-label={words("composer.emoji")}
                        aria-expanded={panel === "emoji"}
                        onClick={() => setPanel(panel === "emoji" ? undefined : "emoji")}
                    >
                        <Icon name="emoji" />
                    </button>
                    {isEmpty && !isEditing && isOffered("voice") ? (
                        <button
                            class="icon-button"
                            aria-label={words("composer.record")}
                            disabled={!room}
                            onPointerDown={(event) => {
                                if (event.button !== 0) return;
                                voicePress.current = followPress(event);
                                setPanel("voice");
                            }}
                            onClick={() => setPanel("voice")}
                        >
                            <Icon name="microphone" />
                        </button>
                    ) : (
                        <button class="icon-button send" aria-label={words(isEditing ? "composer.save" : "composer.send")} disabled={isEmpty} onClick={submit}>
                            <Icon name={isEditing ? "sent" : "send"} />
                        </button>
                    )}
                </div>
            )}
        </footer>
    );
}

/** The target of this chat, and the id of what a draft answered, until that is found. A target of another chat is put away. */
function useTarget(id: string, timeline: ComposerProps["timeline"], replyTo: string | undefined): { about?: Target; sought?: string; leave: () => void } {
    const [sought, setSought] = useState(replyTo);
    const about = target.value?.roomId === id ? target.value : undefined;
    useEffect(() => {
        if (!sought || !timeline) return;
        let isGone = false;
        const show = (event?: MatrixEvent) => {
            if (isGone) return;
            setSought(undefined);
            if (event && !event.isRedacted() && !target.peek()) target.value = { roomId: id, kind: "reply", event };
        };
        timeline.find(sought).then(show, (error: unknown) => {
            console.warn(error);
            // Without a network it is sought again at the next start.
            if ((error as MatrixError).httpStatus) show();
        });
        return () => void (isGone = true);
    }, [timeline, sought]);
    // Whoever answers something else, or sends, no longer answers that.
    useEffect(() => {
        if (about) setSought(undefined);
    }, [about]);
    useEffect(
        () => () => {
            if (target.peek()?.roomId === id) target.value = undefined;
        },
        [id],
    );
    const leave = () => {
        setSought(undefined);
        target.value = undefined;
    };
    return { about, sought, leave };
}

function useTyping(room: Room | undefined): Typing | undefined {
    const [typing, setTyping] = useState<Typing>();
    useEffect(() => {
        if (!room) return;
        const begun = new Typing(room.client, room.roomId);
        setTyping(begun);
        return () => begun.ends();
    }, [room]);
    return typing;
}

/** One sentence about what the others will see, where it matters. */
function hintOf(room: Room, staged: StagedFile[], said: string, abilities: Abilities): string | undefined {
    const kinds = new Set<Kind>(staged.map((file) => file.kind));
    if (abilities.formatting && toHtml(said) !== undefined) kinds.add("formatting");
    for (const kind of kinds) {
        const missing = notShown(kind, abilities, room);
        if (missing) return missing;
    }
    const invited = waitsFor(room);
    return invited && words("composer.waits_for", { name: memberName(invited) });
}

/** The message that is answered or changed. */
function About({ about, room }: { about: Target; room: Room | undefined }) {
    const isEditing = about.kind === "edit";
    const sender = about.event.getSender() ?? "";
    const name = personName(sender, room?.getMember(sender)?.rawDisplayName);
    const isOwn = sender === room?.myUserId;
    return (
        <div class="about">
            <Icon name={isEditing ? "edit" : "reply"} />
            <p>
                <b>{isEditing ? words("composer.editing") : words(isOwn ? "composer.replying.self" : "composer.replying", { name })}</b>
                <span>
                    <bdi>{oneLine(about.event)}</bdi>
                </span>
            </p>
            <button class="icon-button" aria-label={words("composer.stop")} onClick={() => (target.value = undefined)}>
                <Icon name="close" />
            </button>
        </div>
    );
}
