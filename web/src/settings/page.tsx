// One page of settings, under its title.

import "./settings.css";

import { Back, PaneTitle } from "../ui/pane";
import { words } from "../words";
import { useLoadOwn } from "./menu";
import { PAGES } from "./pages";

export default function SettingsPage({ page }: { page: string }) {
    useLoadOwn();
    const found = PAGES[page];
    return (
        <main class="pane">
            <header>
                <Back to="/settings" />
                <PaneTitle>{found && words(found.title)}</PaneTitle>
            </header>
            <div class="pane-body">
                <div class="settings-page">{found && <found.Page />}</div>
            </div>
        </main>
    );
}
