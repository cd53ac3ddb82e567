// Files that the person has chosen and not sent yet, and the ways by which they come: dropped over the chat, or pasted.

import { useEffect, useRef, useState } from "preact/hooks";

import type { Content } from "./content";
import type { Way } from "./kept";
import type { Outgoing } from "./outbox";
import type { Prepared } from "./prepare";

export interface StagedFile extends Way {
    id: string;
    file: File;
    /** Its address within the page. */
    address: string;
    /** What is sent, which is made while the person looks. */
    prepared: Promise<Prepared>;
}

/** The most files that are sent at a time. */
const MOST_FILES = 30;

function kindOf(file: File): Way["kind"] {
    const kind = file.type.split("/")[0];
    // A drawing can have anything in it, so it goes as a file.
    if (file.type === "image/svg+xml") return "file";
    return kind === "image" || kind === "video" || kind === "audio" ? kind : "file";
}

async function prepare(file: File, { kind, how }: Way): Promise<Prepared> {
    const { prepare } = await import("./prepare");
    return prepare(file, { kind, how });
}

export function stage(files: Iterable<File>): StagedFile[] {
    return [...files].slice(0, MOST_FILES).map((file) => {
        const kind = kindOf(file);
        const prepared = prepare(file, { kind, how: "usual" });
        // It is prepared again when it is sent.
        prepared.catch(() => undefined);
        return { id: crypto.randomUUID(), file, kind, address: URL.createObjectURL(file), how: "usual", prepared };
    });
}

/** The same file, sent in another way. */
export function restage(staged: StagedFile, how: StagedFile["how"]): StagedFile {
    const kind = how === "file" ? "file" : kindOf(staged.file);
    const prepared = prepare(staged.file, { kind, how });
    prepared.catch(() => undefined);
    return { ...staged, how, kind, prepared };
}

const MSGTYPES = { image: "m.image", video: "m.video", audio: "m.audio", file: "m.file" } as const;

/** The message of a file, with words below it. What is known of the file only once it is prepared comes into it then. */
export function outgoing({ file, kind, how, prepared }: StagedFile, caption: Content | undefined): Omit<Outgoing, "roomId"> & { content: Content } {
    const info = { mimetype: file.type || "application/octet-stream", size: file.size };
    const content = { body: file.name, "m.mentions": {}, ...caption, msgtype: MSGTYPES[kind], filename: file.name, info };
    return { content, file: { blob: file }, way: { kind, how }, prepared };
}

/** The files that are chosen. The address of each is given back when it is none of them any more. */
export function useStaged() {
    const [staged, setStaged] = useState<StagedFile[]>([]);
    const addresses = useRef<string[]>([]);
    const letGo = (still: StagedFile[]) => {
        for (const address of addresses.current) if (!still.some((file) => file.address === address)) URL.revokeObjectURL(address);
        addresses.current = still.map(({ address }) => address);
    };
    useEffect(() => letGo(staged), [staged]);
    useEffect(() => () => letGo([]), []);
    return [staged, setStaged] as const;
}

/** Takes files that are dropped on the window or pasted into it. Whether some are held over it. */
export function useIncomingFiles(take: (files: Iterable<File>) => void): boolean {
    const [isOver, setIsOver] = useState(false);
    const taker = useRef(take);
    taker.current = take;
    useEffect(() => {
        const listening = new AbortController();
        const { signal } = listening;
        const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
        const isBusy = () => document.querySelector("dialog[open]") !== null;
        const over = (event: DragEvent) => {
            if (!hasFiles(event) || isBusy()) return;
            event.preventDefault();
            setIsOver(true);
        };
        const left = (event: DragEvent) => event.relatedTarget === null && setIsOver(false);
        const dropped = (event: DragEvent) => {
            setIsOver(false);
            if (!hasFiles(event) || isBusy()) return;
            event.preventDefault();
            taker.current(event.dataTransfer!.files);
        };
        const pasted = (event: ClipboardEvent) => {
            const data = event.clipboardData;
            // Programs that copy text often add a picture of it.
            if (!data || data.files.length === 0 || data.types.includes("text/plain") || isBusy()) return;
            event.preventDefault();
            taker.current(data.files);
        };
        window.addEventListener("dragover", over, { signal });
        window.addEventListener("dragleave", left, { signal });
        window.addEventListener("drop", dropped, { signal });
        window.addEventListener("paste", pasted, { signal });
        return () => listening.abort();
    }, []);
    return isOver;
}
