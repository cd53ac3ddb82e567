// Chats that strangers began: message requests.

import "./people.css";

import type { Signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { Link, useLocation } from "wouter-preact";

import { invitations, isComplete, type Row } from "../chats/rows";
import { isOfOtherPlatform, serverOf } from "../platform";
import { ask, done } from "../sync/ask";
import { client } from "../sync/running";
import { Avatar } from "../ui/avatar";
import { LongList } from "../ui/long-list";
import { ListHead, ListPane } from "../ui/pane";
import { PlatformMark } from "../ui/platform-mark";
import { words } from "../words";
import { byAddress, followSaid, type Invitation, invitationOf, refreshInvitations, type Said } from "./invitation";
import { known } from "./known";
import { personOf } from "./person";
import { whereOf } from "./person-link";

/** How high the row of a request is, in pixels. */
const ROW_PX = 80;

export default function Requests() {
    const waiting = invitations.value;
    useEffect(() => {
        if (isComplete.value) refreshInvitations().catch(console.warn);
    }, [isComplete.value]);
    return (
        <ListPane aria-label={words("chats.requests")}>
            <ListHead title={words("chats.requests")} back="/" />
            <div class="results">
                <p class="hint">{hintOf(waiting.length)}</p>
                <LongList items={waiting} rowPx={ROW_PX} keyOf={(row) => row.peek().id}>
                    {(row) => <RequestRow row={row} />}
                </LongList>
                <ByAddress />
            </div>
        </ListPane>
    );
}

function hintOf(count: number): string {
    if (count > 0) return words("requests.hint");
    if (!isComplete.value) return words("connecting");
    return byAddress.value.length > 0 ? "" : words("requests.none");
}

function RequestRow({ row }: { row: Signal<Row> }) {
    const [location] = useLocation();
    const [said, setSaid] = useState<Said>();
    const { id, name } = row.value;
    useEffect(() => followSaid(id, 1, ([last]) => setSaid(last)), [id, row.value.ts]);
    const there = client.value;
    const room = there?.getRoom(id);
    const invitation = there && room ? invitationOf(there, room) : undefined;
    const server = invitation && serverOf(invitation.sender);
    const path = `/requests/${encodeURIComponent(id)}`;
    return (
        <Link href={path} class="row request" aria-current={location === path ? "page" : undefined}>
            <span class="picture">
                <Avatar id={invitation?.sender ?? id} name={name} />
                {server && isOfOtherPlatform(invitation.sender) && (
                    <span class="elsewhere" aria-hidden="true">
                        <PlatformMark server={server} />
                    </span>
                )}
            </span>
            <span class="name" dir="auto">{name}</span>
            <span class="where">
                {invitation && senderWords(invitation)}
            </span>
            <span class="preview" dir="auto">{said?.text ?? words(invitation?.isDirect === false ? "requests.group" : "requests.nothing_said")}</span>
        </Link>
    );
}

/** Who has sent it, and where they are. */
function senderWords({ sender, isDirect }: Invitation): string {
    const person = personOf(sender).value;
    return isDirect ? whereOf(person) : `${words("requests.group.by", { name: person.name })} · ${whereOf(person)}`;
}

/** Invitations to a number or an e-mail address of the person, whose senders do not know whose it is. */
function ByAddress() {
    const waiting = byAddress.value;
    const [, go] = useLocation();
    if (waiting.length === 0) return null;
    const accept = async (token: string) => {
        let room = "";
        const joining = ask<{ room_id: string }>("POST", `/invitations/${encodeURIComponent(token)}/accept`, {});
        const isDone = await done(joining.then(({ room_id }) => known((room = room_id))));
        byAddress.value = byAddress.peek().filter((invitation) => invitation.token !== token || !isDone);
        if (isDone) go(`/chat/${encodeURIComponent(room)}`);
    };
    return (
        <section aria-labelledby="by-address">
            <h2 id="by-address">{words("requests.by_address")}</h2>
            <p class="hint">{words("requests.by_address.hint")}</p>
            <ul>
                {waiting.map(({ token, sender, address }) => (
                    <li key={token} class="row">
                        <span class="picture">
                            <Avatar id={sender} name={personOf(sender).value.name} />
                        </span>
                        <span class="name" dir="auto">{personOf(sender).value.name}</span>
                        <span class="preview">{words("requests.to", { address })}</span>
                        <span class="signs">
                            <button class="secondary" onClick={() => void accept(token)}>
                                {words("requests.accept")}
                            </button>
                        </span>
                    </li>
                ))}
            </ul>
        </section>
    );
}
