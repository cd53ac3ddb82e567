// What a message says in words: for screen readers, quotes and the clipboard.

import { bytes, duration } from "../media/sizes";
import { clock } from "../ui/time";
import { words } from "../words";
import type { Content } from "./content";
import type { Message } from "./message";

/** What is said, without who says it. */
export function plainText(content: Content): string {
    switch (content.kind) {
        case "text":
            return content.body;
        case "picture":
            return [words("message.photo"), content.caption?.body].filter(Boolean).join(". ");
        case "video":
            return [words("message.video"), content.caption?.body].filter(Boolean).join(". ");
        case "sticker":
            return `${words("message.sticker")}. ${content.name}`;
        case "sound":
            return [content.isVoice ? words("message.voice") : content.name, content.durationMs && duration(content.durationMs)].filter(Boolean).join(", ");
        case "file":
            return [words("message.file"), content.name, content.size && bytes(content.size)].filter(Boolean).join(", ");
        case "poll":
            return `${words("message.poll")}. ${content.question}`;
        case "place":
            return [words("message.place"), content.name].filter(Boolean).join(". ");
        case "deleted":
            return words("message.deleted");
        case "locked":
            return words("message.unreadable");
        case "unknown":
            return content.body ?? words("message.unknown");
    }
}

/** All that a screen reader says of a row of messages. */
export function spoken(messages: Message[]): string {
    const last = messages.at(-1)!;
    const first = messages[0]!;
    const text = messages.length > 1 ? words("message.photos", { count: messages.length }) : plainText(first.content);
    const more = [
        first.quote?.text !== undefined && words("message.answers", { text: first.quote.text }),
        last.isExposed && words("message.exposed"),
        last.isEdited && words("message.edited"),
        last.isOwn && words(`message.${last.state}`),
        last.reactions.length > 0 && words("message.reactions", { list: last.reactions.map(({ key, who }) => `${key} ${who.length}`).join(", ") }),
    ];
    const sender = first.isOwn ? words("message.own") : first.sender.name;
    return [sender, text, clock(last.ts), ...more].filter(Boolean).join(", ");
}
