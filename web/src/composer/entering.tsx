// The field with what the word that is typed may become, and what its keys do.

import type { Room } from "matrix-js-sdk";
import { useId, useLayoutEffect, useState } from "preact/hooks";

import { canEdit } from "../chat/actions";
import { isShown } from "../chat/rows";
import { Completions, type Entry, useCompletion } from "./completion";
import { Field, insert } from "./field";
import type { Mention } from "./format";
import { target } from "./target";

interface EnteringProps {
    field: { current: HTMLTextAreaElement | null };
    room: Room | undefined;
    text: string;
    write: (text: string) => void;
    mention: (mention: Mention) => void;
    submit: () => void;
    escape: () => void;
}

export function Entering({ field, room, text, write, mention, submit, escape }: EnteringProps) {
    const [caret, setCaret] = useState(text.length);
    const [at, setAt] = useState(0);
    const [putAway, setPutAway] = useState<string>();
    const id = useId();
    const { entries, from } = useCompletion(room, text, caret);
    const isOpen = entries.length > 0 && putAway !== text;
    useLayoutEffect(() => setAt(0), [entries]);
    const choose = (entry: Entry) => {
        if (entry.mention) mention(entry.mention);
        insert(field.current!, `${entry.text} `, from, caret);
    };
    const onKeyDown = (event: KeyboardEvent): boolean => {
        if (event.key === "Escape") {
            if (isOpen) setPutAway(text);
            else escape();
            return true;
        }
        if (event.key === "ArrowUp" && !text) return editLast(room);
        if (!isOpen) return false;
        const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
        if (step) setAt((at + step + entries.length) % entries.length);
        else if (event.key === "Enter" || event.key === "Tab") choose(entries[at] ?? entries[0]!);
        else return false;
        return true;
    };
    return (
        <>
            {isOpen && <Completions id={id} entries={entries} at={at} choose={choose} />}
            <Field
                field={field}
                text={text}
                write={write}
                moved={setCaret}
                pressed={onKeyDown}
                submit={submit}
                active={isOpen ? { list: id, option: `${id}-${at}` } : undefined}
            />
        </>
    );
}

/** Changes the last message that the person has sent and can change, if there is one. */
function editLast(room: Room | undefined): boolean {
    if (!room) return false;
    const own = room.client.getSafeUserId();
    const last = room.getLiveTimeline().getEvents().findLast((event) => isShown(event) && canEdit(event, own));
    if (!last) return false;
    target.value = { roomId: room.roomId, kind: "edit", event: last };
    return true;
}
