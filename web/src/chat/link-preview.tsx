// A card for the first link of a message, as the server describes the page. Pictures come from the server, too.

import { useEffect, useState } from "preact/hooks";

import { mxcIn } from "../media/address";
import { useMedia } from "../media/fetch";
import { isPreviewed } from "../settings/choices";
import type { Content } from "./content";
import { useOpenChat } from "./context";
import { linksIn, matrixLink } from "./html";
import type { Message } from "./message";

interface Page {
    /** The link that it is behind. An edit may have put another one into the message. */
    href: string;
    title: string;
    description?: string;
    image?: string;
}

function firstLink(content: Content): string | undefined {
    if (content.kind !== "text" || content.isNotice) return undefined;
    const link = linksIn(content.body).find(({ href }) => /^https?:/i.test(href) && !matrixLink(href));
    return link?.href;
}

const text = (value: unknown) => (typeof value === "string" && value.trim() ? value.trim() : undefined);

export default function LinkPreview({ message }: { message: Message }) {
    const { timeline } = useOpenChat();
    const [found, setFound] = useState<Page>();
    const href = isPreviewed(message.isEncrypted) && !message.quote ? firstLink(message.content) : undefined;
    const page = found && found.href === href ? found : undefined;
    const { url } = useMedia(page?.image ? { mxc: page.image } : undefined, { width: 320, height: 240 });
    useEffect(() => {
        if (!href || message.state === "sending" || message.state === "failed") return;
        let isGone = false;
        timeline.client.getUrlPreview(href, message.ts).then(
            (told) => {
                const title = text(told["og:title"]) ?? text(told["og:site_name"]);
                if (!isGone && title) setFound({ href, title, description: text(told["og:description"]), image: mxcIn(told["og:image"]) });
            },
            // Most platforms do not fetch pages for their people. Then there is no card.
            () => undefined,
        );
        return () => void (isGone = true);
    }, [href, message.state]);
    if (!page) return null;
    return (
        <a class="link-card" href={page.href} target="_blank" rel="noreferrer noopener" tabIndex={-1}>
            {url && <img src={url} alt="" />}
            <span>
                <b dir="auto">{page.title}</b>
                {page.description && <span class="description" dir="auto">{page.description}</span>}
                <small>{new URL(page.href).host}</small>
            </span>
        </a>
    );
}
