// Refuses packages of the app under a licence that does not let the program be distributed under Apache-2.0. What only
// builds or tests the app is not part of it.

import { readFileSync } from "node:fs";
import { join } from "node:path";

const ALLOWED = ["0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "Unlicense"];
/** Comes with a compiler that a library brings along, and is not in the built app. */
const NOT_IN_APP = ["node_modules/caniuse-lite"];

interface Package {
    dev?: boolean;
    license?: string;
}

const lock = readFileSync(join(import.meta.dirname, "../package-lock.json"), "utf8");
const { packages } = JSON.parse(lock) as { packages: Record<string, Package> };

const isAllowed = (licence = "") => licence.replace(/[()]/g, "").split(" OR ").some((one) => ALLOWED.includes(one));
const inApp = Object.entries(packages).filter(([path, { dev }]) => path && !dev && !NOT_IN_APP.includes(path));
const refused = inApp.filter(([, { license }]) => !isAllowed(license));

for (const [path, { license }] of refused) console.error(`${path}: ${license ?? "no licence"} is not allowed`);
process.exit(refused.length && 1);
