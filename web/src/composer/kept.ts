// Messages that wait to be sent, kept in the browser's database so that closing the app loses none. Each account has its own. They
// are encrypted there by the key of the snapshot, because some are for encrypted chats.

import { answer, ended } from "../sync/database";
import { openSnapshot, type Sealed, seal, sealBytes, unseal, unsealBytes } from "../sync/snapshot";

/** What carries a file, before the server has it. */
export interface WaitingFile {
    blob: Blob;
    thumbnail?: Blob;
}

/** What a chosen file is sent as: as it is, as a small copy with what a chat needs, or with all its pixels. */
export interface Way {
    kind: "image" | "video" | "audio" | "file";
    how: "usual" | "original" | "file";
}

/** A file that the server has. */
export interface Uploaded {
    mxc: string;
    /** How to decrypt it, if it was encrypted before it was uploaded. */
    encryption?: Record<string, unknown>;
}

/** A message that waits. */
export interface Item {
    /** The transaction id, by which the server knows the message again when it is sent twice. */
    id: string;
    roomId: string;
    /** When it was written, in milliseconds since the Unix epoch. Messages are sent in this order. */
    at: number;
    type: string;
    content: Record<string, unknown>;
    file?: WaitingFile;
    /** How the file is to be prepared. Until then it is as the person has chosen it. */
    way?: Way;
    uploads?: { file: Uploaded; thumbnail?: Uploaded };
    /** Why the server refused it. Such a message waits for the person. */
    refused?: Refusal;
}

/** Why a message was refused, by the end of the id of the sentence that says so. */
export type Refusal = "not_member" | "not_allowed" | "encryption" | "too_large" | "unanswered" | "unreadable" | "other";

/** A file as it lies on the disk. */
interface SealedFile {
    iv: Uint8Array<ArrayBuffer>;
    sealed: Blob;
    type: string;
}

/** An item as it lies on the disk: what it says, and its file, which is as large as it is. */
interface Kept extends Sealed {
    id: string;
    file?: SealedFile;
    thumbnail?: SealedFile;
}

const STORE = "items";
const nameOf = (userId: string) => `linkspan-outbox-${userId}`;
const partOf = (id: string, part = "item") => `outbox ${id} ${part}`;

export class KeptItems {
    private constructor(
        readonly userId: string,
        readonly database: IDBDatabase,
    ) {}

    static async open(userId: string): Promise<KeptItems> {
        const request = indexedDB.open(nameOf(userId), 1);
        request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "id" });
        const database = await answer(request);
        // Otherwise this tab would keep another from deleting it when the person logs out there.
        database.onversionchange = () => database.close();
        return new KeptItems(userId, database);
    }

    /** All items, the oldest first. The files of those that are known are not read again. */
    async all(known: ReadonlyMap<string, Item>): Promise<Item[]> {
        const kept = await answer<(Kept | Item)[]>(this.#store("readonly").getAll());
        const items = await Promise.all(kept.map((one) => this.#open(one, known)));
        return items.flatMap((item) => item ?? []).sort((one, other) => one.at - other.at);
    }

    /** Is done when the item is on the disk. */
    async put(item: Item): Promise<void> {
        const { id, file, ...said } = item;
        // A file that the server has is not needed here any more.
        const [blob, thumbnail] = item.uploads ? [] : [file?.blob, file?.thumbnail];
        const { key } = await openSnapshot(this.userId);
        const sealed: Kept = { id, ...(await seal(key, partOf(id), said)) };
        if (blob) sealed.file = await sealFile(key, partOf(id, "file"), blob);
        if (thumbnail) sealed.thumbnail = await sealFile(key, partOf(id, "thumbnail"), thumbnail);
        await this.#change((store) => store.put(sealed));
    }

    delete(id: string): Promise<void> {
        return this.#change((store) => store.delete(id));
    }

    async #open(kept: Kept | Item, known: ReadonlyMap<string, Item>): Promise<Item | undefined> {
        // It was written before anything here was encrypted.
        if (!("sealed" in kept)) return kept;
        try {
            const { key } = await openSnapshot(this.userId);
            const item = { ...(await unseal<Omit<Item, "id">>(key, partOf(kept.id), kept)), id: kept.id };
            if (!kept.file || known.has(kept.id)) return item;
            const thumbnail = kept.thumbnail && (await unsealFile(key, partOf(kept.id, "thumbnail"), kept.thumbnail));
            return { ...item, file: { blob: await unsealFile(key, partOf(kept.id, "file"), kept.file), thumbnail } };
        } catch (error) {
            // The browser has forgotten the key, and nobody can read it any more.
            console.warn(error);
            return undefined;
        }
    }

    #store(mode: IDBTransactionMode): IDBObjectStore {
        return this.database.transaction(STORE, mode).objectStore(STORE);
    }

    #change(change: (store: IDBObjectStore) => void): Promise<void> {
        const store = this.#store("readwrite");
        change(store);
        return ended(store.transaction);
    }
}

async function sealFile(key: CryptoKey, name: string, blob: Blob): Promise<SealedFile> {
    const { iv, sealed } = await sealBytes(key, name, await blob.arrayBuffer());
    return { iv, sealed: new Blob([sealed]), type: blob.type };
}

async function unsealFile(key: CryptoKey, name: string, { iv, sealed, type }: SealedFile): Promise<Blob> {
    return new Blob([await unsealBytes(key, name, { iv, sealed: await sealed.arrayBuffer() })], { type });
}
