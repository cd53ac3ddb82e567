// What is asked of the server for a page: while it comes, when it is there, and when it does not come.

import type { ComponentChildren } from "preact";
import { useCallback, useEffect, useRef, useState } from "preact/hooks";

import { words as common } from "../words";
import { ask, type Page, reasonOf } from "./api";
import { words } from "./words";

export interface Load<Value> {
    value: Value | undefined;
    error: string | undefined;
    isLoading: boolean;
    reload: () => Promise<void>;
}

/** Asks for something, and again whenever `what` is another. With `everyMs` it is asked again and again while the page is seen. */
export function useLoad<Value>(what: string, load: () => Promise<Value>, everyMs?: number): Load<Value> {
    const [state, setState] = useState<{ of?: string; value?: Value | undefined; error?: string | undefined; isLoading: boolean }>({ isLoading: true });
    const latest = useRef(0);
    const reload = useCallback(async () => {
        const turn = ++latest.current;
        setState((before) => ({ ...before, isLoading: true }));
        try {
            const value = await load();
            if (turn === latest.current) setState({ of: what, value, isLoading: false });
        } catch (error) {
            const said = reasonOf(error);
            // What was shown before stays, unless it is of something else.
            if (turn === latest.current) setState((before) => ({ of: what, value: before.of === what ? before.value : undefined, error: said, isLoading: false }));
        }
    }, [what]);
    useEffect(() => {
        void reload();
        const timer = everyMs && window.setInterval(() => document.visibilityState === "visible" && void reload(), everyMs);
        return () => {
            latest.current++;
            clearInterval(timer);
        };
    }, [reload, everyMs]);
    return { value: state.of === what ? state.value : undefined, error: state.error, isLoading: state.isLoading, reload };
}

/** What was asked for; or bones of it, or why it is not there. */
export function Loaded<Value>({ load, children }: { load: Load<Value>; children: (value: Value) => ComponentChildren }) {
    if (load.value !== undefined) {
        return (
            <>
                {load.error && <Failed error={load.error} again={load.reload} />}
                {children(load.value)}
            </>
        );
    }
    return load.error ? <Failed error={load.error} again={load.reload} /> : <Bones />;
}

export function Failed({ error, again }: { error: string; again: () => Promise<void> }) {
    return (
        <div class="failed" role="alert">
            <p>{error}</p>
            <button class="secondary" onClick={() => void again()}>
                {common("broken.again")}
            </button>
        </div>
    );
}

const BONES = 5;

/** What stands in the place of rows that come. */
export function Bones() {
    return (
        <div class="bones" aria-busy="true">
            <p class="only-said">{words("loading")}</p>
            {Array.from({ length: BONES }, (_, at) => (
                <span key={at} aria-hidden="true" />
            ))}
        </div>
    );
}

export interface Rows<Row> extends Load<Row[]> {
    /** Loads the next page, if there is one. */
    more: (() => Promise<void>) | undefined;
}

/** The rows of a list, page by page. `path` has its parameters, if it has any, but for those of pages. */
export function useRows<Name extends string, Row>(path: string, name: Name, limit = 100): Rows<Row> {
    const [next, setNext] = useState<string | null>(null);
    const [added, setAdded] = useState<{ to: string; rows: Row[] }>({ to: "", rows: [] });
    const page = async (from: string | null) => {
        const query = `${path.includes("?") ? "&" : "?"}limit=${limit}${from === null ? "" : `&from=${encodeURIComponent(from)}`}`;
        const answer = await ask<Page<Name, Row>>("GET", path + query);
        setNext(answer.next_batch);
        return answer[name] as Row[];
    };
    const first = useLoad(path, () => {
        setAdded({ to: path, rows: [] });
        return page(null);
    });
    const [error, setError] = useState<string>();
    const more = async () => {
        setError(undefined);
        try {
            const rows = await page(next);
            setAdded((before) => ({ to: path, rows: [...before.rows, ...rows] }));
        } catch (failed) {
            setError(reasonOf(failed));
        }
    };
    const rows = first.value && [...first.value, ...(added.to === path ? added.rows : [])];
    return { ...first, value: rows, error: first.error ?? error, more: next === null ? undefined : more };
}

/** Leads to the next page of a list. */
export function More({ rows }: { rows: Rows<unknown> }) {
    if (!rows.more) return null;
    const more = rows.more;
    return (
        <button class="secondary more" onClick={() => void more()}>
            {words("more")}
        </button>
    );
}

/** What a list says that has no rows. */
export function Empty({ text, hint }: { text: string; hint?: string }) {
    return (
        <div class="nothing">
            <p>{text}</p>
            {hint && <p class="hint">{hint}</p>}
        </div>
    );
}
