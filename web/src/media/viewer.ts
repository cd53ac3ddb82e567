// Looking at pictures in the whole window, one after the other: by swiping, by keys, closer and farther.

import "photoswipe/style.css";

import PhotoSwipe from "photoswipe";

import type { Picture } from "../chat/content";
import { words } from "../words";
import { release, save, take } from "./fetch";

/** What is shown until the size is known. */
const UNKNOWN_SIDE = 1200;

/** Opens the viewer at one of several pictures, which are fetched when they come near. */
export function view(pictures: Picture[], at: number): void {
    const viewer = new PhotoSwipe({
        index: at,
        dataSource: pictures.map(({ width, height, name }) => ({
            width: width ?? UNKNOWN_SIDE,
            height: height ?? UNKNOWN_SIDE,
            alt: name || words("message.photo"),
        })),
        bgOpacity: 1,
        showHideAnimationType: matchMedia("(prefers-reduced-motion: reduce)").matches ? "none" : "fade",
        closeTitle: words("close"),
        zoomTitle: words("media.zoom"),
        arrowPrevTitle: words("media.previous"),
        arrowNextTitle: words("media.next"),
        errorMsg: words("media.offline"),
        mainClass: "viewer",
    });
    viewer.on("contentLoad", (event) => {
        const { content } = event;
        const picture = pictures[content.index]!;
        event.preventDefault();
        const image = Object.assign(document.createElement("img"), { className: "pswp__img", alt: content.data.alt ?? "", draggable: false });
        content.element = image;
        content.state = "loading";
        image.onload = () => content.onLoaded();
        image.onerror = () => content.onError();
        take(picture.source).then((url) => (image.src = url), () => content.onError());
    });
    viewer.on("contentDestroy", ({ content }) => release(pictures[content.index]!.source));
    viewer.on("uiRegister", () => {
        viewer.ui?.registerElement({
            name: "save",
            order: 8,
            isButton: true,
            title: words("media.save"),
            html: { isCustomSVG: true, inner: '<path d="M16 8v11m-5-5 5 5 5-5M10 24h12" fill="none" stroke="#fff" stroke-width="2" id="pswp__icn-save"/>', outlineID: "pswp__icn-save" },
            onClick: () => {
                const picture = pictures[viewer.currIndex]!;
                void save(picture.source, picture.name).catch(() => undefined);
            },
        });
    });
    viewer.init();
}
