// Finding the people of an address book who are here, and inviting the others.

import "./people.css";

import { useState } from "preact/hooks";
import { useLocation } from "wouter-preact";

import { platform } from "../platform";
import { done, sayWhy } from "../sync/ask";
import { Icon } from "../ui/icon";
import { notify } from "../ui/notice";
import { ListHead, ListPane } from "../ui/pane";
import { words } from "../words";
import { beginChatByAddress } from "./begin";
import { type Matched, match, TooMuch } from "./book";
import { type BookEntry, readBook } from "./book-file";
import { asNumber } from "./find";
import { PersonCells, withPerson } from "./person-link";
import { personOf } from "./person";

/** The part of the Contact Picker API that is used. Browsers of phones have it. */
interface ContactPicker {
    select(properties: string[], options: { multiple: boolean }): Promise<{ name?: string[]; tel?: string[]; email?: string[] }[]>;
}

const picker = (navigator as unknown as { contacts?: ContactPicker }).contacts;

export default function AddressBook() {
    const [matched, setMatched] = useState<Matched>();
    const [error, setError] = useState("");
    const [isRunning, setIsRunning] = useState(false);
    const look = async (read: () => Promise<BookEntry[]>) => {
        setError("");
        setIsRunning(true);
        try {
            const entries = await read();
            if (entries.length === 0) setError(words("book.empty"));
            else setMatched(await match(entries));
        } catch (failed) {
            console.warn(failed);
            setError(failed instanceof TooMuch ? words("book.too_much") : sayWhy(failed));
        } finally {
            setIsRunning(false);
        }
    };
    return (
        <ListPane aria-label={words("book")}>
            <ListHead title={words("book")} back="/new" />
            <div class="results book">
                <p class="hint">{words("book.private")}</p>
                <div class="button-row">
                    {picker && (
                        <button class="primary" disabled={isRunning} onClick={() => void look(() => pick(picker))}>
                            {words("book.pick")}
                        </button>
                    )}
                    <label class={picker ? "secondary" : "primary"}>
                        {words("book.file")}
                        <input
                            class="only-said"
                            type="file"
                            accept=".vcf,.csv,text/vcard,text/csv"
                            disabled={isRunning}
                            onChange={(event) => {
                                const file = event.currentTarget.files?.[0];
                                event.currentTarget.value = "";
                                if (file) void look(async () => readBook(await file.text()));
                            }}
                        />
                    </label>
                </div>
                {isRunning && (
                    <p class="hint" role="status">
                        {words("book.running")}
                    </p>
                )}
                {error && (
                    <p class="warning" role="alert">
                        {error}
                    </p>
                )}
                {matched && <Outcome matched={matched} />}
            </div>
        </ListPane>
    );
}

async function pick(from: ContactPicker): Promise<BookEntry[]> {
    const chosen = await from.select(["name", "tel", "email"], { multiple: true });
    return chosen.map(({ name, tel, email }) => ({ name: name?.[0] ?? "", numbers: tel ?? [], emails: email ?? [] }));
}

function Outcome({ matched: { here, others } }: { matched: Matched }) {
    const [, go] = useLocation();
    return (
        <>
            <section aria-labelledby="book-here">
                <h2 id="book-here">{words("book.here", { count: here.length })}</h2>
                <ul>
                    {here.map(({ userId, entry }) => (
                        <li key={userId}>
                            <button class="row" onClick={() => go(withPerson(userId))}>
                                <PersonCells person={{ ...personOf(userId).value, name: entry.name || personOf(userId).value.name }} />
                            </button>
                        </li>
                    ))}
                </ul>
            </section>
            {others.length > 0 && (
                <section aria-labelledby="book-others">
                    <h2 id="book-others">{words("book.others")}</h2>
                    <ul>
                        {others.map((entry, at) => (
                            <li key={at}>
                                <Other entry={entry} />
                            </li>
                        ))}
                    </ul>
                </section>
            )}
        </>
    );
}

/** Somebody of the book who was not found: who has an e-mail address is sent a mail, and anybody can be sent the address of the app. */
function Other({ entry }: { entry: BookEntry }) {
    const [isInvited, setIsInvited] = useState(false);
    const invite = async () => {
        const [email, number] = [entry.emails[0], entry.numbers[0] && (await asNumber(entry.numbers[0]))];
        if (email) setIsInvited(await done(beginChatByAddress({ medium: "email", address: email })));
        else if (number) setIsInvited(await done(beginChatByAddress({ medium: "msisdn", address: number }).then(share)));
    };
    return (
        <span class="row">
            <span class="picture sign">
                <Icon name="person" />
            </span>
            <span class="name" dir="auto">{entry.name}</span>
            <span class="preview">{entry.emails[0] ?? entry.numbers[0]}</span>
            <span class="signs">
                <button class="secondary" disabled={isInvited} onClick={() => void invite()}>
                    {words(isInvited ? "book.invited" : "book.invite")}
                </button>
            </span>
        </span>
    );
}

/** No server sends SMS for this, so the person sends the address of the app by whatever they have. */
async function share(): Promise<void> {
    const text = words("book.share", { platform: platform.value?.name, url: location.origin });
    if (navigator.share) return navigator.share({ text }).catch(() => undefined);
    await navigator.clipboard.writeText(text);
    notify({ text: words("copied") });
}
