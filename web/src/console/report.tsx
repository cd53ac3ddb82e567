// One report: what was disclosed, the person it is about with what can be done about them, and closing it.

import { useId, useState } from "preact/hooks";
import { Link, useLocation } from "wouter-preact";

import { isOfOtherPlatform, platformName, serverOf } from "../platform";
import { notify } from "../ui/notice";
import { PartTitle } from "../ui/pane";
import { clock, day } from "../ui/time";
import { ask, type Disclosed, part, type Report, reasonOf } from "./api";
import { Loaded, useLoad } from "./load";
import { noteClosed } from "./open-reports";
import { Chip, Facts, Frame } from "./page";
import { Person } from "./person";
import { Restrictions } from "./restrictions";
import { words } from "./words";

export function ReportPage({ id }: { id: string }) {
    const load = useLoad(id, () => ask<Report>("GET", `/reports/${part(id)}`));
    return (
        <Frame title={words("report", { number: id })} back="/reports">
            <Loaded load={load}>{(report) => <Shown report={report} />}</Loaded>
        </Frame>
    );
}

function Shown({ report }: { report: Report }) {
    return (
        <div class="beside">
            <div class="column">
                <section>
                    <p class="chips">
                        <Chip kind={report.state === "open" ? "bad" : "good"}>{words(`report.state.${report.state}`)}</Chip>
                    </p>
                    {report.reason && (
                        <blockquote class="reason" dir="auto">
                            {report.reason}
                        </blockquote>
                    )}
                    <Facts
                        facts={[
                            [words("report.about"), words(`reports.kind.${report.kind}`)],
                            [words("report.when"), time(report.ts)],
                            [words("report.reporter"), report.reporter ? <Person userId={report.reporter} /> : words("report.reporter.unnamed")],
                            [words("report.score"), report.score === null ? null : String(report.score)],
                            [words("report.room"), report.room_id && <code>{report.room_id}</code>],
                            [words("report.closed"), report.closed_ts && time(report.closed_ts)],
                            [words("report.note"), report.note && <span dir="auto">{report.note}</span>],
                        ]}
                    />
                </section>
                {report.kind === "message" && <Message report={report} />}
                {report.state === "open" && <Close report={report} />}
            </div>
            {report.user_id && <Reported userId={report.user_id} />}
        </div>
    );
}

const time = (ts: number) => words("day_and_time", { day: day(ts), time: clock(ts) });

/** The message as it was disclosed, and who says that this is what it was. */
function Message({ report }: { report: Report }) {
    const { content, content_from } = report;
    return (
        <section>
            <PartTitle>{words("report.message")}</PartTitle>
            {content ? <DisclosedMessage event={content} sender={report.user_id} /> : null}
            <p class="hint">{words(content_from ? `report.from.${content_from}` : "report.from.nobody")}</p>
        </section>
    );
}

function DisclosedMessage({ event, sender }: { event: Disclosed; sender: string | null }) {
    const content = (event.content ?? event) as { body?: unknown; msgtype?: unknown };
    const body = typeof content.body === "string" ? content.body : undefined;
    const kind = typeof content.msgtype === "string" && content.msgtype !== "m.text" ? content.msgtype : undefined;
    return (
        <>
            <figure class="disclosed">
                <figcaption>
                    {sender && <Person userId={sender} />}
                    {kind && <code>{kind}</code>}
                    {typeof event.origin_server_ts === "number" && <span>{time(event.origin_server_ts)}</span>}
                </figcaption>
                <p dir="auto">{body ?? words("report.no_text")}</p>
            </figure>
            <details class="raw">
                <summary>{words("report.raw")}</summary>
                <pre tabIndex={0} aria-label={words("report.raw")}>
                    {JSON.stringify(event, null, 2)}
                </pre>
            </details>
        </>
    );
}

/** The person that a report is about. About those of other platforms only their own operators can do something. */
function Reported({ userId }: { userId: string }) {
    const isElsewhere = isOfOtherPlatform(userId);
    return (
        <section class="card" aria-label={words("report.person")}>
            <PartTitle>{words("report.person")}</PartTitle>
            <p>
                <Person userId={userId} />
            </p>
            {isElsewhere ? (
                <p class="hint">{words("report.person.elsewhere", { platform: platformName(serverOf(userId)) })}</p>
            ) : (
                <>
                    <Restrictions userId={userId} />
                    <Link href={`/users/${part(userId)}`} class="secondary button">
                        {words("report.show_user")}
                    </Link>
                </>
            )}
        </section>
    );
}

function Close({ report }: { report: Report }) {
    const [, navigate] = useLocation();
    const hint = useId();
    const [error, setError] = useState<string>();
    const [isWaiting, setWaiting] = useState(false);
    const submit = async (event: SubmitEvent) => {
        event.preventDefault();
        const note = String(new FormData(event.currentTarget as HTMLFormElement).get("note")).trim();
        setWaiting(true);
        try {
            await ask("POST", `/reports/${report.number}/close`, { note: note || null });
            noteClosed(report.number);
            notify({ text: words("report.close.done", { number: String(report.number) }) });
            navigate("/reports");
        } catch (failed) {
            setError(reasonOf(failed));
            setWaiting(false);
        }
    };
    return (
        <section>
            <PartTitle>{words("report.close")}</PartTitle>
            <form class="settings-form" onSubmit={(event) => void submit(event)}>
                <label class="field">
                    <span>{words("report.close.note")}</span>
                    <textarea name="note" rows={3} maxLength={1000} dir="auto" aria-describedby={hint} />
                </label>
                <p class="hint" id={hint}>
                    {words("report.close.hint")}
                </p>
                {error && <p role="alert">{error}</p>}
                <button class="primary" disabled={isWaiting}>
                    {words("report.close.button")}
                </button>
            </form>
        </section>
    );
}
