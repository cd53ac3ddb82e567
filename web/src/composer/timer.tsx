// How long the messages of a chat stay, for everybody in it.

import { useState } from "preact/hooks";

import { TIMER } from "../chat/disappears";
import { client } from "../sync/running";
import { Dialog } from "../ui/dialog";
import { Choice } from "../ui/fields";
import { words } from "../words";
import { notShown, useAbilities } from "./abilities";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

const CHOICES = { off: 0, hour: HOUR_MS, day: DAY_MS, week: 7 * DAY_MS, quarter: 90 * DAY_MS } as const;
type Chosen = keyof typeof CHOICES;

export default function TimerDialog({ roomId, close }: { roomId: string; close: () => void }) {
    const room = client.value?.getRoom(roomId);
    const own = room?.client.getSafeUserId() ?? "";
    const set = (room?.currentState.getStateEvents(TIMER, "")?.getContent() as { timer?: number } | undefined)?.timer ?? 0;
    const known = (Object.keys(CHOICES) as Chosen[]).find((name) => CHOICES[name] === set);
    const [chosen, setChosen] = useState<Chosen | "other">(known ?? "other");
    const [hasFailed, setHasFailed] = useState(false);
    const abilities = useAbilities(roomId);
    if (!room) return null;
    const isAllowed = room.currentState.maySendStateEvent(TIMER, own);
    const missing = notShown("disappearing", abilities, room);
    const save = async () => {
        if (chosen === "other") return close();
        const timer = CHOICES[chosen];
        const content = timer === 0 ? {} : { type: "after_send", timer };
        try {
            await room.client.sendStateEvent(roomId, TIMER as never, content as never, "");
            close();
        } catch {
            setHasFailed(true);
        }
    };
    const other = { value: "other" as const, label: words("composer.timer.hours", { count: Math.round(set / HOUR_MS) }) };
    const options = (Object.keys(CHOICES) as Chosen[]).map((value) => ({ value, label: words(`composer.timer.${value}`) }));
    return (
        <Dialog
            title={words("composer.timer")}
            close={close}
            actions={
                isAllowed && (
                    <button class="primary" onClick={() => void save()}>
                        {words("composer.save")}
                    </button>
                )
            }
        >
            <div class="composer-form">
                <p class="quiet-text">{words("composer.timer.about")}</p>
                {missing && <p class="composer-hint">{missing}</p>}
                {isAllowed ? (
                    <Choice<Chosen | "other">
                        label={words("composer.timer.stay")}
                        value={chosen}
                        options={known ? options : [...options, other]}
                        change={setChosen}
                    />
                ) : (
                    <p>{words("composer.timer.not_allowed")}</p>
                )}
                {hasFailed && <p role="alert">{words("composer.timer.failed")}</p>}
            </div>
        </Dialog>
    );
}
