// An account with very many chats, one of them very long: what the app is measured with.

import { type Person, Platforms } from "../tests/platforms.ts";

export interface Amounts {
    chats: number;
    /** Messages of the long chat. */
    messages: number;
}

/** What the long chat is called. It is pinned by being the newest. */
export const LONG = "The long chat";
export const NAME = "anna";

/** How many people the chats are with. */
const PEOPLE = 40;
/** How many requests are open at a time. */
const AT_A_TIME = 24;
/** How often it is said how far it has come. */
const SAY_EVERY = 1000;

const LINES = [
    "Are you coming tonight?", "Ok!", "I found the place, it is behind the station 🚉", "Not yet", "Haha yes, of course", "👍",
    "See you at eight then. Bring the blue folder please, and if you can the two chairs from the cellar as well.", "How was it?",
    "The train is late again, so begin without me. I will be there as soon as I can, and bring what you asked for last time.",
];

/** Makes the account in a folder, unless that has it already. */
export async function makeMuch(data: string, amounts: Amounts): Promise<void> {
    const platforms = await Platforms.start({ data });
    if (!(await platforms.has("handle", NAME))) await make(platforms, amounts);
    await platforms.stop();
}

async function make(platforms: Platforms, { chats, messages }: Amounts): Promise<void> {
    const anna = await platforms.register("handle", NAME, "Anna Berg");
    const people: Person[] = [];
    for (let at = 0; at < PEOPLE; at++) people.push(await platforms.register("handle", `user${at}`, `Person ${at}`));
    await each(chats - 1, "chats", async (at) => {
        const other = people[at % PEOPLE]!;
        const room = await begin(other, anna, `Group ${at}`);
        await other.say(room, LINES[at % LINES.length]!);
    });
    const [one, two] = people as [Person, Person];
    const long = await begin(one, anna, LONG);
    await one.invite(long, two);
    await two.join(long);
    await each(messages, "messages", async (at) => {
        const sender = [one, anna, two][Math.floor(at / 2) % 3]!;
        await sender.say(long, `${at}: ${LINES[at % LINES.length]}`);
    });
}

async function begin(maker: Person, other: Person, name: string): Promise<string> {
    const request = { name, preset: "private_chat", invite: [other.userId] };
    const { room_id } = await maker.call("POST", "/_matrix/client/v3/createRoom", request);
    await other.join(room_id as string);
    return room_id as string;
}

/** Does something many times, a few at a time. */
async function each(count: number, what: string, run: (at: number) => Promise<void>): Promise<void> {
    let next = 0;
    const work = async () => {
        for (let at = next++; at < count; at = next++) {
            await run(at);
            if ((at + 1) % SAY_EVERY === 0) console.log(`${at + 1} of ${count} ${what}`);
        }
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, work));
}
