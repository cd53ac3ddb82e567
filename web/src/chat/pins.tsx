// The bar with the messages that are pinned in a chat: one at a time, the newest first.

import type { MatrixError } from "matrix-js-sdk";
import { useEffect, useRef, useState } from "preact/hooks";

import { Icon } from "../ui/icon";
import { words } from "../words";
import { useOpenChat } from "./context";

export function Pins() {
    const { timeline, goTo } = useOpenChat();
    const pinned = timeline.pinned.value;
    const [at, setAt] = useState(0);
    const id = pinned.at(-1 - (at % Math.max(1, pinned.length)));
    const text = usePinnedText(id);
    if (!id || text === undefined) return null;
    return (
        <button
            class="pins"
            onClick={() => {
                goTo(id);
                setAt(at + 1);
            }}
        >
            <Icon name="pin" />
            <span>
                <b>{words("chat.pinned.title", { at: pinned.length - (at % pinned.length), count: pinned.length })}</b>
                <span dir="auto">{text}</span>
            </span>
        </button>
    );
}

/** What a pinned message says. While another one is loaded, it is what the one before says. */
function usePinnedText(id: string | undefined): string | undefined {
    const { timeline } = useOpenChat();
    const [lost, setLost] = useState<string>();
    const shown = useRef<string>();
    const known = id ? timeline.pinnedTexts.value.get(id) : undefined;
    const isKnown = known !== undefined;
    useEffect(() => {
        if (!id || isKnown) return;
        let isGone = false;
        timeline.loadPin(id).catch((error: MatrixError) => isGone || setLost(words(error.httpStatus ? "message.gone" : "chat.lost")));
        return () => {
            isGone = true;
            setLost(undefined);
        };
    }, [id, isKnown, timeline]);
    shown.current = known ?? lost ?? shown.current;
    return id ? shown.current : undefined;
}
