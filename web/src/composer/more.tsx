// The button for all that is no text.

import type { Room } from "matrix-js-sdk";
import { useRef } from "preact/hooks";

import { Icon } from "../ui/icon";
import { Menu, type MenuItem } from "../ui/menu";
import { words } from "../words";
import { isOffered } from "./abilities";

/** What is open beside the field. */
export type Panel = "menu" | "emoji" | "poll" | "place" | "schedule" | "scheduled" | "timer" | "voice";

interface MoreProps {
    room: Room | undefined;
    /** Whether there is a text of which the person can say when it is sent. */
    canSchedule: boolean;
    isOpen: boolean;
    open: (panel: Panel | undefined) => void;
    addFiles: (files: Iterable<File>) => void;
}

export function More({ room, canSchedule, isOpen, open, addFiles }: MoreProps) {
    const button = useRef<HTMLButtonElement>(null);
    const pick = (accept: string) => {
        const input = document.createElement("input");
        Object.assign(input, { type: "file", multiple: true, accept });
        input.onchange = () => addFiles(input.files ?? []);
        input.click();
    };
    const items: (MenuItem & { isThere?: boolean })[] = [
        { label: words("composer.add.media"), icon: "picture", run: () => pick("image/*,video/*"), isThere: isOffered("image") },
        { label: words("composer.add.file"), icon: "file", run: () => pick(""), isThere: isOffered("file") },
        { label: words("composer.add.place"), icon: "place", run: () => open("place"), isThere: isOffered("location") },
        { label: words("composer.add.poll"), icon: "poll", run: () => open("poll"), isThere: isOffered("poll") },
        { label: words("composer.add.later"), icon: "clock", run: () => open("schedule"), isThere: canSchedule },
        { label: words("composer.add.scheduled"), icon: "clock", run: () => open("scheduled"), isThere: !canSchedule },
        { label: words("composer.add.timer"), icon: "timer", run: () => open("timer"), isThere: isOffered("disappearing") },
    ];
    return (
        <>
            <button
                ref={button}
                class="icon-button"
                aria-label={words("composer.add")}
                aria-haspopup="menu"
                aria-expanded={isOpen}
                disabled={!room}
                onClick={() => open(isOpen ? undefined : "menu")}
            >
                <Icon name="add" />
            </button>
            {isOpen && (
                <Menu
                    anchor={button.current!}
                    label={words("composer.add")}
                    items={items.filter(({ isThere }) => isThere !== false)}
                    placement="top-start"
                    close={() => open(undefined)}
                />
            )}
        </>
    );
}
