// The files that go with the next message: each can be looked at, sent in another way, or taken away again.

import { useRef, useState } from "preact/hooks";

import { bytes } from "../media/sizes";
import { Icon } from "../ui/icon";
import { Menu } from "../ui/menu";
import { words } from "../words";
import { useUploadLimit } from "./limit";
import { restage, type StagedFile } from "./stage";

interface StagedProps {
    files: StagedFile[];
    change: (change: (before: StagedFile[]) => StagedFile[]) => void;
}

export default function Staged({ files, change }: StagedProps) {
    const limit = useUploadLimit();
    const replace = (old: StagedFile, by: StagedFile[]) => change((before) => before.flatMap((file) => (file.id === old.id ? by : [file])));
    return (
        <ul class="staged" aria-label={words("composer.staged", { count: files.length })}>
            {files.map((file) => (
                <StagedCard
                    key={file.id}
                    staged={file}
                    isTooLarge={limit !== undefined && isTooLarge(file, limit)}
                    limit={limit}
                    remove={() => replace(file, [])}
                    send={(how) => replace(file, [restage(file, how)])}
                />
            ))}
        </ul>
    );
}

/** Pictures that are made smaller are not known to be too large before. */
function isTooLarge({ file, kind, how }: StagedFile, limit: number): boolean {
    return file.size > limit && (kind !== "image" || how === "file");
}

interface CardProps {
    staged: StagedFile;
    isTooLarge: boolean;
    limit: number | undefined;
    remove: () => void;
    send: (how: StagedFile["how"]) => void;
}

const WAYS = { usual: "composer.how.usual", original: "composer.how.original", file: "composer.how.file" } as const;

function StagedCard({ staged, isTooLarge, limit, remove, send }: CardProps) {
    const { file, kind, address, how } = staged;
    const [isOpen, setIsOpen] = useState(false);
    const button = useRef<HTMLButtonElement>(null);
    const original = file.type.split("/")[0];
    const ways = (["usual", "original", "file"] as const).filter((way) => way !== how && (way !== "original" || original === "image"));
    return (
        <li class="staged-file" data-wrong={isTooLarge || undefined} data-kind={kind}>
            {kind === "image" && <img src={address} alt={file.name} />}
            {kind === "video" && <video src={address} muted playsInline preload="metadata" aria-label={file.name} />}
            {(kind === "file" || kind === "audio") && (
                <p>
                    <Icon name={kind === "audio" ? "microphone" : "file"} />
                    <b dir="auto">{file.name}</b>
                    <small>{bytes(file.size)}</small>
                </p>
            )}
            {how === "original" && <small class="how">{words("composer.how.original")}</small>}
            {isTooLarge && <small role="alert">{words("composer.too_large", { limit: bytes(limit!) })}</small>}
            <button class="remove" aria-label={words("composer.unstage", { name: file.name })} onClick={remove}>
                <Icon name="close" />
            </button>
            {(original === "image" || original === "video" || original === "audio") && (
                <button
                    ref={button}
                    class="ways"
                    aria-label={words("composer.how", { name: file.name })}
                    aria-haspopup="menu"
                    aria-expanded={isOpen}
                    onClick={() => setIsOpen(!isOpen)}
                >
                    <Icon name="more" />
                </button>
            )}
            {isOpen && (
                <Menu
                    anchor={button.current!}
                    label={words("composer.how", { name: file.name })}
                    items={ways.map((way) => ({ label: words(WAYS[way]), run: () => send(way) }))}
                    close={() => setIsOpen(false)}
                />
            )}
        </li>
    );
}
