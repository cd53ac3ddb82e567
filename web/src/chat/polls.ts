// Who has chosen what in a poll. The server has all answers; those that come later are heard in the chat.

import { signal } from "@preact/signals";
import type { Direction, MatrixClient, MatrixEvent } from "matrix-js-sdk";

import { sendAtOnce } from "./at-once";
import { type Poll, POLL_ENDS, POLL_RESPONSES } from "./content";
import { isAsSecret } from "./edits";

/** How many pages of answers are loaded, and how long each is. */
const MAX_PAGES = 20;
const PAGE = 100;

interface Votes {
    /** By the ids of answers: who has chosen them. */
    byAnswer: ReadonlyMap<string, string[]>;
    voters: number;
    own: string[];
    isEnded: boolean;
}

/** The message of a poll. */
interface Root {
    sender: string;
    poll: Poll;
    isEncrypted: boolean;
}

export class PollCounter {
    readonly votes = signal<Votes | undefined>(undefined);
    #loaded: MatrixEvent[] = [];
    /** Known once all answers are, because a part of them is not to be taken for the whole. */
    #root: Root | undefined;
    #loading: Promise<void> | undefined;
    /** What was counted last, as text. */
    #counted = "";

    constructor(
        readonly client: MatrixClient,
        readonly roomId: string,
        readonly id: string,
        readonly heard: () => MatrixEvent[],
    ) {}

    /** Loads the answers that were given already. What has failed can be tried again. */
    load(root: Root): Promise<void> {
        if (this.#root) return Promise.resolve();
        this.#loading ??= this.#loadAll()
            .then((loaded) => {
                this.#loaded = loaded;
                this.#root = root;
                this.count();
            })
            .finally(() => (this.#loading = undefined));
        return this.#loading;
    }

    async #loadAll(): Promise<MatrixEvent[]> {
        const loaded: MatrixEvent[] = [];
        let from: string | undefined;
        for (let page = 0; page < MAX_PAGES; page++) {
            const options = { dir: "b" as Direction, limit: PAGE, ...(from && { from }) };
            const { events, nextBatch } = await this.client.relations(this.roomId, this.id, "m.reference", undefined, options);
            await Promise.all(events.map((event) => this.client.decryptEventIfNeeded(event)));
            loaded.push(...events);
            if (!nextBatch) break;
            from = nextBatch;
        }
        return loaded;
    }

    /** Counts again: the last valid answer of each person, up to the end of the poll. */
    count(): void {
        if (!this.#root) return;
        const { sender, poll, isEncrypted } = this.#root;
        const all = [...this.#loaded, ...this.heard()].filter((event) => isAsSecret(event, isEncrypted));
        const events = [...new Map(all.map((event) => [event.getId(), event])).values()];
        const ends = events.filter((event) => POLL_ENDS.includes(event.getType()) && event.getSender() === sender && !event.isRedacted());
        const endTs = ends.length > 0 ? Math.min(...ends.map((event) => event.getTs())) : Infinity;
        const latest = new Map<string, MatrixEvent>();
        for (const event of events) {
            const voter = event.getSender() ?? "";
            const isVote = POLL_RESPONSES.includes(event.getType()) && !event.isRedacted() && event.getTs() <= endTs;
            if (isVote && event.getTs() >= (latest.get(voter)?.getTs() ?? 0)) latest.set(voter, event);
        }
        const known = new Set(poll.answers.map(({ id }) => id));
        const byAnswer = new Map<string, string[]>();
        const votes: Votes = { byAnswer, voters: 0, own: [], isEnded: ends.length > 0 };
        for (const [voter, event] of latest) {
            const chosen = answersOf(event).filter((id) => known.has(id)).slice(0, poll.maxSelections);
            if (chosen.length > 0) votes.voters++;
            for (const id of chosen) {
                const voters = byAnswer.get(id);
                if (voters) voters.push(voter);
                else byAnswer.set(id, [voter]);
            }
            if (voter === this.client.getSafeUserId()) votes.own = chosen;
        }
        const text = JSON.stringify({ ...votes, byAnswer: [...byAnswer] });
        if (text === this.#counted) return;
        this.#counted = text;
        this.votes.value = votes;
    }

    async vote(answers: string[], { isStable }: Poll): Promise<void> {
        const type = isStable ? "m.poll.response" : "org.matrix.msc3381.poll.response";
        const chosen = isStable ? { "m.selections": answers } : { "org.matrix.msc3381.poll.response": { answers } };
        const relation = { "m.relates_to": { rel_type: "m.reference", event_id: this.id } };
        await sendAtOnce(this.client, this.roomId, type, { ...chosen, ...relation });
    }

    async end(text: string, { isStable }: Poll): Promise<void> {
        const type = isStable ? "m.poll.end" : "org.matrix.msc3381.poll.end";
        const said = isStable ? { "m.text": [{ body: text }] } : { "org.matrix.msc1767.text": text, "org.matrix.msc3381.poll.end": {} };
        const relation = { "m.relates_to": { rel_type: "m.reference", event_id: this.id } };
        await sendAtOnce(this.client, this.roomId, type, { body: text, ...said, ...relation });
    }
}

function answersOf(event: MatrixEvent): string[] {
    const content = event.getContent();
    const unstable = (content["org.matrix.msc3381.poll.response"] as { answers?: unknown } | undefined)?.answers;
    const answers = content["m.selections"] ?? unstable;
    return Array.isArray(answers) ? [...new Set(answers.filter((id): id is string => typeof id === "string"))] : [];
}
