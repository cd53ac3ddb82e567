/**
 * Finds people on a real server, for a test that drives it: `find.mjs BASE_URL ACCESS_TOKEN ADDRESS...`. Addresses with
 * an @ are e-mail addresses, others phone numbers. It prints who was found, as JSON.
 */
import { callWith, email, findPeople, phoneNumber } from "../src/index.js";

const [baseUrl, accessToken, ...texts] = process.argv.slice(2);
const book = texts.map((text) => (text.includes("@") ? email(text) : phoneNumber(text)));
console.log(JSON.stringify(await findPeople(book, callWith(baseUrl, accessToken))));
