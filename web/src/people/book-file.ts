// Reading an address book that somebody has exported: vCard (RFC 6350, and the older ones of phones) or CSV.

import { EMAIL, NUMBER } from "./find";

export interface BookEntry {
    name: string;
    numbers: string[];
    emails: string[];
}

/** The most people of a book that are read. */
const MOST = 10_000;

export function readBook(text: string): BookEntry[] {
    const entries = /^\s*BEGIN:VCARD/i.test(text) ? readCards(text) : readTable(text);
    return entries.filter(({ numbers, emails }) => numbers.length + emails.length > 0).slice(0, MOST);
}

function readCards(text: string): BookEntry[] {
    // A line that begins with a blank goes on with the line before; one of quoted-printable goes on after its "=".
    const lines = text.replace(/\r?\n[ \t]/g, "").replace(/=\r?\n(?==|[^\n:]*(?:\n|$))/g, "").split(/\r?\n/);
    const entries: BookEntry[] = [];
    let entry: BookEntry | undefined;
    for (const line of lines) {
        const colon = line.indexOf(":");
        const [head = "", value] = [line.slice(0, colon), line.slice(colon + 1).trim()];
        const name = head.split(";")[0]!.split(".").at(-1)!.toUpperCase();
        if (name === "BEGIN") entry = { name: "", numbers: [], emails: [] };
        if (!entry || !value) continue;
        if (name === "FN") entry.name = unescape(decode(value, head));
        if (name === "TEL") entry.numbers.push(value.replace(/^tel:/i, "").split(";")[0]!);
        if (name === "EMAIL") entry.emails.push(value);
        if (name === "END") entries.push(entry);
    }
    return entries;
}

/** Cards of version 2.1 have letters beyond ASCII as quoted-printable. */
function decode(value: string, head: string): string {
    if (!/QUOTED-PRINTABLE/i.test(head)) return value;
    const bytes = value.replace(/=([0-9A-F]{2})|[\s\S]/gi, (one, hex: string | undefined) => (hex ? String.fromCharCode(parseInt(hex, 16)) : one));
    return new TextDecoder().decode(Uint8Array.from(bytes, (letter) => letter.charCodeAt(0)));
}

const unescape = (value: string) => value.replace(/\\n/gi, " ").replace(/\\(.)/g, "$1");

/** A table has numbers and addresses in any of its columns. What the first row calls a name is one. */
function readTable(text: string): BookEntry[] {
    const [heads = [], ...rows] = cellsOf(text);
    const named = heads.map((head) => /name|nom|prénom|vorname/i.test(head));
    return rows.map((row) => {
        const values = row.flatMap((cell) => cell.split(/\s*:::\s*|[;\n]/)).map((value) => value.trim());
        const emails = values.filter((value) => EMAIL.test(value));
        const name = row.filter((cell, at) => named[at] && cell && !EMAIL.test(cell)).join(" ");
        return { name: name || (emails[0] ?? ""), numbers: values.filter((value) => NUMBER.test(value)), emails };
    });
}

/** RFC 4180, and with semicolons, as some programs write it. */
function cellsOf(text: string): string[][] {
    const first = text.split("\n")[0] ?? "";
    const separator = first.split(";").length > first.split(",").length ? ";" : ",";
    const rows: string[][] = [[""]];
    let isQuoted = false;
    for (let at = 0; at < text.length; at++) {
        const letter = text[at]!;
        const row = rows.at(-1)!;
        if (letter === '"' && isQuoted && text[at + 1] === '"') row.push(row.pop() + text[++at]!);
        else if (letter === '"') isQuoted = !isQuoted;
        else if (letter === separator && !isQuoted) row.push("");
        else if (letter === "\n" && !isQuoted) rows.push([""]);
        else if (letter !== "\r" || isQuoted) row.push(row.pop() + letter);
    }
    return rows.filter((row) => row.some(Boolean));
}
