// Notifications, as tabs and the service worker both show them, and what the two say to each other.

/** What a server pushes. */
export interface Pushed {
    "org.linkspan.user_id"?: string;
    room_id?: string;
    event_id?: string;
    /** The rooms that have something unread, where the server says so. */
    "org.linkspan.unread_rooms"?: string[];
    /** When the message disappears, if it does, in milliseconds since the Unix epoch. */
    "org.linkspan.disappears_ts"?: number;
    counts?: { unread?: number };
    /** Shows that pushes of this app arrive. */
    app_id?: string;
    ack_token?: string;
}

/** What the worker says to a tab. */
export type Said =
    | { kind: "pushed"; pushed: Pushed }
    /** Asks whether the tab shows an account. */
    | { kind: "whose"; user: string }
    | { kind: "open"; room: string; user: string };

/** What the notifications of a chat are called, of which each account has its own. */
export const tagOf = (user: string, room: string) => `${user} ${room}`;

/** What in an address names the account that it is for, where a browser has several. */
export const ACCOUNT = "account";

/** The address of a page of one account, for whoever opens it from outside. */
export function addressFor(user: string, path: string): string {
    return `${path}?${new URLSearchParams({ [ACCOUNT]: user }).toString()}`;
}

export interface Shown {
    user: string;
    room: string;
    event: string;
    title: string;
    text: string;
    isSilent: boolean;
    /** When the message disappears, if it does. The notification goes with it, as soon as somebody is awake to close it. */
    until?: number;
}

/** What is kept with a notification. */
export interface Kept {
    user?: string;
    room?: string;
    event?: string;
    until?: number;
}

/** Shows the last message of a chat, in the place of the one before, and each only once. */
export async function show(registration: ServiceWorkerRegistration, { user, room, event, title, text, isSilent, until }: Shown): Promise<void> {
    if (isPast(until)) return;
    const tag = tagOf(user, room);
    const before = await registration.getNotifications({ tag });
    if (before.some((shown) => (shown.data as Kept).event === event)) return;
    const options = { body: text, tag, renotify: true, silent: isSilent, icon: "/icon-192.png", data: { room, event, user, until } satisfies Kept };
    await registration.showNotification(title, options as NotificationOptions);
}

/** Closes the notifications of messages that have disappeared. No worker is awake at that time, so it is done at the next. */
export async function closePast(registration: ServiceWorkerRegistration): Promise<void> {
    for (const shown of await registration.getNotifications()) {
        if (isPast((shown.data as Kept | null)?.until)) shown.close();
    }
}

function isPast(until: number | undefined): boolean {
    return until !== undefined && until <= Date.now();
}
