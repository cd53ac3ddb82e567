// Somebody with whom there is no chat yet. The chat is made when the first message is sent, so looking at somebody does not
// reach them. What is typed is kept until then.

import "./people.css";

import { useEffect, useRef, useState } from "preact/hooks";
import { useLocation } from "wouter-preact";

import { isBlocked, unblock } from "../chats/actions";
import { directChat } from "../chats/direct";
import { isComplete } from "../chats/rows";
import { serverOf } from "../platform";
import { done, sayWhy } from "../sync/ask";
import { client } from "../sync/running";
import { Avatar } from "../ui/avatar";
import { Icon } from "../ui/icon";
import { Back, PaneTitle } from "../ui/pane";
import { words } from "../words";
import { beginChat, encryptionWith } from "./begin";
import { beginningOf, keepBeginning } from "./beginnings";
import { ContactCard } from "./contact-card";
import { personOf } from "./person";

export default function WithPerson({ id }: { id: string }) {
    const [, go] = useLocation();
    const person = personOf(id).value;
    const there = client.value;
    const existing = there && isComplete.value ? directChat(there, id) : undefined;
    useEffect(() => {
        if (existing) go(`/chat/${encodeURIComponent(existing)}`, { replace: true });
    }, [existing]);
    const encryption = encryptionWith([serverOf(id)]);
    return (
        <main class="pane with-person">
            <header>
                <Back to="/new" />
                <Avatar id={id} name={person.name} mxc={person.avatar} size={40} />
                <PaneTitle dir="auto">{person.name}</PaneTitle>
            </header>
            <div class="pane-body">
                <ContactCard id={id} />
                {"is" in encryption ? (
                    <p class="hint centred">
                        {words(encryption.is ? "people.encrypted" : "people.not_encrypted")} {words("people.first.hint", { name: person.name })}
                    </p>
                ) : (
                    <p class="warning" role="alert">
                        {words("people.excluded", encryption)}
                    </p>
                )}
            </div>
            {isBlocked(id) ? <Blocked id={id} name={person.name} /> : "is" in encryption && <FirstMessage key={id} id={id} name={person.name} />}
        </main>
    );
}

/** In place of where one writes: why one cannot, and what to do about it. */
function Blocked({ id, name }: { id: string; name: string }) {
    return (
        <footer class="first-message">
            <p class="warning">{words("people.is_blocked", { name })}</p>
            <button class="secondary" onClick={() => void done(unblock(id))}>
                {words("people.unblock")}
            </button>
        </footer>
    );
}

function FirstMessage({ id, name }: { id: string; name: string }) {
    const [, go] = useLocation();
    const [error, setError] = useState("");
    const [isSending, setIsSending] = useState(false);
    const field = useRef<HTMLTextAreaElement>(null);
    const [text, setText] = useState(() => beginningOf(id));
    const change = (now: string) => {
        setText(now);
        keepBeginning(id, now);
    };
    useEffect(() => field.current?.focus(), []);
    const send = async () => {
        const said = text.trim();
        if (!said || isSending) return;
        setIsSending(true);
        setError("");
        try {
            const room = await beginChat(id, said);
            keepBeginning(id, "");
            go(`/chat/${encodeURIComponent(room)}`, { replace: true });
        } catch (failed) {
            console.warn(failed);
            setError(sayWhy(failed));
        } finally {
            setIsSending(false);
        }
    };
    return (
        <footer class="first-message">
            {error && (
                <p class="warning" role="alert">
                    {error}
                </p>
            )}
            <div>
                <textarea
                    ref={field}
                    rows={1}
                    dir="auto"
                    value={text}
                    readOnly={isSending}
                    placeholder={words("people.first", { name })}
                    aria-label={words("people.first", { name })}
                    onInput={(event) => change(event.currentTarget.value)}
                    onKeyDown={(event) => {
                        if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
                        event.preventDefault();
                        void send();
                    }}
                />
                <button class="icon-button send" aria-label={words("composer.send")} disabled={!text.trim() || isSending} onClick={() => void send()}>
                    <Icon name="send" />
                </button>
            </div>
        </footer>
    );
}

