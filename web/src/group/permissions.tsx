// Who may do what in a group.

import { useEffect, useRef, useState } from "preact/hooks";

import { TIMER } from "../chat/disappears";
import { done } from "../sync/ask";
import { Field } from "../ui/fields";
import { words, type WordsId } from "../words";
import type { Followed } from "./follow";
import { LEVELS, levelsOf, type PowerLevels, Rights, type Role, roleOfLevel } from "./roles";

interface Right {
    label: WordsId;
    get: (levels: PowerLevels) => number;
    set: (levels: PowerLevels, level: number) => PowerLevels;
}

const LEVELS_TYPE = "m.room.power_levels";

const stateLevel = (levels: PowerLevels) => levels.state_default ?? LEVELS.admin;

/** The right to set state events, of which all get the level that is chosen. */
function ofEvents(label: WordsId, types: string[]): Right {
    return {
        label,
        get: (levels) => Math.max(...types.map((type) => levels.events?.[type] ?? stateLevel(levels))),
        set: (levels, level) => ({ ...levels, events: { ...levels.events, ...Object.fromEntries(types.map((type) => [type, level])) } }),
    };
}

const RIGHTS: Right[] = [
    { label: "group.may.write", get: (levels) => levels.events_default ?? 0, set: (levels, level) => ({ ...levels, events_default: level }) },
    { label: "group.may.add", get: (levels) => levels.invite ?? 0, set: (levels, level) => ({ ...levels, invite: level }) },
    ofEvents("group.may.edit", ["m.room.name", "m.room.avatar", "m.room.topic"]),
    ofEvents("group.may.timer", [TIMER]),
    {
        label: "group.may.remove",
        get: (levels) => Math.max(levels.kick ?? LEVELS.admin, levels.ban ?? LEVELS.admin),
        set: (levels, level) => ({ ...levels, kick: level, ban: level }),
    },
];

const ROLES: { role: Role; label: WordsId }[] = [
    { role: "member", label: "group.everybody" },
    { role: "admin", label: "group.admins" },
    { role: "owner", label: "group.owners" },
];

export function Permissions({ chat: { there, room } }: { chat: Followed }) {
    const levels = levelsOf(room);
    const isAllowed = new Rights(there, room).maySet(LEVELS_TYPE);
    /** What the person has chosen and has not come back from the server yet. */
    const [chosen, setChosen] = useState<Partial<Record<WordsId, Role>>>({});
    /** The changes before, of which each begins with what the one before it has left. */
    const changing = useRef<Promise<unknown>>(Promise.resolve());
    const told = room.currentState.getStateEvents(LEVELS_TYPE, "");
    useEffect(() => setChosen({}), [told]);
    const change = async (right: Right, role: Role) => {
        // What was changed just now may not have come back yet, so the server is asked what holds.
        const now = (await there.getStateEvent(room.roomId, LEVELS_TYPE, "")) as PowerLevels;
        await there.sendStateEvent(room.roomId, LEVELS_TYPE as never, right.set(now, LEVELS[role]) as never, "");
    };
    const set = (right: Right, role: Role) => {
        setChosen((before) => ({ ...before, [right.label]: role }));
        changing.current = changing.current.then(async () => {
            if (!(await done(change(right, role)))) setChosen(({ [right.label]: _refused, ...others }) => others);
        });
    };
    return (
        <div class="pane-body form">
            {!isAllowed && <p class="hint">{words("group.may.not_you")}</p>}
            {RIGHTS.map((right) => (
                <Field key={right.label} label={words(right.label)}>
                    <select
                        value={chosen[right.label] ?? roleOfLevel(right.get(levels))}
                        disabled={!isAllowed}
                        onChange={(event) => set(right, event.currentTarget.value as Role)}
                    >
                        {ROLES.map(({ role, label }) => (
                            <option key={role} value={role}>
                                {words(label)}
                            </option>
                        ))}
                    </select>
                </Field>
            ))}
        </div>
    );
}
