// A poll: what is asked, what one can choose, and what was chosen.

import { useEffect, useState } from "preact/hooks";

import { notify } from "../ui/notice";
import { words } from "../words";
import type { Poll } from "./content";
import { useOpenChat, useTabIndex } from "./context";
import type { Message } from "./message";

export function PollCard({ message, poll }: { message: Message; poll: Poll }) {
    const { timeline } = useOpenChat();
    const tabIndex = useTabIndex();
    const counter = timeline.poll(message.id);
    const [isLost, setLost] = useState(false);
    const isThere = message.state === "sent" || message.state === "read";
    const load = () => {
        setLost(false);
        counter.load({ sender: message.sender.id, poll, isEncrypted: message.isEncrypted }).catch((error: unknown) => {
            console.warn(error);
            setLost(true);
        });
    };
    useEffect(() => {
        if (isThere) load();
    }, [counter, isThere]);
    const votes = counter.votes.value;
    const isShown = !!votes && (votes.isEnded || (poll.isDisclosed && votes.own.length > 0));
    const most = Math.max(1, ...[...(votes?.byAnswer.values() ?? [])].map(({ length }) => length));
    const choose = (id: string) => {
        const own = votes?.own ?? [];
        const others = own.filter((chosen) => chosen !== id);
        const chosen = own.includes(id) ? others : poll.maxSelections === 1 ? [id] : [...others, id].slice(-poll.maxSelections);
        counter.vote(chosen, poll).catch(() => notify({ text: words("poll.failed") }));
    };
    return (
        <>
            <fieldset class="poll-card" disabled={!votes || votes.isEnded}>
                <legend dir="auto">{poll.question}</legend>
                <small>{words(votes?.isEnded ? "poll.ended" : poll.maxSelections > 1 ? "poll.several" : "poll.one", { count: poll.maxSelections })}</small>
                {poll.answers.map(({ id, text }) => {
                    const count = votes?.byAnswer.get(id)?.length ?? 0;
                    const isOwn = votes?.own.includes(id) ?? false;
                    return (
                        <label key={id} class="answer" data-best={(votes?.isEnded && count === most) || undefined}>
                            <input type={poll.maxSelections > 1 ? "checkbox" : "radio"} name={message.id} checked={isOwn} tabIndex={tabIndex} onClick={() => choose(id)} />
                            <span dir="auto">{text}</span>
                            {isShown && <span class="count">{count}</span>}
                            {isShown && <progress max={Math.max(1, votes.voters)} value={count} aria-hidden="true" />}
                        </label>
                    );
                })}
                <small>{votes ? words(isShown || poll.isDisclosed ? "poll.votes" : "poll.hidden", { count: votes.voters }) : words(isLost ? "poll.lost" : "poll.loading")}</small>
            </fieldset>
            {isLost && (
                <button class="body-action" onClick={load}>
                    {words("message.retry")}
                </button>
            )}
        </>
    );
}
