// Files in messages: what they are called, how large they are, and saving them.

import "./media.css";

import { useState } from "preact/hooks";

import type { Attachment } from "../chat/content";
import { useTabIndex } from "../chat/context";
import { Icon } from "../ui/icon";
import { words } from "../words";
import { MediaError, type MediaFailure, save } from "./fetch";
import { bytes } from "./sizes";

export function FileCard({ content }: { content: Attachment }) {
    const [state, setState] = useState<"busy" | MediaFailure>();
    const tabIndex = useTabIndex();
    const download = () => {
        setState("busy");
        save(content.source, content.name).then(
            () => setState(undefined),
            (error: unknown) => setState(error instanceof MediaError ? error.failure : "offline"),
        );
    };
    const ending = /\.([a-z0-9]{1,5})$/i.exec(content.name)?.[1];
    const facts = [ending?.toUpperCase(), content.size && bytes(content.size)].filter(Boolean).join(" · ");
    const said = state && state !== "busy" ? words(`media.${state}`) : facts;
    return (
        <button class="file-card" tabIndex={tabIndex} disabled={state === "busy"} onClick={download}>
            <span class="only-said">{words("media.save")}</span>
            <span class="file-icon">
                <Icon name="file" />
            </span>
            <span class="file-name">
                <bdi>{content.name}</bdi>
                <small>{said}</small>
            </span>
            <Icon name="download" />
        </button>
    );
}
