// Files of encrypted chats, as the specification has them:
// <https://spec.matrix.org/latest/client-server-api/#sending-encrypted-attachments>.

/** How a file is decrypted. */
interface EncryptedFile {
    url: string;
    v: string;
    key: JsonWebKey;
    iv: string;
    hashes: { sha256: string };
}

const ALGORITHM = "AES-CTR";

const toBase64 = (bytes: Uint8Array) => btoa(String.fromCharCode(...bytes)).replace(/=+$/, "");

async function hashOf(bytes: ArrayBuffer): Promise<string> {
    return toBase64(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
}

/** Encrypts a file with a key of its own. */
export async function seal(blob: Blob): Promise<{ blob: Blob; info: Omit<EncryptedFile, "url"> }> {
    const key = await crypto.subtle.generateKey({ name: ALGORITHM, length: 256 }, true, ["encrypt", "decrypt"]);
    // The lower half of the counter begins at zero, so that it never runs over into the random half.
    const counter = new Uint8Array(16);
    crypto.getRandomValues(counter.subarray(0, 8));
    const sealed = await crypto.subtle.encrypt({ name: ALGORITHM, counter, length: 64 }, key, await blob.arrayBuffer());
    const { kty, k, alg } = await crypto.subtle.exportKey("jwk", key);
    const info = {
        v: "v2",
        key: { kty, k, alg, key_ops: ["encrypt", "decrypt"], ext: true },
        iv: toBase64(counter),
        hashes: { sha256: await hashOf(sealed) },
    };
    return { blob: new Blob([sealed]), info };
}
