// Films in messages: a still picture until somebody plays them.

import "./media.css";

import { useState } from "preact/hooks";

import type { Film } from "../chat/content";
import { useTabIndex } from "../chat/context";
import { Icon } from "../ui/icon";
import { words } from "../words";
import { useMedia } from "./fetch";
import { Blurhash, SCALED } from "./picture";
import { bytes, duration, fit } from "./sizes";

export function Video({ content }: { content: Film }) {
    const [isWanted, setIsWanted] = useState(false);
    const tabIndex = useTabIndex();
    const poster = useMedia(content.thumbnail, SCALED);
    const { url, failure, retry } = useMedia(isWanted ? content.source : undefined);
    const size = fit(content.width ?? 16 * 20, content.height ?? 9 * 20);
    return (
        <div class="media-place video" style={{ width: `${size.width}px`, aspectRatio: `${size.width} / ${size.height}` }}>
            {url ? (
                <video src={url} poster={poster.url} controls autoPlay playsInline aria-label={content.name || words("message.video")} />
            ) : (
                <button
                    class="photo"
                    tabIndex={tabIndex}
                    aria-label={words("media.play_video", { name: content.name || words("message.video") })}
                    onClick={() => (failure ? retry() : setIsWanted(true))}
                >
                    {poster.url ? <img src={poster.url} alt="" draggable={false} /> : <Blurhash hash={content.blurhash} />}
                    <span class="play" data-busy={(isWanted && !failure) || undefined}>
                        <Icon name="play" />
                    </span>
                    <span class="media-facts">
                        <Icon name="camera" />
                        {content.durationMs ? duration(content.durationMs) : content.size ? bytes(content.size) : ""}
                    </span>
                    {failure && (
                        <span class="media-failure">
                            <Icon name="failed" />
                            {words(`media.${failure}`)}
                        </span>
                    )}
                </button>
            )}
        </div>
    );
}
