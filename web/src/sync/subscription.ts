// Pushes for when no tab is open: the browser's own service wakes the worker, which learns ids only.
// https://github.com/matrix-org/matrix-spec-proposals/pull/4174

import type { MatrixClient } from "matrix-js-sdk";

import { ask } from "../session/server";
import { language } from "../words";

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
    const registration = await navigator.serviceWorker.getRegistration();
    if (!offer || !registration) return;
    const options = { userVisibleOnly: true, applicationServerKey: offer.vapid };
    const subscription = (await registration.pushManager.getSubscription()) ?? (await registration.pushManager.subscribe(options));
    await setPusher(client, subscription, "webpush");
}

/** Ends pushes of this account to this browser. */
export async function unsubscribe(client: MatrixClient): Promise<void> {
    const registration = await navigator.serviceWorker?.getRegistration();
    const subscription = await registration?.pushManager.getSubscription();
    if (subscription) await setPusher(client, subscription, null);
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
    await ask("POST", "/_matrix/client/v3/pushers/set", body, client.getAccessToken() ?? undefined);
}
