// What the person's own account is: name, picture, handle, addresses.

import type { MatrixClient } from "matrix-js-sdk";

import { platform } from "../platform";
import { noteName, perAccount, session } from "../session/session";
import { ask } from "../sync/ask";

export interface Own {
    userId: string;
    name: string;
    avatar?: string | undefined;
    handle?: string | undefined;
    addresses: Address[];
}

export interface Address {
    medium: "email" | "msisdn";
    address: string;
}

/** The person's account as the server said it last. */
export const own = perAccount<Own | undefined>(undefined);

export async function loadOwn(client: MatrixClient): Promise<void> {
    const userId = client.getSafeUserId();
    const [profile, threePids, handle] = await Promise.all([
        client.getProfileInfo(userId).catch((): { displayname?: string; avatar_url?: string } => ({})),
        client.getThreePids(),
        platform.peek()?.identity === "handle" ? ask<{ handle: string }>("GET", "/handle") : undefined,
    ]);
    const told: Own = {
        userId,
        name: profile.displayname ?? "",
        avatar: profile.avatar_url,
        handle: handle?.handle,
        addresses: threePids.threepids.map(({ medium, address }) => ({ medium: medium as Address["medium"], address })),
    };
    noteName(userId, told.name);
    if (session.peek()?.userId === userId) own.value = told;
}

/** What the account is known by on this platform, as people write it. */
export function knownBy(account: Own): string {
    if (account.handle) return `@${account.handle}`;
    const phone = account.addresses.find(({ medium }) => medium === "msisdn");
    const email = account.addresses.find(({ medium }) => medium === "email");
    const first = platform.value?.identity === "phone" ? (phone ?? email) : (email ?? phone);
    return first ? written(first) : "";
}

export function written({ medium, address }: Address): string {
    return medium === "msisdn" ? `+${address}` : address;
}
