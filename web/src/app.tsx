// The whole window. Without a session it is the door; else there are up to three panes: a list, what is open, and details.

import { useEffect } from "preact/hooks";
import { Route, Router, Switch, useLocation } from "wouter-preact";

import { Chat } from "./chat/chat";
import { ChatList } from "./chats/chat-list";
import { useSearchKey } from "./chats/search-key";
import { opened } from "./encryption/opened";
import { platform } from "./platform";
import { asked } from "./session/prove";
import { session } from "./session/session";
import { start } from "./sync/client";
import { SyncState } from "./sync/state";
import { decoded } from "./ui/address";
import { Boundary } from "./ui/boundary";
import { Icon } from "./ui/icon";
import { later } from "./ui/later";
import { Notices } from "./ui/notice";
import { words } from "./words";

const Welcome = later(() => import("./session/welcome"));
const NewChat = later(() => import("./people/new-chat"));
const WithPerson = later(() => import("./people/with-person"));
const Requests = later(() => import("./people/requests"));
const Request = later(() => import("./people/request"));
const Search = later(() => import("./chats/search"));
const SettingsMenu = later(() => import("./settings/menu"));
const SettingsPage = later(() => import("./settings/page"));
const Join = later(() => import("./group/join"));
const Details = later(() => import("./group/details"));
/** Dialogs that may be needed at any moment. Their code is loaded with the panes, and missed only when they are. */
const encryption = () => import("./encryption/encryption");
const proof = () => import("./session/proof");
const Encryption = later(encryption);
const Proof = later(proof);

export function App() {
    const begun = session.value;
    return (
        <>
            {begun ? (
                <Router key={begun.userId}>
                    <Panes />
                    <SyncState />
                </Router>
            ) : (
                <Welcome />
            )}
            <Notices />
        </>
    );
}

/** Addresses that fill the second pane. On a phone that pane is then the only one. */
const OPEN = /^\/(chat|join|new\/with|requests|settings)\/./;

function Panes() {
    const [location] = useLocation();
    useEffect(() => {
        const begun = session.peek();
        if (begun) void start(begun);
        Promise.all([encryption(), proof()]).catch((error: unknown) => console.warn("the dialogs are not there yet", error));
    }, []);
    useSearchKey();
    return (
        <div class="panes" data-open={OPEN.test(location) || undefined} data-details={/\/details/.test(location) || undefined}>
            <Boundary place={location}>
                <Switch>
                    <Route path="/new/*?">
                        <NewChat />
                    </Route>
                    <Route path="/requests/*?">
                        <Requests />
                    </Route>
                    <Route path="/search">
                        <Search />
                    </Route>
                    <Route path="/settings/*?">
                        <SettingsMenu />
                    </Route>
                    <Route>
                        <ChatList />
                    </Route>
                </Switch>
            </Boundary>
            <Boundary place={location}>
                <Switch>
                    <Route path="/chat/:id/*?">{({ id }) => <Chat key={id} id={decoded(id)} />}</Route>
                    <Route path="/new/with/:id">{({ id }) => <WithPerson key={id} id={decoded(id)} />}</Route>
                    <Route path="/requests/:id">{({ id }) => <Request key={id} id={decoded(id)} />}</Route>
                    <Route path="/settings/:page">{({ page }) => <SettingsPage key={page} page={page} />}</Route>
                    <Route path="/join/:token">{({ token }) => <Join token={token} />}</Route>
                    <Route>
                        <NothingOpen />
                    </Route>
                </Switch>
            </Boundary>
            <Boundary place={location}>
                <Route path="/chat/:id/details/*?">{({ id }) => <Details key={id} id={decoded(id)} />}</Route>
            </Boundary>
            <Boundary place={location}>
                {opened.value && <Encryption />}
                {asked.value && <Proof />}
            </Boundary>
        </div>
    );
}

function NothingOpen() {
    return (
        <main class="empty-pane">
            <Icon name="chats" />
            <h2>{platform.value?.name}</h2>
            <p>{words("chat.choose")}</p>
        </main>
    );
}
