// Times as people say them.

import { language, words } from "../words";

const DAY_MS = 86_400_000;

const midnight = (ts: number) => new Date(ts).setHours(0, 0, 0, 0);

/** How many days ago something was: 0 is today, and what is still to come has fewer. */
function daysAgo(ts: number): number {
    return Math.round((midnight(Date.now()) - midnight(ts)) / DAY_MS);
}

function format(ts: number, options: Intl.DateTimeFormatOptions): string {
    return new Intl.DateTimeFormat(language.value === "en" ? undefined : language.value, options).format(ts);
}

/** The time of day. */
export function clock(ts: number): string {
    return format(ts, { hour: "numeric", minute: "2-digit" });
}

/** As short as a list has room for. */
export function short(ts: number): string {
    const days = daysAgo(ts);
    if (days === 0) return clock(ts);
    if (days === 1) return words("day.yesterday");
    if (days > 0 && days < 7) return format(ts, { weekday: "short" });
    return format(ts, { day: "numeric", month: "short", ...(days > 300 && { year: "numeric" }) });
}

/** The day of what was said, or of what is still to come. */
export function day(ts: number): string {
    const days = daysAgo(ts);
    if (days === 0) return words("day.today");
    if (days === 1) return words("day.yesterday");
    if (days === -1) return words("day.tomorrow");
    return format(ts, { weekday: "long", day: "numeric", month: "long", ...(Math.abs(days) > 300 && { year: "numeric" }) });
}

/** A date, within a sentence. */
export function date(ts: number): string {
    return format(ts, { day: "numeric", month: "long" });
}

export function isSameDay(one: number, other: number): boolean {
    return midnight(one) === midnight(other);
}
