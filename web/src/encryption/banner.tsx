// A reminder at the head of the list of chats: calm, beside what is there and not over it, and gone when it is settled.

import "./encryption.css";

import { client } from "../sync/running";
import { Icon } from "../ui/icon";
import { words } from "../words";
import { opened } from "./opened";
import { remindLater, reminder } from "./standing";

export function EncryptionBanner() {
    const kind = reminder.value;
    const running = client.value;
    if (!kind || !running) return null;
    return (
        <aside class="encryption-banner" aria-label={words(`encryption.banner.${kind}`)}>
            <Icon name={kind === "save" ? "lock" : "device"} />
            <p>
                <b>{words(`encryption.banner.${kind}`)}</b>
                <small>{words(`encryption.banner.${kind}.hint`)}</small>
            </p>
            <button class="secondary" onClick={() => (opened.value = { kind })}>
                {words(`encryption.banner.${kind}.go`)}
            </button>
            <button class="icon-button" aria-label={words("encryption.later")} onClick={() => remindLater(running.getSafeUserId())}>
                <Icon name="close" />
            </button>
        </aside>
    );
}
