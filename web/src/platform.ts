// What the app knows of the platform that serves it, and of the others whose people can be met here.

import { signal } from "@preact/signals";

export type Identity = "handle" | "account" | "phone";

export interface Platform {
    name: string;
    /** What kind of platform it is, in a few words that are shown beside its name. */
    label?: string;
    server_name: string;
    identity: Identity;
    registration: "open" | "token" | "closed";
    encryption: "optional" | "required" | "forbidden";
    /** Accounts that anybody can continue as, in a demo. */
    demo_accounts?: DemoAccount[];
}

export interface DemoAccount {
    user_id: string;
    name?: string;
}

/** A hosted platform as its neighbours know it. */
export interface Neighbour {
    server_name: string;
    name: string;
    label?: string;
    /** As `#rrggbb`. */
    colour: string;
    identity: Identity;
    encryption: Platform["encryption"];
    /** Where its app is opened, as `https://…`. */
    address?: string;
}

const KEPT = "linkspan.platform";
const KEPT_NEIGHBOURS = "linkspan.neighbours";

function kept<Value>(name: string): Value | undefined {
    const text = localStorage.getItem(name);
    return text ? (JSON.parse(text) as Value) : undefined;
}

/** The platform as it was when the app was last open, until the server has said it again. */
export const platform = signal(kept<Platform>(KEPT));

/** The hosted platforms, this one among them. */
export const neighbours = signal(kept<Neighbour[]>(KEPT_NEIGHBOURS) ?? []);

async function read<Value>(path: string): Promise<Value> {
    const answer = await fetch(path);
    if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
    return (await answer.json()) as Value;
}

export async function loadPlatform(): Promise<void> {
    const described = await read<Platform>("/_linkspan/client/v1/platform");
    localStorage.setItem(KEPT, JSON.stringify(described));
    platform.value = described;
}

export async function loadNeighbours(): Promise<void> {
    const { platforms } = await read<{ platforms: Neighbour[] }>("/_linkspan/client/v1/platforms");
    localStorage.setItem(KEPT_NEIGHBOURS, JSON.stringify(platforms));
    neighbours.value = platforms;
}

/** The server of a user id, which says which platform somebody is on. */
export function serverOf(userId: string): string {
    return userId.slice(userId.indexOf(":") + 1);
}

/** Whether somebody is on another platform than the app's. Only then has their picture the mark of it. */
export function isOfOtherPlatform(userId: string): boolean {
    return serverOf(userId) !== platform.value?.server_name;
}

/** What people call the platform of this server: its name, or the server's own name if it is hosted elsewhere. */
export function platformName(server: string): string {
    return neighbours.value.find((neighbour) => neighbour.server_name === server)?.name ?? server;
}
