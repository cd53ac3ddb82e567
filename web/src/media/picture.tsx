// Pictures in messages: one, or several in a grid. Their places are reserved before they are there.

import "./media.css";

import { decode, isBlurhashValid } from "blurhash";
import { useLayoutEffect, useRef } from "preact/hooks";

import type { Picture as PictureContent, Source } from "../chat/content";
import { useTabIndex } from "../chat/context";
import type { Message } from "../chat/message";
import { words } from "../words";
import { Icon } from "../ui/icon";
import { type Size, useMedia } from "./fetch";
import { fit } from "./sizes";

/** The side of the picture that a blurhash becomes, in pixels. It is blurred anyway. */
const BLUR_SIDE = 32;
/** The server scales to a few sizes only; this one is enough for bubbles on dense screens. */
export const SCALED: Size = { width: 800, height: 600 };

/** Formats whose smaller copies would stand still. */
const MOVING = new Set(["image/gif", "image/webp", "image/apng"]);

export function Blurhash({ hash }: { hash: string | undefined }) {
    const canvas = useRef<HTMLCanvasElement>(null);
    useLayoutEffect(() => {
        if (!hash || !isBlurhashValid(hash).result) return;
        const context = canvas.current!.getContext("2d");
        const picture = context?.createImageData(BLUR_SIDE, BLUR_SIDE);
        if (!picture) return;
        picture.data.set(decode(hash, BLUR_SIDE, BLUR_SIDE));
        context!.putImageData(picture, 0, 0);
    }, [hash]);
    return hash ? <canvas class="blurhash" ref={canvas} width={BLUR_SIDE} height={BLUR_SIDE} aria-hidden="true" /> : null;
}

/** Which copy of a picture a bubble shows. */
function copyFor(content: { source: Source; thumbnail?: Source }): [Source, Size?] {
    if (MOVING.has(content.source.type ?? "")) return [content.source];
    if (content.source.key) return [content.thumbnail ?? content.source];
    return [content.source, SCALED];
}

interface PictureProps {
    content: Pick<PictureContent, "source" | "thumbnail" | "blurhash" | "name">;
    label: string;
    open?: () => void;
}

/** A picture that fills its place. */
export function Picture({ content, label, open }: PictureProps) {
    const { url, failure, retry } = useMedia(...copyFor(content));
    const tabIndex = useTabIndex();
    const shown = (
        <>
            {!url && <Blurhash hash={content.blurhash} />}
            {url && <img src={url} alt={label} draggable={false} />}
            {failure && (
                <span class="media-failure">
                    <Icon name="failed" />
                    {words(`media.${failure}`)}
                </span>
            )}
        </>
    );
    if (!open) return <span class="photo">{shown}</span>;
    return (
        <button class="photo" tabIndex={tabIndex} aria-label={label} onClick={failure ? retry : open}>
            {shown}
        </button>
    );
}

export function OnePicture({ content, open }: { content: PictureContent; open: () => void }) {
    const size = fit(content.width, content.height);
    return (
        <div class="media-place" style={{ width: `${size.width}px`, aspectRatio: `${size.width} / ${size.height}` }}>
            <Picture content={content} label={content.name || words("message.photo")} open={open} />
        </div>
    );
}

/** How many tiles an album shows before it says how many more there are. */
const MAX_TILES = 4;

export function Album({ messages, open }: { messages: Message[]; open: (id: string) => void }) {
    const shown = messages.slice(0, MAX_TILES);
    const more = messages.length - shown.length;
    return (
        <div class="album" data-count={shown.length}>
            {shown.map((message, at) => {
                const content = message.content as PictureContent;
                return (
                    <div class="tile" key={message.key} data-id={message.id}>
                        <Picture content={content} label={content.name || words("message.photo")} open={() => open(message.id)} />
                        {more > 0 && at === MAX_TILES - 1 && <span class="more">+{more}</span>}
                    </div>
                );
            })}
        </div>
    );
}

export function Sticker({ content }: { content: Pick<PictureContent, "source" | "thumbnail" | "blurhash" | "name" | "width" | "height"> }) {
    const size = fit(content.width, content.height, 160, 160);
    return (
        <div class="media-place sticker" style={{ width: `${size.width}px`, aspectRatio: `${size.width} / ${size.height}` }}>
            <Picture content={content} label={content.name} />
        </div>
    );
}
