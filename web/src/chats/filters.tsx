// What of the list is shown: all, only some kinds of chats, or only those of one platform.

import { computed, signal } from "@preact/signals";

import { platform, platformName } from "../platform";
import { PlatformMark } from "../ui/platform-mark";
import { words } from "../words";
import { isUnread, type Row, sorted } from "./rows";

const KEPT = "linkspan.filter";

/** `all`, `unread`, `groups`, or the server name of a platform. It stays as it was left. */
export const filter = signal(localStorage.getItem(KEPT) ?? "all");

export function choose(chosen: string): void {
    localStorage.setItem(KEPT, chosen);
    filter.value = chosen;
}

/** The platforms of the people whom the person has chats with, that of the person first. */
const servers = computed(() => {
    const own = platform.value?.server_name ?? "";
    const all = new Set(sorted.value.flatMap((row) => row.peek().servers));
    const others = [...all].filter((server) => server !== own).sort();
    return others.length > 0 ? [own, ...others] : [];
});

export function passes(row: Row, chosen: string): boolean {
    if (chosen === "all" || !(chosen === "unread" || chosen === "groups" || servers.value.includes(chosen))) return true;
    if (chosen === "unread") return isUnread(row);
    if (chosen === "groups") return row.isGroup;
    return row.servers.includes(chosen);
}

export function Filters() {
    return (
        <div class="filters" role="group" aria-label={words("chats.filters")}>
            <Chip id="all" label={words("chats.filter.all")} />
            <Chip id="unread" label={words("chats.filter.unread")} />
            <Chip id="groups" label={words("chats.filter.groups")} />
            {servers.value.map((server) => (
                <Chip key={server} id={server} label={platformName(server)} server={server} />
            ))}
        </div>
    );
}

function Chip({ id, label, server }: { id: string; label: string; server?: string }) {
    const isChosen = filter.value === id;
    return (
        <button class="filter" aria-pressed={isChosen} onClick={() => choose(isChosen ? "all" : id)}>
            {server && (
                <span aria-hidden="true">
                    <PlatformMark server={server} />
                </span>
            )}
            {label}
        </button>
    );
}
