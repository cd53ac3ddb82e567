// The icons that only the console has.

import { Activity, Flag, HeartPulse, History, KeyRound, Users } from "lucide";

import { Drawing } from "../ui/icon";

const SIGNS = { actions: History, health: HeartPulse, overview: Activity, reports: Flag, tokens: KeyRound, users: Users };

export type SignName = keyof typeof SIGNS;

export function Sign({ name }: { name: SignName }) {
    return <Drawing of={SIGNS[name]} />;
}
