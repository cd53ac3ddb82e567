// Whom the person blocks.

import "./people.css";

import { useEffect, useState } from "preact/hooks";

import { unblock } from "../chats/actions";
import { ask, done } from "../sync/ask";
import { LongList } from "../ui/long-list";
import { words } from "../words";
import { PersonCells } from "./person-link";
import { personOf } from "./person";

const ROW_PX = 60;

export default function Blocked() {
    const [blocked, setBlocked] = useState<string[]>();
    useEffect(() => {
        ask<{ blocked: string[] }>("GET", "/blocks").then((answer) => setBlocked(answer.blocked), console.warn);
    }, []);
    if (!blocked) return <p class="hint">{words("connecting")}</p>;
    const free = async (id: string) => {
        if (await done(unblock(id))) setBlocked(blocked.filter((other) => other !== id));
    };
    return (
        <>
            <p class="hint">{words(blocked.length > 0 ? "people.blocked.hint" : "people.blocked.none")}</p>
            <div class="people-list">
                <LongList items={blocked} rowPx={ROW_PX} keyOf={(id) => id}>
                    {(id) => <BlockedRow id={id} free={() => void free(id)} />}
                </LongList>
            </div>
        </>
    );
}

function BlockedRow({ id, free }: { id: string; free: () => void }) {
    return (
        <div class="row">
            <PersonCells person={personOf(id).value}>
                <button class="secondary" onClick={free}>
                    {words("people.unblock")}
                </button>
            </PersonCells>
        </div>
    );
}
