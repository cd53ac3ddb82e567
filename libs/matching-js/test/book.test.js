/** The library without a server: the vectors of RFC 9497, entries as `libs/matching-rs` makes them, all steps. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { ristretto255_oprf as suite } from "@noble/curves/ed25519.js";
import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";

import { readBuckets } from "../src/find.js";
import { email, findPeople, MatchingError, phoneNumber } from "../src/index.js";
import { bucketOf, keyOf, open, serverHash } from "../src/secret.js";

/** RFC 9497, appendix A.1.1. */
test("the vectors of the RFC come out", () => {
    const { secretKey } = suite.oprf.deriveKeyPair(new Uint8Array(32).fill(0xa3), hexToBytes("74657374206b6579"));
    assert.equal(bytesToHex(secretKey), "5ebcea5ee37023ccb9fc2d2019f9d7737be85591ae8652ffa9ef0f4d37063b0e");
    const blind = hexToBytes("64d37aed22a27f5191de1c1d69fadb899d8862b58eb4220029e036ec4c1f6706");
    const vectors = [
        [
            "00",
            "7ec6578ae5120958eb2db1745758ff379e77cb64fe77b0b2d8cc917ea0869c7e",
            "527759c3d9366f277d8c6020418d96bb393ba2afb20ff90df23fb7708264e2f3" +
                "ab9135e3bd69955851de4b1f9fe8a0973396719b7912ba9ee8aa7d0b5e24bcf6",
        ],
        [
            "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a",
            "b4cbf5a4f1eeda5a63ce7b77c7d23f461db3fcab0dd28e4e17cecb5c90d02c25",
            "f4a74c9c592497375e796aa837e907b1a045d34306a749db9f34221f7e750cb4" +
                "f2a6413a6bf6fa5e19ba6348eb673934a722a7ede2e7621306d18951e7cf2c73",
        ],
    ];
    for (const [input, evaluated, output] of vectors) {
        assert.equal(bytesToHex(suite.oprf.finalize(hexToBytes(input), blind, hexToBytes(evaluated))), output);
    }
});

/** `libs/matching-rs` has the same entry in its tests. */
const ENTRY = "36f95c2b746325504cafec664f445c53ad5dce8ee6598554";
const OUTPUT = Uint8Array.from({ length: 64 }, (_, at) => at);

test("an entry looks the same everywhere", () => {
    const found = open(keyOf(OUTPUT), hexToBytes(ENTRY));
    assert.deepEqual(found, { server: serverHash("instagram.localhost"), localpart: "anna" });
    assert.equal(open(keyOf(new Uint8Array(64)), hexToBytes(ENTRY)), undefined);
    for (let at = 0; at < ENTRY.length / 2; at += 1) {
        const damaged = hexToBytes(ENTRY);
        damaged[at] ^= 1;
        assert.equal(open(keyOf(OUTPUT), damaged), undefined, `byte ${at}`);
        assert.equal(open(keyOf(OUTPUT), hexToBytes(ENTRY).subarray(0, at)), undefined, `${at} bytes`);
    }
});

test("buckets are the first bits", () => {
    const output = hexToBytes("8123456789abcdef".padEnd(128, "0"));
    const buckets = [0, 1, 8, 16, 32].map((bits) => bucketOf(output, bits));
    assert.deepEqual(buckets, [0, 1, 0x81, 0x8123, 0x81234567]);
});

test("buckets are read whole or not at all", () => {
    const bytes = hexToBytes("000200030102030001040000");
    const buckets = [[Uint8Array.of(1, 2, 3), Uint8Array.of(4)], []];
    assert.deepEqual(readBuckets(bytes, 2), buckets);
    assert.throws(() => readBuckets(bytes, 1), MatchingError);
    for (let length = 0; length < bytes.length; length += 1) {
        assert.throws(() => readBuckets(bytes.subarray(0, length), 2), MatchingError, `${length} bytes`);
    }
});

test("one address has one form", () => {
    assert.equal(phoneNumber("+4930123456"), "msisdn:4930123456");
    assert.equal(email("Anna@Example.ORG"), "email:anna@example.org");
    for (const wrong of ["", "+", "4930123456", "+030123456", "+49 30 123456", "+123456", "+1234567890123456"]) {
        assert.throws(() => phoneNumber(wrong), TypeError, wrong);
    }
    for (const wrong of ["", "@", "anna", "anna@", "@example.org", "a b@example.org", "ännä@example.org"]) {
        assert.throws(() => email(wrong), TypeError, wrong);
    }
});

test("what a server answers wrongly is said", async () => {
    const parameters = { suite: suite.name, mode: "OPRF", version: 1, bucket_bits: 0, servers: [] };
    const answering = (answers) => async ({ path }) => {
        const answer = answers[path.split("/").pop()];
        const body = answer instanceof Uint8Array ? answer : new TextEncoder().encode(JSON.stringify(answer));
        return { status: answer?.status ?? 200, body };
    };
    const fails = async (answers, message, status) => {
        await assert.rejects(findPeople([phoneNumber("+4930123456")], answering(answers)), (error) => {
            assert.ok(error instanceof MatchingError && error.message.includes(message), error);
            assert.equal(error.status, status);
            return true;
        });
    };
    await fails({ parameters: { ...parameters, mode: "VOPRF" } }, "another protocol");
    for (const bucket_bits of [null, undefined, -1, 0.5, 21, "1", true]) {
        await fails({ parameters: { ...parameters, bucket_bits } }, "another protocol");
    }
    await fails({ parameters, evaluate: { status: 429 } }, "status 429", 429);
    await fails({ parameters, evaluate: { status: 409 } }, "change all the time");
    await fails({ parameters, evaluate: { elements: [] } }, "another number");
    await fails({ parameters, evaluate: { elements: ["AAAA"] } }, "no element");
});

/** A server that has another key whenever it is asked. Buckets it never gives. */
function changing() {
    const asked = { parameters: 0, buckets: 0 };
    const answer = (status, body) => ({ status, body: new TextEncoder().encode(JSON.stringify(body)) });
    const call = async ({ path, body }) => {
        switch (path.split("/").pop()) {
            case "parameters":
                asked.parameters += 1;
                return answer(200, {
                    suite: suite.name,
                    mode: "OPRF",
                    version: asked.parameters,
                    bucket_bits: 20,
                    servers: [],
                });
            case "evaluate":
                // With a key of one, what is blinded is what is evaluated.
                return answer(200, { elements: JSON.parse(body).elements });
            default:
                asked.buckets += 1;
                return answer(409, {});
        }
    };
    return { asked, call };
}

test("buckets are asked for under one key only", async () => {
    const { asked, call } = changing();
    await assert.rejects(findPeople([phoneNumber("+4930123456")], call), /another key/);
    assert.deepEqual(asked, { parameters: 2, buckets: 1 });
});
