// Files, encrypted as in the client-server specification, "Sending encrypted attachments": the library has no method.

import { decodeBase64, encodeUnpaddedBase64 } from "matrix-js-sdk/lib/base64.js";
import { client } from "./session.mjs";

const ALGORITHM = "AES-CTR";
const { subtle } = globalThis.crypto;

const cipher = (counter) => ({ name: ALGORITHM, counter, length: 64 });

const sha256 = async (data) => encodeUnpaddedBase64(new Uint8Array(await subtle.digest("SHA-256", data)));

// The encrypted data, and the `file` of an event without its address.
export async function encrypt(data) {
    const counter = new Uint8Array(16);
    globalThis.crypto.getRandomValues(counter.subarray(0, 8));
    const key = await subtle.generateKey({ name: ALGORITHM, length: 256 }, true, ["encrypt", "decrypt"]);
    const encrypted = new Uint8Array(await subtle.encrypt(cipher(counter), key, data));
    const { k } = await subtle.exportKey("jwk", key);
    const file = {
        v: "v2",
        key: { kty: "oct", key_ops: ["encrypt", "decrypt"], alg: "A256CTR", k, ext: true },
        iv: encodeUnpaddedBase64(counter),
        hashes: { sha256: await sha256(encrypted) },
    };
    return { encrypted, file };
}

export async function decrypt(data, { key, iv, hashes }) {
    if ((await sha256(data)) !== hashes.sha256) throw new Error("the file is not the one that was sent");
    const imported = await subtle.importKey("jwk", key, { name: ALGORITHM }, false, ["decrypt"]);
    return new Uint8Array(await subtle.decrypt(cipher(decodeBase64(iv)), imported, data));
}

// Media as the server gives them.
export async function fetchMedia(mxc, width, height, method) {
    const url = client.mxcUrlToHttp(mxc, width, height, method, false, true, true);
    const response = await fetch(url, { headers: { Authorization: `Bearer ${client.getAccessToken()}` } });
    if (!response.ok) {
        const { errcode, error } = await response.json();
        throw Object.assign(new Error(error), { errcode });
    }
    return { data: new Uint8Array(await response.arrayBuffer()), mimetype: response.headers.get("content-type") };
}
