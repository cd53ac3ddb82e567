/** The secret of an address: where its entries lie, and how they are opened. */
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { concatBytes, utf8ToBytes } from "@noble/hashes/utils.js";

const TAG_BYTES = 8;
const SERVER_HASH_BYTES = 4;
const STREAM_BYTES = 32;
/** These keep the two uses of the key apart. */
const FOR_TAG = 1;
const FOR_STREAM = 2;

/**
 * The bucket of an address: the first bits of the output.
 * @param {Uint8Array} output what the pseudo-random function gave, 64 bytes
 * @param {number} bits how many bits name a bucket
 */
export function bucketOf(output, bits) {
    const first = new DataView(output.buffer, output.byteOffset).getUint32(0);
    return bits === 0 ? 0 : first >>> (32 - bits);
}

/** The key that opens the entries of an address. It can be used for any number of entries. */
export function keyOf(output) {
    return hmac.create(sha256, output.subarray(output.length / 2));
}

/**
 * Who an entry says is found by an address.
 * @returns {{ server: string, localpart: string } | undefined} undefined: it is an entry of another address
 */
export function open(key, entry) {
    const tag = entry.subarray(0, TAG_BYTES);
    const text = addStream(key, tag, entry.subarray(TAG_BYTES));
    if (text.length < SERVER_HASH_BYTES || !isEqual(mac(key, FOR_TAG, text).subarray(0, TAG_BYTES), tag)) {
        return undefined;
    }
    const padded = new TextDecoder().decode(text.subarray(SERVER_HASH_BYTES));
    return { server: toHex(text.subarray(0, SERVER_HASH_BYTES)), localpart: padded.replace(/\0+$/, "") };
}

/** What stands for a server name in an entry. */
export function serverHash(serverName) {
    return toHex(sha256(utf8ToBytes(serverName)).subarray(0, SERVER_HASH_BYTES));
}

function addStream(key, tag, text) {
    const opened = new Uint8Array(text.length);
    for (let start = 0; start < text.length; start += STREAM_BYTES) {
        const stream = mac(key, FOR_STREAM, concatBytes(tag, Uint8Array.of(start / STREAM_BYTES)));
        const end = Math.min(start + STREAM_BYTES, text.length);
        for (let at = start; at < end; at += 1) opened[at] = text[at] ^ stream[at - start];
    }
    return opened;
}

function mac(key, purpose, text) {
    return key.clone().update(Uint8Array.of(purpose)).update(text).digest();
}

function isEqual(one, other) {
    return one.length === other.length && one.every((byte, at) => byte === other[at]);
}

function toHex(bytes) {
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
