// The door of a platform: what it is, and the ways in that its kind has.

import "./session.css";

import { useEffect, useState } from "preact/hooks";

import { neighbours, platform } from "../platform";
import { Icon } from "../ui/icon";
import { listOf } from "../ui/lists";
import { LanguageChoice } from "../ui/language";
import { words } from "../words";
import { ByCode } from "./by-code";
import { ByPassword } from "./by-password";
import { DemoPeople } from "./demo-people";
import { takesCodes } from "./server";
import { sessions, show } from "./session";
import { SignUp } from "./sign-up";

type Way = "code" | "password" | "sign-up";

export default function Welcome() {
    const here = platform.value!;
    const byCode = useCodes();
    const [chosen, setWay] = useState<Way>();
    const way = chosen ?? (byCode ? "code" : "password");
    const back = sessions.value[0];
    return (
        <main class="door">
            <Banner />
            <div class="ways">
                {back && (
                    <button class="icon-button" aria-label={words("back")} onClick={() => show(back.userId)}>
                        <Icon name="back" />
                    </button>
                )}
                {here.demo_accounts && here.demo_accounts.length > 0 && <DemoPeople people={here.demo_accounts} />}
                {way === "code" && <ByCode usePassword={() => setWay("password")} />}
                {way === "password" && (
                    <ByPassword
                        useCode={byCode ? () => setWay("code") : undefined}
                        signUp={!byCode && here.registration !== "closed" ? () => setWay("sign-up") : undefined}
                    />
                )}
                {way === "sign-up" && <SignUp logIn={() => setWay("password")} />}
                <footer>
                    <LanguageChoice />
                    <a href="/_linkspan/about">{words("session.other_apps")}</a>
                </footer>
            </div>
        </main>
    );
}

/** What the platform is, in its own colour. */
function Banner() {
    const here = platform.value!;
    const others = neighbours.value.filter(({ server_name }) => server_name !== here.server_name);
    return (
        <header class="banner">
            <div class="names">
                <span class="mark" aria-hidden="true">
                    {here.name.slice(0, 1)}
                </span>
                <h1>{here.name}</h1>
                {here.label && <p class="label">{here.label}</p>}
            </div>
            <p class="lead">
                {others.length > 0
                    ? words("session.lead", { others: listOf(others.map(({ name }) => name)) })
                    : words("session.lead.alone")}
            </p>
            <div class="sample" aria-hidden="true">
                <p>{words("session.sample.question")}</p>
                <p>{words("session.sample.answer")}</p>
            </div>
        </header>
    );
}

/** Whether people log in by codes here. Until the server has said it, it is as the kind of platform has it. */
function useCodes(): boolean {
    const [takes, setTakes] = useState(platform.value!.identity !== "handle");
    useEffect(() => {
        takesCodes().then(setTakes, () => undefined);
    }, []);
    return takes;
}
