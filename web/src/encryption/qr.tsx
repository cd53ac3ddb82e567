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
    const [problem, setProblem] = useState<"encryption.qr.camera" | "encryption.qr.wrong">();
    useEffect(() => {
        const ended = new AbortController();
        scan(video.current!, ended.signal)
            .then((data) => data && request.scanQRCode(data))
            .catch((error: unknown) => setProblem(error instanceof DOMException ? "encryption.qr.camera" : "encryption.qr.wrong"));
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
async function scan(video: HTMLVideoElement, ended: AbortSignal): Promise<Uint8ClampedArray | undefined> {
    const [{ default: decode }, stream] = await Promise.all([
        import("qr/decode.js"),
        navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } }),
    ]);
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
