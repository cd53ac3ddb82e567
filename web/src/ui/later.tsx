// Parts of the app that are loaded when they are first shown.

import type { ComponentType, FunctionComponent } from "preact";
import { useEffect, useState } from "preact/hooks";

/** A component whose code is loaded when it is first shown. Until then its place is empty. */
export function later<Props extends object>(load: () => Promise<{ default: ComponentType<Props> }>): FunctionComponent<Props> {
    let loaded: ComponentType<Props> | undefined;
    return function Later(props: Props) {
        const [, setIsThere] = useState(loaded !== undefined);
        useEffect(() => {
            if (loaded) return;
            let isGone = false;
            void load().then((module) => {
                loaded = module.default;
                if (!isGone) setIsThere(true);
            });
            return () => void (isGone = true);
        }, []);
        const Loaded = loaded;
        return Loaded ? <Loaded {...props} /> : null;
    };
}
