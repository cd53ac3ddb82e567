// Files on their way to the server. What belongs to an encrypted chat is encrypted before.

import type { MatrixClient } from "matrix-js-sdk";

import type { Uploaded } from "./kept";
import { seal } from "./sealed";

interface UploadOptions {
    name: string;
    isEncrypted: boolean;
    /** Called with a number from 0 to 1. */
    progress: (part: number) => void;
    abort: AbortController;
}

export async function upload(client: MatrixClient, blob: Blob, { name, isEncrypted, progress, abort }: UploadOptions): Promise<Uploaded> {
    const sealed = isEncrypted ? await seal(blob) : undefined;
    const answer = await client.uploadContent(sealed?.blob ?? blob, {
        name,
        // The server learns neither the name nor the kind of an encrypted file.
        includeFilename: !isEncrypted,
        type: isEncrypted ? "application/octet-stream" : blob.type || "application/octet-stream",
        progressHandler: ({ loaded, total }) => progress(total > 0 ? loaded / total : 0),
        abortController: abort,
    });
    const mxc = answer.content_uri;
    return sealed ? { mxc, encryption: { ...sealed.info, url: mxc } } : { mxc };
}
