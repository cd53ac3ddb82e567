// The contents of messages, as the specification has them.

import type { MatrixEvent } from "matrix-js-sdk";

import { saidBy } from "../chat/edits";
import { isOffered } from "./abilities";
import { EVERYBODY, type Mention, mentionsIn, toHtml } from "./format";
import type { Target } from "./target";

export type Content = Record<string, unknown>;

/** A body with its HTML if it has some. */
function bodyOf(text: string, mentions: readonly Mention[]): Content {
    const html = isOffered("formatting") ? toHtml(text, mentions) : undefined;
    return { body: text, ...(html !== undefined && { format: "org.matrix.custom.html", formatted_body: html }) };
}

/** Who is told. Always there, so that nobody is told because a name happens to be in the text. */
function mentionsOf(text: string, mentions: readonly Mention[], repliedTo?: string): Content {
    const named = mentionsIn(text, mentions).map(({ userId }) => userId);
    const people = new Set(named.filter((userId) => userId !== EVERYBODY));
    if (repliedTo) people.add(repliedTo);
    return { ...(people.size > 0 && { user_ids: [...people] }), ...(named.includes(EVERYBODY) && { room: true }) };
}

/** A message of text, which may answer another. */
export function textContent(text: string, mentions: readonly Mention[], reply?: MatrixEvent, own?: string): Content {
    return withReply({ msgtype: "m.text", ...bodyOf(text, mentions), "m.mentions": mentionsOf(text, mentions) }, reply, own);
}

/** Has a message answer another, whose sender is told. */
export function withReply(content: Content, reply?: MatrixEvent, own?: string): Content {
    if (!reply) return content;
    const sender = reply.getSender();
    const mentions = (content["m.mentions"] ?? {}) as { user_ids?: string[] };
    const told = new Set(mentions.user_ids);
    if (sender && sender !== own) told.add(sender);
    return {
        ...content,
        "m.mentions": { ...mentions, ...(told.size > 0 && { user_ids: [...told] }) },
        "m.relates_to": { "m.in_reply_to": { event_id: reply.getId() } },
    };
}

/** A message that takes the place of another. Of a picture or file it changes the words below. */
export function editContent(text: string, mentions: readonly Mention[], edited: MatrixEvent): Content {
    const before = saidBy(edited);
    const { "m.relates_to": _relation, format: _format, formatted_body: _html, ...kept } = before;
    const told = mentionsOf(text, mentions);
    const after = { ...kept, ...bodyOf(text || String(before.filename ?? ""), mentions), "m.mentions": told };
    const knew = new Set((before["m.mentions"] as { user_ids?: string[] } | undefined)?.user_ids);
    const news = ((told.user_ids ?? []) as string[]).filter((userId) => !knew.has(userId));
    return {
        msgtype: before.msgtype,
        // Shown by apps that do not know of changed messages.
        body: `* ${text}`,
        "m.mentions": { ...told, user_ids: news.length > 0 ? news : undefined },
        "m.new_content": after,
        "m.relates_to": { rel_type: "m.replace", event_id: edited.getId() },
    };
}

/** What is in the field when a message is to be changed. */
export function editedText({ event }: Target): string {
    const { body, filename } = saidBy(event) as { body?: string; filename?: string };
    return filename !== undefined && body === filename ? "" : (body ?? "");
}

/** Whether a message that is to be changed is a file, which may have no words below it. */
export function isFile({ event }: Target): boolean {
    return saidBy(event).filename !== undefined;
}

/** The mentions of a message that is to be changed, by the names that stand in it. */
export function editedMentions({ event }: Target, nameOf: (userId: string) => string | undefined): Mention[] {
    const { user_ids = [], room } = (saidBy(event)["m.mentions"] ?? {}) as { user_ids?: string[]; room?: boolean };
    const people = user_ids.flatMap((userId) => {
        const name = nameOf(userId);
        return name ? [{ text: `@${name}`, userId }] : [];
    });
    return room ? [...people, { text: EVERYBODY, userId: EVERYBODY }] : people;
}
