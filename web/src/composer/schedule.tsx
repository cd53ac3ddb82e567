// Choosing when a message is sent.

import type { Room } from "matrix-js-sdk";
import { useState } from "preact/hooks";

import { Dialog } from "../ui/dialog";
import { Field } from "../ui/fields";
import { clock, day } from "../ui/time";
import { notify } from "../ui/notice";
import { words } from "../words";
import type { Content } from "./content";
import { schedule } from "./later";

const HOUR_MS = 3_600_000;

/** A time as the browser's field for times has it, which knows no time zones. */
function forField(ts: number): string {
    const offset = new Date(ts).getTimezoneOffset() * 60_000;
    return new Date(ts - offset).toISOString().slice(0, 16);
}

/** A time of day, so many days from now. */
function on(days: number, hour: number): number {
    const date = new Date();
    date.setDate(date.getDate() + days);
    return date.setHours(hour, 0, 0, 0);
}

interface ScheduleProps {
    room: Room;
    content: Content;
    done: () => void;
    close: () => void;
}

export default function ScheduleDialog({ room, content, done, close }: ScheduleProps) {
    const [at, setAt] = useState(() => Math.ceil((Date.now() + HOUR_MS) / HOUR_MS) * HOUR_MS);
    const [error, setError] = useState<string>();
    const [isBusy, setIsBusy] = useState(false);
    const isPast = !(at > Date.now());
    const submit = async () => {
        setIsBusy(true);
        setError(undefined);
        try {
            await schedule(room, content, at);
            done();
            close();
            notify({ text: words("composer.later.done", { day: day(at), time: clock(at) }) });
        } catch (problem) {
            const { errcode } = problem as { errcode?: string };
            setError(words(errcode === "ORG.MATRIX.MSC4140_MAX_DELAY_EXCEEDED" ? "composer.later.too_far" : "composer.later.failed"));
            setIsBusy(false);
        }
    };
    const times = [
        { at: on(0, 18), label: words("composer.later.evening") },
        { at: on(1, 9), label: words("composer.later.tomorrow") },
    ].filter((time) => time.at > Date.now());
    return (
        <Dialog
            title={words("composer.later")}
            close={close}
            actions={
                <button class="primary" disabled={isPast || isBusy} onClick={() => void submit()}>
                    {words("composer.later.submit")}
                </button>
            }
        >
            <div class="composer-form">
                <div class="chips">
                    {times.map((time) => (
                        <button key={time.label} class="secondary" onClick={() => setAt(time.at)}>
                            {time.label}
                        </button>
                    ))}
                </div>
                <Field label={words("composer.later.when")} error={error ?? (isPast ? words("composer.later.past") : undefined)}>
                    <input
                        type="datetime-local"
                        value={Number.isNaN(at) ? "" : forField(at)}
                        min={forField(Date.now())}
                        onInput={(event) => setAt(new Date(event.currentTarget.value).getTime())}
                    />
                </Field>
                {room.hasEncryptionStateEvent() && <p class="quiet-text">{words("composer.later.encrypted")}</p>}
            </div>
        </Dialog>
    );
}
