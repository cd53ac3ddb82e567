// Locking and suspending an account, wherever it is shown.

import { useState } from "preact/hooks";

import { Confirm } from "../ui/confirm";
import { Switch } from "../ui/fields";
import { notify } from "../ui/notice";
import { ask, part, reasonOf, shownId, type User } from "./api";
import { type Load, Loaded, useLoad } from "./load";
import { operator } from "./session";
import { type ConsoleWordsId, words } from "./words";

/** What can be switched of an account. Before it is switched on, it is asked whether it should be. */
type Switched = "locked" | "suspended" | "admin";

export function useUser(userId: string): Load<User> {
    return useLoad(userId, () => ask<User>("GET", `/users/${part(userId)}`));
}

/** Both switches of somebody who is not on the page otherwise. */
export function Restrictions({ userId }: { userId: string }) {
    const load = useUser(userId);
    return (
        <Loaded load={load}>
            {(user) => (user.deactivated ? <p class="hint">{words("user.deactivated.hint")}</p> : <UserSwitches load={load} user={user} which={["locked", "suspended"]} />)}
        </Loaded>
    );
}

interface UserSwitchesProps {
    load: Load<User>;
    user: User;
    which: Switched[];
}

/** Nobody takes away what they operate with: another administrator has to do that. */
export function UserSwitches({ load, user, which }: UserSwitchesProps) {
    const [asked, setAsked] = useState<Switched>();
    const [waiting, setWaiting] = useState<Switched>();
    const isOwn = user.user_id === operator.value?.userId;
    const set = async (what: Switched, isOn: boolean) => {
        setWaiting(what);
        try {
            await ask("PUT", `/users/${part(user.user_id)}/${what}`, { [what]: isOn });
            notify({ text: words(DONE[what][isOn ? 0 : 1], { name: shownId(user.user_id) }) });
        } catch (error) {
            notify({ text: reasonOf(error) });
        }
        await load.reload();
        setWaiting(undefined);
    };
    return (
        <div class="switches">
            {which.map((what) => (
                <Switch
                    key={what}
                    label={words(`user.${what}`)}
                    hint={words(isOwn ? "user.own" : `user.${what}.hint`)}
                    isOn={user[what]}
                    isDisabled={isOwn || waiting !== undefined}
                    change={(isOn) => (isOn ? setAsked(what) : void set(what, false))}
                />
            ))}
            {asked && (
                <Confirm
                    title={words(`user.${asked}.title`, { name: shownId(user.user_id) })}
                    text={words(`user.${asked}.text`)}
                    action={words(`user.${asked}.action`)}
                    run={() => void set(asked, true)}
                    close={() => setAsked(undefined)}
                />
            )}
        </div>
    );
}

/** What is said after it was switched on, and after it was switched off. */
const DONE: Record<Switched, [ConsoleWordsId, ConsoleWordsId]> = {
    locked: ["user.locked.done", "user.locked.undone"],
    suspended: ["user.suspended.done", "user.suspended.undone"],
    admin: ["user.admin.done", "user.admin.undone"],
};
