// Proving again that it is the person, before what would hurt them if it were somebody else.
// https://spec.matrix.org/v1.19/client-server-api/#user-interactive-authentication-api

import { signal } from "@preact/signals";

export type Auth = Record<string, unknown>;

/** The ways that the app knows, the easiest first. The last two are pages of the server. */
const WAYS = {
    "m.login.password": "password",
    "m.login.email.identity": "email",
    "m.login.msisdn": "msisdn",
    "m.oauth": "page",
    "org.matrix.cross_signing_reset": "page",
} as const;

type Stage = keyof typeof WAYS;

export interface Asked {
    way: (typeof WAYS)[Stage];
    /** What the server calls this attempt. */
    session: string;
    /** Where the page is, if the way is one. */
    url?: string | undefined;
    wasWrong: boolean;
    /** Called with the proof, or with nothing when the person does not want to after all. */
    answer: (auth: Auth | undefined) => void;
}

/** What the person is asked now. The window shows it over everything else. */
export const asked = signal<Asked | undefined>(undefined);

/** The person did not want to prove it. */
export class Cancelled extends Error {}

/**
 * Asks the server for something that needs a proof, and asks the person for the proof until the server takes it. A proof that
 * is `known`, such as a password that was typed a moment ago, is tried first.
 *
 * @throws Cancelled if the person closes the dialog; what the server refuses for other reasons, as `request` throws it.
 */
export async function withProof<Answer>(request: (auth?: Auth) => Promise<Answer>, known?: Auth): Promise<Answer> {
    let auth: Auth | undefined;
    let unused = known;
    for (;;) {
        try {
            return await request(auth);
        } catch (error) {
            const challenge = challengeOf(error);
            if (!challenge) throw error;
            auth = unused ? { ...unused, session: challenge.session } : await askFor(challenge, auth !== undefined);
            unused = undefined;
            if (!auth) throw new Cancelled();
        }
    }
}

interface Challenge {
    flows: { stages: string[] }[];
    session: string;
    params?: Record<string, { url?: string }>;
}

/** What the server asks for, whether the library or the app has asked it. */
function challengeOf(error: unknown): Challenge | undefined {
    const { status, httpStatus, body, data } = error as { status?: number; httpStatus?: number; body?: object; data?: object };
    const said = (body ?? data) as Partial<Challenge> | undefined;
    return (status ?? httpStatus) === 401 && said?.flows && said.session ? (said as Challenge) : undefined;
}

function askFor({ flows, session, params }: Challenge, wasWrong: boolean): Promise<Auth | undefined> {
    const stages = flows.filter((flow) => flow.stages.length === 1).map((flow) => flow.stages[0]);
    const stage = (Object.keys(WAYS) as Stage[]).find((one) => stages.includes(one)) ?? "m.login.password";
    return new Promise((answer) => {
        asked.value = {
            way: WAYS[stage],
            session,
            url: params?.[stage]?.url,
            wasWrong,
            answer: (auth) => {
                asked.value = undefined;
                answer(auth);
            },
        };
    });
}
