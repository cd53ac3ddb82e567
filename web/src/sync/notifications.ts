// Notifications of an open tab that nobody looks at. What the person has muted, or does not want to hear of, is decided by the
// push rules, as it is for pushes.

import { computed, type Signal, signal } from "@preact/signals";
import type { MatrixClient, MatrixEvent, MatrixEventEvent, Room, RoomEvent } from "matrix-js-sdk";
import { navigate } from "wouter-preact/use-browser-location";

import { disappearsTs } from "../chat/disappears";
import { personName } from "../chats/names";
import { isMessage, oneLine } from "../chats/preview";
import { isShown, perAccount, session, whenAccountChanges } from "../session/session";
import { language, words } from "../words";
import { client } from "./running";
import { account, type Account, changeAccount, removeAccount } from "./shared";
import { type Pushed, type Said, show, tagOf } from "./show";
import { subscribe, unsubscribe } from "./subscription";

/** What is older than this is no news, in milliseconds: a device that was off for a day would tell it all at once. */
const NEWS_MS = 10 * 60_000;
/** How long a pushed event is waited for, in milliseconds. It comes with the sync, most often before the push. */
const WAIT_MS = 3000;

/** How the account of this tab is notified here; nothing if it is not. */
export const chosen: Signal<Account | undefined> = perAccount<Account | undefined>(undefined);

/** Whether somebody has said that they do not want to be asked. It holds for all accounts of this browser. */
const PUT_OFF = "linkspan.notifications.put-off";

const hasWritten = perAccount(false);
const isPutOff = signal(localStorage.getItem(PUT_OFF) !== null);

/** Whether notifications should be offered now. */
export const isOffered = computed(() => hasWritten.value && !isPutOff.value && !chosen.value && mayAsk());

function mayAsk(): boolean {
    return "Notification" in window && "serviceWorker" in navigator && Notification.permission !== "denied";
}

/** Does not offer notifications again. The settings still have them. */
export function putOff(): void {
    localStorage.setItem(PUT_OFF, "1");
    isPutOff.value = true;
}

let followed: Follower | undefined;
whenAccountChanges(() => (followed = undefined));

/** Follows what a client hears, in place of the client before. */
export function followNotifications(client: MatrixClient): void {
    if (!isShown(client.getUserId())) return;
    followed = new Follower(client);
    const token = client.getAccessToken();
    void account(client.getSafeUserId()).then((kept) => {
        if (!isShown(client.getUserId())) return;
        chosen.value = kept;
        // The token may be a new one, and the language another one.
        if (kept && token) void choose(client, { token });
        // The push service may have forgotten the subscription, and the server with it.
        if (kept?.hasPush) subscribe(client).catch((error: unknown) => console.warn("there are no pushes", error));
    });
}

// The worker goes on in the language that the person has chosen.
language.subscribe(() => {
    const here = client.peek();
    if (here && chosen.peek()) void choose(here, {});
});

/** Turns notifications on, or changes how they are. */
export async function choose(client: MatrixClient, changes: Partial<Account>): Promise<void> {
    const usual: Account = {
        token: client.getAccessToken() ?? "",
        hasPreview: true,
        hasSound: true,
        hasPush: false,
        words: { message: words("notifications.encrypted"), photo: words("message.photo") },
    };
    // The person may have gone on to another account, or have logged out.
    if (!isShown(client.getUserId())) return;
    const how = await changeAccount(client.getSafeUserId(), usual, changes);
    if (isShown(client.getUserId())) chosen.value = how;
}

/** Turns notifications off in this browser. */
export async function silence(client: MatrixClient): Promise<void> {
    if (isShown(client.getUserId())) chosen.value = undefined;
    await removeAccount(client.getSafeUserId());
    await unsubscribe(client).catch((error: unknown) => console.warn("the server could not be told", error));
}

/** Has the server push when no tab is open, or ends it. */
export async function push(client: MatrixClient, isWanted: boolean): Promise<void> {
    // The account has to be known before: the push that shows that pushes arrive comes at once.
    await choose(client, { hasPush: isWanted });
    try {
        await (isWanted ? subscribe(client) : unsubscribe(client));
    } catch (error) {
        await choose(client, { hasPush: false });
        throw error;
    }
}

class Follower {
    readonly #told = new Set<string>();
    readonly #client: MatrixClient;

    constructor(client: MatrixClient) {
        this.#client = client;
        client.on("Room.timeline" as RoomEvent.Timeline, (event, _room, _atStart, _removed, data) => {
            if (!data.liveEvent) return;
            if (event.getSender() === client.getUserId() && isMessage(event)) hasWritten.value = true;
            if (!event.isEncrypted()) void this.tell(event);
        });
        client.on("Event.decrypted" as MatrixEventEvent.Decrypted, (event) => void this.tell(event));
        client.on("Room.receipt" as RoomEvent.Receipt, (_event, room) => void this.#withdraw(room));
    }

    /** Notifies of an event, unless somebody looks. */
    async tell(event: MatrixEvent): Promise<void> {
        const id = event.getId();
        const room = this.#client.getRoom(event.getRoomId());
        const how = chosen.peek();
        if (!id || !room || !how || !isShown(this.#client.getUserId()) || this.#told.has(id) || !this.#isNews(event)) return;
        this.#told.add(id);
        if (document.hasFocus() || Notification.permission !== "granted") return;
        const registration = await navigator.serviceWorker?.getRegistration();
        const text = how.hasPreview ? this.#textOf(event, room) : words("notifications.encrypted");
        const told = { user: this.#client.getSafeUserId(), room: room.roomId, event: id, title: room.name, text, isSilent: !how.hasSound, until: disappearsTs(event) };
        if (registration) await show(registration, told);
    }

    /** Waits for an event that was pushed, and sees to it; false if it does not come. */
    async seeTo({ room_id: roomId, event_id: id }: Pushed): Promise<boolean> {
        if (!roomId || !id) return false;
        const room = this.#client.getRoom(roomId);
        const event = room?.findEventById(id) ?? (await this.#arrives(id));
        if (!event) return false;
        await event.getDecryptionPromise()?.catch(() => undefined);
        await this.tell(event);
        return true;
    }

    #arrives(id: string): Promise<MatrixEvent | undefined> {
        return new Promise((done) => {
            const heard = (event: MatrixEvent) => event.getId() === id && end(event);
            const end = (event?: MatrixEvent) => {
                this.#client.off("Room.timeline" as RoomEvent.Timeline, heard);
                done(event);
            };
            this.#client.on("Room.timeline" as RoomEvent.Timeline, heard);
            setTimeout(end, WAIT_MS);
        });
    }

    #isNews(event: MatrixEvent): boolean {
        if (event.getSender() === this.#client.getUserId() || event.isRedacted() || !isMessage(event)) return false;
        if (Date.now() - event.getTs() > NEWS_MS) return false;
        return this.#client.getPushActionsForEvent(event)?.notify === true;
    }

    #textOf(event: MatrixEvent, room: Room): string {
        const text = event.isDecryptionFailure() ? words("notifications.encrypted") : oneLine(event);
        const sender = event.getSender() ?? "";
        const name = personName(sender, room.getMember(sender)?.rawDisplayName);
        return room.getInvitedAndJoinedMemberCount() > 2 ? words("chat.heard", { name, text }) : text;
    }

    /** Takes away what was read here or elsewhere. */
    async #withdraw(room: Room): Promise<void> {
        if (room.getUnreadNotificationCount() > 0) return;
        const registration = await navigator.serviceWorker?.getRegistration();
        const shown = (await registration?.getNotifications({ tag: tagOf(this.#client.getSafeUserId(), room.roomId) })) ?? [];
        for (const notification of shown) notification.close();
    }
}

// What the service worker says to this tab.
navigator.serviceWorker?.addEventListener("message", (heard: MessageEvent<Said>) => {
    const said = heard.data;
    if (said.kind === "pushed") {
        void answer(said.pushed).then((isDone) => heard.ports[0]?.postMessage(isDone));
        return;
    }
    const isOurs = isShown(said.user);
    if (isOurs && said.kind === "open") navigate(`/chat/${encodeURIComponent(said.room)}`);
    heard.ports[0]?.postMessage(isOurs);
});

async function answer(pushed: Pushed): Promise<boolean> {
    const isOurs = pushed["org.linkspan.user_id"] === session.peek()?.userId;
    return isOurs && followed !== undefined && followed.seeTo(pushed);
}
