// Who can message the person: a table of who somebody is, and of what becomes of what they send.

import "./people.css";

import { useEffect, useState } from "preact/hooks";

import { neighbours, platform } from "../platform";
import { ask, done } from "../sync/ask";
import { words, type WordsId } from "../words";
import { type Approach, type Outcome, reachOf, type Rule, withRule } from "./reach";

interface Reach {
    rules: Rule[];
    platform_rules: Rule[];
}

interface Audience {
    label: string;
    /** What of somebody the person's own rule names. */
    rule: Approach;
    /** Somebody of this audience, by whom it is found out what holds. */
    example: Approach;
}

const COLUMNS: { reach: Outcome; label: WordsId }[] = [
    { reach: "straight", label: "reach.chats" },
    { reach: "request", label: "reach.requests" },
    { reach: "ignored", label: "reach.nobody" },
];

function audiences(): Audience[] {
    const own = platform.value;
    const others = neighbours.value.filter(({ server_name }) => server_name !== own?.server_name);
    const here = { source: "own_platform", server: own?.server_name } as const;
    return [
        { label: words("reach.contacts"), rule: { relation: "contact" }, example: { ...here, relation: "contact" } },
        { label: words("reach.common"), rule: { relation: "common_room" }, example: { ...here, relation: "common_room" } },
        {
            label: words("reach.others", { platform: own?.name }),
            rule: { relation: "stranger", source: "own_platform" },
            example: { ...here, relation: "stranger" },
        },
        ...others.map(({ server_name, name }): Audience => ({
            label: words("reach.others", { platform: name }),
            rule: { relation: "stranger", server: server_name },
            example: { source: "hosted_platform", server: server_name, relation: "stranger" },
        })),
    ];
}

export default function ReachSettings() {
    const [reach, setReach] = useState<Reach>();
    useEffect(() => {
        ask<Reach>("GET", "/reach").then(setReach, console.warn);
    }, []);
    if (!reach) return <p class="hint">{words("connecting")}</p>;
    const set = async (rule: Rule) => {
        const rules = withRule(reach.rules, rule);
        setReach({ ...reach, rules });
        if (!(await done(ask("PUT", "/reach", { rules })))) setReach(reach);
    };
    return (
        <>
            <p class="hint">{words("reach.hint")}</p>
            <Table kind="direct_chat" caption={words("reach.direct")} reach={reach} set={(rule) => void set(rule)} />
            <Table kind="group" caption={words("reach.group")} reach={reach} set={(rule) => void set(rule)} />
        </>
    );
}

interface TableProps {
    kind: "direct_chat" | "group";
    caption: string;
    reach: Reach;
    set: (rule: Rule) => void;
}

function Table({ kind, caption, reach, set }: TableProps) {
    const all = [...reach.platform_rules, ...reach.rules];
    return (
        <table class="reach">
            <caption>{caption}</caption>
            <thead>
                <tr>
                    <td />
                    {COLUMNS.map(({ reach: column, label }) => (
                        <th key={column} scope="col">
                            {words(label)}
                        </th>
                    ))}
                </tr>
            </thead>
            <tbody>
                {audiences().map(({ label, rule, example }) => {
                    const holds = reachOf(all, { ...example, kind });
                    return (
                        <tr key={label}>
                            <th scope="row">{label}</th>
                            {COLUMNS.map(({ reach: column, label: name }) => (
                                <td key={column}>
                                    <input
                                        type="radio"
                                        name={`${kind} ${label}`}
                                        aria-label={words("reach.choice", { who: label, choice: words(name) })}
                                        checked={holds === column || (column === "ignored" && holds === "refused")}
                                        onChange={() => set({ ...rule, kind, reach: column })}
                                    />
                                </td>
                            ))}
                        </tr>
                    );
                })}
            </tbody>
        </table>
    );
}
