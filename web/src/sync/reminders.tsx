// What the list of chats reminds of, one thing at a time.

import "../encryption/encryption.css";

import { signal } from "@preact/signals";

import { EncryptionBanner } from "../encryption/banner";
import { reminder } from "../encryption/standing";
import { Icon } from "../ui/icon";
import { words } from "../words";
import { client } from "./running";
import { choose, isOffered, putOff } from "./notifications";

const isAsking = signal(false);

export function Reminders() {
    if (reminder.value) return <EncryptionBanner />;
    return isOffered.value && !isAsking.value ? <NotificationBanner /> : null;
}

/** Offers notifications once the person has written something. The browser asks when they want them, and never before. */
function NotificationBanner() {
    const allow = async () => {
        isAsking.value = true;
        const answer = await Notification.requestPermission();
        isAsking.value = false;
        if (answer === "granted" && client.peek()) await choose(client.peek()!, {});
        putOff();
    };
    return (
        <aside class="encryption-banner" aria-label={words("notifications.ask")}>
            <Icon name="bell" />
            <p>
                <b>{words("notifications.ask")}</b>
                <small>{words("notifications.ask.hint")}</small>
            </p>
            <button class="secondary" onClick={() => void allow()}>
                {words("notifications.allow")}
            </button>
            <button class="icon-button" aria-label={words("encryption.later")} onClick={putOff}>
                <Icon name="close" />
            </button>
        </aside>
    );
}
