// The list of chats.

import "./chats.css";

import type { Signal } from "@preact/signals";
import { defaultRangeExtractor } from "@tanstack/virtual-core";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { Link, useLocation } from "wouter-preact";

import { beginnings } from "../people/beginnings";
import { byAddress, refreshInvitations } from "../people/invitation";
import { personOf } from "../people/person";
import { PersonCells, withPerson } from "../people/person-link";
import { platform } from "../platform";
import { perAccount } from "../session/session";
import { isConnected } from "../sync/connection";
import { Reminders } from "../sync/reminders";
import { Icon } from "../ui/icon";
import { isForAbove } from "../ui/layers";
import { later } from "../ui/later";
import { ListPane } from "../ui/pane";
import { useVirtualizer } from "../ui/virtual";
import { words } from "../words";
import { ChatMenu, ChatQuestion, type Question } from "./chat-menu";
import { ChatRow } from "./chat-row";
import { choose, filter, Filters, passes } from "./filters";
import { invitations, isComplete, type Row, sorted } from "./rows";
import { useSearchField } from "./search-key";

const Results = later(() => import("./results"));

const ROW_PX = 68;
/** The row that leads to archived chats is a smaller one. */
const SLIM_PX = 48;
/** How many rows a page key moves. */
const PAGE_ROWS = 8;
const SKELETONS = 9;

/** Whether archived chats are shown in place of the others. */
const isArchive = perAccount(false);

type Item = { kind: "requests" } | { kind: "beginning"; id: string; text: string } | { kind: "archived"; count: number } | { kind: "chat"; row: Signal<Row> };

export function ChatList() {
    const [search, setSearch] = useState("");
    const field = useRef<HTMLInputElement>(null);
    const giveBack = useSearchField(field);
    useEffect(() => {
        if (isComplete.value) refreshInvitations().catch(console.warn);
    }, [isComplete.value]);
    const clear = () => {
        setSearch("");
        field.current?.focus();
    };
    return (
        <ListPane
            class="chats"
            aria-label={words("chats")}
            onKeyDown={(event) => {
                if (isForAbove(event)) return;
                if (event.key === "Escape") {
                    setSearch("");
                    giveBack();
                }
                if (event.key === "ArrowDown" && event.target === field.current) focusFirst(event);
            }}
        >
            <Head />
            <label class="search">
                <Icon name="search" />
                <input
                    ref={field}
                    type="search"
                    placeholder={words("chats.search")}
                    aria-label={words("chats.search")}
                    aria-keyshortcuts="Control+K"
                    value={search}
                    onInput={(event) => setSearch(event.currentTarget.value)}
                />
                {search && (
                    <button class="clear" aria-label={words("chats.search.clear")} onClick={clear}>
                        <Icon name="close" />
                    </button>
                )}
            </label>
            <Reminders />
            {search.trim() ? <Results term={search.trim()} /> : <Chats />}
        </ListPane>
    );
}

function Head() {
    if (isArchive.value) {
        return (
            <header>
                <button class="icon-button" aria-label={words("back")} onClick={() => (isArchive.value = false)}>
                    <Icon name="back" />
                </button>
                <h1>{words("chats.archived")}</h1>
            </header>
        );
    }
    return (
        <header>
            <h1>{platform.value?.name}</h1>
            {!isConnected.value && <span class="pill">{words("connecting")}</span>}
            <Link href="/settings" class="icon-button" aria-label={words("settings")}>
                <Icon name="settings" />
            </Link>
            <Link href="/new" class="icon-button" aria-label={words("new")}>
                <Icon name="compose" />
            </Link>
        </header>
    );
}

function Chats() {
    const all = sorted.value.filter((row) => !row.peek().isInvitation);
    const archived = all.filter((row) => row.peek().isArchived);
    const isEmptyArchive = isArchive.value && archived.length === 0;
    useEffect(() => {
        if (isEmptyArchive) isArchive.value = false;
    }, [isEmptyArchive]);
    if (isArchive.value) return <Rows items={archived.map(itemOf)} />;
    const inbox = all.filter((row) => !row.peek().isArchived);
    const shown = inbox.filter((row) => passes(row.peek(), filter.value));
    const items: Item[] = [
        ...(invitations.value.length + byAddress.value.length > 0 ? [{ kind: "requests" as const }] : []),
        ...(archived.length > 0 ? [{ kind: "archived" as const, count: archived.length }] : []),
        ...(filter.value === "all" ? [...beginnings.value].map(([id, text]): Item => ({ kind: "beginning", id, text })) : []),
        ...shown.map(itemOf),
    ];
    if (all.length === 0 && !isComplete.value) return <Skeletons />;
    return (
        <>
            {inbox.length > 0 && <Filters />}
            {items.length > 0 && <Rows items={items} />}
            {all.length === 0 && items.length === 0 ? <NoChats /> : shown.length === 0 && inbox.length > 0 && <NothingPasses />}
        </>
    );
}

const itemOf = (row: Signal<Row>): Item => ({ kind: "chat", row });

function NoChats() {
    return (
        <div class="nothing">
            <p>{words("chats.none")}</p>
            <p>{words("chats.none.hint")}</p>
            <Link href="/new" class="primary">
                {words("chats.none.action")}
            </Link>
        </div>
    );
}

function NothingPasses() {
    return (
        <div class="nothing">
            <p>{words(filter.value === "unread" ? "chats.none.unread" : "chats.none.filtered")}</p>
            <button class="quiet" onClick={() => choose("all")}>
                {words("chats.show_all")}
            </button>
        </div>
    );
}

function Skeletons() {
    return (
        <div class="skeletons" role="status" aria-busy="true" aria-label={words("connecting")}>
            {Array.from({ length: SKELETONS }, (_, at) => (
                <span key={at} class="row" aria-hidden="true">
                    <span class="picture bone" />
                    <span class="name bone" />
                    <span class="preview bone" />
                </span>
            ))}
        </div>
    );
}

/** The rows, of which Tab reaches one and the arrow keys the others. */
function Rows({ items }: { items: Item[] }) {
    const scroller = useRef<HTMLDivElement>(null);
    const [stop, setStop] = useState({ key: "", at: 0 });
    const [menu, setMenu] = useState<{ row: Signal<Row>; anchor: { x: number; y: number } | Element }>();
    const [question, setQuestion] = useState<Question>();
    // Rows move, and the stop moves with its own. If that has gone, the stop stays where it was.
    const found = items.findIndex((item) => keyOf(item) === stop.key);
    const active = found >= 0 ? found : Math.min(stop.at, items.length - 1);
    const stopAt = (at: number) => setStop({ key: keyOf(items[at]), at });
    useKeptFocus(scroller, active);
    const virtualizer = useVirtualizer({
        count: items.length,
        getScrollElement: () => scroller.current,
        estimateSize: (at) => (items[at]?.kind === "archived" ? SLIM_PX : ROW_PX),
        getItemKey: (at) => keyOf(items[at]),
        // What has the focus must not leave the page, wherever somebody scrolls.
        rangeExtractor: (range) => {
            const shown = new Set([...defaultRangeExtractor(range), active]);
            return [...shown].filter((at) => at >= 0 && at < range.count).sort((one, other) => one - other);
        },
    });
    const move = (event: KeyboardEvent) => {
        const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: PAGE_ROWS, PageUp: -PAGE_ROWS, Home: -items.length, End: items.length };
        const step = steps[event.key as keyof typeof steps];
        if (!step) return;
        event.preventDefault();
        const to = Math.max(0, Math.min(items.length - 1, active + step));
        virtualizer.scrollToIndex(to);
        stopAt(to);
        requestAnimationFrame(() => scroller.current?.querySelector<HTMLElement>(`[data-index="${to}"] > *`)?.focus());
    };
    return (
        <>
            <div class="rows" ref={scroller} onKeyDown={move}>
                <ul style={{ height: `${virtualizer.getTotalSize()}px` }}>
                    {virtualizer.getVirtualItems().map(({ key, index, start, size }) => (
                        <li
                            key={key}
                            data-index={index}
                            aria-setsize={items.length}
                            aria-posinset={index + 1}
                            style={{ transform: `translateY(${start}px)`, height: `${size}px` }}
                            onFocusCapture={() => stopAt(index)}
                        >
                            <ItemRow item={items[index]!} isStop={index === active} openMenu={setMenu} />
                        </li>
                    ))}
                </ul>
            </div>
            {menu && <ChatMenu row={menu.row.value} anchor={anchorOf(menu.anchor)} close={() => setMenu(undefined)} ask={setQuestion} />}
            {question && <ChatQuestion question={question} close={() => setQuestion(undefined)} />}
        </>
    );
}

/** Browsers take the focus from what is moved within the page. The row that had it gets it back. */
function useKeptFocus(scroller: { current: HTMLElement | null }, active: number): void {
    const hadFocus = scroller.current?.contains(document.activeElement) ?? false;
    useLayoutEffect(() => {
        if (!hadFocus || document.activeElement !== document.body) return;
        scroller.current?.querySelector<HTMLElement>(`[data-index="${active}"] > *`)?.focus({ preventScroll: true });
    });
}

function keyOf(item: Item | undefined): string {
    if (item?.kind === "chat") return item.row.peek().id;
    return item?.kind === "beginning" ? item.id : (item?.kind ?? "");
}

/** What a menu opens beside: a row, or the point where somebody pressed. */
function anchorOf(anchor: { x: number; y: number } | Element) {
    if (anchor instanceof Element) return anchor;
    return { getBoundingClientRect: () => new DOMRect(anchor.x, anchor.y, 0, 0) };
}

interface ItemRowProps {
    item: Item;
    isStop: boolean;
    openMenu: (menu: { row: Signal<Row>; anchor: { x: number; y: number } | Element }) => void;
}

function ItemRow({ item, isStop, openMenu }: ItemRowProps) {
    if (item.kind === "requests") return <RequestsRow isStop={isStop} />;
    if (item.kind === "beginning") return <BeginningRow id={item.id} text={item.text} isStop={isStop} />;
    if (item.kind === "archived") {
        return (
            <button class="row slim" tabIndex={isStop ? 0 : -1} onClick={() => (isArchive.value = true)}>
                <Icon name="archive" />
                <span class="name">{words("chats.archived")}</span>
                <span class="time">{item.count}</span>
            </button>
        );
    }
    const { row } = item;
    return <ChatRow row={row} isStop={isStop} openMenu={(anchor) => openMenu({ row, anchor })} />;
}

/** Where strangers wait. It says how many there are, and nothing more: it does not call for attention. */
function RequestsRow({ isStop }: { isStop: boolean }) {
    const count = invitations.value.length + byAddress.value.length;
    const names = invitations.value.slice(0, 3).map((row) => row.peek().name);
    return (
        <Link href="/requests" class="row" tabIndex={isStop ? 0 : -1}>
            <span class="picture sign">
                <Icon name="request" />
            </span>
            <span class="name">{words("chats.requests")}</span>
            <span class="time">{count}</span>
            <span class="preview" dir="auto">{names.join(", ")}</span>
        </Link>
    );
}

/** Somebody to whom a first message was begun and not sent. */
function BeginningRow({ id, text, isStop }: { id: string; text: string; isStop: boolean }) {
    const [location] = useLocation();
    const path = withPerson(id);
    return (
        <Link href={path} class="row" tabIndex={isStop ? 0 : -1} aria-current={location === path ? "page" : undefined}>
            <PersonCells person={personOf(id).value} note={words("chat.draft", { text })} />
        </Link>
    );
}

function focusFirst(event: KeyboardEvent): void {
    event.preventDefault();
    const pane = (event.currentTarget as HTMLElement).querySelector<HTMLElement>(".rows a, .rows button, .results a, .results button");
    pane?.focus();
}
