// How long the messages of a chat stay, as a row of its details.

import { useEffect, useState } from "preact/hooks";

import { TIMER } from "../chat/disappears";
import { timerWords } from "../chat/sentences";
import { running } from "../sync/running";
import { Icon } from "../ui/icon";
import { later } from "../ui/later";
import { words } from "../words";
import type { Followed } from "./follow";

const TimerDialog = later(() => import("../composer/timer"));

const FEATURE = "org.linkspan.disappearing_messages";

/** Whether the server lets messages disappear. */
export function useHasTimers(): boolean {
    const [has, setHas] = useState(false);
    useEffect(() => {
        let isGone = false;
        running()
            .then((there) => there.doesServerSupportUnstableFeature(FEATURE))
            .then((is) => isGone || setHas(is), console.warn);
        return () => void (isGone = true);
    }, []);
    return has;
}

export function Timer({ chat: { room } }: { chat: Followed }) {
    const has = useHasTimers();
    const [isOpen, setOpen] = useState(false);
    if (!has) return null;
    const content = room.currentState.getStateEvents(TIMER, "")?.getContent() as { timer?: number } | undefined;
    const ms = content?.timer ?? 0;
    return (
        <li>
            <button class="way-row" onClick={() => setOpen(true)}>
                <Icon name="timer" />
                <span>{words("group.timer")}</span>
                <small>{ms > 0 ? timerWords(ms) : words("group.timer.off")}</small>
                <Icon name="next" />
            </button>
            {isOpen && <TimerDialog roomId={room.roomId} close={() => setOpen(false)} />}
        </li>
    );
}
