// What happened in a chat besides messages, in a quiet line. Many together are folded into one.

import { useState } from "preact/hooks";

import { words } from "../words";

/** How many sentences are shown before they are folded. */
const MAX_SHOWN = 2;

export function Happened({ sentences }: { sentences: string[] }) {
    const [isOpen, setIsOpen] = useState(false);
    const isFolded = !isOpen && sentences.length > MAX_SHOWN;
    return (
        <div class="happened">
            {(isFolded ? [sentences.at(-1)!] : sentences).map((sentence, at) => (
                <p key={at} dir="auto">{sentence}</p>
            ))}
            {isFolded && <button onClick={() => setIsOpen(true)}>{words("state.more", { count: sentences.length - 1 })}</button>}
        </div>
    );
}
