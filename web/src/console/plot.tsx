// A plot of the last hour: lines over time, with the newest value in figures. Whoever points at it, or goes over it by keys,
// reads the values of that moment.

import { useMemo, useState } from "preact/hooks";

import { PartTitle } from "../ui/pane";
import { clock } from "../ui/time";
import { words } from "./words";

export interface Line {
    /** What it is, if there are several. */
    name?: string;
    /** A value for each time; nothing where there is none. */
    values: (number | null)[];
}

interface PlotProps {
    title: string;
    hint?: string;
    times: number[];
    lines: Line[];
    /** How a value is written. */
    write: (value: number) => string;
    /** The least that the highest place of the plot stands for, so that next to nothing does not look like much. */
    atLeast: number;
    /** What the highest place stands for, where that is known. */
    atMost?: number | undefined;
}

/** The size of the drawing, in its own units. */
const WIDTH = 600;
const HEIGHT = 120;
/** The most and the least time that a plot shows, in milliseconds: what there is, so that a young server shows something, too. */
const HOUR_MS = 3_600_000;
const LEAST_MS = 300_000;
const MINUTE_MS = 60_000;
/** Between samples that are further apart the server did not run, and there is no line. */
const GAP_MS = 30_000;

/** How many samples each key goes on. */
const STEPS: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1, PageUp: -60, PageDown: 60, Home: -Infinity, End: Infinity };

export function Plot({ title, hint, times, lines, write, atLeast, atMost }: PlotProps) {
    const [pointed, setPointed] = useState<number>();
    const end = times.at(-1) ?? 0;
    const span = Math.min(HOUR_MS, Math.max(LEAST_MS, end - (times[0] ?? end)));
    const at = (time: number) => WIDTH - ((end - time) / span) * WIDTH;
    const highest = Math.max(...lines.flatMap(({ values }) => values.map((value) => value ?? 0)), 0);
    const top = atMost ?? Math.max(roundUp(highest), atLeast);
    const height = (value: number) => HEIGHT - (Math.min(value, top) / top) * HEIGHT;
    const paths = useMemo(() => lines.map(({ values }) => pathOf(times, values, at, height)), [times, lines, top, span]);
    const shown = pointed === undefined ? times.length - 1 : Math.min(pointed, times.length - 1);
    const point = ({ currentTarget, clientX }: PointerEvent) => {
        const { left, width } = (currentTarget as Element).getBoundingClientRect();
        setPointed(nearest(times, end - (1 - (clientX - left) / width) * span));
    };
    const press = (event: KeyboardEvent) => {
        const by = STEPS[event.key];
        if (by === undefined) return;
        event.preventDefault();
        setPointed(Math.max(0, Math.min(times.length - 1, shown + by)));
    };
    const values = lines.map(({ name, values }) => ({ name, value: values[shown] ?? null }));
    const said = values.map(({ name, value }) => [name, value === null ? words("plot.nothing") : write(value)].filter(Boolean).join(" ")).join(", ");
    const when = times.length > 0 ? clock(times[shown]!) : "";
    return (
        <section class="plot">
            <header>
                <PartTitle>{title}</PartTitle>
                <p class="values" aria-hidden="true">
                    {values.map(({ name, value }, line) => (
                        <span key={line} data-line={line}>
                            {name && <small>{name}</small>}
                            <b>{value === null ? "–" : write(value)}</b>
                        </span>
                    ))}
                </p>
            </header>
            <div
                class="drawing"
                role="slider"
                tabIndex={0}
                aria-label={title}
                aria-valuemin={0}
                aria-valuemax={Math.max(times.length - 1, 0)}
                aria-valuenow={Math.max(shown, 0)}
                aria-valuetext={words("plot.said", { when, values: said, most: write(highest) })}
                onPointerMove={point}
                onPointerLeave={() => setPointed(undefined)}
                onKeyDown={press}
                onBlur={() => setPointed(undefined)}
            >
                <span class="top" aria-hidden="true">
                    {write(top)}
                </span>
                <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
                    <path class="grid" d={`M0 .5H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}M0 ${HEIGHT - 0.5}H${WIDTH}`} />
                    {paths.map(({ area, line }, number) => (
                        <g key={number} data-line={number}>
                            {number === 0 && <path class="area" d={area} />}
                            <path class="line" d={line} />
                        </g>
                    ))}
                    {pointed !== undefined && times[shown] !== undefined && <path class="pointed" d={`M${at(times[shown])} 0V${HEIGHT}`} />}
                </svg>
                <span class="ends" aria-hidden="true">
                    <span>{words("plot.ago", { minutes: Math.round(span / MINUTE_MS) })}</span>
                    <span>{pointed === undefined ? words("plot.now") : when}</span>
                </span>
            </div>
            {hint && <p class="hint">{hint}</p>}
        </section>
    );
}

/** The next of 1, 2 and 5 with noughts. */
function roundUp(value: number): number {
    if (value <= 0) return 0;
    const unit = 10 ** Math.floor(Math.log10(value));
    return [1, 2, 5, 10].map((step) => step * unit).find((step) => value <= step)!;
}

/** The number of the time that is nearest. */
function nearest(times: number[], wanted: number): number {
    let found = 0;
    for (const [at, time] of times.entries()) if (Math.abs(time - wanted) < Math.abs(times[found]! - wanted)) found = at;
    return found;
}

function pathOf(times: number[], values: (number | null)[], at: (time: number) => number, height: (value: number) => number): { line: string; area: string } {
    const parts: { x: number; y: number }[][] = [];
    let before: number | undefined;
    for (const [number, time] of times.entries()) {
        const value = values[number] ?? null;
        if (value === null) {
            before = undefined;
            continue;
        }
        if (before === undefined || time - before > GAP_MS) parts.push([]);
        before = time;
        parts.at(-1)!.push({ x: at(time), y: height(value) });
    }
    const write = (points: { x: number; y: number }[]) => points.map(({ x, y }) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L");
    // A single value is a dot, which a line without length is with round ends.
    const line = parts.map((points) => `M${write(points.length > 1 ? points : [...points, ...points])}`).join("");
    const area = parts.map((points) => `M${points[0]!.x.toFixed(1)} ${HEIGHT}L${write(points)}L${points.at(-1)!.x.toFixed(1)} ${HEIGHT}Z`).join("");
    return { line, area };
}
