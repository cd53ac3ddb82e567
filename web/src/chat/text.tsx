// What somebody says: plain or formatted, in large if it is only emoji, and folded if it is very long.

import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";

import { words } from "../words";
import type { Text } from "./content";
import { useTabIndex } from "./context";
import type { TextContext } from "./html";

/** What makes elements of formatted text and of links. It is loaded with the first message that has some. */
const rich = signal<typeof import("./html") | undefined>(undefined);
let loading: Promise<void> | undefined;

function loadRich(): Promise<void> {
    loading ??= import("./html").then((module) => void (rich.value = module));
    return loading;
}

/** What every link in plain text has in it. */
const MAYBE_LINK = /:\/\/|www\.|@/i;

/** From how many letters or lines on text is folded. */
const LONG_LETTERS = 1800;
const LONG_LINES = 30;
/** How many emoji are shown in large at most. */
const MAX_LARGE = 6;

const segments = new Intl.Segmenter(undefined, { granularity: "grapheme" });
const EMOJI = /^(?:\p{Emoji_Presentation}|\p{Emoji}\uFE0F|\p{Regional_Indicator}{2}|[0-9#*]\uFE0F?\u20E3)/u;

/** Whether text is nothing but a few emoji. */
export function isOnlyEmoji(text: string): boolean {
    const trimmed = text.replace(/\s/g, "");
    if (trimmed.length === 0 || trimmed.length > MAX_LARGE * 16) return false;
    const clusters = [...segments.segment(trimmed)];
    return clusters.length <= MAX_LARGE && clusters.every(({ segment }) => EMOJI.test(segment));
}

export function isLong(body: string): boolean {
    return body.length > LONG_LETTERS || body.split("\n", LONG_LINES + 1).length > LONG_LINES;
}

export function TextBody({ text, context }: { text: Text; context: TextContext }) {
    const [isOpen, setIsOpen] = useState(false);
    const tabIndex = useTabIndex();
    const isFolded = !isOpen && isLong(text.body);
    return (
        <>
            <div class="text" dir="auto" data-folded={isFolded || undefined} data-plain={text.html === undefined || undefined}>
                <Said text={text} context={context} />
            </div>
            {isFolded && (
                <button class="unfold" tabIndex={tabIndex} onClick={() => setIsOpen(true)}>
                    {words("message.more")}
                </button>
            )}
        </>
    );
}

function Said({ text, context }: { text: Text; context: TextContext }) {
    const isRich = text.html !== undefined || MAYBE_LINK.test(text.body);
    useEffect(() => {
        if (isRich) void loadRich();
    }, [isRich]);
    const made = isRich ? rich.value : undefined;
    if (!made) return <>{text.body}</>;
    return text.html === undefined ? <made.Linked text={text.body} /> : <made.Html html={text.html} context={context} />;
}
