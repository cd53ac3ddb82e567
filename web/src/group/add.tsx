// Bringing more people into a group.

import type { Signal } from "@preact/signals";
import { useState } from "preact/hooks";
import { useLocation } from "wouter-preact";

import { Picker } from "../people/picker";
import type { Person } from "../people/person";
import { sayWhy } from "../sync/ask";
import { notify } from "../ui/notice";
import { words } from "../words";
import type { Followed } from "./follow";

export function AddPeople({ chat: { there, room } }: { chat: Followed }) {
    const [chosen, setChosen] = useState<Signal<Person>[]>([]);
    const [isRunning, setIsRunning] = useState(false);
    const [, go] = useLocation();
    const here = new Set(room.getMembers().filter(({ membership }) => membership === "join" || membership === "invite").map(({ userId }) => userId));
    const add = async () => {
        setIsRunning(true);
        const outcomes = await Promise.allSettled(chosen.map((person) => there.invite(room.roomId, person.peek().id)));
        setIsRunning(false);
        const refused = outcomes.findIndex(({ status }) => status === "rejected");
        if (refused === -1) return go(`/chat/${encodeURIComponent(room.roomId)}/details/members`);
        const why = sayWhy((outcomes[refused] as PromiseRejectedResult).reason);
        notify({ text: words("group.add.failed", { name: chosen[refused]!.peek().name, why }) });
        setChosen(chosen.filter((_, at) => outcomes[at]!.status === "rejected"));
    };
    return (
        <>
            <Picker chosen={chosen} change={setChosen} without={here} />
            <footer class="pane-foot">
                <button class="primary" disabled={chosen.length === 0 || isRunning} onClick={() => void add()}>
                    {words("group.add.count", { count: chosen.length })}
                </button>
            </footer>
        </>
    );
}
