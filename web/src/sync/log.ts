// What the library says to whoever looks at the browser's console: only what is wrong. All else would be several lines for
// each message.

import type { Logger } from "matrix-js-sdk/lib/logger.js";

const nothing = () => undefined;

export const log: Logger = {
    trace: nothing,
    debug: nothing,
    info: nothing,
    warn: (...message) => console.warn(...message),
    error: (...message) => console.error(...message),
    getChild: () => log,
};
