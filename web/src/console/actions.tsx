// What the operators of the platform have done, newest first.

import { useEffect } from "preact/hooks";
import { Link } from "wouter-preact";

import { Icon } from "../ui/icon";
import { clock, isSameDay, day } from "../ui/time";
import { type Action, part } from "./api";
import { Empty, Loaded, More, useRows } from "./load";
import { Chip, Frame } from "./page";
import { Person } from "./person";
import { type ConsoleWordsId, words } from "./words";

/** What the operations are called. Those that are not here are shown by their names in the API. */
const KNOWN: Record<string, ConsoleWordsId> = {
    create_user: "action.create_user",
    set_user_password: "action.set_user_password",
    set_user_locked: "action.set_user_locked",
    set_user_suspended: "action.set_user_suspended",
    set_user_admin: "action.set_user_admin",
    log_user_out: "action.log_user_out",
    deactivate_user: "action.deactivate_user",
    create_registration_token: "action.create_registration_token",
    delete_registration_token: "action.delete_registration_token",
    delete_user_device: "action.delete_user_device",
    close_report: "action.close_report",
};

export function Actions() {
    const rows = useRows<"actions", Action>("/actions", "actions");
    const reload = rows.reload;
    // Somebody else may have done something since.
    useEffect(() => {
        const again = () => void reload();
        addEventListener("focus", again);
        return () => removeEventListener("focus", again);
    }, [reload]);
    return (
        <Frame title={words("actions")} isRead>
            <p class="hint">{words("actions.hint")}</p>
            <Loaded load={rows}>
                {(actions) => (
                    <>
                        {actions.length === 0 && <Empty text={words("actions.none")} />}
                        <ul class="records">
                            {actions.map((action, at) => (
                                <Row key={action.number} of={action} before={actions[at - 1]} />
                            ))}
                        </ul>
                        <More rows={rows} />
                    </>
                )}
            </Loaded>
        </Frame>
    );
}

function Row({ of, before }: { of: Action; before: Action | undefined }) {
    const known = KNOWN[of.action];
    return (
        <li>
            {(!before || !isSameDay(before.ts, of.ts)) && <p class="day">{day(of.ts)}</p>}
            <div class="record">
                <span class="main">
                    <b>{known ? words(known) : <code>{of.action}</code>}</b>
                    <span class="more-of-it">
                        {of.operator ? <Person userId={of.operator} /> : words("actions.back_end")}
                        {of.subjects.length > 0 && <Icon name="next" />}
                        {of.subjects.map((subject) => (
                            <Subject key={subject} of={of.action} subject={subject} />
                        ))}
                    </span>
                </span>
                <Outcome status={of.status} />
                <time dateTime={new Date(of.ts).toISOString()}>{clock(of.ts)}</time>
            </div>
        </li>
    );
}

/** What an action was about: somebody, a report, or something else that its path names. */
function Subject({ of, subject }: { of: string; subject: string }) {
    if (subject.startsWith("@")) {
        return (
            <Link href={`/users/${part(subject)}`} class="link">
                <Person userId={subject} />
            </Link>
        );
    }
    if (of === "close_report") {
        return (
            <Link href={`/reports/${part(subject)}`} class="link">
                {words("report", { number: subject })}
            </Link>
        );
    }
    return <code>{subject}</code>;
}

function Outcome({ status }: { status: number | null }) {
    if (status === null) return <Chip>{words("actions.unfinished")}</Chip>;
    if (status >= 400) return <Chip kind="bad">{words("actions.refused")}</Chip>;
    return null;
}
