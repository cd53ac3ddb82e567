// A new group: first its people, then its name, its picture and how long its messages stay.

import "./people.css";

import type { Signal } from "@preact/signals";
import { useEffect, useMemo, useState } from "preact/hooks";
import { useLocation } from "wouter-preact";

import { useHasTimers } from "../group/timer";
import { platformName, serverOf } from "../platform";
import { chosenPicture } from "../settings/picture";
import { done } from "../sync/ask";
import { Field } from "../ui/fields";
import { Icon } from "../ui/icon";
import { ListHead, ListPane } from "../ui/pane";
import { words } from "../words";
import { beginGroup, encryptionWith } from "./begin";
import { Picker } from "./picker";
import type { Person } from "./person";

const DAY_MS = 86_400_000;
/** How long messages may stay, in days. None is for good. */
const TIMERS = [0, 1, 7, 90];

export default function NewGroup() {
    const [chosen, setChosen] = useState<Signal<Person>[]>([]);
    const [isNaming, setIsNaming] = useState(false);
    if (isNaming) return <About people={chosen} back={() => setIsNaming(false)} />;
    const encryption = encryptionWith(chosen.map((person) => serverOf(person.peek().id)));
    return (
        <ListPane aria-label={words("group.new")}>
            <ListHead title={words("group.new")} back="/new" />
            <Picker chosen={chosen} change={setChosen} />
            <footer class="pane-foot">
                {!("is" in encryption) && (
                    <p class="warning" role="alert">
                        {words("people.excluded", encryption)}
                    </p>
                )}
                <button class="primary" disabled={chosen.length === 0 || !("is" in encryption)} onClick={() => setIsNaming(true)}>
                    {words("next")}
                </button>
            </footer>
        </ListPane>
    );
}

function About({ people, back }: { people: Signal<Person>[]; back: () => void }) {
    const [, go] = useLocation();
    const [name, setName] = useState("");
    const [picture, setPicture] = useState<Blob>();
    const [isPreparing, setIsPreparing] = useState(false);
    const [days, setDays] = useState(0);
    const [isMaking, setIsMaking] = useState(false);
    const hasTimers = useHasTimers();
    const servers = [...new Set(people.map((person) => serverOf(person.peek().id)))];
    const encryption = encryptionWith(servers);
    const make = async (event: Event) => {
        event.preventDefault();
        setIsMaking(true);
        const ids = people.map((person) => person.peek().id);
        let room = "";
        const isMade = await done(beginGroup({ name: name.trim(), picture, people: ids, timer: days * DAY_MS }).then((made) => (room = made)));
        setIsMaking(false);
        if (isMade) go(`/chat/${encodeURIComponent(room)}`);
    };
    return (
        <ListPane aria-label={words("group.new")}>
            <header>
                <button class="icon-button" aria-label={words("back")} onClick={back}>
                    <Icon name="back" />
                </button>
                <h1>{words("group.new")}</h1>
            </header>
            <form class="pane-body form" onSubmit={(event) => void make(event)}>
                <Picture picture={picture} change={setPicture} prepares={setIsPreparing} />
                <Field label={words("group.name")}>
                    <input value={name} maxLength={100} dir="auto" required onInput={(event) => setName(event.currentTarget.value)} />
                </Field>
                {hasTimers && (
                    <Field label={words("group.timer")}>
                        <select value={days} onChange={(event) => setDays(Number(event.currentTarget.value))}>
                            {TIMERS.map((count) => (
                                <option key={count} value={count}>
                                    {count ? words("group.timer.days", { count }) : words("group.timer.off")}
                                </option>
                            ))}
                        </select>
                    </Field>
                )}
                <p class="hint">
                    {words("is" in encryption && encryption.is ? "people.encrypted" : "people.not_encrypted")}{" "}
                    {words("group.with", { count: people.length, platforms: servers.map(platformName).join(", ") })}
                </p>
                <button class="primary" disabled={!name.trim() || isPreparing || isMaking}>
                    {words("group.make")}
                </button>
            </form>
        </ListPane>
    );
}

interface PictureProps {
    picture?: Blob;
    change: (picture: Blob) => void;
    /** Hears whether a picture is being made small, so that no group is made without it meanwhile. */
    prepares: (isPreparing: boolean) => void;
}

function Picture({ picture, change, prepares }: PictureProps) {
    const url = useMemo(() => picture && URL.createObjectURL(picture), [picture]);
    useEffect(() => () => void (url && URL.revokeObjectURL(url)), [url]);
    const choose = async (file: File | undefined) => {
        if (!file) return;
        prepares(true);
        const square = await chosenPicture(file);
        prepares(false);
        if (square) change(square);
    };
    return (
        <label class="new-picture">
            {url ? <img src={url} alt="" /> : <Icon name="picture" />}
            <span>{words(picture ? "group.picture.change" : "group.picture")}</span>
            <input class="only-said" type="file" accept="image/*" onChange={(event) => void choose(event.currentTarget.files?.[0])} />
        </label>
    );
}
