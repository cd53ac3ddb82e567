// What a message says, as plain data that can be shown. Content comes from anybody, so every field is checked here.

import type { MatrixEvent } from "matrix-js-sdk";

import { localFile, localThumbnail } from "../composer/outbox";
import { saidBy } from "./edits";

/** Where bytes are, and how to decrypt them. */
export interface Source {
    mxc: string;
    /** An address within the page, where this tab has sent the bytes. */
    local?: string;
    /** The type that the sender says they have. */
    type?: string;
    key?: { k: string; iv: string; sha256: string };
}

interface Visual {
    source: Source;
    thumbnail?: Source;
    width?: number;
    height?: number;
    blurhash?: string;
    name: string;
    caption?: Text;
    size?: number;
}

export interface Text {
    body: string;
    html?: string;
}

export type Picture = Visual & { kind: "picture" };
export type Film = Visual & { kind: "video"; durationMs?: number };
export interface Sound {
    kind: "sound";
    source: Source;
    name: string;
    isVoice: boolean;
    durationMs?: number;
    /** From 0 to 1. */
    waveform?: number[];
    size?: number;
    caption?: Text;
}

export interface Attachment {
    kind: "file";
    source: Source;
    name: string;
    size?: number;
    caption?: Text;
}

export interface Poll {
    kind: "poll";
    question: string;
    answers: { id: string; text: string }[];
    maxSelections: number;
    /** Whether what others chose is seen before the end. */
    isDisclosed: boolean;
    isStable: boolean;
}

export interface Place {
    kind: "place";
    latitude: number;
    longitude: number;
    name?: string;
}

export type Content =
    | ({ kind: "text"; isNotice: boolean; isEmote: boolean } & Text)
    | Picture
    | (Visual & { kind: "sticker" })
    | Film
    | Sound
    | Attachment
    | Poll
    | Place
    | { kind: "deleted" }
    /** What cannot be read, or not yet. With another cause another thing is to be said. */
    | { kind: "locked"; cause?: string }
    | { kind: "unknown"; body?: string };

type Fields = Record<string, unknown>;

const text = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);
const fields = (value: unknown): Fields => (typeof value === "object" && value !== null ? (value as Fields) : {});
const positive = (value: unknown): number | undefined => (typeof value === "number" && value > 0 && Number.isFinite(value) ? value : undefined);

/** The longest body that is shown. Servers let events have 64 KiB. */
const MAX_BODY = 65_536;
const MAX_ANSWERS = 20;

export const POLL_STARTS = ["m.poll.start", "org.matrix.msc3381.poll.start"];
export const POLL_RESPONSES = ["m.poll.response", "org.matrix.msc3381.poll.response"];
export const POLL_ENDS = ["m.poll.end", "org.matrix.msc3381.poll.end"];

export function contentOf(event: MatrixEvent): Content {
    if (event.isRedacted()) return { kind: "deleted" };
    if (event.isDecryptionFailure()) return { kind: "locked", cause: event.decryptionFailureReason ?? undefined };
    const type = event.getType();
    const content: Fields = saidBy(event);
    if (type === "m.room.encrypted") return { kind: "locked" };
    if (type === "m.sticker") return visual(content, "sticker", {});
    if (POLL_STARTS.includes(type)) return poll(content, type) ?? { kind: "unknown", body: text(content.body) };
    if (type === "m.room.message") return message(content, localOf(event));
    return { kind: "unknown", body: text(content.body) };
}

/** The addresses of a message's files that this tab sends, or has sent. */
interface Local {
    file?: string;
    thumbnail?: string;
}

function localOf(event: MatrixEvent): Local {
    const id = event.getTxnId() ?? event.getUnsigned().transaction_id;
    return id ? { file: localFile(id), thumbnail: localThumbnail(id) } : {};
}

/** What a message says, by its content. */
export function message(content: Fields, local: Local): Content {
    const said = { body: (text(content.body) ?? "").slice(0, MAX_BODY), html: htmlOf(content) };
    switch (content.msgtype) {
        case "m.text":
        case "m.notice":
        case "m.emote":
            return { kind: "text", isNotice: content.msgtype === "m.notice", isEmote: content.msgtype === "m.emote", ...said };
        case "m.image":
            return visual(content, "picture", local);
        case "m.video":
            return visual(content, "video", local);
        case "m.audio":
            return sound(content, local) ?? { kind: "unknown", body: said.body };
        case "m.file":
            return attachment(content, local) ?? { kind: "unknown", body: said.body };
        case "m.location":
            return place(content) ?? { kind: "unknown", body: said.body };
        default:
            return said.body ? { kind: "text", isNotice: false, isEmote: false, ...said } : { kind: "unknown" };
    }
}

function htmlOf(content: Fields): string | undefined {
    if (content.format !== "org.matrix.custom.html") return undefined;
    return text(content.formatted_body)?.slice(0, MAX_BODY);
}

export function sourceOf(encrypted: unknown, plain: unknown, type: unknown, local?: string): Source | undefined {
    const file = fields(encrypted);
    const mxc = text(file.url) ?? text(plain);
    if (local) return { mxc: mxc ?? local, type: text(type), local };
    if (!mxc?.startsWith("mxc://")) return undefined;
    const k = text(fields(file.key).k);
    const iv = text(file.iv);
    const sha256 = text(fields(file.hashes).sha256);
    if (encrypted !== undefined && !(k && iv && sha256)) return undefined;
    return { mxc, type: text(type), ...(k && iv && sha256 && { key: { k, iv, sha256 } }) };
}

/** A caption is what is said with a file: its body, if that is not the file's name. */
function captionOf(content: Fields): Text | undefined {
    const name = text(content.filename);
    const body = text(content.body);
    return name !== undefined && body && body !== name ? { body: body.slice(0, MAX_BODY), html: htmlOf(content) } : undefined;
}

const nameOf = (content: Fields) => text(content.filename) ?? text(content.body) ?? "";

function visual(content: Fields, kind: "picture" | "video" | "sticker", local: Local): Content {
    const info = fields(content.info);
    const source = sourceOf(content.file, content.url, info.mimetype, local.file);
    if (!source) return { kind: "unknown", body: text(content.body) };
    const thumbnailType = fields(info.thumbnail_info).mimetype;
    return {
        kind,
        source,
        thumbnail: sourceOf(info.thumbnail_file, info.thumbnail_url, thumbnailType, local.thumbnail),
        width: positive(info.w),
        height: positive(info.h),
        blurhash: text(info["xyz.amorgan.blurhash"]) ?? text(info.blurhash),
        name: nameOf(content),
        caption: captionOf(content),
        size: positive(info.size),
        durationMs: positive(info.duration),
    } as Content;
}

function sound(content: Fields, local: Local): Sound | undefined {
    const info = fields(content.info);
    const source = sourceOf(content.file, content.url, info.mimetype, local.file);
    if (!source) return undefined;
    const audio = fields(content["org.matrix.msc1767.audio"] ?? content["m.audio_details"]);
    const heights = Array.isArray(audio.waveform) ? audio.waveform.slice(0, 256).map((height) => (positive(height) ?? 0) / 1024) : [];
    return {
        kind: "sound",
        source,
        name: nameOf(content),
        isVoice: "org.matrix.msc3245.voice" in content || "m.voice" in content,
        durationMs: positive(info.duration) ?? positive(audio.duration),
        waveform: heights.length > 0 ? heights.map((height) => Math.min(1, height)) : undefined,
        size: positive(info.size),
        caption: captionOf(content),
    };
}

function attachment(content: Fields, local: Local): Attachment | undefined {
    const info = fields(content.info);
    const source = sourceOf(content.file, content.url, info.mimetype, local.file);
    return source && { kind: "file", source, name: nameOf(content), size: positive(info.size), caption: captionOf(content) };
}

const GEO_URI = /^geo:(-?\d{1,2}(?:\.\d+)?),(-?\d{1,3}(?:\.\d+)?)/;

function place(content: Fields): Place | undefined {
    const location = fields(content["m.location"] ?? content["org.matrix.msc3488.location"]);
    const [, latitude, longitude] = GEO_URI.exec(text(location.uri) ?? text(content.geo_uri) ?? "") ?? [];
    if (latitude === undefined || Math.abs(Number(latitude)) > 90 || Math.abs(Number(longitude)) > 180) return undefined;
    return { kind: "place", latitude: Number(latitude), longitude: Number(longitude), name: text(location.description) };
}

function poll(content: Fields, type: string): Poll | undefined {
    const isStable = type === "m.poll.start";
    const start = fields(content["m.poll"] ?? content["org.matrix.msc3381.poll.start"]);
    const answers = Array.isArray(start.answers) ? start.answers.slice(0, MAX_ANSWERS).map(fields) : [];
    const read = answers.flatMap((answer) => {
        const id = text(answer["m.id"]) ?? text(answer.id);
        const said = extensibleText(answer);
        return id !== undefined && said !== undefined ? [{ id, text: said }] : [];
    });
    const question = extensibleText(fields(start.question));
    if (question === undefined || read.length === 0) return undefined;
    return {
        kind: "poll",
        question,
        answers: read,
        maxSelections: Math.max(1, Math.floor(positive(start.max_selections) ?? 1)),
        isDisclosed: ["m.disclosed", "org.matrix.msc3381.poll.disclosed"].includes(text(start.kind) ?? ""),
        isStable,
    };
}

function extensibleText(block: Fields): string | undefined {
    const plain = text(block["org.matrix.msc1767.text"]) ?? text(block["m.text"]) ?? text(block.body);
    if (plain !== undefined) return plain;
    const parts = block["m.text"] ?? block["org.matrix.msc1767.message"];
    const part = Array.isArray(parts) ? parts.map(fields).find(({ mimetype }) => mimetype === undefined || mimetype === "text/plain") : undefined;
    return text(part?.body);
}
