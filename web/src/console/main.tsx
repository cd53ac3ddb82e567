// Where the operator's console begins.

import "../styles/index.css";
import "./console.css";

import { render } from "preact";

import { loadNeighbours, loadPlatform, platform } from "../platform";
import "../settings/choices";
import { Boundary } from "../ui/boundary";
import { loadWords, words as common } from "../words";
import { Console } from "./console";
import { loadConsoleWords } from "./words";

const described = describe();
await Promise.all([loadWords().then(loadConsoleWords), platform.peek() ?? described]);
render(
    <Boundary>
        <Window />
    </Boundary>,
    document.getElementById("app")!,
);

async function describe(): Promise<void> {
    loadNeighbours().catch((error: unknown) => console.warn(error));
    await loadPlatform().catch((error: unknown) => console.warn(error));
}

/** Nothing can be shown before the platform has said once what it is. */
function Window() {
    if (platform.value) return <Console />;
    return (
        <main class="broken-pane">
            <p role="alert">{common("session.unreachable")}</p>
            <button class="primary" onClick={() => void describe()}>
                {common("broken.again")}
            </button>
        </main>
    );
}
