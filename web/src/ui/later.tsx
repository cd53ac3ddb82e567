// Parts of the app that are loaded when they are first shown.

import type { ComponentType, FunctionComponent } from "preact";
import { useEffect, useState } from "preact/hooks";

/**
 * A component whose code is loaded when it is first shown. Until then its place is empty. Where the code does not come, the part of
 * the window says so and can be tried again; the place of what `isOptional` stays empty, and what is around it goes on.
 */
export function later<Props extends object>(
    load: () => Promise<{ default: ComponentType<Props> }>,
    { isOptional = false } = {},
): FunctionComponent<Props> {
    let loaded: ComponentType<Props> | undefined;
    return function Later(props: Props) {
        const [, setIsThere] = useState(loaded !== undefined);
        const [failure, setFailure] = useState<{ error: unknown }>();
        useEffect(() => {
            if (loaded) return;
            let isGone = false;
            load().then(
                (module) => {
                    loaded = module.default;
                    if (!isGone) setIsThere(true);
                },
                (error: unknown) => isGone || setFailure({ error }),
            );
            return () => void (isGone = true);
        }, []);
        // Whoever keeps a part of the window from taking others with it hears only of what fails while it is drawn.
        if (failure && !isOptional) throw failure.error;
        const Loaded = loaded;
        return Loaded ? <Loaded {...props} /> : null;
    };
}
