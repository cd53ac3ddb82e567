// Presses that last: fingers that rest on something, by which one opens what can be done with it, and buttons that are held.

import { useEffect, useRef } from "preact/hooks";

/** How long a finger rests, in milliseconds. */
const REST_MS = 450;
/** How far it may move meanwhile, in pixels. A finger that moves further scrolls. */
const STILL_PX = 4;

/** Calls something when a finger rests on an element. */
export function useLongPress(run: (event: PointerEvent) => void) {
    const timer = useRef(0);
    const end = () => clearTimeout(timer.current);
    useEffect(() => end, []);
    return {
        onPointerDown: (event: PointerEvent) => {
            end();
            if (event.pointerType === "touch") timer.current = window.setTimeout(() => run(event), REST_MS);
        },
        onPointerMove: (event: PointerEvent) => Math.abs(event.movementX) + Math.abs(event.movementY) > STILL_PX && end(),
        onPointerUp: end,
        onPointerCancel: end,
    };
}

/** A press from its beginning on. */
export interface Press {
    pointerId: number;
    isHeld: boolean;
}

/** Follows a press to its end, also when the button that it began on is taken away. */
export function followPress({ pointerId }: PointerEvent): Press {
    const press = { pointerId, isHeld: true };
    const ended = new AbortController();
    const end = (event: PointerEvent) => {
        if (event.pointerId !== pointerId) return;
        press.isHeld = false;
        ended.abort();
    };
    window.addEventListener("pointerup", end, { signal: ended.signal });
    window.addEventListener("pointercancel", end, { signal: ended.signal });
    return press;
}
