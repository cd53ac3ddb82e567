// Menus that open beside a button, or where somebody pressed, and what else opens so.

import { autoUpdate, computePosition, flip, offset, type Placement, shift, type VirtualElement } from "@floating-ui/dom";
import type { ComponentChildren, RefObject } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

import { Icon, type IconName } from "./icon";

export interface MenuItem {
    label: string;
    icon?: IconName;
    /** Whether it takes something away. */
    isDanger?: boolean;
    run: () => void;
}

interface PopoverProps {
    /** What it opens beside. */
    anchor: Element | VirtualElement;
    label: string;
    /** Where it opens if there is room. */
    placement?: Placement;
    close: () => void;
    children: ComponentChildren;
}

interface MenuProps extends Omit<PopoverProps, "children"> {
    items: MenuItem[];
    /** What stands above the items. */
    head?: ComponentChildren;
    /** Whether it comes from the bottom of the window on a phone. */
    isSheet?: boolean;
}

/** Shows an element beside another, and gives the focus back when it goes. */
function useBeside(element: RefObject<HTMLDivElement>, anchor: Element | VirtualElement, placement: Placement = "bottom-end", isSheet = false): void {
    useLayoutEffect(() => {
        const popover = element.current!;
        const before = document.activeElement as HTMLElement | null;
        popover.showPopover();
        popover.querySelector("button")?.focus({ preventScroll: true });
        const stop =
            isSheet && matchMedia("(max-width: 720px)").matches
                ? () => undefined
                : autoUpdate(anchor, popover, () => {
                      void computePosition(anchor, popover, {
                          strategy: "fixed",
                          placement,
                          middleware: [offset(6), flip(), shift({ padding: 8, crossAxis: true })],
                      }).then(({ x, y }) => Object.assign(popover.style, { left: `${x}px`, top: `${y}px` }));
                  });
        return () => {
            stop();
            if (popover.contains(document.activeElement) || document.activeElement === document.body) before?.focus();
        };
    }, []);
}

/** Anything that opens beside something else. It closes by Escape and by a press elsewhere. */
export function Popover({ anchor, label, placement, close, children }: PopoverProps) {
    const element = useRef<HTMLDivElement>(null);
    useBeside(element, anchor, placement);
    return (
        <div ref={element} class="menu" role="dialog" aria-label={label} popover="auto" onToggle={(event) => event.newState === "closed" && close()}>
            {children}
        </div>
    );
}

/** A menu. Arrow keys move in it; it closes by Escape, by a press elsewhere, and after a choice. */
export function Menu({ anchor, label, items, placement, close, head, isSheet }: MenuProps) {
    const element = useRef<HTMLDivElement>(null);
    useBeside(element, anchor, placement, isSheet);
    const move = (event: KeyboardEvent) => {
        const buttons = [...element.current!.querySelectorAll("button")];
        const at = buttons.indexOf(document.activeElement as HTMLButtonElement);
        const to = { ArrowDown: at + 1, ArrowRight: at + 1, ArrowUp: at - 1, ArrowLeft: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
        if (to === undefined) return;
        event.preventDefault();
        buttons[(to + buttons.length) % buttons.length]?.focus();
    };
    return (
        <div
            ref={element}
            class="menu"
            role="menu"
            aria-label={label}
            popover="auto"
            data-sheet={isSheet || undefined}
            onKeyDown={move}
            onToggle={(event) => event.newState === "closed" && close()}
        >
            {head}
            {items.map((item) => (
                <button
                    key={item.label}
                    role="menuitem"
                    data-danger={item.isDanger || undefined}
                    onClick={() => {
                        close();
                        item.run();
                    }}
                >
                    {item.icon && <Icon name={item.icon} />}
                    {item.label}
                </button>
            ))}
        </div>
    );
}
