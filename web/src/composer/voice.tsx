// Recording a voice message, listening to it, and sending it. It stands in the place of the field.

import type { MatrixEvent, Room } from "matrix-js-sdk";
import { useEffect, useRef, useState } from "preact/hooks";

import { LONGEST_MS, Recorder, type Recording, WAVE_LARGEST, waveform } from "../media/record";
import { duration } from "../media/sizes";
import { Icon } from "../ui/icon";
import { announce, notify } from "../ui/notice";
import type { Press } from "../ui/press";
import { words } from "../words";
import { withReply } from "./content";
import { send } from "./outbox";

/** How many bars are seen. */
const BARS = 48;
/** From when on a button counts as held, in milliseconds, and how far away is away, in pixels. */
const HELD_MS = 500;
const AWAY_PX = 120;

interface VoiceProps {
    room: Room;
    reply: MatrixEvent | undefined;
    /** The press that opened it, if it was not opened by the keyboard. */
    press: Press | undefined;
    /** Who would not see it, as a sentence. */
    hint: string | undefined;
    close: () => void;
}

export default function VoiceBar({ room, reply, press, hint, close }: VoiceProps) {
    const recorder = useRef<Recorder | null>(null);
    const ended = useRef<Promise<Recording>>();
    /** Whether it is sent or thrown away. Only what the person does first counts. */
    const isDecided = useRef(false);
    const [levels, setLevels] = useState<number[]>([]);
    const [lastsMs, setLastsMs] = useState(0);
    const [recording, setRecording] = useState<Recording>();
    useEffect(() => {
        let isGone = false;
        const measured = (measuring: Recorder) => {
            setLastsMs(measuring.durationMs);
            setLevels(measuring.levels.slice(-BARS));
            if (measuring.durationMs > LONGEST_MS) void stop();
        };
        Recorder.begin(measured).then(
            (begun) => {
                if (isGone) return begun.cancel();
                recorder.current = begun;
                announce(words("composer.recording"));
            },
            () => {
                notify({ text: words("composer.no_microphone") });
                close();
            },
        );
        return () => {
            isGone = true;
            recorder.current?.cancel();
        };
    }, []);
    const stop = async () => {
        ended.current ??= recorder.current?.end();
        const made = await ended.current;
        setRecording(made);
        return made;
    };
    const submit = async () => {
        if (!recorder.current || isDecided.current) return;
        isDecided.current = true;
        const made = await stop();
        if (!made) return;
        send({ roomId: room.roomId, content: withReply(contentOf(made), reply, room.client.getSafeUserId()), file: { blob: made.blob } });
        close();
    };
    const discard = () => {
        isDecided.current = true;
        close();
    };
    useHeld(press, recorder, () => void submit(), discard);
    return (
        <>
            {hint && <p class="composer-hint">{hint}</p>}
            <div class="composer-row voice" onKeyDown={(event) => event.key === "Escape" && discard()}>
                <button class="icon-button" aria-label={words("composer.record.cancel")} onClick={discard}>
                    <Icon name="delete" />
                </button>
                {recording ? (
                    <Listen recording={recording} />
                ) : (
                    <div class="recording">
                        <span class="dot" aria-hidden="true" />
                        <time>{duration(lastsMs - (lastsMs % 1000))}</time>
                        <Bars values={levels} />
                        <button class="icon-button" aria-label={words("composer.record.stop")} onClick={() => void stop()}>
                            <Icon name="pause" />
                        </button>
                    </div>
                )}
                <button class="icon-button send" aria-label={words("composer.send")} disabled={!recording && lastsMs === 0} onClick={() => void submit()}>
                    <Icon name="send" />
                </button>
            </div>
        </>
    );
}

/** While the button that began it is held, letting go sends, and moving away throws away. A short press only begins. */
function useHeld(press: Press | undefined, recorder: { current: Recorder | null }, sendIt: () => void, discard: () => void): void {
    const run = useRef({ sendIt, discard });
    run.current = { sendIt, discard };
    useEffect(() => {
        // The press may be over before this code is there.
        if (!press?.isHeld) return;
        const ended = new AbortController();
        const { signal } = ended;
        let start: PointerEvent | undefined;
        const moved = (event: PointerEvent) => {
            if (event.pointerId !== press.pointerId) return;
            if (event.buttons === 0) return ended.abort();
            start ??= event;
            if (Math.hypot(event.clientX - start.clientX, event.clientY - start.clientY) > AWAY_PX) run.current.discard();
        };
        const released = (event: PointerEvent) => {
            if (event.pointerId !== press.pointerId) return;
            ended.abort();
            if ((recorder.current?.durationMs ?? 0) > HELD_MS) run.current.sendIt();
        };
        window.addEventListener("pointermove", moved, { signal });
        window.addEventListener("pointerup", released, { signal });
        window.addEventListener("pointercancel", () => ended.abort(), { signal });
        return () => ended.abort();
    }, []);
}

/** The recording before it is sent. */
function Listen({ recording }: { recording: Recording }) {
    const audio = useRef<HTMLAudioElement>(null);
    const [isPlaying, setIsPlaying] = useState(false);
    const [address, setAddress] = useState<string>();
    useEffect(() => {
        const made = URL.createObjectURL(recording.blob);
        setAddress(made);
        return () => URL.revokeObjectURL(made);
    }, [recording]);
    return (
        <div class="recording">
            <audio ref={audio} src={address} onPlay={() => setIsPlaying(true)} onPause={() => setIsPlaying(false)} />
            <button
                class="icon-button"
                aria-label={words(isPlaying ? "composer.record.pause" : "composer.record.play")}
                onClick={() => void (isPlaying ? audio.current?.pause() : audio.current?.play())}
            >
                <Icon name={isPlaying ? "pause" : "play"} />
            </button>
            <Bars values={bars(recording)} />
            <time>{duration(recording.durationMs)}</time>
        </div>
    );
}

/** As many levels as there are bars, from 0 to 1. */
function bars(recording: Recording): number[] {
    return waveform(recording.waveform.map((value) => value / WAVE_LARGEST), BARS).map((value) => value / WAVE_LARGEST);
}

/** Levels from 0 to 1. */
function Bars({ values }: { values: number[] }) {
    return (
        <span class="bars" aria-hidden="true">
            {values.map((value, at) => (
                <i key={at} style={{ height: `${Math.max(8, value * 100)}%` }} />
            ))}
        </span>
    );
}

const ENDINGS: Record<string, string> = { "audio/ogg": "ogg", "audio/webm": "webm", "audio/mp4": "m4a" };

/** A voice message as MSC3245 has it, which others show as a sound. */
function contentOf({ blob, durationMs, waveform }: Recording): Record<string, unknown> {
    const filename = `${words("message.voice")}.${ENDINGS[blob.type] ?? "audio"}`;
    return {
        msgtype: "m.audio",
        body: filename,
        filename,
        info: { mimetype: blob.type, size: blob.size, duration: durationMs },
        "m.mentions": {},
        "org.matrix.msc3245.voice": {},
        "org.matrix.msc1767.audio": { duration: durationMs, waveform },
    };
}
