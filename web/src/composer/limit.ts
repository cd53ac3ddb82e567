// How large a file may be.

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { client } from "../sync/running";

/** The most bytes of an upload, once the server has said it. */
const uploadLimit = signal<number | undefined>(undefined);

/** Asks the server once. Until it has answered, it is the server that refuses what is too large. */
export function useUploadLimit(): number | undefined {
    const running = client.value;
    useEffect(() => {
        if (!running || uploadLimit.peek() !== undefined) return;
        running.getMediaConfig(true).then(
            (config) => (uploadLimit.value = config["m.upload.size"]),
            (error: unknown) => console.warn(error),
        );
    }, [running]);
    return uploadLimit.value;
}
