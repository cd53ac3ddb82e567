// The list of a chat's rows. Only those near what is seen are in the page, and what one reads stays where it is while rows
// come, go and change around it.

import { useComputed } from "@preact/signals";
import type { Virtualizer } from "@tanstack/virtual-core";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

import { Icon } from "../ui/icon";
import { day } from "../ui/time";
import { useVirtualizer } from "../ui/virtual";
import { words } from "../words";
import { Bubble } from "./bubble";
import { useOpenChat } from "./context";
import { Happened } from "./happened";
import type { Row } from "./rows";
import type { RowHandle, Timeline } from "./timeline";

type List = Virtualizer<HTMLElement, HTMLElement>;

/** How near to the end counts as being there, in pixels. */
const NEAR_END_PX = 100;
/** From how far away more is loaded, in pixels. */
const LOAD_PX = 1500;
/** The room above the rows while older ones are to come. */
const SKELETON_PX = 220;
/** How long a row has to be seen before it counts as read, in milliseconds. */
const SEEN_AFTER_MS = 300;
/** How long the date stays at the top after scrolling, in milliseconds. */
const DATE_STAYS_MS = 1200;

/** How far down the date at the top reaches, in pixels. */
const STICKY_PX = 40;

const GUESSES: Record<Row["kind"], number> = { beginning: 150, unread: 44, day: 44, happened: 32, message: 52 };

export function Messages() {
    const { timeline } = useOpenChat();
    const handles = timeline.rows.value;
    const scroller = useRef<HTMLDivElement>(null);
    const [current, setCurrent] = useState<string>();
    const [isAtEnd, setIsAtEnd] = useState(true);
    const lastKey = handles.findLast(({ row }) => row.peek().kind === "message")?.key;
    const currentKey = current !== undefined && handles.some(({ key }) => key === current) ? current : lastKey;
    const currentAt = handles.findIndex(({ key }) => key === current);
    const list: List = useVirtualizer({
        count: handles.length,
        getScrollElement: () => scroller.current,
        estimateSize: (at) => GUESSES[handles[at]!.row.peek().kind],
        getItemKey: (at) => handles[at]!.key,
        paddingStart: timeline.hasOlder.value ? SKELETON_PX : 12,
        paddingEnd: 6,
        anchorTo: "end",
        followOnAppend: !timeline.hasNewer.value,
        scrollEndThreshold: NEAR_END_PX,
        rangeExtractor: ({ startIndex, endIndex, overscan, count }) => {
            const from = Math.max(0, startIndex - overscan);
            const to = Math.min(count - 1, endIndex + overscan);
            const shown = Array.from({ length: to - from + 1 }, (_, at) => from + at);
            // The row that has the focus stays, or the focus would be lost.
            if (currentAt >= 0 && (currentAt < from || currentAt > to)) shown.push(currentAt);
            return shown.sort((one, other) => one - other);
        },
    });
    // What changes above what one reads moves that up or down, and not what one reads. A row that reaches far into the window is
    // what one reads itself, and grows downward.
    list.shouldAdjustScrollPositionOnItemSizeChange = (item, _delta, { scrollOffset, scrollRect }) =>
        item.start < (scrollOffset ?? 0) && item.end < (scrollOffset ?? 0) + (scrollRect?.height ?? 0) / 2;
    useGoToPlace(timeline, list, handles);
    useOwnMessages(timeline, list, handles);
    useStaysAtEnd(scroller, list, timeline);
    const noteSeen = useSeen(timeline, list, handles);
    const look = () => {
        const element = scroller.current;
        if (!element) return;
        const toEnd = element.scrollHeight - element.scrollTop - element.clientHeight;
        const isEnd = toEnd < NEAR_END_PX && !timeline.hasNewer.peek();
        timeline.isAtEnd = isEnd;
        setIsAtEnd(isEnd);
        if (isEnd && !document.hidden) timeline.newer.value = 0;
        if (element.scrollTop < LOAD_PX && timeline.hasOlder.peek()) void timeline.load("older");
        else if (toEnd < LOAD_PX) void timeline.load("newer");
        noteSeen();
    };
    useEffect(() => {
        // The list has to have laid out its rows before it can say how far the end is.
        const frame = requestAnimationFrame(look);
        return () => cancelAnimationFrame(frame);
    }, [handles, timeline.isOpening.value, timeline.place.value]);
    useEffect(() => {
        document.addEventListener("visibilitychange", look);
        window.addEventListener("focus", look);
        return () => {
            document.removeEventListener("visibilitychange", look);
            window.removeEventListener("focus", look);
        };
    }, [timeline, handles]);
    return (
        <div class="messages-frame">
            <StickyDate scroller={scroller} list={list} handles={handles} />
            <div
                class="messages"
                ref={scroller}
                role="log"
                aria-live="off"
                aria-label={words("chat.messages")}
                aria-busy={timeline.isOpening.value}
                onScroll={look}
                onKeyDown={(event) => moveFocus(event, timeline, list, handles, setCurrent)}
            >
                {timeline.hasOlder.value && <Skeletons height={SKELETON_PX} />}
                <ol style={{ height: `${list.getTotalSize()}px` }}>
                    {list.getVirtualItems().map((item) => (
                        <li
                            key={item.key}
                            data-index={item.index}
                            aria-posinset={item.index + 1}
                            aria-setsize={handles.length}
                            ref={list.measureElement as never}
                            style={{ transform: `translateY(${item.start}px)` }}
                        >
                            <RowView handle={handles[item.index]!} isCurrent={item.key === currentKey} onFocus={() => setCurrent(item.key as string)} />
                        </li>
                    ))}
                </ol>
            </div>
            {(!isAtEnd || timeline.hasNewer.value) && !timeline.isOpening.value && <ToEnd timeline={timeline} />}
        </div>
    );
}

function RowView({ handle, isCurrent, onFocus }: { handle: RowHandle; isCurrent: boolean; onFocus: () => void }) {
    const { timeline } = useOpenChat();
    const row = handle.row.value;
    switch (row.kind) {
        case "beginning":
            return <Beginning />;
        case "unread":
            return (
                <p class="unread" role="separator">
                    <span>{words("chat.unread")}</span>
                </p>
            );
        case "day":
            return <p class="day">{day(row.ts)}</p>;
        case "happened":
            return <Happened sentences={row.sentences} />;
        case "message":
            return <Bubble row={row} isGroup={!timeline.isDirect} isCurrent={isCurrent} onFocus={onFocus} />;
    }
}

function Beginning() {
    const { timeline } = useOpenChat();
    return (
        <p class="beginning">
            <b dir="auto">{timeline.room.name}</b>
            {words("chat.beginning")}
        </p>
    );
}

/** The shapes of messages, where some are still to come. */
export function Skeletons({ height }: { height?: number }) {
    const shapes = height ? ["34%", "52%", "28%"] : ["34%", "52%", "28%", "44%", "60%", "36%", "24%", "48%"];
    return (
        <div class="message-skeletons" style={height ? { height: `${height}px` } : {}} role="status" aria-label={words("chat.loading")}>
            {shapes.map((width, at) => (
                <span key={at} data-own={at % 3 === 1 || undefined} style={{ width }} />
            ))}
        </div>
    );
}

function ToEnd({ timeline }: { timeline: Timeline }) {
    const newer = timeline.newer.value;
    return (
        <button class="to-end" aria-label={words("chat.to_end", { count: newer })} title={words("chat.to_end", { count: newer })} onClick={() => void timeline.jumpToEnd()}>
            <Icon name="down" />
            {newer > 0 && <span class="badge">{newer > 99 ? "99+" : newer}</span>}
        </button>
    );
}

/** The day of what stands at the top, while one scrolls. */
function StickyDate({ scroller, list, handles }: { scroller: { current: HTMLElement | null }; list: List; handles: RowHandle[] }) {
    const [ts, setTs] = useState<number>();
    const [isShown, setIsShown] = useState(false);
    useEffect(() => {
        const element = scroller.current!;
        let timer = 0;
        const show = () => {
            const at = list.getVirtualItemForOffset(element.scrollTop)?.index ?? 0;
            const row = handles.slice(at).map((handle) => handle.row.peek()).find((row) => row.kind === "message" || row.kind === "happened" || row.kind === "day");
            setTs(row && ("ts" in row ? row.ts : row.kind === "message" ? row.messages[0].ts : undefined));
            setIsShown(row !== undefined && !hasDayAtTop(list, handles, element.scrollTop));
            clearTimeout(timer);
            timer = window.setTimeout(() => setIsShown(false), DATE_STAYS_MS);
        };
        element.addEventListener("scroll", show, { passive: true });
        return () => {
            clearTimeout(timer);
            element.removeEventListener("scroll", show);
        };
    }, [list, handles]);
    return (
        <p class="day sticky-day" aria-hidden="true" data-shown={isShown || undefined}>
            {ts !== undefined && day(ts)}
        </p>
    );
}

/** Whether the line of a day stands where the date would lie over it. */
function hasDayAtTop(list: List, handles: RowHandle[], top: number): boolean {
    return list.getVirtualItems().some(({ index, start, end }) => {
        return handles[index]?.row.peek().kind === "day" && end > top && start < top + STICKY_PX;
    });
}

/** Goes where the timeline says, once the rows are there. */
function useGoToPlace(timeline: Timeline, list: List, handles: RowHandle[]): void {
    const place = timeline.place.value;
    useLayoutEffect(() => {
        if (!place || handles.length === 0) return;
        if (place.to === "end") {
            const isSmooth = place.isSmooth && list.getDistanceFromEnd() < 4000 && !matchMedia("(prefers-reduced-motion: reduce)").matches;
            list.scrollToEnd({ behavior: isSmooth ? "smooth" : "auto" });
            return;
        }
        const { key } = place.to;
        const at = handles.findIndex((handle) => handle.key === key);
        if (at >= 0) list.scrollToIndex(at, { align: key === "unread" ? "start" : "center" });
    }, [place]);
}

/** Whoever writes wants to see what they have written. */
function useOwnMessages(timeline: Timeline, list: List, handles: RowHandle[]): void {
    const last = handles.at(-1);
    const before = useRef(last?.key);
    useLayoutEffect(() => {
        const isNew = before.current !== undefined && before.current !== last?.key;
        before.current = last?.key;
        const row = last?.row.peek();
        if (isNew && row?.kind === "message" && row.messages[0].isOwn && row.messages[0].state === "sending") list.scrollToEnd();
    }, [timeline, last?.key]);
}

/** Whoever is at the end stays there when the place for messages becomes smaller, as it does while one writes. */
function useStaysAtEnd(scroller: { current: HTMLElement | null }, list: List, timeline: Timeline): void {
    useEffect(() => {
        const element = scroller.current!;
        const observer = new ResizeObserver(() => timeline.isAtEnd && !timeline.isOpening.peek() && list.scrollToEnd());
        observer.observe(element);
        return () => observer.disconnect();
    }, [timeline, list]);
}

/** Tells the timeline what was seen: the last message that is wholly within the window, once it has been there a moment. */
function useSeen(timeline: Timeline, list: List, handles: RowHandle[]): () => void {
    const timer = useRef(0);
    useEffect(() => () => clearTimeout(timer.current), []);
    return () => {
        clearTimeout(timer.current);
        if (timeline.isOpening.peek() || document.hidden || !document.hasFocus()) return;
        timer.current = window.setTimeout(() => {
            const element = list.scrollElement;
            if (!element || document.hidden) return;
            const bottom = element.scrollTop + element.clientHeight + 8;
            const seen = list.getVirtualItems().filter(({ end, index }) => end <= bottom && handles[index]?.row.peek().kind === "message");
            const row = seen.length > 0 ? handles[seen.at(-1)!.index]!.row.peek() : undefined;
            if (row?.kind === "message") void timeline.seen(row.messages.at(-1)!.key);
        }, SEEN_AFTER_MS);
    };
}

/** Arrow keys go from message to message. */
function moveFocus(event: KeyboardEvent, timeline: Timeline, list: List, handles: RowHandle[], setCurrent: (key: string) => void): void {
    const focused = (event.target as HTMLElement).closest<HTMLElement>(".message");
    if (!focused || event.target !== focused) return;
    const at = handles.findIndex(({ key }) => key === focused.dataset.key);
    const isMessage = (index: number) => handles[index]?.row.peek().kind === "message";
    const to = {
        ArrowUp: handles.findLastIndex((_, index) => index < at && isMessage(index)),
        ArrowDown: handles.findIndex((_, index) => index > at && isMessage(index)),
        Home: handles.findIndex((_, index) => isMessage(index)),
        End: handles.findLastIndex((_, index) => isMessage(index)),
    }[event.key];
    if (event.key === "Enter" || event.key === " " || event.key === "ContextMenu" || (event.shiftKey && event.key === "F10")) {
        event.preventDefault();
        focused.dispatchEvent(new MouseEvent("contextmenu", { bubbles: true, cancelable: true }));
        return;
    }
    if (to === undefined) return;
    event.preventDefault();
    if (to < 0) return void (event.key === "ArrowUp" && timeline.load("older"));
    const key = handles[to]!.key;
    setCurrent(key);
    list.scrollToIndex(to, { align: "auto" });
    requestAnimationFrame(() => {
        const row = list.scrollElement?.querySelector<HTMLElement>(`.message[data-key="${CSS.escape(key)}"]`);
        row?.focus({ preventScroll: true });
    });
}

/** The line that says who writes. Its place is always there. */
export function Typing() {
    const { timeline } = useOpenChat();
    const names = timeline.typing.value;
    const sentence = useComputed(() => {
        const [one, two] = timeline.typing.value;
        if (one === undefined) return "";
        if (two === undefined) return words("chat.typing.one", { name: one });
        return timeline.typing.value.length === 2 ? words("chat.typing.two", { one, two }) : words("chat.typing.many");
    });
    return (
        <p class="typing" data-shown={names.length > 0 || undefined}>
            {names.length > 0 && <span class="dots" aria-hidden="true"><i /><i /><i /></span>}
            {sentence}
        </p>
    );
}
