// Long lists: only the rows near what is seen are in the page.

import { elementScroll, observeElementOffset, observeElementRect, Virtualizer, type VirtualizerOptions } from "@tanstack/virtual-core";
import { useLayoutEffect, useReducer, useState } from "preact/hooks";

type Options = Pick<VirtualizerOptions<HTMLElement, HTMLElement>, "count" | "estimateSize" | "getItemKey" | "getScrollElement"> &
    Partial<VirtualizerOptions<HTMLElement, HTMLElement>>;

export function useVirtualizer(options: Options): Virtualizer<HTMLElement, HTMLElement> {
    const [, redraw] = useReducer((count: number) => count + 1, 0);
    const all: VirtualizerOptions<HTMLElement, HTMLElement> = {
        observeElementRect,
        observeElementOffset,
        scrollToFn: elementScroll,
        overscan: 8,
        ...options,
        onChange: (instance, sync) => {
            redraw(undefined as never);
            options.onChange?.(instance, sync);
        },
    };
    const [virtualizer] = useState(() => new Virtualizer(all));
    virtualizer.setOptions(all);
    useLayoutEffect(() => virtualizer._didMount(), []);
    useLayoutEffect(() => virtualizer._willUpdate());
    return virtualizer;
}
