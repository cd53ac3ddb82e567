// What this is, and where to go on.

import { platform } from "../platform";
import { words } from "../words";

export default function About() {
    const { name, label } = platform.value!;
    return (
        <section>
            <p>
                <b>{name}</b> {label}
            </p>
            <p class="hint">{words("settings.about.text", { name })}</p>
            <p class="buttons">
                <a class="secondary" href="/_linkspan/about" target="_blank" rel="noreferrer">
                    {words("session.other_apps")}
                </a>
            </p>
        </section>
    );
}
