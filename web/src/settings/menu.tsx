// What can be set, as a list of pages, with the account that it is set for.

import "./settings.css";

import { useEffect, useState } from "preact/hooks";
import { Link, useLocation } from "wouter-preact";

import { platform } from "../platform";
import { session, sessions, show, showDoor } from "../session/session";
import { logOut } from "../sync/leave";
import { client } from "../sync/running";
import { Avatar } from "../ui/avatar";
import { Confirm } from "../ui/confirm";
import { Icon } from "../ui/icon";
import { ListHead, ListPane } from "../ui/pane";
import { words } from "../words";
import { knownBy, loadOwn, own } from "./own";
import { GROUPS } from "./pages";

export default function SettingsMenu() {
    const [location] = useLocation();
    const [isLeaving, setLeaving] = useState(false);
    useLoadOwn();
    const here = (page: string) => (location === `/settings/${page}` ? "page" : undefined);
    return (
        <ListPane aria-label={words("settings")}>
            <ListHead title={words("settings")} back="/" />
            <div class="pane-body settings-menu">
                <OwnCard />
                {GROUPS.map((group, at) => (
                    <ul key={at}>
                        {Object.entries(group).map(([page, { icon, title }]) => (
                            <li key={page}>
                                <Link href={`/settings/${page}`} class="entry" aria-current={here(page)}>
                                    <Icon name={icon} />
                                    {words(title)}
                                    <Icon name="next" />
                                </Link>
                            </li>
                        ))}
                    </ul>
                ))}
                <ul>
                    <OtherAccounts />
                    <li>
                        <button class="entry" data-danger onClick={() => setLeaving(true)}>
                            <Icon name="log_out" />
                            {words("settings.log_out")}
                        </button>
                    </li>
                </ul>
            </div>
            {isLeaving && (
                <Confirm
                    title={words("settings.log_out.title", { name: platform.value!.name })}
                    text={words("settings.log_out.hint")}
                    action={words("settings.log_out")}
                    run={() => void logOut()}
                    close={() => setLeaving(false)}
                />
            )}
        </ListPane>
    );
}

/** Has the account loaded once the client is there. */
export function useLoadOwn(): void {
    const running = client.value;
    useEffect(() => {
        if (running && !own.peek()) loadOwn(running).catch(console.warn);
    }, [running]);
}

function OwnCard() {
    const account = own.value;
    if (!account) return <div class="own-card" />;
    return (
        <Link href="/settings/profile" class="own-card">
            <Avatar id={account.userId} name={account.name} mxc={account.avatar} size={64} />
            <b>{account.name}</b>
            <span>
                <bdi>{knownBy(account)}</bdi>
            </span>
        </Link>
    );
}

function OtherAccounts() {
    const others = sessions.value.filter(({ userId }) => userId !== session.value?.userId);
    return (
        <>
            {others.map(({ userId, name }) => (
                <li key={userId}>
                    <button class="entry" onClick={() => show(userId)}>
                        <Avatar id={userId} name={name ?? ""} size={24} />
                        {words("settings.switch", { name: name ?? words("settings.other_account") })}
                    </button>
                </li>
            ))}
            <li>
                <button class="entry" onClick={showDoor}>
                    <Icon name="invite" />
                    {words("settings.add_account")}
                </button>
            </li>
        </>
    );
}
