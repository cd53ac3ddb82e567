/** Finding the people of an address book: all steps, over a function that calls the server. */
import { ristretto255_oprf as suite } from "@noble/curves/ed25519.js";
import { utf8ToBytes } from "@noble/hashes/utils.js";

import { bucketOf, keyOf, open, serverHash } from "./secret.js";

const PATH = "/_linkspan/client/v1/matching/";
const MODE = "OPRF";
const MAX_ELEMENTS = 500;
const MAX_BUCKETS = 500;
/** More would let the server find out the numbers: it could try all of them, and see which are in the bucket. */
const MAX_BUCKET_BITS = 20;
/** How often it is begun anew because the server has another key or another number of buckets by now. */
const ATTEMPTS = 3;
const CHANGED = 409;

/** The server refused, or gave an answer that cannot be used. If `status` is 429, too much was asked for today. */
export class MatchingError extends Error {
    /**
     * @param {string} message
     * @param {number} [status] the status by which the server refused
     */
    constructor(message, status) {
        super(message);
        this.name = "MatchingError";
        this.status = status;
    }
}

/**
 * Finds the people of an address book. A book of a thousand addresses takes five requests, and the server counts a
 * thousand evaluations.
 * @param {Iterable<string>} book addresses, as `phoneNumber` and `email` make them
 * @param {(request: { method: string, path: string, body?: string }) => Promise<{ status: number, body: Uint8Array }>}
 *     call makes a request with the person's access token; see `callWith`
 * @returns {Promise<{ address: string, userId: string }[]>} in the order of the addresses
 */
export async function findPeople(book, call) {
    const addresses = [...new Set(book)].sort();
    let outputs;
    let version;
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
        const parameters = await fetchParameters(call);
        // Outputs stay good while the key does. With buckets under a second key, the server could tell which numbers they
        // are of.
        if (outputs && version !== parameters.version) {
            throw new MatchingError("the server has another key by now: try again another day");
        }
        outputs ??= await evaluate(addresses, parameters, call);
        version = parameters.version;
        const buckets = outputs && (await fetchBuckets(outputs, parameters, call));
        if (buckets) return openAll(addresses, outputs, buckets, parameters);
    }
    throw new MatchingError("the server's parameters change all the time");
}

async function fetchParameters(call) {
    const parameters = parse(await ask(call, { method: "GET", path: `${PATH}parameters` }));
    const { suite: name, mode, bucket_bits: bits } = parameters;
    const isNumber = Number.isInteger(bits) && bits >= 0 && bits <= MAX_BUCKET_BITS;
    if (name !== suite.name || mode !== MODE || !isNumber) {
        throw new MatchingError("the server speaks another protocol");
    }
    return parameters;
}

/** The outputs of the pseudo-random function, or undefined if the server has another key by now. */
async function evaluate(addresses, { version }, call) {
    const outputs = [];
    for (const part of chunks(addresses, MAX_ELEMENTS)) {
        const inputs = part.map((address) => utf8ToBytes(address));
        const blinded = inputs.map((input) => suite.oprf.blind(input));
        const elements = blinded.map(({ blinded: element }) => toBase64(element));
        const body = await ask(call, post("evaluate", { version, elements }));
        if (!body) return undefined;
        const evaluated = parse(body).elements;
        if (evaluated?.length !== inputs.length) {
            throw new MatchingError("the server has evaluated another number of elements");
        }
        evaluated.forEach((element, at) => outputs.push(finish(inputs[at], blinded[at].blind, element)));
    }
    return outputs;
}

function finish(input, blind, element) {
    try {
        return suite.oprf.finalize(input, blind, fromBase64(element));
    } catch {
        throw new MatchingError("what the server has evaluated is no element of the group");
    }
}

/** The entries of all buckets in which somebody may be. They are asked for in their own order, not in the book's. */
async function fetchBuckets(outputs, { version, bucket_bits }, call) {
    const numbers = new Set(outputs.map((output) => bucketOf(output, bucket_bits)));
    const wanted = [...numbers].sort((one, other) => one - other);
    const fetched = new Map();
    for (const buckets of chunks(wanted, MAX_BUCKETS)) {
        const body = await ask(call, post("buckets", { version, bucket_bits, buckets }));
        if (!body) return undefined;
        readBuckets(body, buckets.length).forEach((entries, at) => fetched.set(buckets[at], entries));
    }
    return fetched;
}

/**
 * The entries of so many buckets. Each bucket begins with the number of its entries and each entry with its length, in
 * two bytes, the greater one first.
 */
export function readBuckets(bytes, count) {
    let at = 0;
    const take = (length) => {
        if (at + length > bytes.length) throw new MatchingError("the buckets are not whole");
        at += length;
        return bytes.subarray(at - length, at);
    };
    const takeNumber = () => {
        const [high, low] = take(2);
        return high * 256 + low;
    };
    const takeBucket = () => Array.from({ length: takeNumber() }, () => take(takeNumber()));
    const buckets = Array.from({ length: count }, takeBucket);
    if (at !== bytes.length) throw new MatchingError("there is more than the buckets");
    return buckets;
}

function openAll(addresses, outputs, buckets, { servers, bucket_bits }) {
    const names = new Map(servers.map((serverName) => [serverHash(serverName), serverName]));
    return addresses.flatMap((address, at) => {
        const key = keyOf(outputs[at]);
        const entries = buckets.get(bucketOf(outputs[at], bucket_bits));
        const opened = entries.map((entry) => open(key, entry)).filter((found) => found && names.has(found.server));
        const userIds = opened.map(({ server, localpart }) => `@${localpart}:${names.get(server)}`);
        return userIds.sort().map((userId) => ({ address, userId }));
    });
}

function post(name, body) {
    return { method: "POST", path: PATH + name, body: JSON.stringify(body) };
}

/** The body of the answer, or undefined if the server has changed meanwhile. */
async function ask(call, request) {
    const { status, body } = await call(request);
    if (status === CHANGED) return undefined;
    if (status !== 200) throw new MatchingError(`the server answered with status ${status}`, status);
    return body;
}

function parse(body) {
    try {
        return JSON.parse(new TextDecoder().decode(body));
    } catch {
        throw new MatchingError("the answer is not JSON");
    }
}

function* chunks(list, size) {
    for (let start = 0; start < list.length; start += size) yield list.slice(start, start + size);
}

function toBase64(bytes) {
    return btoa(String.fromCharCode(...bytes)).replace(/=+$/, "");
}

function fromBase64(text) {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
