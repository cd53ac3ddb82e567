// What is sent of a chosen file: pictures as small as a screen needs, without what cameras write into them, and with what
// a chat shows before the picture is there.

import { encode } from "blurhash";

import type { Content } from "./content";
import type { WaitingFile, Way } from "./kept";

export interface Prepared {
    file: WaitingFile;
    msgtype: "m.image" | "m.video" | "m.audio" | "m.file";
    info: Content;
}

/** Sides of pictures, in pixels. */
const LARGEST = 2048;
const THUMBNAIL = 640;
const BLUR = 32;
/** A picture up to this many bytes is its own thumbnail. */
const SMALL_BYTES = 100_000;
const QUALITY = 0.85;
const ORIGINAL_QUALITY = 0.95;
const MEDIA_WAIT_MS = 10_000;

/** Made anew they would stand still. */
const MOVING = new Set(["image/gif"]);

export async function prepare(file: Blob, { kind, how }: Way): Promise<Prepared> {
    const plain: Prepared = { file: { blob: file }, msgtype: "m.file", info: infoOf(file) };
    if (how === "file") return plain;
    try {
        if (kind === "image") return await preparePicture(file, how === "original");
        if (kind === "video") return await prepareVideo(file);
        if (kind === "audio") return { ...plain, msgtype: "m.audio", info: { ...plain.info, duration: await durationOf(file) } };
    } catch (error) {
        // What this browser cannot show, another may. It goes as it is, as films and files do, with what a camera has noted in it.
        console.warn(error);
    }
    return plain;
}

/** The message of a file, now that it is prepared. */
export function withPrepared(content: Content, { file, msgtype, info }: Prepared): Content {
    const filename = nameFor(String(content.filename), file.blob.type);
    // Words below it stay as they are.
    const body = content.body === content.filename ? filename : content.body;
    return { ...content, body, msgtype, filename, info };
}

/** Pictures that were made anew have another ending. */
function nameFor(name: string, type: string): string {
    const ending = { "image/jpeg": ".jpg", "image/png": ".png" }[type];
    if (!ending || /\.(jpe?g|png)$/i.test(name)) return name;
    return name.replace(/\.[^.]*$/, "") + ending;
}

function infoOf(blob: Blob): Content {
    return { mimetype: blob.type || "application/octet-stream", size: blob.size };
}

interface Drawn {
    canvas: HTMLCanvasElement;
    w: number;
    h: number;
}

/** Draws a picture so that no side is longer than this. */
function draw(source: CanvasImageSource, width: number, height: number, longest: number): Drawn {
    const scale = Math.min(1, longest / Math.max(width, height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(width * scale));
    canvas.height = Math.max(1, Math.round(height * scale));
    canvas.getContext("2d")!.drawImage(source, 0, 0, canvas.width, canvas.height);
    return { canvas, w: canvas.width, h: canvas.height };
}

function toBlob({ canvas }: Drawn, type: string, quality: number): Promise<Blob> {
    return new Promise((resolve, reject) => {
        canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("the picture cannot be made"))), type, quality);
    });
}

function blurhashOf(source: CanvasImageSource, width: number, height: number): string {
    const { canvas, w, h } = draw(source, width, height, BLUR);
    const { data } = canvas.getContext("2d")!.getImageData(0, 0, w, h);
    return encode(data, w, h, w >= h ? 4 : 3, w >= h ? 3 : 4);
}

async function preparePicture(file: Blob, isOriginal: boolean): Promise<Prepared> {
    const bitmap = await createImageBitmap(file);
    try {
        const { width, height } = bitmap;
        const type = file.type === "image/png" ? "image/png" : "image/jpeg";
        const drawn = draw(bitmap, width, height, isOriginal ? Infinity : LARGEST);
        const blob = MOVING.has(file.type) ? file : await toBlob(drawn, type, isOriginal ? ORIGINAL_QUALITY : QUALITY);
        const info = { ...infoOf(blob), w: drawn.w, h: drawn.h, "xyz.amorgan.blurhash": blurhashOf(bitmap, width, height) };
        if (blob.size <= SMALL_BYTES) return { file: { blob }, msgtype: "m.image", info };
        const small = draw(bitmap, width, height, THUMBNAIL);
        return { msgtype: "m.image", ...(await withThumbnail(blob, info, small, type)) };
    } finally {
        bitmap.close();
    }
}

async function withThumbnail(blob: Blob, info: Content, small: Drawn, type: string): Promise<Pick<Prepared, "file" | "info">> {
    const thumbnail = await toBlob(small, type, QUALITY);
    const thumbnail_info = { ...infoOf(thumbnail), w: small.w, h: small.h };
    return { file: { blob, thumbnail }, info: { ...info, thumbnail_info } };
}

/** Waits for an event of a medium, which some broken files never have. */
function happens(medium: HTMLMediaElement, name: string): Promise<void> {
    return new Promise((resolve, reject) => {
        const fail = () => reject(new Error(`the medium has no ${name}`));
        medium.addEventListener(name, () => resolve(), { once: true });
        medium.addEventListener("error", fail, { once: true });
        setTimeout(fail, MEDIA_WAIT_MS);
    });
}

async function prepareVideo(file: Blob): Promise<Prepared> {
    const video = document.createElement("video");
    Object.assign(video, { muted: true, playsInline: true, preload: "auto" });
    video.src = URL.createObjectURL(file);
    try {
        await happens(video, "loadeddata");
        const sought = happens(video, "seeked");
        // The very first picture of a film is often black.
        video.currentTime = Math.min(0.5, video.duration / 2 || 0);
        await sought;
        const { videoWidth: w, videoHeight: h } = video;
        const info = { ...infoOf(file), w, h, duration: milliseconds(video), "xyz.amorgan.blurhash": blurhashOf(video, w, h) };
        return { msgtype: "m.video", ...(await withThumbnail(file, info, draw(video, w, h, THUMBNAIL), "image/jpeg")) };
    } finally {
        URL.revokeObjectURL(video.src);
    }
}

async function durationOf(file: Blob): Promise<number | undefined> {
    const audio = document.createElement("audio");
    audio.preload = "metadata";
    audio.src = URL.createObjectURL(file);
    try {
        await happens(audio, "loadedmetadata");
        return milliseconds(audio);
    } finally {
        URL.revokeObjectURL(audio.src);
    }
}

function milliseconds({ duration }: HTMLMediaElement): number | undefined {
    return Number.isFinite(duration) ? Math.round(duration * 1000) : undefined;
}
