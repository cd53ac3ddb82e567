// Choosing any emoji as a reaction. The emoji are loaded when somebody wants one.

import { later } from "../ui/later";
import { Popover } from "../ui/menu";
import { words } from "../words";
import { react } from "./actions";
import type { Message } from "./message";
import type { Timeline } from "./timeline";

const EmojiPicker = later(async () => ({ default: (await import("../composer/emoji")).EmojiPicker }));

export function ReactionPicker({ timeline, message, anchor, close }: { timeline: Timeline; message: Message; anchor: Element; close: () => void }) {
    return (
        <Popover anchor={anchor} placement={message.isOwn ? "bottom-end" : "bottom-start"} label={words("message.react")} close={close}>
            <EmojiPicker
                close={close}
                choose={(key) => {
                    close();
                    void react(timeline, message, key);
                }}
            />
        </Popover>
    );
}
