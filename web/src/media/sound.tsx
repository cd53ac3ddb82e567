// Voice messages and other sounds: played in place, one at a time.

import "./media.css";

import { useEffect, useRef, useState } from "preact/hooks";

import type { Sound as SoundContent } from "../chat/content";
import { useTabIndex } from "../chat/context";
import { Icon } from "../ui/icon";
import { words } from "../words";
import { useMedia } from "./fetch";
import { duration } from "./sizes";

const SPEEDS = [1, 1.5, 2];
const BARS = 40;

/** The sound that plays now. */
let playing: HTMLAudioElement | undefined;

/** A waveform with as many bars as there is room for. Without one, all bars are equally low. */
function barsOf(waveform: number[] | undefined): number[] {
    if (!waveform) return Array<number>(BARS).fill(0.12);
    const part = (at: number) => waveform.slice(Math.floor((at * waveform.length) / BARS), Math.max(Math.floor((at * waveform.length) / BARS) + 1, Math.floor(((at + 1) * waveform.length) / BARS)));
    return Array.from({ length: BARS }, (_, at) => Math.max(0.08, ...part(at)));
}

export function Sound({ content }: { content: SoundContent }) {
    const [isWanted, setIsWanted] = useState(false);
    const tabIndex = useTabIndex();
    const [isPlaying, setIsPlaying] = useState(false);
    const [at, setAt] = useState(0);
    const [measured, setMeasured] = useState<number>();
    const [speed, setSpeed] = useState(1);
    const audio = useRef<HTMLAudioElement>(null);
    const { url, failure, retry } = useMedia(isWanted ? content.source : undefined);
    const lengthMs = measured ?? content.durationMs ?? 0;
    useEffect(() => {
        if (url) void audio.current?.play().catch(() => undefined);
    }, [url]);
    const toggle = () => {
        if (failure) return retry();
        if (!isWanted) return setIsWanted(true);
        const element = audio.current;
        if (element?.paused) void element.play().catch(() => undefined);
        else element?.pause();
    };
    const seek = (share: number) => {
        if (audio.current && lengthMs) audio.current.currentTime = (share * lengthMs) / 1000;
        setAt(share * lengthMs);
    };
    const name = content.isVoice ? words("message.voice") : content.name;
    return (
        <div class="sound-player">
            <button class="play" tabIndex={tabIndex} aria-label={words(isPlaying ? "media.pause" : "media.play", { name })} data-busy={(isWanted && !url && !failure) || undefined} onClick={toggle}>
                <Icon name={isPlaying ? "pause" : "play"} />
            </button>
            <div class="track">
                {!content.isVoice && <span class="name">{content.name}</span>}
                <div class="waveform">
                    {barsOf(content.waveform).map((height, bar) => (
                        <i key={bar} style={{ height: `${Math.round(height * 100)}%` }} data-past={(lengthMs > 0 && bar / BARS < at / lengthMs) || undefined} />
                    ))}
                    <input
                        type="range"
                        min="0"
                        max="1"
                        step="0.01"
                        tabIndex={tabIndex}
                        aria-label={words("media.position")}
                        aria-valuetext={duration(at)}
                        value={lengthMs ? at / lengthMs : 0}
                        onInput={(event) => seek(Number(event.currentTarget.value))}
                    />
                </div>
                <span class="sound-facts">{failure ? words(`media.${failure}`) : duration(isWanted && at > 0 ? at : lengthMs)}</span>
            </div>
            {isWanted && (
                <button
                    class="speed"
                    tabIndex={tabIndex}
                    aria-label={words("media.speed", { speed })}
                    onClick={() => {
                        const next = SPEEDS[(SPEEDS.indexOf(speed) + 1) % SPEEDS.length]!;
                        setSpeed(next);
                        if (audio.current) audio.current.playbackRate = next;
                    }}
                >
                    {speed}×
                </button>
            )}
            {url && (
                <audio
                    ref={audio}
                    src={url}
                    onPlay={(event) => {
                        if (playing !== event.currentTarget) playing?.pause();
                        playing = event.currentTarget;
                        playing.playbackRate = speed;
                        setIsPlaying(true);
                    }}
                    onPause={() => setIsPlaying(false)}
                    onEnded={() => setAt(0)}
                    onTimeUpdate={(event) => setAt(event.currentTarget.currentTime * 1000)}
                    onDurationChange={(event) => Number.isFinite(event.currentTarget.duration) && setMeasured(event.currentTarget.duration * 1000)}
                />
            )}
        </div>
    );
}
