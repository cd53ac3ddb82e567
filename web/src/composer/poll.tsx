// Asking a question that the others answer by choosing.

import type { MatrixEvent, Room } from "matrix-js-sdk";
import { useState } from "preact/hooks";

import { Dialog } from "../ui/dialog";
import { Choice, Field, Switch } from "../ui/fields";
import { words } from "../words";
import { notShown, useAbilities } from "./abilities";
import { type Content, textContent, withReply } from "./content";
import { send } from "./outbox";

/** Limits of the specification, and of what somebody reads. */
const MOST_ANSWERS = 20;
const LONGEST = 340;

interface Poll {
    question: string;
    answers: string[];
    isMultiple: boolean;
    shown: "disclosed" | "undisclosed";
}

/** As text, for chats where somebody cannot see a poll. */
function asText({ question, answers }: Poll): string {
    return [question, ...answers.map((answer, at) => `${at + 1}. ${answer}`)].join("\n");
}

/** A poll as MSC3381 has it. */
function contentOf(poll: Poll): Content {
    const { question, answers, isMultiple, shown } = poll;
    const text = (said: string) => ({ "org.matrix.msc1767.text": said });
    return {
        "m.mentions": {},
        "org.matrix.msc1767.text": asText(poll),
        "org.matrix.msc3381.poll.start": {
            kind: `org.matrix.msc3381.poll.${shown}`,
            max_selections: isMultiple ? answers.length : 1,
            question: { ...text(question), body: question, msgtype: "m.text" },
            answers: answers.map((answer, at) => ({ id: `${at + 1}`, ...text(answer) })),
        },
    };
}

export default function PollDialog({ room, reply, close }: { room: Room; reply: MatrixEvent | undefined; close: () => void }) {
    const [question, setQuestion] = useState("");
    const [answers, setAnswers] = useState(["", ""]);
    const [isMultiple, setIsMultiple] = useState(false);
    const [shown, setShown] = useState<Poll["shown"]>("disclosed");
    const missing = notShown("poll", useAbilities(room.roomId), room);
    const given = answers.map((answer) => answer.trim()).filter(Boolean);
    const poll = { question: question.trim(), answers: given, isMultiple, shown };
    const isWhole = poll.question !== "" && new Set(given).size === given.length && given.length >= 2;
    const own = room.client.getSafeUserId();
    const sendPoll = () => {
        send({ roomId: room.roomId, type: "org.matrix.msc3381.poll.start", content: withReply(contentOf(poll), reply, own) });
        close();
    };
    const sendText = () => {
        send({ roomId: room.roomId, content: textContent(asText(poll), [], reply, own) });
        close();
    };
    // There is always an empty line to write the next answer in.
    const answer = (at: number, text: string) => {
        const changed = answers.map((before, index) => (index === at ? text : before));
        if (changed.at(-1) !== "" && changed.length < MOST_ANSWERS) changed.push("");
        setAnswers(changed);
    };
    return (
        <Dialog
            title={words("composer.poll")}
            close={close}
            actions={
                <>
                    {missing && (
                        <button class="secondary" disabled={!isWhole} onClick={sendText}>
                            {words("composer.as_text")}
                        </button>
                    )}
                    <button class="primary" disabled={!isWhole} onClick={sendPoll}>
                        {words("composer.send")}
                    </button>
                </>
            }
        >
            <div class="composer-form">
                {missing && <p class="composer-hint">{missing}</p>}
                <Field label={words("composer.poll.question")}>
                    <input autofocus dir="auto" value={question} maxLength={LONGEST} onInput={(event) => setQuestion(event.currentTarget.value)} />
                </Field>
                <fieldset class="answers">
                    <legend>{words("composer.poll.answers")}</legend>
                    {answers.map((text, at) => (
                        <input
                            key={at}
                            dir="auto"
                            value={text}
                            maxLength={LONGEST}
                            aria-label={words("composer.poll.answer", { number: at + 1 })}
                            placeholder={words("composer.poll.answer", { number: at + 1 })}
                            onInput={(event) => answer(at, event.currentTarget.value)}
                        />
                    ))}
                </fieldset>
                <Switch label={words("composer.poll.multiple")} isOn={isMultiple} change={setIsMultiple} />
                <Choice
                    label={words("composer.poll.shown")}
                    value={shown}
                    options={[
                        { value: "disclosed", label: words("composer.poll.disclosed") },
                        { value: "undisclosed", label: words("composer.poll.undisclosed") },
                    ]}
                    change={setShown}
                />
            </div>
        </Dialog>
    );
}
