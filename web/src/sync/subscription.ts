// Pushes for when no tab is open: the browser's own service wakes the worker, which learns ids only.
// https://github.com/matrix-org/matrix-spec-proposals/pull/4174

import type { MatrixClient } from "matrix-js-sdk";

import { language } from "../words";
import { allAccounts } from "./shared";

/** What the server calls this app among the pushers of an account. */
const APP_ID = "org.linkspan.web";

interface WebPush {
    enabled: boolean;
    vapid: string;
}

/** Whether the server and this browser can push. */
export async function canPush(client: MatrixClient): Promise<boolean> {
    return "PushManager" in window && (await offerOf(client)) !== undefined;
}

async function offerOf(client: MatrixClient): Promise<WebPush | undefined> {
    const offered = (await client.getCapabilities())["m.webpush"] as WebPush | undefined;
    return offered?.enabled ? offered : undefined;
}

/** Has the server push to this browser. It says so to the push service again where it has forgotten. */
export async function subscribe(client: MatrixClient): Promise<void> {
    const offer = await offerOf(client);
    const registration = await navigator.serviceWorker?.getRegistration();
    if (!offer || !registration) throw new Error("the server does not push, or there is no service worker that hears it");
    const { pushManager } = registration;
    const before = await pushManager.getSubscription();
    // The push service takes nothing from a server that signs with another key than the one it was told at first.
    const isUsable = before !== null && isFor(before, offer.vapid);
    if (before && !isUsable) await before.unsubscribe();
    const options = { userVisibleOnly: true, applicationServerKey: offer.vapid };
    await setPusher(client, isUsable ? before : await pushManager.subscribe(options), "webpush");
}

/** Whether a subscription is for the server that signs with this key, which is in unpadded base64 for URLs. */
function isFor({ options }: PushSubscription, vapid: string): boolean {
    const bytes = atob(vapid.replaceAll("-", "+").replaceAll("_", "/"));
    return String.fromCharCode(...new Uint8Array(options.applicationServerKey ?? new ArrayBuffer())) === bytes;
}

/** Ends pushes of this account to this browser. Whoever calls has noted before that it wants none. */
export async function unsubscribe(client: MatrixClient): Promise<void> {
    const registration = await navigator.serviceWorker?.getRegistration();
    const subscription = await registration?.pushManager?.getSubscription();
    try {
        if (subscription) await setPusher(client, subscription, null);
    } finally {
        await endUnused();
    }
}

/** Ends the subscription of this browser if no account wants pushes any more. A server that could not be told goes on pushing,
 * until the push service says that nobody hears it. */
export async function endUnused(): Promise<void> {
    if ((await allAccounts()).some(({ hasPush }) => hasPush)) return;
    const registration = await navigator.serviceWorker?.getRegistration();
    await (await registration?.pushManager?.getSubscription())?.unsubscribe();
}

async function setPusher(client: MatrixClient, subscription: PushSubscription, kind: "webpush" | null): Promise<void> {
    const { endpoint, keys } = subscription.toJSON();
    const body = {
        kind,
        app_id: APP_ID,
        pushkey: keys?.p256dh,
        app_display_name: document.title,
        device_display_name: client.getDeviceId(),
        lang: language.peek(),
        data: { url: endpoint, auth: keys?.auth, format: "event_id_only" },
        // Other accounts of this browser have the same subscription.
        append: true,
    };
    await client.setPusher(body as unknown as Parameters<MatrixClient["setPusher"]>[0]);
}
