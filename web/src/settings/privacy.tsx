// What others learn of what the person does in a chat, and what the server learns of links.

import { Choice, Switch } from "../ui/fields";
import { words } from "../words";
import { previews, receipts, typing } from "./choices";

export default function Privacy() {
    return (
        <section>
            <Switch
                label={words("settings.privacy.receipts")}
                hint={words("settings.privacy.receipts_hint")}
                isOn={receipts.value === "public"}
                change={(isOn) => (receipts.value = isOn ? "public" : "private")}
            />
            <Switch
                label={words("settings.privacy.typing")}
                isOn={typing.value === "on"}
                change={(isOn) => (typing.value = isOn ? "on" : "off")}
            />
            <Choice
                label={words("settings.privacy.previews")}
                value={previews.value}
                options={[
                    { value: "plain", label: words("settings.privacy.previews.plain") },
                    { value: "encrypted", label: words("settings.privacy.previews.encrypted"), hint: words("settings.privacy.previews.hint") },
                    { value: "never", label: words("settings.privacy.previews.never") },
                ]}
                change={(value) => (previews.value = value)}
            />
        </section>
    );
}
