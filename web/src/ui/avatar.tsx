// The picture of a person or a chat, or the first letters of the name on a colour of its own.

import { useState } from "preact/hooks";

import { mxcIn } from "../media/address";
import { useMedia } from "../media/fetch";

const COLOURS = 8;
const segments = new Intl.Segmenter(undefined, { granularity: "grapheme" });

export function Avatar({ id, name, mxc, size = 48 }: { id: string; name: string; mxc?: string; size?: number }) {
    const address = mxcIn(mxc);
    const side = size * Math.ceil(devicePixelRatio);
    const { url } = useMedia(address ? { mxc: address } : undefined, { width: side, height: side, isCropped: true });
    /** The address of what is no picture that the browser can show. */
    const [broken, setBroken] = useState<string>();
    const style = { "--size": `${size}px` };
    if (url && url !== broken) return <img class="avatar" style={style} src={url} alt="" onError={() => setBroken(url)} />;
    return (
        <span class="avatar" style={style} data-colour={colourOf(id)} aria-hidden="true">
            {initials(name)}
        </span>
    );
}

function initials(name: string): string {
    const parts = name.replace(/^[@#]/, "").split(/\s+/).filter(Boolean);
    const letters = [parts[0], parts.length > 1 ? parts.at(-1) : undefined];
    return letters.map((part) => (part ? (segments.segment(part)[Symbol.iterator]().next().value?.segment ?? "") : "")).join("").toUpperCase();
}

/** The number of the colour of a person or a chat, always the same for the same one. */
export function colourOf(id: string): number {
    let sum = 7;
    for (let at = 0; at < id.length; at++) sum = (sum * 31 + id.charCodeAt(at)) >>> 0;
    return sum % COLOURS;
}
