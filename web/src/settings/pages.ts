// The pages of settings, in the order in which they are listed.

import type { FunctionComponent } from "preact";

import type { IconName } from "../ui/icon";
import { later } from "../ui/later";
import type { WordsId } from "../words";

export interface SettingsPageOf {
    icon: IconName;
    title: WordsId;
    Page: FunctionComponent<object>;
}

/** By the last part of their address. Groups are shown apart. */
export const GROUPS: Record<string, SettingsPageOf>[] = [
    {
        profile: { icon: "person", title: "settings.profile", Page: later(() => import("./profile")) },
        account: { icon: "lock", title: "settings.account", Page: later(() => import("./account")) },
        links: { icon: "link", title: "settings.links", Page: later(() => import("../people/linked-accounts")) },
    },
    {
        reach: { icon: "request", title: "settings.reach", Page: later(() => import("../people/reach-settings")) },
        discovery: { icon: "search", title: "settings.discovery", Page: later(() => import("../people/discovery-settings")) },
        blocked: { icon: "block", title: "settings.blocked", Page: later(() => import("../people/blocked")) },
        privacy: { icon: "read", title: "settings.privacy", Page: later(() => import("./privacy")) },
    },
    {
        devices: { icon: "device", title: "settings.devices", Page: later(() => import("../encryption/devices")) },
        encryption: { icon: "verified", title: "settings.encryption", Page: later(() => import("../encryption/recovery")) },
    },
    {
        notifications: { icon: "bell", title: "settings.notifications", Page: later(() => import("../sync/notification-settings")) },
        appearance: { icon: "settings", title: "settings.appearance", Page: later(() => import("./appearance")) },
    },
    {
        data: { icon: "download", title: "settings.data", Page: later(() => import("./data")) },
        about: { icon: "info", title: "settings.about", Page: later(() => import("./about")) },
    },
];

export const PAGES: Record<string, SettingsPageOf> = Object.assign({}, ...GROUPS);
