// Shows the operator's console where the program serves it, in `npm run dev` and in a preview of dist/.

import type { Connect, Plugin } from "vite";

const ADDRESS = /^\/_linkspan\/console(\/|\?|$)/;

/** Gives the console's document at each of its addresses, before anything there is asked of a server. */
export function consolePage(): Plugin {
    const show: Connect.NextHandleFunction = (request, _answer, next) => {
        if (ADDRESS.test(request.url ?? "")) request.url = "/console.html";
        next();
    };
    return {
        name: "console-page",
        configureServer: ({ middlewares }) => void middlewares.use(show),
        configurePreviewServer: ({ middlewares }) => void middlewares.use(show),
    };
}
