// The whole window of the console: the door, or the menu of pages and the page that is open.

import "../settings/settings.css";

import { useEffect, useState } from "preact/hooks";
import { Link, Route, Router, Switch, useLocation } from "wouter-preact";

import { platform } from "../platform";
import { theme } from "../settings/choices";
import { decoded } from "../ui/address";
import { Boundary } from "../ui/boundary";
import { Confirm } from "../ui/confirm";
import { Icon } from "../ui/icon";
import { LanguageChoice } from "../ui/language";
import { Notices } from "../ui/notice";
import { ListPane } from "../ui/pane";
import { words as common } from "../words";
import { shownId } from "./api";
import { Door } from "./door";
import { followReports, openReports } from "./open-reports";
import { PAGES } from "./pages";
import { logOut, operator } from "./session";
import { Sign } from "./sign";
import { words } from "./words";

/** Where the program serves the console. */
const BASE = "/_linkspan/console";

export function Console() {
    const begun = operator.value;
    return (
        <>
            {begun ? (
                <Router key={begun.userId} base={BASE}>
                    <Panes />
                </Router>
            ) : (
                <Door />
            )}
            <Notices />
        </>
    );
}

function Panes() {
    const [location] = useLocation();
    useEffect(followReports, []);
    const [, open = ""] = location.split("/");
    const [[first, { Page: First }]] = Object.entries(PAGES) as [[string, (typeof PAGES)[string]]];
    const shown = open in PAGES ? open : first;
    useEffect(() => {
        document.title = `${words(PAGES[shown]!.title)} – ${platform.value!.name}`;
    });
    return (
        <div class="panes console" data-open={open in PAGES || undefined}>
            <Menu shown={shown} />
            <Boundary place={location}>
                <Switch>
                    {Object.entries(PAGES).flatMap(([name, { Page, One }]) => [
                        <Route key={name} path={`/${name}`}>
                            <Page />
                        </Route>,
                        One && (
                            <Route key={`${name}/`} path={`/${name}/:id`}>
                                {(params: object) => {
                                    const { id } = params as { id: string };
                                    return <One key={id} id={decoded(id)} />;
                                }}
                            </Route>
                        ),
                    ])}
                    <Route>
                        <First />
                    </Route>
                </Switch>
            </Boundary>
        </div>
    );
}

function Menu({ shown }: { shown: string }) {
    const [location] = useLocation();
    const [isLeaving, setLeaving] = useState(false);
    const here = platform.value!;
    const open = openReports.value?.length ?? 0;
    const current = (name: string) => (name === shown ? (location === `/${name}` || location === "/" ? "page" : "true") : undefined);
    return (
        <ListPane aria-label={words("console")} class="console-menu">
            <header>
                <span class="mark" aria-hidden="true">
                    {here.name.slice(0, 1)}
                </span>
                <h1>
                    {here.name}
                    <small>{words("console")}</small>
                </h1>
            </header>
            <div class="pane-body settings-menu">
                <ul>
                    {Object.entries(PAGES).map(([name, { sign, title }]) => (
                        <li key={name}>
                            <Link href={`/${name}`} class="entry" aria-current={current(name)}>
                                <Sign name={sign} />
                                {words(title)}
                                {name === "reports" && open > 0 && (
                                    <span class="badge">
                                        {open}
                                        <span class="only-said"> {words("reports.open.count", { count: open })}</span>
                                    </span>
                                )}
                            </Link>
                        </li>
                    ))}
                </ul>
                <ul>
                    <li class="menu-line">
                        <span>{common("language")}</span>
                        <LanguageChoice />
                    </li>
                    <li class="menu-line">
                        <span>{common("settings.theme")}</span>
                        <ThemeChoice />
                    </li>
                    <li>
                        <button class="entry" data-danger onClick={() => setLeaving(true)}>
                            <Icon name="log_out" />
                            {words("log_out")}
                        </button>
                    </li>
                </ul>
                <p class="hint">
                    {words("logged_in_as")} <bdi>{shownId(operator.value!.userId)}</bdi>
                </p>
            </div>
            {isLeaving && (
                <Confirm
                    title={words("log_out.title")}
                    text={words(operator.value!.accessToken ? "log_out.own" : "log_out.of_app")}
                    action={words("log_out")}
                    run={() => void logOut()}
                    close={() => setLeaving(false)}
                />
            )}
        </ListPane>
    );
}

const THEMES = ["device", "light", "dark"] as const;

function ThemeChoice() {
    return (
        <select
            class="language"
            aria-label={common("settings.theme")}
            value={theme.value}
            onChange={(event) => (theme.value = event.currentTarget.value as (typeof THEMES)[number])}
        >
            {THEMES.map((one) => (
                <option key={one} value={one}>
                    {common(`settings.theme.${one}`)}
                </option>
            ))}
        </select>
    );
}
