// Has every style sheet say which layers of styles there are.

import type { Plugin } from "vite";

/** The layers of the styles, the weakest first. The browser goes by whichever file it reads first, so each says it. */
export function layersFirst(): Plugin {
    return {
        name: "layers-first",
        apply: "build",
        enforce: "post",
        generateBundle(_options, bundle) {
            for (const file of Object.values(bundle)) {
                if (file.type !== "asset" || !file.fileName.endsWith(".css")) continue;
                file.source = `@layer tokens,base,ui,parts,touch,contrast;${String(file.source)}`;
            }
        },
    };
}
