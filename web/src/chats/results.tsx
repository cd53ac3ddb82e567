// What a search finds: chats at once, then people of all platforms, and messages.

import { type Signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { Link } from "wouter-preact";

import { PersonLink } from "../people/person-link";
import { findPeople, joinTokenIn } from "../people/find";
import { ToGroup } from "../people/new-chat";
import { type Person, personOf } from "../people/person";
import { usePaused } from "../people/paused";
import { sayWhy } from "../sync/ask";
import { toMessage } from "../ui/address";
import { Avatar } from "../ui/avatar";
import { announce } from "../ui/notice";
import { day, short } from "../ui/time";
import { words } from "../words";
import { ChatRow } from "./chat-row";
import { plain } from "./plain";
import { type Row, rowOfChat, sorted } from "./rows";
import { around, type Hit, type Hits, searchMessages } from "./search-messages";

/** How many chats are shown before somebody asks for all. */
const FIRST_CHATS = 6;
/** How many letters a search for messages needs. */
const LETTERS = 2;

export default function Results({ term }: { term: string }) {
    const token = joinTokenIn(term);
    if (token) {
        return (
            <div class="results" onKeyDown={moveByArrows}>
                <ToGroup token={token} />
            </div>
        );
    }
    return (
        <div class="results" onKeyDown={moveByArrows}>
            <ChatResults key={term} term={term} />
            <PeopleResults term={term} />
            <MessageResults term={term} />
        </div>
    );
}

function moveByArrows(event: KeyboardEvent): void {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (!step) return;
    const all = [...(event.currentTarget as HTMLElement).querySelectorAll<HTMLElement>("a, button")];
    const to = all[all.indexOf(document.activeElement as HTMLElement) + step];
    if (!to) return;
    event.preventDefault();
    to.focus();
}

function ChatResults({ term }: { term: string }) {
    const [isWhole, setIsWhole] = useState(false);
    const wanted = plain(term);
    const found = sorted.value.filter((row) => !row.peek().isInvitation && plain(row.peek().name).includes(wanted));
    if (found.length === 0) return null;
    const shown: Signal<Row>[] = isWhole ? found : found.slice(0, FIRST_CHATS);
    return (
        <section aria-labelledby="found-chats">
            <h2 id="found-chats">{words("chats")}</h2>
            <ul>
                {shown.map((row) => (
                    <li key={row.peek().id}>
                        <ChatRow row={row} />
                    </li>
                ))}
            </ul>
            {shown.length < found.length && (
                <button class="quiet" onClick={() => setIsWhole(true)}>
                    {words("chats.show_all.count", { count: found.length })}
                </button>
            )}
        </section>
    );
}

/** People whom the person has no chat with yet: the others are among the chats. */
function PeopleResults({ term }: { term: string }) {
    const { value, error } = usePaused(term, () => findPeople(term));
    const isHere = (id: string) => sorted.peek().some((row) => row.peek().person === id);
    const found: Signal<Person>[] | undefined = value?.filter((person) => !isHere(person.peek().id));
    useEffect(() => {
        if (found) announce(words("people.found", { count: found.length }));
    }, [value]);
    return (
        <section aria-labelledby="found-people">
            <h2 id="found-people">{words("people")}</h2>
            {error !== undefined && <p class="hint">{sayWhy(error)}</p>}
            {found?.length === 0 && <p class="hint">{words("people.none")}</p>}
            {!found && error === undefined && <p class="hint">{words("search.running")}</p>}
            <ul>
                {found?.map((person) => (
                    <li key={person.peek().id}>
                        <PersonLink person={person} />
                    </li>
                ))}
            </ul>
        </section>
    );
}

export function MessageResults({ term, roomId }: { term: string; roomId?: string }) {
    const isLong = term.length >= LETTERS;
    const { value, error } = usePaused(term, async () => (isLong ? searchMessages(term, roomId) : undefined));
    if (!isLong) return null;
    return (
        <section aria-labelledby="found-messages">
            <h2 id="found-messages">{words("search.messages")}</h2>
            {error !== undefined && <p class="hint">{sayWhy(error)}</p>}
            {!value && error === undefined && <p class="hint">{words("search.running")}</p>}
            {value?.hits.length === 0 && <p class="hint">{words("search.none", { term })}</p>}
            <ul>
                {value?.hits.map((hit) => (
                    <li key={hit.id}>
                        <HitLink hit={hit} term={term} />
                    </li>
                ))}
            </ul>
            {value && <Reach hits={value} />}
        </section>
    );
}

/** How far a search reaches: what this browser has not read cannot be found in it. */
function Reach({ hits }: { hits: Hits }) {
    return (
        <>
            {hits.isOffline && <p class="hint">{words("search.offline")}</p>}
            {hits.hasEncrypted && (
                <p class="hint">
                    {hits.reachesBackTo ? words("search.reach", { day: day(hits.reachesBackTo) }) : words("search.reach.nothing")}
                </p>
            )}
        </>
    );
}

function HitLink({ hit, term }: { hit: Hit; term: string }) {
    const row = rowOfChat(hit.room)?.value;
    const [before, found, after] = around(hit.text, term);
    return (
        <Link {...toMessage(hit.room, hit.id)} class="row">
            <span class="picture">
                <Avatar id={row?.person ?? hit.room} name={row?.name ?? ""} mxc={row?.avatar} />
            </span>
            <span class="name" dir="auto">{row?.name}</span>
            <time class="time">{short(hit.ts)}</time>
            <span class="preview">
                {row?.isGroup && (
                    <>
                        <bdi class="said-by">{personOf(hit.sender).value.name}</bdi>:{" "}
                    </>
                )}
                <bdi>
                    {before}
                    <mark>{found}</mark>
                    {after}
                </bdi>
            </span>
        </Link>
    );
}
