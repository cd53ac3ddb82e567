// What people type, as HTML. The signs are those of WhatsApp and Messenger: *bold*, _italic_, ~struck~, `code`, three
// backticks before and after a block, "> " before a quotation, "- " or "1. " before the entries of a list. Everything
// else is text: what somebody types never becomes an element that is not made here.

/** Somebody who is named in a text. */
export interface Mention {
    /** As it stands in the text, with the sign. */
    text: string;
    /** `@room` for everybody. */
    userId: string;
}

export const EVERYBODY = "@room";

const FENCE = "```";
const QUOTED = /^>\s?/;
const BULLET = /^\s*[-*•]\s+(?=\S)/;
const NUMBER = /^\s*(\d{1,3})[.)]\s+(?=\S)/;

const escape = (text: string) => text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
const escapePattern = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** The text as HTML, or nothing if that would say no more than the text. */
export function toHtml(text: string, mentions: readonly Mention[] = []): string | undefined {
    const html = new Formatter(mentions).blocks(text.split("\n"));
    return html === escape(text).replaceAll("\n", "<br>") ? undefined : html;
}

/** The mentions that are still in the text. */
export function mentionsIn(text: string, mentions: readonly Mention[]): Mention[] {
    const pattern = namesOf(mentions);
    const found = new Set(pattern ? Array.from(text.matchAll(new RegExp(pattern, "gu")), ([name]) => name) : []);
    return mentions.filter((mention) => found.has(mention.text));
}

/** A pattern for the names that may be in a text. Of "@Anna" and "@Anna Berg" the longer is meant where both fit. */
function namesOf(mentions: readonly Mention[]): string {
    const names = mentions.map(({ text }) => text).sort((one, other) => other.length - one.length);
    return names.map(escapePattern).join("|");
}

class Formatter {
    readonly #mentions: Map<string, string>;
    readonly #pattern: RegExp;

    constructor(mentions: readonly Mention[]) {
        this.#mentions = new Map(mentions.map(({ text, userId }) => [text, userId]));
        const names = namesOf(mentions);
        const parts = [
            "(?<ticks>```|`)(?<code>[^`]+)\\k<ticks>",
            "(?<link>https?://\\S+)",
            ...(names ? [`(?<mention>${names})`] : []),
            "(?<![\\p{L}\\p{N}*_~])(?<sign>\\*{1,2}|_|~{1,2})(?!\\s|\\k<sign>)(?<inner>.*?\\S)\\k<sign>(?![\\p{L}\\p{N}])",
        ];
        this.#pattern = new RegExp(parts.join("|"), "gu");
    }

    blocks(lines: string[]): string {
        const parts: string[] = [];
        let said: string[] = [];
        const end = () => {
            if (said.length > 0) parts.push(said.map((line) => this.#inline(line)).join("<br>"));
            said = [];
        };
        for (let at = 0; at < lines.length; ) {
            const block = this.#block(lines, at);
            if (block) {
                end();
                parts.push(block.html);
                at = block.next;
            } else {
                said.push(lines[at]!);
                at++;
            }
        }
        end();
        return parts.join("");
    }

    /** The block that begins in this line, and the line that follows it. */
    #block(lines: string[], at: number): { html: string; next: number } | undefined {
        const line = lines[at]!;
        if (line.startsWith(FENCE)) return fenced(lines, at);
        if (QUOTED.test(line)) {
            const next = endOf(lines, at, QUOTED);
            const inner = lines.slice(at, next).map((quoted) => quoted.replace(QUOTED, ""));
            return { html: `<blockquote>${this.blocks(inner)}</blockquote>`, next };
        }
        if (BULLET.test(line)) return this.#list(lines, at, BULLET, "<ul>", "</ul>");
        const first = NUMBER.exec(line)?.[1];
        if (first === undefined) return undefined;
        return this.#list(lines, at, NUMBER, Number(first) === 1 ? "<ol>" : `<ol start="${Number(first)}">`, "</ol>");
    }

    #list(lines: string[], at: number, sign: RegExp, open: string, close: string): { html: string; next: number } {
        const next = endOf(lines, at, sign);
        const entries = lines.slice(at, next).map((line) => `<li>${this.#inline(line.replace(sign, ""))}</li>`);
        return { html: open + entries.join("") + close, next };
    }

    #inline(text: string): string {
        let html = "";
        let after = 0;
        for (const found of text.matchAll(this.#pattern)) {
            html += escape(text.slice(after, found.index)) + this.#element(found[0], found.groups ?? {});
            after = found.index + found[0].length;
        }
        return html + escape(text.slice(after));
    }

    #element(whole: string, { code, mention, sign, inner }: Record<string, string | undefined>): string {
        if (code !== undefined) return `<code>${escape(code)}</code>`;
        if (mention !== undefined) return pill(mention, this.#mentions.get(mention)!);
        if (sign === undefined || inner === undefined) return escape(whole);
        const tag = sign.startsWith("*") ? "strong" : sign === "_" ? "em" : "del";
        return `<${tag}>${this.#inline(inner)}</${tag}>`;
    }
}

function pill(text: string, userId: string): string {
    if (userId === EVERYBODY) return escape(text);
    return `<a href="https://matrix.to/#/${encodeURIComponent(userId)}">${escape(text.replace(/^@/, ""))}</a>`;
}

function fenced(lines: string[], at: number): { html: string; next: number } | undefined {
    const first = lines[at]!.slice(FENCE.length);
    if (first.length > FENCE.length && first.endsWith(FENCE)) return { html: block(first.slice(0, -FENCE.length), ""), next: at + 1 };
    const end = lines.findIndex((line, index) => index > at && line.trimEnd() === FENCE);
    if (end < 0) return undefined;
    return { html: block(lines.slice(at + 1, end).join("\n"), first.trim()), next: end + 1 };
}

function block(code: string, language: string): string {
    const kind = /^[\w+#-]{1,30}$/.test(language) ? ` class="language-${escape(language)}"` : "";
    return `<pre><code${kind}>${escape(code)}\n</code></pre>`;
}

function endOf(lines: string[], at: number, sign: RegExp): number {
    let next = at + 1;
    while (next < lines.length && sign.test(lines[next]!)) next++;
    return next;
}
