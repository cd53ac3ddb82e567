// What the service worker does with a push: it learns ids only, so it asks an open tab, or the server, what they are about.

import { account, type Account, allAccounts } from "../sync/shared";
import { addressFor, closePast, type Kept, type Pushed, type Said, show } from "../sync/show";

/** How long an open tab may take to say that it has seen to it, and whose it is, in milliseconds. */
const TAB_MS = 4000;
const WHOSE_MS = 500;

export async function answerPush(worker: ServiceWorkerGlobalScope, pushed: Pushed | undefined): Promise<void> {
    await closePast(worker.registration);
    if (!pushed) return;
    await withdraw(worker.registration, pushed);
    if (pushed.ack_token) return activate(pushed);
    const { room_id: room, event_id: event, "org.linkspan.user_id": user } = pushed;
    if (!room || !event || !user) return;
    const tabs = await worker.clients.matchAll({ type: "window" });
    const answers = tabs.map((tab) => askTab(tab, { kind: "pushed", pushed }, TAB_MS));
    if ((await Promise.all(answers)).includes(true)) return;
    const known = await account(user);
    if (!known) return;
    const told = await describe(known, room, event).catch(() => undefined);
    if (told === "nothing") return;
    const until = pushed["org.linkspan.disappears_ts"];
    await show(worker.registration, { user, room, event, title: told?.title ?? "", text: told?.text ?? known.words.message, isSilent: !known.hasSound, until });
}

/** Shows the server that its pushes arrive. It does not say whose pusher it is, and those of others refuse the token. */
async function activate({ app_id, ack_token }: Pushed): Promise<void> {
    for (const { token } of await allAccounts()) {
        const request = { method: "POST", headers: { Authorization: `Bearer ${token}` }, body: JSON.stringify({ app_id, ack_token }) };
        const answer = await fetch("/_matrix/client/v3/pushers/ack", request);
        if (answer.ok) return;
    }
}

/** Whether the tab says so in time. */
function askTab(tab: Client, said: Said, ms: number): Promise<boolean> {
    return new Promise((done) => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = ({ data }) => done(data === true);
        setTimeout(() => done(false), ms);
        tab.postMessage(said, [port2]);
    });
}

/** Takes away what was read elsewhere. */
async function withdraw(registration: ServiceWorkerRegistration, pushed: Pushed): Promise<void> {
    const unread = pushed.counts?.unread === 0 ? [] : pushed["org.linkspan.unread_rooms"];
    if (!unread) return;
    for (const shown of await registration.getNotifications()) {
        const { room, user } = shown.data as Kept;
        if (user === pushed["org.linkspan.user_id"] && room && !unread.includes(room)) shown.close();
    }
}

interface Content {
    type: string;
    sender: string;
    content: { msgtype?: unknown; body?: unknown };
}

/** A field of an event, in which whoever has sent it can have written anything. */
const textIn = (field: unknown) => (typeof field === "string" ? field : "");

async function describe({ token, hasPreview, words }: Account, room: string, event: string): Promise<{ title: string; text: string } | "nothing"> {
    const at = `/_matrix/client/v3/rooms/${encodeURIComponent(room)}`;
    const read = async <Value>(path: string): Promise<Value | undefined> => {
        const answer = await fetch(at + path, { headers: { Authorization: `Bearer ${token}` } });
        if (answer.status === 403 || answer.status === 404) return undefined;
        if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
        return (await answer.json()) as Value;
    };
    const found = await read<Content>(`/event/${encodeURIComponent(event)}`);
    // It was deleted, or the person has left.
    if (!found) return "nothing";
    const [member, named] = await Promise.all([
        read<{ displayname?: unknown }>(`/state/m.room.member/${encodeURIComponent(found.sender)}`),
        read<{ name?: unknown }>("/state/m.room.name"),
    ]);
    const sender = textIn(member?.displayname);
    const title = textIn(named?.name);
    const text = hasPreview ? textOf(found, words) : words.message;
    return title ? { title, text: sender ? `${sender}: ${text}` : text } : { title: sender, text };
}

function textOf({ type, content }: Content, words: Account["words"]): string {
    if (type !== "m.room.message") return words.message;
    return content.msgtype === "m.image" ? words.photo : textIn(content.body) || words.message;
}

/** Opens a chat in a tab that shows the account, or in a new one. */
export async function openChat(worker: ServiceWorkerGlobalScope, { room, user }: Kept): Promise<void> {
    if (!room || !user) return;
    const tabs = await worker.clients.matchAll({ type: "window" });
    const answers = await Promise.all(tabs.map((tab) => askTab(tab, { kind: "whose", user }, WHOSE_MS)));
    const theirs = tabs.filter((_, at) => answers[at]);
    const tab = theirs.find(({ visibilityState }) => visibilityState === "visible") ?? theirs[0];
    if (!tab) {
        await worker.clients.openWindow(addressFor(user, `/chat/${encodeURIComponent(room)}`));
        return;
    }
    await tab.focus();
    tab.postMessage({ kind: "open", room, user } satisfies Said);
}
