// Numbers as people read them.

import { language } from "../words";

function format(value: number, options: Intl.NumberFormatOptions): string {
    return new Intl.NumberFormat(language.value === "en" ? undefined : language.value, options).format(value);
}

export const count = (value: number) => format(value, { maximumFractionDigits: 0 });

/** Few digits, and more of them for what is small. */
export const rate = (value: number) => format(value, { maximumFractionDigits: value < 10 ? 1 : 0 });

export const milliseconds = (value: number) =>
    value < 1000
        ? format(value, { style: "unit", unit: "millisecond", maximumFractionDigits: value < 10 ? 1 : 0 })
        : format(value / 1000, { style: "unit", unit: "second", maximumFractionDigits: 1 });

const UNITS = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
const STEP = 1000;

export function bytes(value: number): string {
    const unit = Math.min(Math.floor(Math.log(Math.max(value, 1)) / Math.log(STEP)), UNITS.length - 1);
    const scaled = value / STEP ** unit;
    return format(scaled, { style: "unit", unit: UNITS[unit]!, unitDisplay: unit === 0 ? "long" : "short", maximumFractionDigits: scaled < 10 && unit > 0 ? 1 : 0 });
}
