// What a message carries, by its kind.

import { unreadable } from "../encryption/unreadable";
import { useState } from "preact/hooks";

import { FileCard } from "../media/file";
import { OnePicture, Sticker } from "../media/picture";
import { Sound } from "../media/sound";
import { Video } from "../media/video";
import { Dialog } from "../ui/dialog";
import { Icon } from "../ui/icon";
import { clock, day } from "../ui/time";
import { words } from "../words";
import type { Content, Place, Text } from "./content";
import { useOpenChat, useTabIndex } from "./context";
import type { TextContext } from "./html";
import type { Message } from "./message";
import { personOf } from "./people";
import { PollCard } from "./poll";
import { TextBody } from "./text";

function useTextContext(): TextContext {
    const { timeline } = useOpenChat();
    return { own: timeline.own, nameOf: (id) => personOf(timeline.room, id).name };
}

export function Body({ message }: { message: Message }) {
    const { openPicture } = useOpenChat();
    const { content } = message;
    switch (content.kind) {
        case "text":
            return <Said content={content} name={message.sender.name} />;
        case "picture":
            return <WithCaption content={content}><OnePicture content={content} open={() => openPicture(message.id)} /></WithCaption>;
        case "sticker":
            return <Sticker content={content} />;
        case "video":
            return <WithCaption content={content}><Video content={content} /></WithCaption>;
        case "sound":
            return <WithCaption content={content}><Sound content={content} /></WithCaption>;
        case "file":
            return <WithCaption content={content}><FileCard content={content} /></WithCaption>;
        case "poll":
            return <PollCard message={message} poll={content} />;
        case "place":
            return <PlaceCard place={content} />;
        case "deleted":
            return <Quiet icon="block" text={words("message.deleted")} />;
        case "locked":
            return <Locked message={message} />;
        case "unknown":
            return <Unknown body={content.body} />;
    }
}

function Said({ content, name }: { content: Extract<Content, { kind: "text" }>; name: string }) {
    const context = useTextContext();
    return (
        <div class="said" data-notice={content.isNotice || undefined} data-emote={content.isEmote || undefined}>
            {content.isEmote && <span class="emoter">{name} </span>}
            <TextBody text={content} context={context} />
        </div>
    );
}

function WithCaption({ content, children }: { content: { caption?: Text }; children: preact.ComponentChildren }) {
    const context = useTextContext();
    return (
        <>
            {children}
            {content.caption && (
                <div class="caption">
                    <TextBody text={content.caption} context={context} />
                </div>
            )}
        </>
    );
}

function Quiet({ icon, text }: { icon: Parameters<typeof Icon>[0]["name"]; text: string }) {
    return (
        <p class="quiet-body">
            <Icon name={icon} />
            {text}
        </p>
    );
}

/** One cause, and one thing to do about it. It is read anew when this device was confirmed meanwhile. */
function Locked({ message }: { message: Message }) {
    const { timeline } = useOpenChat();
    const event = timeline.event(message.id);
    const found = event && unreadable(event, timeline.room);
    return (
        <>
            <Quiet icon="lock" text={found?.text ?? words("message.encrypted")} />
            {found?.action && (
                <button class="body-action" onClick={found.action.run}>
                    {found.action.label}
                </button>
            )}
        </>
    );
}

function Unknown({ body }: { body?: string }) {
    return (
        <>
            {body && <p class="text" dir="auto">{body}</p>}
            <Quiet icon="info" text={words("message.unknown")} />
        </>
    );
}

function PlaceCard({ place }: { place: Place }) {
    const [isAsking, setIsAsking] = useState(false);
    const tabIndex = useTabIndex();
    const { latitude, longitude } = place;
    const at = `${latitude.toFixed(5)}, ${longitude.toFixed(5)}`;
    const address = `https://www.openstreetmap.org/?mlat=${latitude}&mlon=${longitude}#map=16/${latitude}/${longitude}`;
    return (
        <div class="place-card">
            <span class="place-sign"><Icon name="place" /></span>
            <span>
                <b dir="auto">{place.name || words("message.place")}</b>
                <small dir="ltr">{at}</small>
                <button class="body-action" tabIndex={tabIndex} onClick={() => setIsAsking(true)}>
                    {words("message.place.open")}
                </button>
            </span>
            {isAsking && (
                <Dialog
                    title={words("message.place.open")}
                    close={() => setIsAsking(false)}
                    actions={
                        <>
                            <button class="secondary" onClick={() => setIsAsking(false)}>{words("cancel")}</button>
                            <a class="primary button" href={address} target="_blank" rel="noreferrer noopener" onClick={() => setIsAsking(false)}>
                                {words("message.place.go")}
                            </a>
                        </>
                    }
                >
                    <p>{words("message.place.ask")}</p>
                </Dialog>
            )}
        </div>
    );
}

/** A small sign that a message was not encrypted, in a chat that is. Whoever runs a server may have written it. */
export function Exposed() {
    return (
        <span title={words("message.exposed")}>
            <Icon name="unlocked" label={words("message.exposed")} />
        </span>
    );
}

/** A small sign that a message disappears, which says when. */
export function Vanishing({ ts }: { ts: number }) {
    return (
        <span title={words("message.vanishes.when", { day: day(ts), time: clock(ts) })}>
            <Icon name="timer" label={words("message.vanishes")} />
        </span>
    );
}
