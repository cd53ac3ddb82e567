// The bar with the messages that are pinned in a chat: one at a time, the newest first.

import type { MatrixError } from "matrix-js-sdk";
import { useEffect, useState } from "preact/hooks";

import { oneLine } from "../chats/preview";
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

function usePinnedText(id: string | undefined): string | undefined {
    const { timeline } = useOpenChat();
    const [text, setText] = useState<string>();
    useEffect(() => {
        if (!id) return;
        let isGone = false;
        timeline.find(id).then(
            (event) => isGone || setText(oneLine(event)),
            (error: MatrixError) => isGone || setText(words(error.httpStatus ? "message.gone" : "chat.lost")),
        );
        return () => void (isGone = true);
    }, [id, timeline]);
    return id ? text : undefined;
}
