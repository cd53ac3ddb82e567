// The line below a message that the server does not have: why, and the one thing that helps.

import { words } from "../words";
import { remove, retry, waiting } from "./outbox";

export function Unsent({ id }: { id: string }) {
    const state = waiting.value.get(id);
    if (!state?.cause) return null;
    return (
        <p class="unsent" data-failed={state.state === "failed" || undefined}>
            {state.cause}
            {state.action === "retry" && <button onClick={() => retry(id)}>{words("message.retry")}</button>}
            {state.action === "remove" && <button onClick={() => remove(id)}>{words("composer.remove")}</button>}
        </p>
    );
}
