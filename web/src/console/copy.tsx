// Copying a text, where the browser lets a page do that.

import { Icon } from "../ui/icon";
import { notify } from "../ui/notice";
import { words } from "./words";

export function CopyButton({ text, label }: { text: string; label: string }) {
    const copy = async () => {
        try {
            await navigator.clipboard.writeText(text);
            notify({ text: words("copied") });
        } catch {
            notify({ text: words("copied.not") });
        }
    };
    return (
        <button type="button" class="icon-button" aria-label={label} title={label} onClick={() => void copy()}>
            <Icon name="copy" />
        </button>
    );
}
