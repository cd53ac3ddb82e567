// A group that a link leads to, before one joins it.

import "../people/people.css";
import "./group.css";

import { useEffect, useState } from "preact/hooks";
import { useLocation } from "wouter-preact";

import { timerWords } from "../chat/sentences";
import { known } from "../people/known";
import { neighbours, platform, platformName } from "../platform";
import { ask, isRefusal, type Refusal, sayWhy } from "../sync/ask";
import { Avatar } from "../ui/avatar";
import { Back, PaneTitle } from "../ui/pane";
import { words, type WordsId } from "../words";

interface Preview {
    name?: string;
    topic?: string;
    avatar_url?: string;
    joined_members: number;
    platforms: string[];
    encryption?: string;
    disappearing_timer_ms?: number;
    may_join: boolean;
    refusal?: Refusal;
    membership?: string;
    room_id?: string;
}

export default function Join({ token }: { token: string }) {
    const [preview, setPreview] = useState<Preview>();
    const [error, setError] = useState("");
    const [, go] = useLocation();
    const failed = (problem: unknown) => {
        const isGone = isRefusal(problem, "M_NOT_FOUND");
        setError(isGone ? words("join.gone") : sayWhy(problem));
        if (isGone) setPreview(undefined);
    };
    useEffect(() => {
        ask<Preview>("GET", `/join_links/${encodeURIComponent(token)}`).then(
            (told) => {
                if (told.membership === "join" && told.room_id) go(`/chat/${encodeURIComponent(told.room_id)}`, { replace: true });
                else setPreview(told);
            },
            failed,
        );
    }, [token]);
    return (
        <main class="pane join">
            <header>
                <Back to="/" />
                <PaneTitle>{words("join.title")}</PaneTitle>
            </header>
            <div class="pane-body">
                {error && (
                    <p class="hint centred" role="alert">
                        {error}
                    </p>
                )}
                {!preview && !error && <p class="hint centred">{words("connecting")}</p>}
                {preview && <Shown preview={preview} token={token} failed={failed} />}
            </div>
        </main>
    );
}

interface ShownProps {
    preview: Preview;
    token: string;
    /** What is done about joining that did not work. */
    failed: (problem: unknown) => void;
}

function Shown({ preview, token, failed }: ShownProps) {
    const [, go] = useLocation();
    const [isJoining, setIsJoining] = useState(false);
    const name = preview.name ?? words("join.unnamed");
    const join = async () => {
        setIsJoining(true);
        try {
            const { room_id } = await ask<{ room_id: string }>("POST", `/join_links/${encodeURIComponent(token)}/join`, {});
            await known(room_id);
            go(`/chat/${encodeURIComponent(room_id)}`, { replace: true });
        } catch (problem) {
            console.warn(problem);
            failed(problem);
        }
        setIsJoining(false);
    };
    return (
        <section class="contact-card">
            <Avatar id={token} name={name} mxc={preview.avatar_url} size={96} />
            <p class="contact-name" dir="auto">
                {name}
            </p>
            <p class="contact-platform">
                {words("group.members.count", { count: preview.joined_members })} · {preview.platforms.map(platformName).join(", ")}
            </p>
            {preview.topic && (
                <p class="topic" dir="auto">
                    {preview.topic}
                </p>
            )}
            <p class="hint">{words(preview.encryption ? "people.encrypted" : "people.not_encrypted")}</p>
            {preview.disappearing_timer_ms && <p class="hint">{words("join.timer", { time: timerWords(preview.disappearing_timer_ms) })}</p>}
            {preview.may_join ? (
                <button class="primary" disabled={isJoining} onClick={() => void join()}>
                    {words("join.join")}
                </button>
            ) : (
                <p class="warning">{words(refusedWords(preview))}</p>
            )}
            <Elsewhere token={token} />
        </section>
    );
}

function refusedWords({ membership, refusal }: Preview): WordsId {
    if (refusal?.["org.linkspan.rule"]) return "join.refused.encryption";
    return membership === "ban" ? "join.refused.banned" : "join.refused";
}

/** Whoever is on another platform opens the link there. */
function Elsewhere({ token }: { token: string }) {
    const others = neighbours.value.filter(({ server_name, address }) => address && server_name !== platform.value?.server_name);
    if (others.length === 0) return null;
    return (
        <p class="hint">
            {words("join.elsewhere")}{" "}
            {others.map(({ server_name, name, address }) => (
                <a key={server_name} href={`${address}/join/${encodeURIComponent(token)}`} rel="noreferrer">
                    {name}
                </a>
            ))}
        </p>
    );
}
