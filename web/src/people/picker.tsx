// Picking several people: contacts, and whoever is found on any platform.

import "./people.css";

import type { Signal } from "@preact/signals";
import { useState } from "preact/hooks";

import { Avatar } from "../ui/avatar";
import { Icon } from "../ui/icon";
import { LongList } from "../ui/long-list";
import { words } from "../words";
import { findPeople } from "./find";
import { PeopleField, ROW_PX, useContacts } from "./new-chat";
import { usePaused } from "./paused";
import { type Person, personOf } from "./person";
import { PersonCells } from "./person-link";

interface PickerProps {
    chosen: Signal<Person>[];
    change: (chosen: Signal<Person>[]) => void;
    /** Whom not to offer, because they are there already. */
    without?: ReadonlySet<string>;
}

export function Picker({ chosen, change, without }: PickerProps) {
    const [search, setSearch] = useState("");
    const term = search.trim();
    const known = useContacts(term) ?? [];
    const { value: found } = usePaused(term, async () => (term ? findPeople(term) : []));
    const all = new Map([...known, ...(found ?? [])].map((person) => [person.peek().id, person]));
    const offered = [...all.values()].filter((person) => !without?.has(person.peek().id));
    const toggle = (person: Signal<Person>) => {
        change(chosen.includes(person) ? chosen.filter((one) => one !== person) : [...chosen, person]);
        setSearch("");
    };
    return (
        <>
            {chosen.length > 0 && (
                <ul class="chosen" aria-label={words("people.chosen")}>
                    {chosen.map((person) => (
                        <li key={person.peek().id}>
                            <button aria-label={words("people.unchoose", { name: person.value.name })} onClick={() => toggle(person)}>
                                <Avatar id={person.value.id} name={person.value.name} mxc={person.value.avatar} size={28} />
                                <bdi>{person.value.name}</bdi>
                                <Icon name="close" />
                            </button>
                        </li>
                    ))}
                </ul>
            )}
            <PeopleField value={search} change={setSearch} />
            <div class="results">
                {offered.length === 0 && <p class="hint">{words(term ? "people.none" : "people.contacts.none")}</p>}
                <LongList items={offered} rowPx={ROW_PX} keyOf={(person) => person.peek().id}>
                    {(person) => <Offered person={personOf(person.peek().id)} isChosen={chosen.includes(person)} toggle={() => toggle(person)} />}
                </LongList>
            </div>
        </>
    );
}

function Offered({ person, isChosen, toggle }: { person: Signal<Person>; isChosen: boolean; toggle: () => void }) {
    return (
        <label class="row pick">
            <PersonCells person={person.value}>
                <input type="checkbox" aria-label={person.value.name} checked={isChosen} onChange={toggle} />
            </PersonCells>
        </label>
    );
}
