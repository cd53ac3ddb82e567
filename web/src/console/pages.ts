// The pages of the console, in the order in which they are listed. To add one: a line here, and its words.

import type { FunctionComponent } from "preact";

import { Actions } from "./actions";
import { Health } from "./health";
import { Overview } from "./overview";
import { ReportPage } from "./report";
import { Reports } from "./reports";
import type { SignName } from "./sign";
import { Tokens } from "./tokens";
import { UserPage } from "./user";
import { Users } from "./users";
import type { ConsoleWordsId } from "./words";

export interface ConsolePage {
    sign: SignName;
    title: ConsoleWordsId;
    Page: FunctionComponent<object>;
    /** What is shown of one entry, by what follows in the address. */
    One?: FunctionComponent<{ id: string }>;
}

/** By the first part of their address. The first page is shown where the address names none. */
export const PAGES: Record<string, ConsolePage> = {
    reports: { sign: "reports", title: "reports", Page: Reports, One: ReportPage },
    users: { sign: "users", title: "users", Page: Users, One: UserPage },
    tokens: { sign: "tokens", title: "tokens", Page: Tokens },
    overview: { sign: "overview", title: "overview", Page: Overview },
    health: { sign: "health", title: "health", Page: Health },
    actions: { sign: "actions", title: "actions", Page: Actions },
};
