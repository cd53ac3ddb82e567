// Sending a place: where the person is, or where they type.

import type { Room } from "matrix-js-sdk";
import { useState } from "preact/hooks";

import { Dialog } from "../ui/dialog";
import { Field } from "../ui/fields";
import { Icon } from "../ui/icon";
import { words, type WordsId } from "../words";
import { notShown, useAbilities } from "./abilities";
import { type Content, textContent } from "./content";
import { send } from "./outbox";

interface Place {
    latitude: number;
    longitude: number;
    /** How far off it may be, in metres. */
    uncertainty?: number;
}

/** How long the device may look for where it is, in milliseconds. */
const PATIENCE_MS = 20_000;
/** Five places are about a metre. */
const DIGITS = 5;

/** Reads "52.52, 13.405", as maps give it. */
function parse(text: string): Place | undefined {
    const found = /^\s*(?:geo:)?(-?\d{1,2}(?:\.\d+)?)\s*[,; ]\s*(-?\d{1,3}(?:\.\d+)?)\s*$/.exec(text);
    const [latitude, longitude] = [Number(found?.[1]), Number(found?.[2])];
    return Math.abs(latitude) <= 90 && Math.abs(longitude) <= 180 ? { latitude, longitude } : undefined;
}

const inNumbers = ({ latitude, longitude }: Place) => `${latitude.toFixed(DIGITS)},${longitude.toFixed(DIGITS)}`;

/** A place as the specification has it, with the fields of MSC3488. */
function contentOf(place: Place, name: string, isOwn: boolean): Content {
    const uri = `geo:${inNumbers(place)}${place.uncertainty === undefined ? "" : `;u=${Math.round(place.uncertainty)}`}`;
    const body = name || words("composer.place.body", { place: inNumbers(place) });
    return {
        msgtype: "m.location",
        body,
        geo_uri: uri,
        "m.mentions": {},
        "org.matrix.msc1767.text": body,
        "org.matrix.msc3488.location": { uri, ...(name && { description: name }) },
        "org.matrix.msc3488.asset": { type: isOwn ? "m.self" : "m.pin" },
        "org.matrix.msc3488.ts": Date.now(),
    };
}

const CAUSES: Record<number, WordsId> = { 1: "composer.place.refused", 2: "composer.place.unknown", 3: "composer.place.unknown" };

export default function PlaceDialog({ room, close }: { room: Room; close: () => void }) {
    const [typed, setTyped] = useState("");
    const [name, setName] = useState("");
    const [found, setFound] = useState<Place>();
    const [problem, setProblem] = useState<WordsId>();
    const [isLooking, setIsLooking] = useState(false);
    const missing = notShown("location", useAbilities(room.roomId), room);
    const place = parse(typed);
    const isOwn = found !== undefined && place !== undefined && inNumbers(found) === inNumbers(place);
    const look = () => {
        setIsLooking(true);
        setProblem(undefined);
        navigator.geolocation.getCurrentPosition(
            ({ coords: { latitude, longitude, accuracy } }) => {
                const here = { latitude, longitude, uncertainty: accuracy };
                setFound(here);
                setTyped(inNumbers(here).replace(",", ", "));
                setIsLooking(false);
            },
            ({ code }) => {
                setProblem(CAUSES[code]);
                setIsLooking(false);
            },
            { enableHighAccuracy: true, timeout: PATIENCE_MS, maximumAge: 0 },
        );
    };
    const submit = (content: Content) => {
        send({ roomId: room.roomId, content });
        close();
    };
    const exact = isOwn ? found : place;
    return (
        <Dialog
            title={words("composer.place")}
            close={close}
            actions={
                <>
                    {missing && (
                        <button
                            class="secondary"
                            disabled={!exact}
                            onClick={() => submit(textContent([name.trim(), inNumbers(exact!)].filter(Boolean).join("\n"), []))}
                        >
                            {words("composer.as_text")}
                        </button>
                    )}
                    <button class="primary" disabled={!exact} onClick={() => submit(contentOf(exact!, name.trim(), isOwn))}>
                        {words("composer.send")}
                    </button>
                </>
            }
        >
            <div class="composer-form">
                {missing && <p class="composer-hint">{missing}</p>}
                <button class="secondary here" disabled={isLooking} onClick={look}>
                    <Icon name="place" />
                    {words(isLooking ? "composer.place.looking" : "composer.place.here")}
                </button>
                {problem && <p role="alert">{words(problem)}</p>}
                <Field
                    label={words("composer.place.numbers")}
                    error={typed && !place ? words("composer.place.wrong") : undefined}
                >
                    <input value={typed} dir="ltr" placeholder="52.52, 13.405" onInput={(event) => setTyped(event.currentTarget.value)} />
                </Field>
                <Field label={words("composer.place.name")}>
                    <input value={name} dir="auto" maxLength={200} onInput={(event) => setName(event.currentTarget.value)} />
                </Field>
            </div>
        </Dialog>
    );
}
