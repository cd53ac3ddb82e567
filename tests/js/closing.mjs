// Notices when the browser closes a database of the page, and keeps the page from going on without it.
//
// Chromium does that now and then under load, and matrix-sdk-crypto never opens it again (matrix-rust-sdk #6675). What
// came would then be acknowledged to the server and yet be kept nowhere. So a page that has lost a database sends
// nothing and tells nothing any more; chromium.mjs lets another go on in its place.

let lost = false;
// What was sent since a command began, as `PUT /path`.
let sent = [];
// Databases that the page itself has closed.
const done = new WeakSet();
// The request at which the test has the browser close the databases.
let trap;

// `at`: a part of the request's path. `after`: it is sent before, and the page does not hear the answer.
export function closeAt(at, after) {
    trap = { at, after };
}

export const hasLostDatabase = () => lost;
export const sentSoFar = () => sent;

export function beginCommand() {
    sent = [];
}

// `onLoss`: called once, when the first is lost.
export function watch(onLoss) {
    const { open } = IDBFactory.prototype;
    const { transaction, close } = IDBDatabase.prototype;
    const lose = () => {
        if (lost) return;
        lost = true;
        onLoss();
    };
    const look = (database) => {
        try {
            transaction.call(database, [...database.objectStoreNames], "readonly");
        } catch (error) {
            if (error.name === "InvalidStateError" && !done.has(database)) lose();
        }
    };
    IDBDatabase.prototype.close = function () {
        done.add(this);
        close.call(this);
    };
    IDBDatabase.prototype.transaction = function (...all) {
        try {
            return transaction.apply(this, all);
        } catch (error) {
            look(this);
            throw error;
        }
    };
    IDBFactory.prototype.open = function (...all) {
        const request = open.apply(this, all);
        request.addEventListener("success", () => {
            const database = request.result;
            database.addEventListener("close", lose);
            // What was under way fails before that event. Seen on the way down, before the library sees it.
            for (const failure of ["error", "abort"]) {
                database.addEventListener(failure, () => look(database), true);
            }
        });
        return request;
    };
    holdBack();
}

// Lets requests go while nothing is lost, and notes those that change something.
function holdBack() {
    const never = new Promise(() => {});
    const note = (method, url) => {
        if (method.toUpperCase() !== "GET") sent.push(`${method} ${new URL(url.url ?? url, location.href).pathname}`);
    };
    const { fetch } = globalThis;
    globalThis.fetch = async (url, options) => {
        if (lost) return never;
        const trapped = trap && String(url).includes(trap.at) ? trap : undefined;
        if (trapped) trap = undefined;
        if (trapped && !trapped.after) await globalThis.closeDatabases();
        if (lost) return never;
        note(options?.method ?? "GET", url);
        const response = await fetch(url, options);
        if (trapped) await globalThis.closeDatabases();
        return lost ? never : response;
    };
    const { open, send } = XMLHttpRequest.prototype;
    const targets = new WeakMap();
    XMLHttpRequest.prototype.open = function (...all) {
        targets.set(this, all);
        return open.apply(this, all);
    };
    XMLHttpRequest.prototype.send = function (...all) {
        if (lost) return;
        note(...targets.get(this));
        send.apply(this, all);
    };
}
