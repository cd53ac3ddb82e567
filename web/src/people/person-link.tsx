// Somebody in a list of people: with the platform in words, and a handle where there is one.

import "./people.css";

import type { Signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { Link } from "wouter-preact";

import { isOfOtherPlatform, platformName, serverOf } from "../platform";
import { Avatar } from "../ui/avatar";
import { PlatformMark } from "../ui/platform-mark";
import type { Person } from "./person";

/** The address at which a chat with somebody is begun, or shown if there is one. */
export const withPerson = (id: string) => `/new/with/${encodeURIComponent(id)}`;

export function PersonLink({ person, href, current }: { person: Signal<Person>; href?: string; current?: boolean }) {
    return (
        <Link href={href ?? withPerson(person.value.id)} class="row" aria-current={current ? "page" : undefined}>
            <PersonCells person={person.value} />
        </Link>
    );
}

/** The picture and the two lines of somebody. */
export function PersonCells({ person, note, children }: { person: Person; note?: string; children?: ComponentChildren }) {
    return (
        <>
            <span class="picture">
                <Avatar id={person.id} name={person.name} mxc={person.avatar} />
                {isOfOtherPlatform(person.id) && (
                    <span class="elsewhere" aria-hidden="true">
                        <PlatformMark server={serverOf(person.id)} />
                    </span>
                )}
            </span>
            <span class="name" dir="auto">{person.name}</span>
            <span class="preview">{note ?? whereOf(person)}</span>
            {children && <span class="signs">{children}</span>}
        </>
    );
}

/** Where somebody is, in words, after the handle if there is one. It is what stays readable of a long name. */
export function whereOf(person: Person): string {
    const platform = platformName(serverOf(person.id));
    return person.handle ? `${person.handle} · ${platform}` : platform;
}
