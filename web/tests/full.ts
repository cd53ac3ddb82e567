// An account that has everything in it that a screen can show: people with pictures, each kind of message, groups, requests,
// chats that are pinned, muted, archived and full of news. Everything is said in clear text, so any new device can read it.

import type { Pictures } from "./pictures.ts";
import type { Kind, Person, Platforms } from "./platforms.ts";
import { upload } from "./sayings.ts";

/** How long before now something is to have been said. Whoever shows it may set the clock of events by it (`backdate`). */
export const MINUTES_AGO = "org.example.minutes_ago";

type Content = Record<string, unknown>;

const HOUR = 60;
const DAY = 24 * HOUR;

export interface Full {
    anna: Person;
    /** Everybody, by first name. */
    people: Record<string, Person>;
    /** Chats by a short name of each. */
    rooms: Record<string, string>;
}

/** First name, whole name, and the number of the picture if there is one. */
const PEOPLE: [string, string, number?][] = [
    ["ben", "Ben Okafor", 1],
    ["chloe", "Chloé Martin", 0],
    ["dilan", "Dilan Yıldız", 3],
    ["eva", "Eva Lindqvist", 2],
    ["farid", "Farid Haddad"],
    ["grace", "Grace O’Neill", 4],
    ["hiroshi", "Hiroshi Tanaka", 5],
    ["ines", "Inés Álvarez", 6],
    ["katarzyna", "Katarzyna Wiśniewska-Nowakowska von Hohenstein zu Lichtenau"],
    ["layla", "ليلى حسن", 8],
    ["maria", "Мария Иванова", 10],
    ["jonas", "Jonas Weber"],
    ["noor", "Noor de Vries", 7],
    ["oskar", "Oskar Lund", 9],
];

const MEMBERS = 300;

export class Furniture {
    readonly #platforms: Platforms;
    readonly #pictures: Pictures;
    readonly #kind: Kind;
    readonly #tag: string;
    readonly full: Full;

    private constructor(platforms: Platforms, pictures: Pictures, kind: Kind, tag: string, anna: Person) {
        this.#platforms = platforms;
        this.#pictures = pictures;
        this.#kind = kind;
        this.#tag = tag;
        this.full = { anna, people: {}, rooms: {} };
    }

    /** Registers Anna on a platform, and everybody else, some of them on another one. `tag` ends the names of all of them. */
    static async of(platforms: Platforms, pictures: Pictures, kind: Kind, tag = ""): Promise<Furniture> {
        const anna = await platforms.register(kind, `anna${tag}`, "Anna Berg");
        const furniture = new Furniture(platforms, pictures, kind, tag, anna);
        await furniture.#picture(anna, 11);
        const other: Kind = kind === "handle" ? "account" : "handle";
        const made = PEOPLE.map(async ([short, name, portrait], at) => {
            const person = await platforms.register(at % 3 === 2 ? kind : other, `${short}${tag}`, name);
            if (portrait !== undefined) await furniture.#picture(person, portrait);
            furniture.full.people[short] = person;
        });
        await Promise.all(made);
        return furniture;
    }

    async #picture(person: Person, at: number): Promise<void> {
        const avatar_url = await upload(person, new Uint8Array(this.#pictures.portraits[at]!), "image/jpeg");
        await person.call("PUT", `/_matrix/client/v3/profile/${person.userId}/avatar_url`, { avatar_url });
    }

    #person(short: string): Person {
        return short === "anna" ? this.full.anna : this.full.people[short]!;
    }

    async say(room: string, who: string, ago: number, content: string | Content, type?: string): Promise<string> {
        const said = typeof content === "string" ? { msgtype: "m.text", body: content } : content;
        return this.#person(who).send(this.full.rooms[room]!, { ...said, [MINUTES_AGO]: ago }, type);
    }

    async react(room: string, to: string, key: string, ...who: string[]): Promise<void> {
        const content = { "m.relates_to": { rel_type: "m.annotation", event_id: to, key } };
        for (const one of who) await this.#person(one).send(this.full.rooms[room]!, content, "m.reaction");
    }

    async read(room: string, who: string, event: string): Promise<void> {
        await this.#person(who).call("POST", `/_matrix/client/v3/rooms/${encodeURIComponent(this.full.rooms[room]!)}/receipt/m.read/${encodeURIComponent(event)}`, {});
    }

    async photo(who: string, at: number, caption?: string): Promise<Content> {
        const { bytes, width, height } = this.#pictures.landscapes[at]!;
        const url = await upload(this.#person(who), new Uint8Array(bytes), "image/jpeg");
        const filename = `IMG_20${41 + at}.jpg`;
        return { msgtype: "m.image", body: caption ?? filename, filename, url, info: { mimetype: "image/jpeg", w: width, h: height, size: bytes.length } };
    }

    async voice(who: string, seconds: number): Promise<Content> {
        const waveform = Array.from({ length: 48 }, (_, at) => Math.round(180 + 700 * Math.abs(Math.sin(at * 0.9) * Math.sin(at * 0.23 + 1))));
        const url = await upload(this.#person(who), new Uint8Array(silence(seconds)), "audio/wav");
        const duration = seconds * 1000;
        return {
            msgtype: "m.audio",
            body: "Voice message.wav",
            url,
            info: { mimetype: "audio/wav", duration },
            "org.matrix.msc3245.voice": {},
            "org.matrix.msc1767.audio": { duration, waveform },
        };
    }

    async file(who: string, name: string, size: number): Promise<Content> {
        const url = await upload(this.#person(who), new TextEncoder().encode("%PDF-1.4\n"), "application/pdf");
        return { msgtype: "m.file", body: name, filename: name, url, info: { mimetype: "application/pdf", size } };
    }

    async #direct(short: string): Promise<void> {
        this.full.rooms[short] = await this.#person(short).chatWith(this.full.anna);
    }

    async #group(short: string, name: string, members: Person[], more: Content = {}): Promise<void> {
        const { anna } = this.full;
        const { room_id } = await anna.call("POST", "/_matrix/client/v3/createRoom", { name, preset: "private_chat", ...more });
        const where = `/_matrix/client/v3/rooms/${encodeURIComponent(room_id as string)}`;
        this.full.rooms[short] = room_id as string;
        for (const { userId } of members) await anna.call("POST", `${where}/invite`, { user_id: userId });
        await Promise.all(members.map((member) => member.join(room_id as string)));
    }

    async #tagged(room: string, tag: string): Promise<void> {
        const { anna, rooms } = this.full;
        await anna.call("PUT", `/_matrix/client/v3/user/${anna.userId}/rooms/${encodeURIComponent(rooms[room]!)}/tags/${tag}`, { order: 0.5 });
    }

    /** Fills everything. */
    async furnish(): Promise<Full> {
        await Promise.all(PEOPLE.slice(0, 12).map(([short]) => this.#direct(short)));
        await this.#talkWithBen();
        await this.#hike();
        await this.#shortChats();
        await this.#requests();
        return this.full;
    }

    async #talkWithBen(): Promise<void> {
        const { rooms, anna } = this.full;
        const say = (who: string, ago: number, content: string | Content) => this.say("ben", who, ago, content);
        await say("ben", 3 * DAY, "Hi Anna, are you still looking for a bike?");
        await say("anna", 3 * DAY - 4, "Yes! Mine was stolen last month 😭");
        await say("ben", 3 * DAY - 6, "My sister sells hers, it is almost new");
        await say("ben", 3 * DAY - 6, "I can ask what she wants for it");
        await say("anna", DAY + 9 * HOUR, "That would be great, thank you so much! I could come by on Saturday morning if that works for both of you.");
        const bike = await say("ben", DAY + 8 * HOUR, await this.photo("ben", 1, "Here it is, this morning by the lake"));
        await this.react("ben", bike, "😍", "anna");
        await this.react("ben", bike, "👍", "anna", "ben");
        const price = await say("ben", DAY + 8 * HOUR - 1, "She thinks 120 € would be fair");
        await anna.call("PUT", `/_matrix/client/v3/rooms/${encodeURIComponent(rooms.ben!)}/state/m.room.pinned_events/`, { pinned: [price] });
        await say("anna", DAY + 7 * HOUR, { ...replyTo(price), msgtype: "m.text", body: "Deal 🤝" });
        await say("ben", 130, await this.voice("ben", 14));
        await say("anna", 95, "On my way, twenty minutes");
        await say("ben", 94, "👍");
        await say("ben", 60, await this.file("ben", "Receipt and service booklet.pdf", 482_113));
        const edited = await say("anna", 41, "Got it, thanks!");
        await say("anna", 40, { msgtype: "m.text", body: "* Got everything, thanks!", "m.new_content": { msgtype: "m.text", body: "Got everything, thanks!" }, "m.relates_to": { rel_type: "m.replace", event_id: edited } });
        const last = await say("anna", 38, "See you at the hike on Sunday?");
        await this.read("ben", "ben", last);
        await this.#tagged("ben", "m.favourite");
    }

    async #hike(): Promise<void> {
        const { people, anna } = this.full;
        const url = await upload(anna, new Uint8Array(this.#pictures.landscapes[3]!.bytes), "image/jpeg");
        const members = ["ben", "chloe", "dilan", "eva", "farid", "grace", "hiroshi", "katarzyna"].map((short) => people[short]!);
        const initial_state = [{ type: "m.room.avatar", state_key: "", content: { url } }];
        await this.#group("hike", "Hiking on Sunday ⛰️", members, { topic: "Once a month, rain or shine. Bring your own lunch.", initial_state });
        const say = (who: string, ago: number, content: string | Content, type?: string) => this.say("hike", who, ago, content, type);
        await say("anna", 26 * HOUR, "Good morning everybody! Who is in for Sunday?");
        await say("chloe", 26 * HOUR - 3, "Me! 🙋‍♀️");
        await say("hiroshi", 26 * HOUR - 5, "Count me in, I bring the thermos");
        const poll = await say("anna", 25 * HOUR, pollOf("Where do we meet?", ["At the station, 8:30", "At the car park, 9:15", "At the hut, 10:00"]), "org.matrix.msc3381.poll.start");
        const votes: [string, number][] = [["anna", 0], ["chloe", 0], ["hiroshi", 0], ["ben", 1], ["eva", 0], ["farid", 1]];
        for (const [who, answer] of votes) await say(who, 24 * HOUR, answerTo(poll, answer), "org.matrix.msc3381.poll.response");
        await say("eva", 170, await this.photo("eva", 0));
        await say("eva", 170, await this.photo("eva", 2));
        const view = await say("eva", 169, await this.photo("eva", 3));
        for (const [key, who] of [["❤️", ["anna", "ben", "chloe"]], ["😮", ["dilan", "farid"]], ["⛰️", ["grace"]]] as const) await this.react("hike", view, key, ...who);
        await say("eva", 168, "The view from the top, last time we went");
        const weather = await say("farid", 120, "The forecast says 14 degrees and a bit of wind. I would take a light jacket, and something dry for the way back, since the last kilometre along the stream can be muddy at this time of the year.");
        const answer = await say("anna", 118, { ...replyTo(weather), msgtype: "m.text", body: "Good point, I add it to the list" });
        await this.react("hike", answer, "👍", "farid", "eva", "chloe", "hiroshi");
        const wrong = await say("dilan", 90, "wrong chat, sorry");
        await people.dilan!.call("PUT", `/_matrix/client/v3/rooms/${encodeURIComponent(this.full.rooms.hike!)}/redact/${encodeURIComponent(wrong)}/${Date.now()}`, {});
        await this.read("hike", "anna", answer);
        await this.read("hike", "farid", answer);
        const mention = { "m.mentions": { user_ids: [anna.userId] }, format: "org.matrix.custom.html", formatted_body: `<a href="https://matrix.to/#/${anna.userId}">Anna Berg</a> can you take the <b>first-aid kit</b>?` };
        await say("katarzyna", 32, { msgtype: "m.text", body: "Anna Berg can you take the first-aid kit?", ...mention });
        await say("ben", 12, "I have a spare seat in the car, for whoever comes from the south");
        await say("chloe", 11, "🎉🎉🎉");
        await say("chloe", 10, "That would be me");
    }

    async #shortChats(): Promise<void> {
        const { people, rooms, anna } = this.full;
        for (const [ago, line] of [[52, "I am at the market"], [51, "Do you need anything?"], [50, "They have the apricots again 🍑"]] as const) await this.say("chloe", "chloe", ago, line);
        await this.say("dilan", "dilan", 3 * HOUR, await this.voice("dilan", 42));
        await this.read("eva", "eva", await this.say("eva", "anna", 4 * HOUR, "Happy birthday! 🎂"));
        await this.say("farid", "anna", 5 * HOUR, "I will ask the landlord tomorrow");
        await this.say("grace", "grace", 7 * HOUR, await this.photo("grace", 2));
        await this.say("hiroshi", "hiroshi", DAY + HOUR, await this.file("hiroshi", "Minutes of the meeting, 12 November.pdf", 1_204_220));
        await this.say("ines", "ines", DAY + 2 * HOUR, "¿Has visto las fotos del sábado?");
        await this.say("katarzyna", "katarzyna", 2 * DAY, "Thank you for the flowers, they are wonderful and still as fresh as on the first day");
        const arabic: [string, string][] = [["layla", "مرحبا آنا، كيف حالك؟"], ["anna", "أنا بخير، شكراً! وأنت؟"], ["layla", "الحمد لله. هل نلتقي يوم الجمعة في المقهى الجديد بجانب المحطة؟"], ["layla", "الساعة 18:30؟"], ["anna", "ممتاز، أراك هناك"]];
        for (const [at, [who, line]] of arabic.entries()) await this.say("layla", who, 3 * DAY - at * 2, line);
        await this.say("maria", "maria", 5 * DAY, "До встречи в понедельник!");
        await this.say("jonas", "jonas", 20 * DAY, "The flat is yours if you want it");
        await this.#tagged("jonas", "m.lowpriority");
        await this.#group("family", "Family", [people.ines!, people.jonas!]);
        for (let at = 0; at < 104; at++) await this.say("family", "ines", 400 - at, at === 103 ? "Who brings the cake?" : `Message ${at + 1}`);
        await this.#group("quiet", "House 14, notices", [people.oskar!]);
        await this.say("quiet", "oskar", 9 * HOUR, "The water is off on Tuesday from 9 to 11");
        const rule = { actions: [] };
        await anna.call("PUT", `/_matrix/client/v3/pushrules/global/room/${encodeURIComponent(rooms.quiet!)}`, rule);
    }

    async #requests(): Promise<void> {
        const { anna, people } = this.full;
        for (const [short, first] of [["noor", "Hi Anna! We met at the conference in Lyon, I have the slides you asked for."], ["oskar", "Hello, is the desk still for sale?"]] as const) {
            const request = { is_direct: true, preset: "trusted_private_chat", invite: [anna.userId] };
            const { room_id } = await people[short]!.call("POST", "/_matrix/client/v3/createRoom", request);
            await people[short]!.say(room_id as string, first);
        }
    }

    /** Makes a group of 300 people. It takes a while, since each of them has an account. */
    async crowd(): Promise<void> {
        const members: Person[] = [];
        for (let at = 0; members.length < MEMBERS - 1; at += FIRST.length) {
            const row = FIRST.slice(0, MEMBERS - 1 - members.length);
            const made = row.map((first, more) => {
                const name = `${first} ${pick(LAST, at / FIRST.length + more * 3)}`;
                return this.#platforms.register(this.#kind, `crowd${at + more}${this.#tag}`, name);
            });
            members.push(...(await Promise.all(made)));
        }
        await this.#group("crowd", "Riverside neighbours", members);
        const said = ["The lift works again 🎉", "Has anybody seen a grey cat?", "Thank you all for the help on Saturday!"];
        for (const [at, line] of said.entries()) await members[at * 7]!.send(this.full.rooms.crowd!, { msgtype: "m.text", body: line, [MINUTES_AGO]: 80 - at * 9 });
    }
}

const pick = <Value>(from: Value[], at: number): Value => from[at % from.length]!;
const FIRST = ["Ada", "Bruno", "Carla", "David", "Elif", "Finn", "Gina", "Hamid", "Iris", "Jakub", "Kira", "Liam", "Mila", "Nico", "Olga", "Paul", "Rosa", "Sami", "Tara", "Yuki"];
const LAST = ["Abel", "Bauer", "Costa", "Diaz", "Evans", "Fischer", "Garcia", "Hansen", "Ito", "Jansen", "Keller", "Lopez", "Moreau", "Novak", "Olsen"];

/** A sound of nothing, as a WAV file. */
function silence(seconds: number): Buffer {
    const rate = 8000;
    const size = rate * seconds;
    const head = Buffer.alloc(44);
    head.write("RIFF", 0);
    head.writeUInt32LE(36 + size, 4);
    head.write("WAVEfmt ", 8);
    head.writeUInt32LE(16, 16);
    head.writeUInt16LE(1, 20);
    head.writeUInt16LE(1, 22);
    head.writeUInt32LE(rate, 24);
    head.writeUInt32LE(rate, 28);
    head.writeUInt16LE(1, 32);
    head.writeUInt16LE(8, 34);
    head.write("data", 36);
    head.writeUInt32LE(size, 40);
    return Buffer.concat([head, Buffer.alloc(size, 128)]);
}

const replyTo = (event: string): Content => ({ "m.relates_to": { "m.in_reply_to": { event_id: event } } });

function pollOf(question: string, answers: string[]): Content {
    const text = (body: string) => ({ "org.matrix.msc1767.text": body });
    return {
        ...text(question),
        "org.matrix.msc3381.poll.start": {
            question: text(question),
            kind: "org.matrix.msc3381.poll.disclosed",
            max_selections: 1,
            answers: answers.map((answer, at) => ({ id: `a${at}`, ...text(answer) })),
        },
    };
}

function answerTo(poll: string, answer: number): Content {
    return { "m.relates_to": { rel_type: "m.reference", event_id: poll }, "org.matrix.msc3381.poll.response": { answers: [`a${answer}`] } };
}
