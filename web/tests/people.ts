// People with chats, as a screen needs them that is to be looked at.

import type { Person, Platforms } from "./platforms.ts";
import { KINDS } from "./platforms.ts";

const NAMES = [
    "Ben Okafor", "Chloé Martin", "Dilan Yıldız", "Eva Lindqvist", "Farid Haddad", "Grace O’Neill", "Hiroshi Tanaka", "Inés Álvarez",
    "Jonas Weber", "Katarzyna Wiśniewska-Nowakowska von Hohenstein", "ليلى حسن", "Мария Иванова",
];
const LINES = [
    "Are you coming tonight?", "I found the place, it is behind the station 🚉", "Ok!", "👍", "Not yet", "Haha yes", "How was it?",
    "See you at eight then. Bring the blue folder please, and if you can the two chairs from the cellar as well.",
    "Did you see the pictures from Saturday?", "The train is late again…", "Can you send me the address?", "Let me ask Chloé first.",
];
const ARABIC = ["مرحبا، كيف حالك؟", "أراك غداً", "شكراً جزيلاً"];

/** Registers Anna, who has chats with twelve people of all platforms, and a group. Those of the phone platform, where every
 * message is encrypted, have only been invited. */
export async function makePeople(platforms: Platforms): Promise<Person> {
    const anna = await platforms.register("handle", "anna", "Anna Berg");
    const people: Person[] = [];
    for (const [at, name] of NAMES.entries()) {
        const person = await platforms.register(KINDS[at % 3]!, `user${at}`, name);
        people.push(person);
        const room = await person.chatWith(anna);
        if (person.kind === "phone") continue;
        const lines = name.startsWith("ل") ? ARABIC : LINES;
        for (let line = 0; line < 3 + ((at * 7) % 40); line++) {
            await (line % 3 === at % 2 ? anna : person).say(room, lines[(line * 5 + at) % lines.length]!);
        }
    }
    const group = { name: "Hiking on Sunday ⛰️", preset: "private_chat" };
    const { room_id } = await anna.call("POST", "/_matrix/client/v3/createRoom", group);
    for (const [at, person] of people.filter(({ kind }) => kind !== "phone").entries()) {
        await anna.call("POST", `/_matrix/client/v3/rooms/${encodeURIComponent(room_id as string)}/invite`, { user_id: person.userId });
        await person.join(room_id as string);
        await person.say(room_id as string, LINES[at % LINES.length]!);
    }
    await anna.say(room_id as string, "I made a list of what we need");
    return anna;
}
