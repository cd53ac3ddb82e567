// The service worker: it has the app there when the network is not, and shows notifications when no tab does. It keeps the
// files of the app only; what people write and send goes past it.

import { closePast, type Kept } from "../sync/show";
import { answerPush, openChat } from "./push";

declare const self: ServiceWorkerGlobalScope;
/** The files of this version, which the build writes here. Their names change with what is in them. */
declare const __FILES__: string[];
/** Changes with any of the files. */
declare const __VERSION__: string;

const CACHE = `linkspan-${__VERSION__}`;
/** The page: the same for each address of the app. */
const PAGE = "/";
/** What the page needs beside its own files. It is the platform's, and may change without a new version. */
const OF_PLATFORM = ["/_linkspan/theme.css", "/manifest.webmanifest", "/icon.svg", "/icon-192.png"];
/** Addresses that are not the app's. */
const ELSEWHERE = /^\/(_matrix|_linkspan|\.well-known|account|oauth2?)(\/|$)/;

self.addEventListener("install", (event) => event.waitUntil(keepFiles()));

// Files of the version before stay until no tab of it is open: it may still load parts of itself.
self.addEventListener("activate", (event) => event.waitUntil(dropOthers()));

self.addEventListener("fetch", (event) => {
    const { request } = event;
    const { origin, pathname } = new URL(request.url);
    if (request.method !== "GET" || origin !== self.location.origin) return;
    if (pathname.startsWith("/app/")) event.respondWith(keptFirst(request));
    else if (OF_PLATFORM.includes(pathname)) event.respondWith(keptAndRenewed(event, pathname));
    else if (request.mode === "navigate" && !ELSEWHERE.test(pathname)) event.respondWith(page(request));
});

// At each start of the worker, for whatever it was woken.
closePast(self.registration).catch((error: unknown) => console.warn("the notifications could not be looked through", error));

self.addEventListener("push", (event) => event.waitUntil(answerPush(self, event.data?.json())));

self.addEventListener("notificationclick", (event) => {
    event.notification.close();
    event.waitUntil(openChat(self, event.notification.data as Kept));
});

async function keepFiles(): Promise<void> {
    const cache = await caches.open(CACHE);
    await cache.addAll([...__FILES__, PAGE]);
    await Promise.allSettled(OF_PLATFORM.map((path) => cache.add(path)));
}

async function dropOthers(): Promise<void> {
    const names = await caches.keys();
    await Promise.all(names.filter((name) => name.startsWith("linkspan-") && name !== CACHE).map((name) => caches.delete(name)));
    await self.clients.claim();
}

/** What was kept. Files are the same for whoever asks, whatever servers say of `Origin`. */
function kept(request: Request | string): Promise<Response | undefined> {
    return caches.match(request, { ignoreVary: true });
}

/** The page of this version, of which all files are kept. A newer one comes with the files that it needs, by a new worker. */
async function page(request: Request): Promise<Response> {
    return (await (await caches.open(CACHE)).match(PAGE, { ignoreVary: true })) ?? fetch(request);
}

async function keptFirst(request: Request): Promise<Response> {
    return (await kept(request)) ?? fetch(request);
}

/** What was kept, at once. What the server has by now is kept for the next start, so that none waits for the network. */
async function keptAndRenewed(event: FetchEvent, path: string): Promise<Response> {
    const asked = fetch(event.request).then(async (answer) => {
        if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
        await (await caches.open(CACHE)).put(path, answer.clone());
        return answer;
    });
    event.waitUntil(asked.catch(() => undefined));
    return (await kept(path)) ?? asked;
}
