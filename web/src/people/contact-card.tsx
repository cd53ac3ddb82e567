// Who somebody is: picture, name, handle, platform, and the other accounts that they show the person.

import "./people.css";

import { useEffect, useState } from "preact/hooks";
import { Link } from "wouter-preact";

import { personName } from "../chats/names";
import { platformName, serverOf } from "../platform";
import { Avatar } from "../ui/avatar";
import { PlatformMark } from "../ui/platform-mark";
import { words } from "../words";
import { card, type Card } from "./api";
import { withPerson } from "./person-link";
import { personOf } from "./person";

export function ContactCard({ id }: { id: string }) {
    const person = personOf(id).value;
    const server = serverOf(id);
    return (
        <section class="contact-card">
            <Avatar id={id} name={person.name} mxc={person.avatar} size={96} />
            <p class="contact-name" dir="auto">
                {person.name}
            </p>
            {person.handle && <p class="contact-handle">{person.handle}</p>}
            <p class="contact-platform">
                <span aria-hidden="true">
                    <PlatformMark server={server} />
                </span>
                {words("people.on", { platform: platformName(server) })}
            </p>
            <Linked id={id} />
        </section>
    );
}

/** The other accounts of somebody. An empty list says nothing: they have none, or do not show them. */
function Linked({ id }: { id: string }) {
    const [found, setFound] = useState<Card>();
    useEffect(() => {
        let isGone = false;
        card(id).then((told) => isGone || setFound(told), console.warn);
        return () => void (isGone = true);
    }, [id]);
    if (!found || found.accounts.length === 0) return null;
    return (
        <ul class="linked" aria-label={words("people.linked")}>
            {found.accounts.map((account) => (
                <li key={account.user_id}>
                    <Link href={withPerson(account.user_id)}>
                        <span aria-hidden="true">
                            <PlatformMark server={serverOf(account.user_id)} />
                        </span>
                        <bdi>{account.handle ? `@${account.handle}` : personName(account.user_id, account.displayname)}</bdi>
                        {" · "}
                        {platformName(serverOf(account.user_id))}
                        {account.user_id === found.messages_arrive_at && ` · ${words("people.arrives")}`}
                    </Link>
                </li>
            ))}
        </ul>
    );
}
