// The reports that are open: all are looked for once, and then those that are new.

import { signal } from "@preact/signals";

import { ask, type Page, type Report, reasonOf } from "./api";

/** How often new ones are looked for, in milliseconds. */
const EVERY_MS = 10_000;
const LIMIT = 500;

/** The open reports, oldest first. Nothing before they were looked for. */
export const openReports = signal<Report[] | undefined>(undefined);

/** Why they could not be looked for the last time. */
export const openReportsError = signal<string | undefined>(undefined);

/** Behind which report it is looked for new ones. */
let from: string | undefined;
let running: Promise<void> | undefined;

async function look(): Promise<void> {
    for (;;) {
        const query = from === undefined ? "" : `&from=${from}`;
        const { reports, next_batch } = await ask<Page<"reports", Report>>("GET", `/reports?limit=${LIMIT}${query}`);
        const last = reports.at(-1);
        if (last || !openReports.peek()) openReports.value = [...(openReports.peek() ?? []), ...reports];
        from = next_batch ?? (last ? String(last.number) : from);
        if (next_batch === null) return;
    }
}

/** Looks for new reports now. */
export function lookForReports(): Promise<void> {
    running ??= look()
        .then(
            () => (openReportsError.value = undefined),
            (error: unknown) => (openReportsError.value = reasonOf(error)),
        )
        .then(() => (running = undefined));
    return running!;
}

/** Looks for new reports as long as somebody operates. */
export function followReports(): () => void {
    openReports.value = undefined;
    from = undefined;
    void lookForReports();
    const timer = setInterval(() => document.visibilityState === "visible" && void lookForReports(), EVERY_MS);
    return () => clearInterval(timer);
}

/** Notes that a report is closed. */
export function noteClosed(number: number): void {
    openReports.value = openReports.peek()?.filter((report) => report.number !== number);
}
