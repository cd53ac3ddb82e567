// The service worker, as pages begin it, and new versions of the app.

import { notify } from "../ui/notice";
import { words } from "../words";

/** Begins the service worker. A program that is being written has none: it would hide what was just changed. */
export function beginWorker(): void {
    if (!import.meta.env.PROD || !("serviceWorker" in navigator)) return;
    navigator.serviceWorker.register("/sw.js").catch((error: unknown) => console.warn("there is no service worker", error));
}

// A part of the app that does not come although there is a network is gone: the server has a new version, and nothing kept the old
// one. It is the only time when a new version matters to somebody who is in the middle of something: others get it at their next
// start.
addEventListener("vite:preloadError", () => {
    if (navigator.onLine) notify({ text: words("sync.update"), action: { label: words("sync.update.go"), run: () => location.reload() } });
});
