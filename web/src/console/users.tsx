// The accounts of the platform: all of them by their names, or those whose names begin as somebody types.

import { useEffect, useRef, useState } from "preact/hooks";
import { Link, useLocation } from "wouter-preact";

import { platform } from "../platform";
import { Field, Switch } from "../ui/fields";
import { Dialog } from "../ui/dialog";
import { Icon } from "../ui/icon";
import { notify } from "../ui/notice";
import { short } from "../ui/time";
import { words as common } from "../words";
import { ask, type Page, part, reasonOf, shownId, type User } from "./api";
import { Empty, Loaded, More, useLoad, useRows } from "./load";
import { Chip, Frame } from "./page";
import { NewPassword } from "./password";
import { words } from "./words";

/** How long somebody has to pause in typing until it is looked for what they have typed. */
const PAUSE_MS = 250;

export function Users() {
    const [typed, setTyped] = useState("");
    const [wanted, setWanted] = useState("");
    const [isMaking, setMaking] = useState(false);
    useEffect(() => {
        const timer = setTimeout(() => setWanted(typed.trim()), PAUSE_MS);
        return () => clearTimeout(timer);
    }, [typed]);
    const make = (
        <button class="secondary with-icon" onClick={() => setMaking(true)}>
            <Icon name="add" />
            <span>{words("users.create")}</span>
        </button>
    );
    return (
        <Frame title={words("users")} actions={make}>
            <form role="search" class="search" onSubmit={(event) => event.preventDefault()}>
                <Icon name="search" />
                <input
                    type="search"
                    aria-label={words("users.search")}
                    placeholder={words("users.search")}
                    autocapitalize="none"
                    spellcheck={false}
                    value={typed}
                    onInput={(event) => setTyped(event.currentTarget.value)}
                />
            </form>
            {wanted ? <Found key={wanted} wanted={wanted} /> : <All />}
            {isMaking && <NewUser close={() => setMaking(false)} />}
        </Frame>
    );
}

function All() {
    const rows = useRows<"users", User>("/users", "users");
    return (
        <Loaded load={rows}>
            {(users) => (
                <>
                    <List users={users} />
                    <More rows={rows} />
                </>
            )}
        </Loaded>
    );
}

const MOST_FOUND = 100;

/** Accounts are in the order of their names, so those that begin alike stand together. */
async function beginningWith(wanted: string): Promise<User[]> {
    const beginning = wanted.replace(/^@/, "").toLowerCase();
    // Other letters are in no name.
    if (!/^[a-z0-9._=/+-]+$/.test(beginning)) return [];
    const whole = `@${beginning}:${platform.peek()!.server_name}`;
    const [own, { users }] = await Promise.all([
        ask<User>("GET", `/users/${part(whole)}`).catch(() => undefined),
        ask<Page<"users", User>>("GET", `/users?limit=${MOST_FOUND}&from=${part(whole)}`),
    ]);
    return [...(own ? [own] : []), ...users.filter(({ user_id }) => user_id.startsWith(`@${beginning}`))];
}

/** Whoever is meant by a handle, an address or a number comes first. */
async function find(wanted: string): Promise<User[]> {
    const [{ user }, alike] = await Promise.all([ask<{ user: User | null }>("GET", `/find_user?name=${part(wanted)}`), beginningWith(wanted)]);
    const others = alike.filter(({ user_id }) => user_id !== user?.user_id);
    return user ? [user, ...others] : others;
}

function Found({ wanted }: { wanted: string }) {
    const load = useLoad(wanted, () => find(wanted));
    return (
        <Loaded load={load}>
            {(users) => (users.length > 0 ? <List users={users} /> : <Empty text={words("users.none", { wanted })} hint={words("users.none.hint")} />)}
        </Loaded>
    );
}

function List({ users }: { users: User[] }) {
    return (
        <ul class="records">
            {users.map((user) => (
                <li key={user.user_id}>
                    <Link href={`/users/${part(user.user_id)}`} class="record">
                        <span class="kind">
                            <Icon name="person" />
                        </span>
                        <span class="main">
                            <b>
                                <bdi>{shownId(user.user_id)}</bdi>
                            </b>
                            {user.handle && (
                                <span class="more-of-it">
                                    <bdi>{`@${user.handle}`}</bdi>
                                </span>
                            )}
                        </span>
                        <UserChips user={user} />
                        <time dateTime={new Date(user.created_ts).toISOString()} title={words("user.created")}>
                            {short(user.created_ts)}
                        </time>
                    </Link>
                </li>
            ))}
        </ul>
    );
}

/** What an account is besides an account. */
export function UserChips({ user }: { user: User }) {
    const bad = (["locked", "suspended", "deactivated"] as const).filter((state) => user[state]);
    const plain = (["admin", "guest"] as const).filter((state) => user[state]);
    if (bad.length + plain.length === 0) return null;
    return (
        <span class="chips">
            {plain.map((state) => (
                <Chip key={state}>{words(`user.is.${state}`)}</Chip>
            ))}
            {bad.map((state) => (
                <Chip key={state} kind="bad">
                    {words(`user.is.${state}`)}
                </Chip>
            ))}
        </span>
    );
}

function NewUser({ close }: { close: () => void }) {
    const [, navigate] = useLocation();
    const [isAdmin, setAdmin] = useState(false);
    const [error, setError] = useState<string>();
    const form = useRef<HTMLFormElement>(null);
    const submit = async (event: SubmitEvent) => {
        event.preventDefault();
        const said = new FormData(form.current!);
        const localpart = String(said.get("localpart")).trim().replace(/^@/, "");
        setError(undefined);
        try {
            const made = await ask<{ user_id: string }>("POST", "/users", { localpart, password: said.get("password"), admin: isAdmin });
            notify({ text: words("users.create.done", { name: shownId(made.user_id) }) });
            close();
            navigate(`/users/${part(made.user_id)}`);
        } catch (failed) {
            setError(reasonOf(failed, { M_INVALID_PARAM: "failed.name" }));
        }
    };
    const buttons = (
        <>
            <button class="secondary" onClick={close}>
                {common("cancel")}
            </button>
            <button class="primary" form="new-user">
                {words("users.create.button")}
            </button>
        </>
    );
    return (
        <Dialog title={words("users.create")} close={close} actions={buttons}>
            <form id="new-user" ref={form} class="settings-form" onSubmit={(event) => void submit(event)}>
                <Field label={words("users.create.name")}>
                    <input name="localpart" autocomplete="off" autocapitalize="none" spellcheck={false} maxLength={100} required autofocus />
                </Field>
                <NewPassword />
                <Switch label={words("user.admin")} hint={words("user.admin.hint")} isOn={isAdmin} change={setAdmin} />
                {error && <p role="alert">{error}</p>}
            </form>
        </Dialog>
    );
}
