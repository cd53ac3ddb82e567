// The people of a demo, each of whom anybody can be.

import { useState } from "preact/hooks";

import type { DemoAccount } from "../platform";
import { Avatar } from "../ui/avatar";
import { words, type WordsId } from "../words";
import { continueAs, wordsOf } from "./server";

export function DemoPeople({ people }: { people: DemoAccount[] }) {
    const [error, setError] = useState<WordsId>();
    const [waiting, setWaiting] = useState<string>();
    const enter = async (userId: string) => {
        setWaiting(userId);
        await continueAs(userId).catch((failed: unknown) => setError(wordsOf(failed)));
        setWaiting(undefined);
    };
    return (
        <section class="demo-people">
            <h2>{words("session.demo")}</h2>
            <ul>
                {people.map(({ user_id, name }) => (
                    <li key={user_id}>
                        <button disabled={waiting !== undefined} aria-busy={waiting === user_id} onClick={() => void enter(user_id)}>
                            <Avatar id={user_id} name={name ?? ""} size={36} />
                            {words("session.demo.continue", { name: (name ?? user_id).split(" ")[0] })}
                        </button>
                    </li>
                ))}
            </ul>
            {error && <p role="alert">{words(error)}</p>}
            <p class="or">{words("session.or")}</p>
        </section>
    );
}
