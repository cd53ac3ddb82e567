// Codes that one device shows and the other scans. They have keys in them as bytes, which the browser's own reader of codes
// cannot give, so they are read by a library, which is loaded when somebody scans.

import { useEffect, useRef, useState } from "preact/hooks";
import type { VerificationRequest } from "matrix-js-sdk/lib/crypto-api/index.js";
import { encode } from "uqr";

import { words } from "../words";

/** Light modules around a code, without which readers do not find it. */
const BORDER = 4;

export function ShowCode({ data }: { data: Uint8ClampedArray }) {
    const { size, data: rows } = encode([...data], { ecc: "L", border: BORDER });
    const dark = rows.flatMap((row, y) => row.map((isDark, x) => (isDark ? `M${x} ${y}h1v1h-1z` : ""))).join("");
    return (
        <svg class="encryption-code" viewBox={`0 0 ${size} ${size}`} role="img" aria-label={words("encryption.qr")} shape-rendering="crispEdges">
            <path d={dark} />
        </svg>
    );
}

export function ScanCode({ request, close }: { request: VerificationRequest; close: () => void }) {
    const video = useRef<HTMLVideoElement>(null);
    const [problem, setProblem] = useState<"encryption.qr.camera" | "encryption.qr.wrong" | "sync.failed.code">();
    useEffect(() => {
        const ended = new AbortController();
        const look = async () => {
            // Nobody is asked for the camera as long as nothing could read what it sees.
            const reader = await import("qr/decode.js").catch((error: unknown) => void console.warn(error));
            if (!reader) return setProblem("sync.failed.code");
            try {
                const data = await scan(video.current!, reader.default, ended.signal);
                if (data) await request.scanQRCode(data);
            } catch (error) {
                setProblem(error instanceof DOMException ? "encryption.qr.camera" : "encryption.qr.wrong");
            }
        };
        void look();
        return () => ended.abort();
    }, [request]);
    return (
        <div class="encryption-steps">
            <p role={problem && "alert"}>{words(problem ?? "encryption.qr.hold")}</p>
            <video ref={video} class="encryption-camera" muted playsInline />
            <div class="encryption-actions">
                <button class="secondary" onClick={close}>
                    {words("back")}
                </button>
            </div>
        </div>
    );
}

/** Looks through the camera until there is a code. */
async function scan(video: HTMLVideoElement, decode: Decode, ended: AbortSignal): Promise<Uint8ClampedArray | undefined> {
    if (ended.aborted) return undefined;
    const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    const stop = () => stream.getTracks().forEach((track) => track.stop());
    ended.addEventListener("abort", stop);
    try {
        video.srcObject = stream;
        await video.play();
        const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
        const context = canvas.getContext("2d", { willReadFrequently: true })!;
        while (!ended.aborted) {
            context.drawImage(video, 0, 0);
            const found = bytesIn(context.getImageData(0, 0, canvas.width, canvas.height), decode);
            if (found) return found;
            await new Promise(requestAnimationFrame);
        }
        return undefined;
    } finally {
        stop();
    }
}

type Decode = typeof import("qr/decode.js").default;

function bytesIn(image: ImageData, decode: Decode): Uint8ClampedArray | undefined {
    let bytes: Uint8ClampedArray | undefined;
    const textDecoder = (found: Uint8Array) => {
        bytes = new Uint8ClampedArray(found);
        return "";
    };
    try {
        decode(image, { textDecoder });
    } catch {
        // Most pictures have no code in them.
    }
    return bytes;
}
