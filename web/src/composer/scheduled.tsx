// The messages of a chat that the server will send later.

import type { Room } from "matrix-js-sdk";
import { useEffect, useState } from "preact/hooks";

import { Dialog } from "../ui/dialog";
import { clock, day } from "../ui/time";
import { words } from "../words";
import { act, type Scheduled, scheduledIn } from "./later";

export default function ScheduledDialog({ room, close }: { room: Room; close: () => void }) {
    const [waiting, setWaiting] = useState<Scheduled[]>();
    const [hasFailed, setHasFailed] = useState(false);
    const load = async () => {
        try {
            setWaiting(await scheduledIn(room));
            setHasFailed(false);
        } catch {
            setHasFailed(true);
        }
    };
    useEffect(() => void load(), [room]);
    const run = async (id: string, action: "send" | "cancel") => {
        // What was sent in the meantime is not listed any more.
        await act(room.client, id, action).catch((error: unknown) => console.warn(error));
        await load();
    };
    return (
        <Dialog title={words("composer.scheduled")} close={close}>
            {hasFailed && <p role="alert">{words("composer.scheduled.failed")}</p>}
            {waiting?.length === 0 && <p class="quiet-text">{words("composer.scheduled.none")}</p>}
            <ul class="scheduled">
                {waiting?.map(({ id, at, text }) => (
                    <li key={id}>
                        <p dir="auto">{text ?? words("composer.scheduled.elsewhere")}</p>
                        <time>{words("composer.scheduled.at", { day: day(at), time: clock(at) })}</time>
                        <span>
                            <button class="quiet" onClick={() => void run(id, "send")}>
                                {words("composer.scheduled.now")}
                            </button>
                            <button class="quiet" onClick={() => void run(id, "cancel")}>
                                {words("composer.scheduled.cancel")}
                            </button>
                        </span>
                    </li>
                ))}
            </ul>
        </Dialog>
    );
}
