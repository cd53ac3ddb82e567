// Fetching and decrypting pictures, and all else that messages carry. The page's own addresses of it are given up when nothing
// shows it any more, or when the account changes.

import { effect } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";

import type { Source } from "../chat/content";
import { session } from "../session/session";
import { isConnected } from "../sync/connection";
import { client } from "../sync/running";

/** Types that the page shows or plays. All else is only ever saved, because a browser could run it. */
const SHOWN = /^(image\/(jpeg|png|gif|webp|avif|apng)|video\/(mp4|webm|ogg|quicktime)|audio\/[a-z0-9.+-]+)$/;

/** How much that nothing shows stays in memory, in bytes, for whoever scrolls back and forth. */
const MAX_UNUSED_BYTES = 20_000_000;

export type MediaFailure = "gone" | "damaged" | "offline";

export class MediaError extends Error {
    constructor(readonly failure: MediaFailure) {
        super(failure);
    }
}

interface Kept {
    url: Promise<string>;
    users: number;
    /** How large it is, once it is there. */
    bytes: number;
}

const kept = new Map<string, Kept>();

export interface Size {
    width: number;
    height: number;
    /** Whether the picture fills the size, and its edges are cut off; otherwise it is all within it. */
    isCropped?: boolean;
}

/** The bytes of something that was sent, in the clear. The server scales down what is not encrypted. */
export async function fetchMedia(source: Source, size?: Size): Promise<Blob> {
    if (source.local) return (await fetch(source.local)).blob();
    const running = client.peek();
    const scaled = size && !source.key ? ([size.width, size.height, size.isCropped ? "crop" : "scale"] as const) : [];
    const address = running?.mxcUrlToHttp(source.mxc, scaled[0], scaled[1], scaled[2], false, true, true);
    if (!running || !address) throw new MediaError("gone");
    const answer = await fetch(address, { headers: { Authorization: `Bearer ${running.getAccessToken()}` } }).catch(() => {
        throw new MediaError("offline");
    });
    if (!answer.ok) throw new MediaError(answer.status >= 500 || answer.status === 429 ? "offline" : "gone");
    const bytes = await answer.arrayBuffer();
    const said = source.key ? source.type : (answer.headers.get("Content-Type") ?? source.type);
    const type = said?.split(";")[0]?.toLowerCase() ?? "";
    const clear = source.key ? await decrypt(bytes, source.key) : bytes;
    return new Blob([clear], { type: SHOWN.test(type) ? type : "application/octet-stream" });
}

/** Decrypts as https://spec.matrix.org/v1.19/client-server-api/#sending-encrypted-attachments says. */
async function decrypt(bytes: ArrayBuffer, { k, iv, sha256 }: NonNullable<Source["key"]>): Promise<ArrayBuffer> {
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    if (!isSame(hash, fromBase64(sha256))) throw new MediaError("damaged");
    try {
        const key = await crypto.subtle.importKey("jwk", { kty: "oct", k, alg: "A256CTR" }, "AES-CTR", false, ["decrypt"]);
        return await crypto.subtle.decrypt({ name: "AES-CTR", counter: fromBase64(iv), length: 64 }, key, bytes);
    } catch {
        throw new MediaError("damaged");
    }
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> {
    return Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));
}

function isSame(one: Uint8Array, other: Uint8Array): boolean {
    return one.length === other.length && one.every((byte, at) => byte === other[at]);
}

/** What names a picture as it is shown. Two messages can name one upload with other keys, of which one may be wrong. */
function keyOf(source: Source, size?: Size): string {
    if (source.key) return `${source.mxc} ${source.key.k} ${source.key.sha256}`;
    return size ? `${source.mxc} ${size.width}x${size.height}${size.isCropped ? " cropped" : ""}` : source.mxc;
}

/** An address within the page for something that was sent. Whoever takes it gives it back with `release`. */
export function take(source: Source, size?: Size): Promise<string> {
    const key = keyOf(source, size);
    let held = kept.get(key);
    if (!held) {
        const made: Kept = { url: fetchMedia(source, size).then((blob) => addressOf(made, blob)), users: 0, bytes: 0 };
        made.url.catch(() => kept.get(key) === made && kept.delete(key));
        held = made;
    }
    // What was used last stands last, and goes last.
    kept.delete(key);
    kept.set(key, held);
    held.users++;
    return held.url;
}

function addressOf(held: Kept, blob: Blob): string {
    held.bytes = blob.size;
    return URL.createObjectURL(blob);
}

export function release(source: Source, size?: Size): void {
    const held = kept.get(keyOf(source, size));
    if (held) held.users--;
    const unused = [...kept].filter(([, { users }]) => users <= 0);
    let sum = unused.reduce((before, [, { bytes }]) => before + bytes, 0);
    for (const [key, { bytes }] of unused) {
        if (sum <= MAX_UNUSED_BYTES) return;
        sum -= bytes;
        drop(key);
    }
}

function drop(key: string): void {
    void kept.get(key)?.url.then((address) => URL.revokeObjectURL(address), () => undefined);
    kept.delete(key);
}

// What one account was shown is not there for the next.
let owner: string | undefined;
effect(() => {
    if (session.value?.userId === owner) return;
    owner = session.value?.userId;
    for (const key of [...kept.keys()]) drop(key);
});

export interface Fetched {
    url?: string;
    failure?: MediaFailure;
    retry: () => void;
}

/** The address of something while a component shows it. Without a source nothing is fetched. */
export function useMedia(source: Source | undefined, size?: Size): Fetched {
    const [state, setState] = useState<Omit<Fetched, "retry">>({});
    const [attempt, setAttempt] = useState(0);
    const key = source && keyOf(source, size);
    const running = client.value;
    const isBack = isConnected.value;
    useEffect(() => {
        if (isBack && state.failure === "offline") setAttempt((count) => count + 1);
    }, [isBack]);
    useEffect(() => {
        if (!source || !running || source.local) return;
        let isGone = false;
        take(source, size).then(
            (url) => isGone || setState({ url }),
            (error: unknown) => isGone || setState({ failure: error instanceof MediaError ? error.failure : "offline" }),
        );
        return () => {
            isGone = true;
            release(source, size);
            setState({});
        };
    }, [key, source?.local, attempt, running]);
    return { ...(source?.local ? { url: source.local } : state), retry: () => setAttempt(attempt + 1) };
}

/** Saves something under the name that its sender gave it. */
export async function save(source: Source, name: string): Promise<void> {
    saveBlob(new Blob([await fetchMedia(source)], { type: "application/octet-stream" }), name.replace(/[\\/]/g, "_") || "file");
}

/** Has the browser save bytes that the page has. */
export function saveBlob(blob: Blob, name: string): void {
    const url = URL.createObjectURL(blob);
    Object.assign(document.createElement("a"), { href: url, download: name }).click();
    // The browser has to have begun to save before the address goes.
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
