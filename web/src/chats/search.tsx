// Searching what was said: in all chats, or in the one that the address names (`?in=`).

import { useEffect, useRef, useState } from "preact/hooks";
import { useSearch } from "wouter-preact";

import { Icon } from "../ui/icon";
import { ListHead, ListPane } from "../ui/pane";
import { words } from "../words";
import { MessageResults } from "./results";
import { rowOfChat } from "./rows";

export default function Search() {
    const roomId = new URLSearchParams(useSearch()).get("in") ?? undefined;
    const [search, setSearch] = useState("");
    const field = useRef<HTMLInputElement>(null);
    useEffect(() => field.current?.focus(), []);
    const name = roomId && rowOfChat(roomId)?.value.name;
    const term = search.trim();
    const label = name ? words("search.in", { name }) : words("search");
    return (
        <ListPane aria-label={words("search")}>
            <ListHead title={words("search")} back={roomId ? `/chat/${encodeURIComponent(roomId)}` : "/"} />
            <label class="search">
                <Icon name="search" />
                <input
                    ref={field}
                    type="search"
                    placeholder={label}
                    aria-label={label}
                    value={search}
                    onInput={(event) => setSearch(event.currentTarget.value)}
                />
            </label>
            <div class="results">{term && <MessageResults term={term} roomId={roomId} />}</div>
        </ListPane>
    );
}
