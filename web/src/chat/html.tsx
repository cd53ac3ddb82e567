// Formatted text of messages. It comes from anybody: what the specification allows is left, and made into elements of our own.
// https://spec.matrix.org/v1.19/client-server-api/#mroommessage-msgtypes

import DOMPurify, { type Config } from "dompurify";
import { find, type Opts } from "linkifyjs";
import { type ComponentChild, type ComponentChildren, h } from "preact";
import { useState } from "preact/hooks";
import { Link } from "wouter-preact";

import { useMedia } from "../media/fetch";
import { decoded } from "../ui/address";
import { words } from "../words";

const ALLOWED_TAGS = [
    "del", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "p", "a", "ul", "ol", "sup", "sub", "li", "b", "i", "u", "strong", "em",
    "s", "code", "hr", "br", "div", "table", "thead", "tbody", "tr", "th", "td", "caption", "pre", "span", "img", "details", "summary",
    // Its content repeats what is answered, which is shown apart. It has to be known to be left out.
    "mx-reply",
];
const ALLOWED_ATTR = ["href", "src", "alt", "title", "start", "class", "data-mx-spoiler", "data-mx-emoticon"];

const CLEANING = {
    ALLOWED_TAGS,
    ALLOWED_ATTR,
    ALLOW_DATA_ATTR: false,
    // The values of these are no addresses, whatever they look like.
    ADD_URI_SAFE_ATTR: ["start", "data-mx-spoiler", "data-mx-emoticon"],
    ALLOWED_URI_REGEXP: /^(?:https?|ftp|mailto|magnet|matrix|mxc):/i,
    RETURN_DOM_FRAGMENT: true as const,
} satisfies Config & { RETURN_DOM_FRAGMENT: true };

/** How deep elements lie in each other at most, as the specification recommends. */
const MAX_DEPTH = 100;
const LINKS = /^(https?|ftp|mailto|magnet):/i;
const LANGUAGE = /^language-[\w-]+$/;

/** Whom a link to Matrix names, and which message. */
interface MatrixLink {
    userId?: string;
    roomId?: string;
    eventId?: string;
}

/** What text needs to know of its chat. */
export interface TextContext {
    own: string;
    /** The name of somebody, for mentions. */
    nameOf: (userId: string) => string;
}

export function matrixLink(href: string): MatrixLink | undefined {
    const [, rest] = /^https:\/\/matrix\.to\/#\/(.+)$/.exec(href) ?? [];
    const parts = rest?.split("?")[0]?.split("/").map(decoded) ?? [];
    const [, kind, id, event] = /^matrix:(u|user|r|room|roomid)\/([^/?]+)(?:\/(?:e|event)\/([^/?]+))?/.exec(href) ?? [];
    const first = kind === undefined ? parts[0] : `${kind.startsWith("u") ? "@" : kind === "roomid" ? "!" : "#"}${decoded(id!)}`;
    const eventId = kind === undefined ? parts[1] : event && `$${decoded(event)}`;
    if (first?.startsWith("@")) return { userId: first };
    return first?.startsWith("!") ? { roomId: first, eventId } : undefined;
}

/** Formatted text as elements. */
export function Html({ html, context }: { html: string; context: TextContext }) {
    const clean = DOMPurify.sanitize(html, CLEANING);
    return <>{children(clean, context, 0, true)}</>;
}

function children(node: Node, context: TextContext, depth: number, hasLinks: boolean): ComponentChild[] {
    return depth > MAX_DEPTH ? [node.textContent] : [...node.childNodes].map((child) => shown(child, context, depth + 1, hasLinks));
}

function shown(node: Node, context: TextContext, depth: number, hasLinks: boolean): ComponentChild {
    if (node instanceof Text) return hasLinks ? <Linked text={node.data} /> : node.data;
    if (!(node instanceof HTMLElement)) return null;
    const inside = (links = hasLinks) => children(node, context, depth, links);
    const tag = node.localName;
    switch (tag) {
        case "mx-reply":
            return null;
        case "a":
            return <Anchor href={node.getAttribute("href") ?? ""} context={context}>{inside(false)}</Anchor>;
        case "img":
            return <Emoticon src={node.getAttribute("src") ?? ""} alt={node.getAttribute("alt") ?? node.getAttribute("title") ?? ""} />;
        case "span":
            return node.hasAttribute("data-mx-spoiler") ? (
                <Spoiler reason={node.getAttribute("data-mx-spoiler") ?? ""}>{inside()}</Spoiler>
            ) : (
                <span>{inside()}</span>
            );
        case "code": {
            const language = [...node.classList].find((name) => LANGUAGE.test(name));
            return <code class={language}>{inside(false)}</code>;
        }
        case "pre":
            return <pre dir="ltr" tabIndex={-1}>{inside(false)}</pre>;
        case "ol":
            return <ol start={Number(node.getAttribute("start")) || undefined}>{inside()}</ol>;
        case "table":
            return <div class="table"><table>{inside()}</table></div>;
        case "h1":
        case "h2":
        case "h3":
        case "h4":
        case "h5":
        case "h6":
            // Headings of a message are none of the page's.
            return <p class="heading">{inside()}</p>;
        case "hr":
        case "br":
            return h(tag, {});
        default:
            return h(tag, {}, inside());
    }
}

function Anchor({ href, context, children }: { href: string; context: TextContext; children: ComponentChildren }) {
    const matrix = matrixLink(href);
    if (matrix?.userId) return <Mention id={matrix.userId} context={context} />;
    if (matrix?.roomId) {
        const event = matrix.eventId ? `/${encodeURIComponent(matrix.eventId)}` : "";
        return <Link href={`/chat/${encodeURIComponent(matrix.roomId)}${event}`}>{children}</Link>;
    }
    return LINKS.test(href) ? <External href={href}>{children}</External> : <>{children}</>;
}

function External({ href, children }: { href: string; children: ComponentChildren }) {
    return (
        <a href={href} target="_blank" rel="noreferrer noopener">
            {children}
        </a>
    );
}

function Mention({ id, context }: { id: string; context: TextContext }) {
    return (
        <span class="mention" data-own={id === context.own || undefined}>
            @<bdi>{context.nameOf(id)}</bdi>
        </span>
    );
}

/** A small picture within text. Only pictures of Matrix are fetched: others would tell a stranger's server who reads. */
function Emoticon({ src, alt }: { src: string; alt: string }) {
    const { url } = useMedia(src.startsWith("mxc://") ? { mxc: src } : undefined, { width: 96, height: 96 });
    return url ? <img class="emoticon" src={url} alt={alt} title={alt} /> : <>{alt}</>;
}

function Spoiler({ reason, children }: { reason: string; children: ComponentChildren }) {
    const [isOpen, setIsOpen] = useState(false);
    if (isOpen) return <span class="spoiler" data-open>{children}</span>;
    return (
        <button class="spoiler" aria-label={words("message.spoiler", { reason })} onClick={() => setIsOpen(true)}>
            {reason && <small>{reason}</small>}
            <span aria-hidden="true">{children}</span>
        </button>
    );
}

const LINK_OPTIONS: Opts = { defaultProtocol: "https" };

/** Links in plain text: addresses that begin with a protocol or with "www.", and no other words with dots. */
export function linksIn(text: string): { href: string; start: number; end: number }[] {
    return find(text, LINK_OPTIONS).filter(({ type, value }) => type === "email" || /^(?:[a-z]+:\/\/|www\.)/i.test(value));
}

/** Plain text with its links. */
export function Linked({ text }: { text: string }) {
    const parts: ComponentChild[] = [];
    let from = 0;
    for (const { href, start, end } of linksIn(text)) {
        if (!LINKS.test(href)) continue;
        parts.push(text.slice(from, start), <External href={href}>{text.slice(start, end)}</External>);
        from = end;
    }
    return <>{[...parts, text.slice(from)]}</>;
}
