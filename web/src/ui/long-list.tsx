// A list of many rows of one height, of which only those near what is seen are in the page.

import { defaultRangeExtractor } from "@tanstack/virtual-core";
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";

import { useVirtualizer } from "./virtual";

interface LongListProps<Item> {
    items: readonly Item[];
    /** How high each row is, in pixels. */
    rowPx: number;
    keyOf: (item: Item) => string;
    children: (item: Item) => ComponentChildren;
}

/** The list is within something that scrolls, which may have other things above it. */
export function LongList<Item>({ items, rowPx, keyOf, children }: LongListProps<Item>) {
    const list = useRef<HTMLUListElement>(null);
    const scroller = useRef<HTMLElement | null>(null);
    const [above, setAbove] = useState(0);
    const [focused, setFocused] = useState(-1);
    const scrollerNow = () => (scroller.current ??= list.current && scrollerOf(list.current));
    const virtualizer = useVirtualizer({
        count: items.length,
        getScrollElement: scrollerNow,
        estimateSize: () => rowPx,
        getItemKey: (at) => keyOf(items[at]!),
        scrollMargin: above,
        // What has the focus must not leave the page, wherever somebody scrolls.
        rangeExtractor: (range) => {
            const shown = new Set([...defaultRangeExtractor(range), ...(focused >= 0 && focused < range.count ? [focused] : [])]);
            return [...shown].sort((one, other) => one - other);
        },
    });
    useLayoutEffect(() => {
        const around = scrollerNow();
        if (!around) return;
        setAbove(Math.round(list.current!.getBoundingClientRect().top - around.getBoundingClientRect().top + around.scrollTop));
    });
    return (
        <ul class="long-list" ref={list} style={{ height: `${virtualizer.getTotalSize()}px` }} onFocusOut={() => setFocused(-1)}>
            {virtualizer.getVirtualItems().map(({ key, index, start, size }) => (
                <li
                    key={key}
                    aria-setsize={items.length}
                    aria-posinset={index + 1}
                    style={{ transform: `translateY(${start - above}px)`, height: `${size}px` }}
                    onFocusIn={() => setFocused(index)}
                >
                    {children(items[index]!)}
                </li>
            ))}
        </ul>
    );
}

function scrollerOf(element: HTMLElement): HTMLElement {
    let around = element.parentElement!;
    while (around.parentElement && !/auto|scroll/.test(getComputedStyle(around).overflowY)) around = around.parentElement;
    return around;
}
