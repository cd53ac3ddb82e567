// Encryption and recovery, for the settings: where the person stands, and what they can do about it.

import "./encryption.css";

import { client } from "../sync/running";
import { Icon } from "../ui/icon";
import { words } from "../words";
import { opened } from "./opened";
import { standing } from "./standing";

export default function Recovery() {
    const here = standing.value;
    if (!client.value || !here) return null;
    return (
        <div class="devices">
            <ul class="devices-list">
                <Line isWell={here.isConfirmed} text={words(here.isConfirmed ? "recovery.confirmed" : "recovery.unconfirmed")} />
                <Line isWell={here.isBackedUp} text={words(here.isBackedUp ? "recovery.backup" : "recovery.no_backup")} />
                <Line isWell={here.hasRecovery} text={words(here.hasRecovery ? "recovery.key" : "recovery.no_key")} />
            </ul>
            <button class="secondary" onClick={() => (opened.value = { kind: here.isConfirmed ? "save" : "confirm" })}>
                {words(here.isConfirmed ? (here.hasRecovery ? "recovery.key.new" : "recovery.key.make") : "encryption.banner.confirm.go")}
            </button>
            {here.isConfirmed && here.hasRecovery && <p class="devices-hint">{words("recovery.key.new.hint")}</p>}
            <p class="devices-hint">{words("recovery.storage")}</p>
        </div>
    );
}

function Line({ isWell, text }: { isWell: boolean; text: string }) {
    return (
        <li>
            <Icon name={isWell ? "verified" : "failed"} />
            <span class="devices-what">{text}</span>
        </li>
    );
}
