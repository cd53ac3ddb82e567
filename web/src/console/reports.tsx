// What people have reported: those that are open, and those that are closed.

import { useState } from "preact/hooks";
import { Link } from "wouter-preact";

import { Icon, type IconName } from "../ui/icon";
import { short } from "../ui/time";
import type { Report } from "./api";
import { Bones, Empty, Failed, More, useRows } from "./load";
import { lookForReports, openReports, openReportsError } from "./open-reports";
import { Frame } from "./page";
import { Person } from "./person";
import { words } from "./words";

export function Reports() {
    const [isClosed, setClosed] = useState(false);
    return (
        <Frame title={words("reports")}>
            <div class="choices" role="group" aria-label={words("reports.which")}>
                <button class="filter" aria-pressed={!isClosed} onClick={() => setClosed(false)}>
                    {words("reports.open")}
                </button>
                <button class="filter" aria-pressed={isClosed} onClick={() => setClosed(true)}>
                    {words("reports.closed")}
                </button>
            </div>
            {isClosed ? <Closed /> : <Open />}
        </Frame>
    );
}

function Open() {
    const reports = openReports.value;
    const error = openReportsError.value;
    return (
        <>
            {error && <Failed error={error} again={lookForReports} />}
            {!reports && !error && <Bones />}
            {reports?.length === 0 && <Empty text={words("reports.open.none")} hint={words("reports.open.none.hint")} />}
            {reports && <List reports={reports} />}
        </>
    );
}

/** Open ones are among the rows of this list, and are left out. */
function Closed() {
    const rows = useRows<"reports", Report>("/reports?all=true", "reports", 500);
    if (!rows.value) return rows.error ? <Failed error={rows.error} again={rows.reload} /> : <Bones />;
    const closed = rows.value.filter(({ state }) => state === "closed").reverse();
    return (
        <>
            {rows.error && <Failed error={rows.error} again={rows.reload} />}
            {closed.length === 0 && !rows.more && <Empty text={words("reports.closed.none")} />}
            <List reports={closed} />
            <More rows={rows} />
        </>
    );
}

const ICONS: Record<Report["kind"], IconName> = { message: "request", person: "person", room: "group" };

function List({ reports }: { reports: Report[] }) {
    return (
        <ul class="records">
            {reports.map((report) => (
                <li key={report.number}>
                    <Link href={`/reports/${report.number}`} class="record">
                        <span class="kind">
                            <Icon name={ICONS[report.kind]} />
                        </span>
                        <span class="main">
                            <b>
                                {words(`reports.kind.${report.kind}`)}
                                {report.user_id && (
                                    <>
                                        {" · "}
                                        <Person userId={report.user_id} />
                                    </>
                                )}
                            </b>
                            <span class="more-of-it" dir="auto">
                                {(report.state === "closed" && report.note) || report.reason || words("reports.no_reason")}
                            </span>
                        </span>
                        <time dateTime={new Date(report.ts).toISOString()}>{short(report.ts)}</time>
                    </Link>
                </li>
            ))}
        </ul>
    );
}
