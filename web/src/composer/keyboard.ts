// Room for the keyboard of phones whose browsers lay it over the page.

import { useEffect } from "preact/hooks";

/** Makes the page as high as what is seen of it, for as long as somebody can write. Browsers that make it smaller by
 * themselves, as the page asks them to, have nothing left to do here. */
export function useKeyboardRoom(): void {
    useEffect(() => {
        const seen = window.visualViewport;
        if (!seen) return;
        const { style } = document.documentElement;
        const fit = () => {
            const isCovered = seen.scale === 1 && seen.height < window.innerHeight - 1;
            style.height = isCovered ? `${seen.height}px` : "";
            if (isCovered) window.scrollTo(0, 0);
        };
        seen.addEventListener("resize", fit);
        return () => {
            seen.removeEventListener("resize", fit);
            style.height = "";
        };
    }, []);
}
