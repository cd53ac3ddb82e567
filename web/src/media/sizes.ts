// How large things are: of files in words, and of pictures on the screen.

import { language } from "../words";

const UNITS = ["byte", "kilobyte", "megabyte", "gigabyte"] as const;

/** A number of bytes as people say it. */
export function bytes(count: number): string {
    const step = Math.min(UNITS.length - 1, Math.floor(Math.log10(Math.max(1, count)) / 3));
    const options: Intl.NumberFormatOptions = { style: "unit", unit: UNITS[step], unitDisplay: "short", maximumFractionDigits: step > 1 ? 1 : 0 };
    return new Intl.NumberFormat(language.value, options).format(count / 1000 ** step);
}

/** A length of time as players show it: minutes and seconds. */
export function duration(ms: number): string {
    const seconds = Math.round(ms / 1000);
    return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

/** The largest and smallest that a picture is in a bubble, in pixels. */
const MAX_WIDTH = 360;
const MAX_HEIGHT = 420;
const MIN_SIDE = 96;

/** The place that is reserved for a picture before it is there. Without sizes it gets a square. */
export function fit(width: number | undefined, height: number | undefined, maxWidth = MAX_WIDTH, maxHeight = MAX_HEIGHT): { width: number; height: number } {
    if (!width || !height) return { width: 260, height: 260 };
    const scale = Math.min(1, maxWidth / width, maxHeight / height);
    return { width: Math.max(MIN_SIDE, Math.round(width * scale)), height: Math.max(MIN_SIDE, Math.round(height * scale)) };
}
