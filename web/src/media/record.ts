// Recording a voice message: the sound, how loud it was over time, and how long it lasted.

/** What browsers can record, the most widely played first. */
const TYPES = ["audio/ogg;codecs=opus", "audio/mp4;codecs=mp4a.40.2", "audio/webm;codecs=opus", "audio/mp4"];
/** How often the level is measured, in milliseconds. */
const MEASURE_MS = 50;
/** How many numbers a waveform has, and the largest of them, as MSC3246 has it. */
const WAVE_LENGTH = 100;
export const WAVE_LARGEST = 1024;
const BITS_PER_SECOND = 32_000;
/** The longest recording, in milliseconds. */
export const LONGEST_MS = 60 * 60_000;

export interface Recording {
    blob: Blob;
    durationMs: number;
    waveform: number[];
}

export class Recorder {
    /** Levels from 0 to 1, one for each measurement. */
    readonly levels: number[] = [];
    readonly #stream: MediaStream;
    readonly #recorder: MediaRecorder;
    readonly #context: AudioContext;
    readonly #analyser: AnalyserNode;
    readonly #parts: Blob[] = [];
    readonly #begunAt = performance.now();
    readonly #timer: number;

    /** Asks for the microphone, and begins. */
    static async begin(measured: (recorder: Recorder) => void): Promise<Recorder> {
        const audio = { channelCount: 1, echoCancellation: true, noiseSuppression: true };
        return new Recorder(await navigator.mediaDevices.getUserMedia({ audio }), measured);
    }

    private constructor(stream: MediaStream, measured: (recorder: Recorder) => void) {
        this.#stream = stream;
        const mimeType = TYPES.find((type) => MediaRecorder.isTypeSupported(type));
        this.#recorder = new MediaRecorder(stream, { mimeType, audioBitsPerSecond: BITS_PER_SECOND });
        this.#recorder.ondataavailable = ({ data }) => this.#parts.push(data);
        this.#context = new AudioContext();
        this.#analyser = this.#context.createAnalyser();
        this.#context.createMediaStreamSource(stream).connect(this.#analyser);
        const samples = new Float32Array(this.#analyser.fftSize);
        this.#timer = window.setInterval(() => {
            this.#analyser.getFloatTimeDomainData(samples);
            this.levels.push(loudness(samples));
            measured(this);
        }, MEASURE_MS);
        this.#recorder.start();
    }

    get durationMs(): number {
        return performance.now() - this.#begunAt;
    }

    /** Ends the recording. */
    async end(): Promise<Recording> {
        const durationMs = Math.round(this.durationMs);
        const stopped = new Promise((done) => this.#recorder.addEventListener("stop", done, { once: true }));
        this.#recorder.stop();
        await stopped;
        this.#release();
        const type = this.#recorder.mimeType.split(";")[0];
        return { blob: new Blob(this.#parts, { type }), durationMs, waveform: waveform(this.levels) };
    }

    /** Throws the recording away. */
    cancel(): void {
        if (this.#recorder.state !== "inactive") this.#recorder.stop();
        this.#release();
    }

    #release(): void {
        clearInterval(this.#timer);
        for (const track of this.#stream.getTracks()) track.stop();
        if (this.#context.state !== "closed") void this.#context.close();
    }
}

function loudness(samples: Float32Array): number {
    let sum = 0;
    for (const sample of samples) sum += sample * sample;
    // Voices are far from the loudest that there is. The root makes quiet parts visible.
    return Math.min(1, Math.sqrt(Math.sqrt(sum / samples.length)) * 1.4);
}

/** A few numbers for many levels: of each part the loudest. */
export function waveform(levels: readonly number[], length = WAVE_LENGTH): number[] {
    const count = Math.min(length, levels.length);
    return Array.from({ length: count }, (_, at) => {
        const from = Math.floor((at * levels.length) / count);
        const to = Math.max(from + 1, Math.floor(((at + 1) * levels.length) / count));
        return Math.round(Math.max(...levels.slice(from, to)) * WAVE_LARGEST);
    });
}
