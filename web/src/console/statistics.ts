// How the platform was used in the last hour, as the server has sampled it, and followed from there on.

import { useEffect, useState } from "preact/hooks";

import { ask, reasonOf } from "./api";

interface Latency {
    p50: (number | null)[];
    p99: (number | null)[];
}

export interface Totals {
    accounts: number;
    guests: number;
    deactivated: number;
    devices: number;
    rooms: number;
    media_files: number;
    media_bytes: number;
}

/** Each list has a value for each time. */
export interface Statistics {
    interval_ms: number;
    ts: number[];
    messages_per_second: number[];
    requests_per_second: number[];
    syncs_waiting: number[];
    send_ms: Latency;
    sync_ms: Latency;
    commits_waiting: number[];
    memory_bytes: (number | null)[];
    disk_free_bytes: (number | null)[];
    disk_bytes: number | null;
    totals: Totals | null;
}

const HOUR_MS = 3_600_000;

/** What was known, and what is new, without what is older than an hour. */
function joined(known: Statistics | undefined, news: Statistics): Statistics {
    if (!known) return news;
    const ts = [...known.ts, ...news.ts];
    const first = ts.findIndex((time) => time > ts.at(-1)! - HOUR_MS);
    const join = <Value>(one: Value[], other: Value[]) => [...one, ...other].slice(Math.max(first, 0));
    const joinLatency = (one: Latency, other: Latency) => ({ p50: join(one.p50, other.p50), p99: join(one.p99, other.p99) });
    return {
        ...news,
        ts: join(known.ts, news.ts),
        messages_per_second: join(known.messages_per_second, news.messages_per_second),
        requests_per_second: join(known.requests_per_second, news.requests_per_second),
        syncs_waiting: join(known.syncs_waiting, news.syncs_waiting),
        send_ms: joinLatency(known.send_ms, news.send_ms),
        sync_ms: joinLatency(known.sync_ms, news.sync_ms),
        commits_waiting: join(known.commits_waiting, news.commits_waiting),
        memory_bytes: join(known.memory_bytes, news.memory_bytes),
        disk_free_bytes: join(known.disk_free_bytes, news.disk_free_bytes),
    };
}

export interface Following {
    statistics: Statistics | undefined;
    error: string | undefined;
    again: () => Promise<void>;
}

/** Follows the statistics as long as they are shown and the page is seen. Only what is new is asked for. */
export function useStatistics(): Following {
    const [state, setState] = useState<{ statistics?: Statistics | undefined; error?: string | undefined }>({});
    const [follower] = useState(() => {
        let known: Statistics | undefined;
        let isAsking = false;
        return async () => {
            if (isAsking) return;
            isAsking = true;
            try {
                known = joined(known, await ask<Statistics>("GET", `/statistics?after_ts=${known?.ts.at(-1) ?? 0}`));
                setState({ statistics: known });
            } catch (error) {
                setState({ statistics: known, error: reasonOf(error) });
            }
            isAsking = false;
        };
    });
    const interval = state.statistics?.interval_ms;
    useEffect(() => void follower(), [follower]);
    useEffect(() => {
        if (interval === undefined) return;
        const timer = setInterval(() => document.visibilityState === "visible" && void follower(), interval);
        return () => clearInterval(timer);
    }, [follower, interval]);
    return { statistics: state.statistics, error: state.error, again: follower };
}
