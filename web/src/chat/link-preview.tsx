// A card for the first link of a message, as the server describes the page. Pictures come from the server, too.

import { useEffect, useState } from "preact/hooks";

import { useMedia } from "../media/fetch";
import { isPreviewed } from "../settings/choices";
import type { Content } from "./content";
import { useOpenChat } from "./context";
import { linksIn, matrixLink } from "./html";
import type { Message } from "./message";

interface Page {
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
    const [page, setPage] = useState<Page>();
    const href = isPreviewed(message.isEncrypted) && !message.quote ? firstLink(message.content) : undefined;
    const { url } = useMedia(page?.image ? { mxc: page.image } : undefined, { width: 320, height: 240 });
    useEffect(() => {
        if (!href || message.state === "sending" || message.state === "failed") return;
        let isGone = false;
        timeline.client.getUrlPreview(href, message.ts).then(
            (found) => {
                const title = text(found["og:title"]) ?? text(found["og:site_name"]);
                const image = text(found["og:image"]);
                if (!isGone && title) setPage({ title, description: text(found["og:description"]), image: image?.startsWith("mxc://") ? image : undefined });
            },
            // Most platforms do not fetch pages for their people. Then there is no card.
            () => undefined,
        );
        return () => void (isGone = true);
    }, [href, message.state]);
    if (!page || !href) return null;
    return (
        <a class="link-card" href={href} target="_blank" rel="noreferrer noopener" tabIndex={-1}>
            {url && <img src={url} alt="" />}
            <span>
                <b dir="auto">{page.title}</b>
                {page.description && <span class="description" dir="auto">{page.description}</span>}
                <small>{new URL(href).host}</small>
            </span>
        </a>
    );
}
