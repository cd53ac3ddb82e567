// Beginning a chat: who with. Contacts, people of all platforms, a group, or somebody of the address book.

import "./people.css";

import type { Signal } from "@preact/signals";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { Link, Route, Switch, useLocation } from "wouter-preact";

import { plain } from "../chats/plain";
import { done, sayWhy } from "../sync/ask";
import { Icon, type IconName } from "../ui/icon";
import { later } from "../ui/later";
import { LongList } from "../ui/long-list";
import { ListHead, ListPane } from "../ui/pane";
import { words } from "../words";
import { contacts } from "./api";
import { beginChatByAddress } from "./begin";
import { findPeople, joinTokenIn, type Sought, sought } from "./find";
import { knownPerson, type Person, personOf } from "./person";
import { PersonLink, withPerson } from "./person-link";
import { usePaused } from "./paused";

const NewGroup = later(() => import("./new-group"));
const AddressBook = later(() => import("./address-book"));

/** How high a row of somebody is, in pixels. */
export const ROW_PX = 68;

export default function NewChat() {
    return (
        <Switch>
            <Route path="/new/group">
                <NewGroup />
            </Route>
            <Route path="/new/book">
                <AddressBook />
            </Route>
            <Route>
                <Choose />
            </Route>
        </Switch>
    );
}

function Choose() {
    const [search, setSearch] = useState("");
    const [location] = useLocation();
    const field = useRef<HTMLInputElement>(null);
    const term = search.trim();
    const token = joinTokenIn(term);
    useEffect(() => field.current?.focus(), []);
    return (
        <ListPane aria-label={words("new")}>
            <ListHead title={words("new")} back="/" />
            <PeopleField value={search} change={setSearch} field={field} />
            <div class="results">
                {!term && (
                    <ul>
                        <Way href="/new/group" icon="group" label={words("group.new")} />
                        <Way href="/new/book" icon="invite" label={words("book")} />
                    </ul>
                )}
                {token ? <ToGroup token={token} /> : <Contacts term={term} current={location} />}
                {term && !token && <Found term={term} current={location} />}
            </div>
        </ListPane>
    );
}

interface PeopleFieldProps {
    value: string;
    change: (value: string) => void;
    field?: { current: HTMLInputElement | null };
}

/** Where a link leads that was pasted here. */
export function ToGroup({ token }: { token: string }) {
    return (
        <ul>
            <Way href={`/join/${token}`} icon="link" label={words("join.pasted")} />
        </ul>
    );
}

/** Where one types a name, a handle, a number or an e-mail address. */
export function PeopleField({ value, change, field }: PeopleFieldProps) {
    return (
        <label class="search">
            <Icon name="search" />
            <input
                ref={field}
                type="search"
                autocomplete="off"
                spellcheck={false}
                placeholder={words("people.search")}
                aria-label={words("people.search")}
                value={value}
                onInput={(event) => change(event.currentTarget.value)}
            />
        </label>
    );
}

function Way({ href, icon, label }: { href: string; icon: IconName; label: string }) {
    return (
        <li>
            <Link href={href} class="row one-line">
                <span class="picture sign">
                    <Icon name={icon} />
                </span>
                <span class="name">{label}</span>
            </Link>
        </li>
    );
}

/** The person's contacts by name, once the server has said who they are. The rows that are shown ask for more about them; whoever is
 * called otherwise then stays where they are, so that no row moves away under a finger. */
export function useContacts(term: string): Signal<Person>[] | undefined {
    const [people, setPeople] = useState<Signal<Person>[]>();
    useEffect(() => {
        let isGone = false;
        contacts().then(
            (all) => isGone || setPeople(all.map(({ user_id }) => knownPerson(user_id))),
            () => isGone || setPeople([]),
        );
        return () => void (isGone = true);
    }, []);
    return useMemo(() => {
        const found = people?.filter((person) => fits(person.peek(), term));
        return found?.sort((one, other) => byName.compare(one.peek().name, other.peek().name));
    }, [people, term]);
}

const byName = new Intl.Collator();

/** Whether somebody's name or handle has what is searched in it. */
function fits(person: Person, term: string): boolean {
    return plain(`${person.name} ${person.handle ?? ""}`).includes(plain(term));
}

function Contacts({ term, current }: { term: string; current: string }) {
    const shown = useContacts(term);
    if (!shown || (shown.length === 0 && term)) return null;
    return (
        <section aria-labelledby="contacts">
            <h2 id="contacts">{words("people.contacts")}</h2>
            {shown.length === 0 && <p class="hint">{words("people.contacts.none")}</p>}
            <LongList items={shown} rowPx={ROW_PX} keyOf={(person) => person.peek().id}>
                {(person) => <PersonLink person={personOf(person.peek().id)} current={current === withPerson(person.peek().id)} />}
            </LongList>
        </section>
    );
}

interface Answer {
    meant: Sought;
    people: Signal<Person>[];
}

function Found({ term, current }: { term: string; current: string }) {
    const { value, error } = usePaused(term, async (): Promise<Answer> => ({ meant: await sought(term), people: await findPeople(term) }));
    return (
        <section aria-labelledby="found">
            <h2 id="found">{words("people.everywhere")}</h2>
            {error !== undefined && <p class="hint">{sayWhy(error)}</p>}
            {!value && error === undefined && <p class="hint">{words("search.running")}</p>}
            {value?.people.length === 0 && <NobodyFound meant={value.meant} />}
            <ul>
                {value?.people.map((person) => (
                    <li key={person.peek().id}>
                        <PersonLink person={person} current={current === withPerson(person.peek().id)} />
                    </li>
                ))}
            </ul>
        </section>
    );
}

/** Nobody is found: there is nobody, or somebody who does not want to be found. An invitation goes to either. */
function NobodyFound({ meant }: { meant: Sought }) {
    const [, go] = useLocation();
    if (meant.kind === "name") return <p class="hint">{words("people.none.hint")}</p>;
    const address = meant.kind === "email" ? meant.email : meant.phone;
    const medium = meant.kind === "email" ? "email" : "msisdn";
    const invite = async () => {
        let room = "";
        const isDone = await done(beginChatByAddress({ medium, address }).then((made) => (room = made)));
        if (isDone) go(`/chat/${encodeURIComponent(room)}`);
    };
    return (
        <div class="invite">
            <p class="hint">{words(meant.kind === "email" ? "people.none.email" : "people.none.phone", { address })}</p>
            <button class="secondary" onClick={() => void invite()}>
                {words("people.invite", { address })}
            </button>
        </div>
    );
}
