// Sending messages of one chat to others.

import type { Signal } from "@preact/signals";
import type { MatrixEvent } from "matrix-js-sdk";
import { useState } from "preact/hooks";

import { sourceOf } from "../chat/content";
import { saidBy } from "../chat/edits";
import { plain } from "../chats/plain";
import { oneLine } from "../chats/preview";
import { type Row, sorted } from "../chats/rows";
import { fetchMedia } from "../media/fetch";
import { client } from "../sync/running";
import { Avatar } from "../ui/avatar";
import { Dialog } from "../ui/dialog";
import { Icon } from "../ui/icon";
import { LongList } from "../ui/long-list";
import { notify } from "../ui/notice";
import { PlatformMark } from "../ui/platform-mark";
import { words } from "../words";
import type { Content } from "./content";
import type { WaitingFile } from "./kept";
import { reasonNotToWrite } from "./may-write";
import { type Outgoing, send } from "./outbox";

/** How many chats one forwards to at a time, as in WhatsApp: nobody should flood everybody they know. */
const MOST_CHATS = 5;
const ROW_PX = 56;

/** Downloads a file of a message, decrypted. */
async function download(url: unknown, file: unknown, type: string): Promise<Blob> {
    const source = sourceOf(file, url, type);
    if (!source) throw new Error("the message has no file");
    return new Blob([await fetchMedia(source)], { type });
}

/** What is sent for a message elsewhere: without what tied it to its chat, and with a copy of its file, which may be
 * encrypted here and not there, and which must not go when the first message does. */
async function copyOf(event: MatrixEvent): Promise<Omit<Outgoing, "roomId">> {
    const { "m.relates_to": _relation, "m.mentions": _told, url, file, ...content } = saidBy(event) as Content;
    const told = { ...content, "m.mentions": {} };
    if (!url && !file) return { type: event.getType(), content: told };
    const { thumbnail_url, thumbnail_file, ...info } = (content.info ?? {}) as Content & { mimetype?: string; thumbnail_info?: { mimetype?: string } };
    const copied: WaitingFile = { blob: await download(url, file, info.mimetype ?? "") };
    if (thumbnail_url || thumbnail_file) {
        copied.thumbnail = await download(thumbnail_url, thumbnail_file, info.thumbnail_info?.mimetype ?? "");
    }
    const filename = content.filename ?? content.body;
    return { type: event.getType(), content: { ...told, filename, info }, file: copied };
}

interface ForwardProps {
    events: MatrixEvent[];
    /** Called when they are on their way. */
    done: () => void;
    close: () => void;
}

export default function ForwardDialog({ events, done, close }: ForwardProps) {
    const [query, setQuery] = useState("");
    const [chosen, setChosen] = useState<string[]>([]);
    const [isBusy, setIsBusy] = useState(false);
    const wanted = plain(query.trim());
    const rows = sorted.value.filter((row) => !row.peek().isInvitation && plain(row.peek().name).includes(wanted));
    const toggle = (id: string) => setChosen((before) => (before.includes(id) ? before.filter((other) => other !== id) : [...before, id]));
    const submit = async () => {
        setIsBusy(true);
        try {
            const copies = await Promise.all(events.map((event) => copyOf(event)));
            for (const roomId of chosen) for (const copy of copies) send({ roomId, ...copy });
            notify({ text: words("composer.forward.done", { count: chosen.length }) });
            done();
        } catch (error) {
            console.warn(error);
            notify({ text: words("composer.forward.failed") });
        }
        close();
    };
    const first = events[0];
    return (
        <Dialog
            title={words("composer.forward")}
            close={close}
            actions={
                <button class="primary" disabled={chosen.length === 0 || isBusy} onClick={() => void submit()}>
                    {words("composer.forward.submit", { count: chosen.length })}
                </button>
            }
        >
            {first && (
                <p class="forwarded">
                    <bdi>{oneLine(first)}</bdi>
                </p>
            )}
            <label class="search">
                <Icon name="search" />
                <input
                    type="search"
                    autofocus
                    placeholder={words("composer.forward.search")}
                    aria-label={words("composer.forward.search")}
                    onInput={(event) => setQuery(event.currentTarget.value)}
                />
            </label>
            {rows.length === 0 && <p class="quiet-text">{words("composer.forward.none")}</p>}
            <div class="forward-to">
                <LongList items={rows} rowPx={ROW_PX} keyOf={(row) => row.peek().id}>
                    {(row) => <ForwardRow row={row} chosen={chosen} toggle={toggle} />}
                </LongList>
            </div>
        </Dialog>
    );
}

interface ForwardRowProps {
    row: Signal<Row>;
    chosen: string[];
    toggle: (id: string) => void;
}

/** A chat, which cannot be chosen where nobody or not everybody may write. */
function ForwardRow({ row, chosen, toggle }: ForwardRowProps) {
    const { id, name, avatar, elsewhere } = row.value;
    const room = client.value?.getRoom(id);
    const reason = room && reasonNotToWrite(room);
    const isChosen = chosen.includes(id);
    return (
        <label>
            <Avatar id={id} name={name} mxc={avatar} size={40} />
            <span class="label">
                <bdi>{name}</bdi>
                {reason && <small>{reason}</small>}
            </span>
            {elsewhere && <PlatformMark server={elsewhere} />}
            <input
                type="checkbox"
                checked={isChosen}
                disabled={!isChosen && (!room || !!reason || chosen.length >= MOST_CHATS)}
                onChange={() => toggle(id)}
            />
        </label>
    );
}
