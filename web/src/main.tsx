// Where the app begins. What was there last time is painted first; all else is loaded after it.

import "./styles/index.css";

import { render } from "preact";

import { App } from "./app";
import { showListOf } from "./chats/rows";
import { loadNeighbours, loadPlatform, platform } from "./platform";
import { session } from "./session/session";
import "./settings/choices";
import { followLeaving } from "./sync/leaving";
import { beginWorker } from "./sync/worker";
import { Boundary } from "./ui/boundary";
import { loadWords, words } from "./words";

const begun = session.peek();
const described = loadPlatform();
described.catch((error: unknown) => console.warn(error));
loadNeighbours().catch((error: unknown) => console.warn(error));
await Promise.all([loadWords(), begun && showListOf(begun.userId), platform.peek() ?? described.catch(() => undefined)]);
render(<Window />, document.getElementById("app")!);
beginWorker();
followLeaving();

/** Nothing can be shown before the platform has said once what it is. */
function Window() {
    return <Boundary>{platform.value ? <App /> : <Unreachable />}</Boundary>;
}

// The server may be there again before anybody presses the button.
addEventListener("online", () => platform.peek() ?? askAgain());

function askAgain(): void {
    loadPlatform().catch((error: unknown) => console.warn(error));
    loadNeighbours().catch((error: unknown) => console.warn(error));
}

function Unreachable() {
    return (
        <main class="broken-pane">
            <p role="alert">{words("session.unreachable")}</p>
            <button class="primary" onClick={askAgain}>
                {words("broken.again")}
            </button>
        </main>
    );
}
